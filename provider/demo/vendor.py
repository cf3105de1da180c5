"""The common part of the APIs that the demo plays: rule, order, and the requests in words.

The server calls this API by itself: it reads the candidates, and writes the results.
"""

import json
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qsl, urlsplit

from provider.demo.ats import PlacedOrder
from provider.demo.console_output import ConsoleOutput
from provider.demo.receiver import MAX_BODY_BYTES, CallbackHandler, CallbackReceiver, create_server
from provider.demo.server import DemoServer
from provider.errors import ProviderError

POLL_INTERVAL = "10s"  # the shortest that the setting allows
STEP_TIMEOUT_SECONDS = 60.0  # for an order or a result
PAUSE_SECONDS = 0.1  # between two looks at the requests

T = TypeVar("T")


@dataclass(frozen=True)
class VendorRequest:
    """A request as it arrived. `target` is the path and the query exactly as sent."""

    method: str
    target: str
    headers: Message  # finds a header in upper or lower case
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def header(self, name: str) -> str:
        """Return a header's value; empty without one."""
        return str(self.headers.get(name, ""))


@dataclass(frozen=True)
class VendorAnswer:
    """An answer, and in plain words what the request did."""

    text: str
    document: Any = None
    status_code: int = 200


class DemoVendor(CallbackReceiver, ABC):
    """An ATS with one candidate, whom a rule orders for. A subclass answers each request."""

    ats: ClassVar[str]
    content_type: ClassVar[str] = "application/json"
    # The rule: a candidate with this fact is ordered this product.
    condition: ClassVar[str]
    product_key: ClassVar[str]
    backfills: ClassVar[bool] = False

    def __init__(self, candidate: str, email: str) -> None:
        super().__init__(create_server(_handler_class(self)))
        self.candidate, self.email = candidate, email
        self.lock = threading.Lock()  # of the candidate's data and of the texts
        self.refusals: list[str] = []
        self._texts: queue.Queue[str] = queue.Queue()

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Return the settings of the account."""

    @abstractmethod
    def secrets(self) -> dict[str, str]:
        """Return the secrets of the account."""

    @abstractmethod
    def answer(self, request: VendorRequest) -> VendorAnswer:
        """Check and carry out a request."""

    def take(self, request: VendorRequest) -> VendorAnswer:
        """Answer a request, and keep its text until it is printed."""
        with self.lock:
            answer = self.answer(request)
            self._texts.put(answer.text)
            if answer.status_code >= 400:
                self.refusals.append(answer.text)
        return answer

    def connect(self, server: DemoServer, account: str) -> str:
        """Create the account with its settings, secrets and rule; return the product's kind."""
        server.create_account(account, self.ats)
        settings = [f"{name}={value}" for name, value in self.settings().items()]
        server.run_command("account", "set", account, *settings)
        for name, value in self.secrets().items():
            server.run_command("account", "secret", account, name, stdin=value)
        arguments = ["--when", self.condition, "--product", self.product_key]
        if self.backfills:
            arguments.append("--backfill")
        rule = json.loads(server.run_command("rule", "add", account, *arguments, "--json"))
        return str(rule["product"]).partition("/")[0]

    def wait_for_order(
        self, server: DemoServer, output: ConsoleOutput, account: str, kind: str
    ) -> PlacedOrder:
        """Wait until a round has placed the order, and for the invitation's e-mail."""
        link = self.wait_for(
            server,
            output,
            lambda: server.find_invitation(self.email),
            f"No e-mail came to {self.email}",
        )
        arrivals = json.loads(server.run_command("rule", "arrivals", account, "--json"))
        if [arrival["outcome"] for arrival in arrivals] != ["ordered"]:
            raise ProviderError(f"Expected one order for {self.candidate}, not {arrivals}")
        order_id = str(arrivals[0]["order"])
        output.print_text(f"The rule has ordered {self.product_key} for {self.candidate}")
        return PlacedOrder(kind, order_id, self.product_key, self.candidate, self.email, link=link)

    def wait_for(
        self,
        server: DemoServer,
        output: ConsoleOutput,
        condition: Callable[[], T | None],
        error_message: str,
        timeout_seconds: float = STEP_TIMEOUT_SECONDS,
    ) -> T:
        """Print requests until `condition` is true, and return its value."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            server.require_running()
            with self.lock:  # or the text of the decisive request may be missing
                value = condition()
            self._print_requests(output)
            if value:
                return value
            if time.monotonic() > deadline:
                raise ProviderError(f"{error_message} within {timeout_seconds:g} seconds")
            time.sleep(PAUSE_SECONDS)

    def show_requests(self, server: DemoServer, output: ConsoleOutput) -> None:
        """Print each request as it arrives, until Ctrl-C; Unavailable if the server has ended."""
        while True:
            server.require_running()
            self._print_requests(output)
            time.sleep(PAUSE_SECONDS)

    def require_no_refusals(self) -> None:
        """Raise ProviderError if a request was refused."""
        if self.refusals:
            raise ProviderError(self.refusals[0])

    def _print_requests(self, output: ConsoleOutput) -> None:
        while not self._texts.empty():  # this thread alone takes texts
            output.print_text(self._texts.get())


def _handler_class(vendor: DemoVendor) -> type[CallbackHandler]:
    class Handler(CallbackHandler):
        def do_GET(self) -> None:  # noqa: N802  (the standard library's name)
            length = min(int(self.headers.get("Content-Length", 0)), MAX_BODY_BYTES)
            body = self.rfile.read(length)
            answer = vendor.take(VendorRequest(self.command, self.path, self.headers, body))
            self.answer(answer.status_code, answer.document, vendor.content_type)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    return Handler
