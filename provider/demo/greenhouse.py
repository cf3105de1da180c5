"""The demo's Greenhouse: it sends tests, takes the PATCH of a complete one, and reads the score."""

import queue
import secrets
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import requests

from provider.demo.ats import REQUEST_TIMEOUT_SECONDS, PlacedOrder
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.errors import ProviderError

TEST_NAME = "Numerical Reasoning"
PATCH_TIMEOUT_SECONDS = 20.0
TAKE_HOME_PATH = "/integrations/testing_partners/take_home_tests/"


class DemoGreenhouse:
    """A client of the Assessment Partner API, and a receiver of PATCHes on a port of its own."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.patches: queue.Queue[str] = queue.Queue()  # the paths of PATCHes with the right key
        self.unauthorized_paths: list[str] = []
        self.orders: dict[str, PlacedOrder] = {}
        self._receiver = ThreadingHTTPServer((self.host, 0), _handler_class(self))
        self._receiver.daemon_threads = True
        self._thread = threading.Thread(target=self._receiver.serve_forever, args=(0.1,))
        self._session = requests.Session()
        self._session.trust_env = False
        self._urls: dict[str, str] = {}
        self._authorization = ""

    def __enter__(self) -> "DemoGreenhouse":
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._receiver.shutdown()
        self._thread.join()
        self._receiver.server_close()
        self._session.close()

    def connect(self, urls: dict[str, str], key: str) -> None:
        """Keep the four addresses and the key that `provider account create` has printed."""
        self._urls, self._session.auth = urls, (key, "")
        self._authorization = f"Basic {b64encode(f'{key}:'.encode()).decode()}"

    def list_tests(self) -> list[dict[str, str]]:
        tests: list[dict[str, str]] = self._call("GET", "list_tests")
        return tests

    def send_test(self, test: dict[str, str], first_name: str, last_name: str) -> PlacedOrder:
        path = f"{TAKE_HOME_PATH}{secrets.randbelow(90_000) + 10_000}"
        email = f"{first_name}.{last_name}@candidate.test".lower()
        body = {
            "partner_test_id": test["partner_test_id"],
            "candidate": {
                "first_name": first_name,
                "last_name": last_name,
                "preferred_name": None,
                "email": email,
                "greenhouse_profile_url": "https://app.greenhouse.io/people/17?application_id=26",
            },
            "url": f"http://{self.host}:{self._receiver.server_port}{path}",
        }
        order_id = str(self._call("POST", "send_test", json=body)["partner_interview_id"])
        name = f"{first_name} {last_name}"
        order = PlacedOrder("test", order_id, test["partner_test_name"], name, email, path)
        self.orders[path] = order
        return order

    def test_status(self, order: PlacedOrder) -> dict[str, Any]:
        status: dict[str, Any] = self._call(
            "GET", "test_status", params={"partner_interview_id": order.id}
        )
        return status

    def take_patch(self, path: str, authorization: str) -> int:
        """Queue a PATCH with the key of `connect`; return the status code to answer."""
        if authorization != self._authorization:
            self.unauthorized_paths.append(path)
            return 401
        if path not in self.orders:
            return 404
        self.patches.put(path)
        return 200

    def _call(self, method: str, endpoint: str, **arguments: Any) -> Any:
        response = self._session.request(
            method, self._urls[endpoint], timeout=REQUEST_TIMEOUT_SECONDS, **arguments
        )
        if response.status_code != 200:
            raise ProviderError(
                f"{endpoint} answered {response.status_code}: {response.text[:300]}"
            )
        return response.json()


def _handler_class(greenhouse: DemoGreenhouse) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = REQUEST_TIMEOUT_SECONDS

        def do_PATCH(self) -> None:
            code = greenhouse.take_patch(self.path, self.headers.get("Authorization", ""))
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the demo prints each PATCH itself."""

    return Handler


def send_tests(
    greenhouse: DemoGreenhouse, server: DemoServer, output: ConsoleOutput
) -> list[PlacedOrder]:
    """Send a test to two candidates, and wait for the invitations' e-mails."""
    output.print_heading("The recruiter sends tests from Greenhouse")
    tests = greenhouse.list_tests()
    output.print_text(f"list_tests: {', '.join(test['partner_test_name'] for test in tests)}")
    test = next(test for test in tests if test["partner_test_name"] == TEST_NAME)
    orders = []
    for name in (("Lakita", "Marrero"), ("Tomas", "Ibarra")):
        order = greenhouse.send_test(test, *name)
        output.print_text(f"send_test: {order.product} for {order.candidate}: {order.id}")
        link = server.wait_for_invitation(order.email)
        orders.append(PlacedOrder(**vars(order) | {"link": link}))
    return orders


def show_patches(greenhouse: DemoGreenhouse, server: DemoServer, output: ConsoleOutput) -> None:
    """Print the status after every PATCH, until Ctrl-C; Unavailable if the server has ended."""
    while True:
        server.require_running()
        try:
            order = greenhouse.orders[greenhouse.patches.get(timeout=1)]
        except queue.Empty:
            continue
        output.print_status(order, greenhouse.test_status(order))


def run_automatically(
    greenhouse: DemoGreenhouse, output: ConsoleOutput, orders: list[PlacedOrder]
) -> None:
    """Play the candidates; ProviderError if Greenhouse is not told, or is told something wrong."""
    lakita, tomas = orders
    Candidate(tomas.link).decline("I have found another job.")
    output.print_heading(f"{lakita.candidate} takes the test, in a browser without JavaScript")
    Candidate(lakita.link).take_test(KNOWN_ANSWERS)
    try:
        path = greenhouse.patches.get(timeout=PATCH_TIMEOUT_SECONDS)
    except queue.Empty:
        raise ProviderError("No PATCH came for the complete test") from None
    status = greenhouse.test_status(lakita)
    output.print_status(lakita, status)
    if path != lakita.path or status["partner_status"] != "complete":
        raise ProviderError(f"Greenhouse was told something else: {path} {status}")
    if not isinstance(status["partner_score"], int | float):
        raise ProviderError(f"The score is no number: {status}")
    page = requests.get(status["partner_profile_url"], timeout=PATCH_TIMEOUT_SECONDS)
    if not page.ok:
        raise ProviderError(f"The report does not open: {page.status_code}")
    declined = greenhouse.test_status(tomas)
    output.print_status(tomas, declined)
    if declined["partner_status"] != "declined" or not greenhouse.patches.empty():
        raise ProviderError(f"Greenhouse should not be told of a declined test: {declined}")
    if greenhouse.unauthorized_paths:
        raise ProviderError("A PATCH came without Greenhouse's key")
    output.print_heading("Greenhouse was told once, with its own key, and reads the score")
