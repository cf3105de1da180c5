"""The demo's Greenhouse: it sends tests, takes the PATCH of a complete one, and reads the score."""

import queue
import secrets
from base64 import b64encode
from dataclasses import replace
from typing import Any

import requests

from provider.demo.ats import PlacedOrder
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.receiver import (
    REQUEST_TIMEOUT_SECONDS,
    CallbackHandler,
    CallbackReceiver,
    create_server,
)
from provider.demo.server import DemoServer
from provider.errors import ProviderError

TEST_NAME = "Numerical Reasoning"
PATCH_TIMEOUT_SECONDS = 20.0
TAKE_HOME_PATH = "/integrations/testing_partners/take_home_tests/"


class DemoGreenhouse(CallbackReceiver):
    """A client of the Assessment Partner API, and a receiver of PATCHes on a port of its own."""

    def __init__(self) -> None:
        super().__init__(create_server(_handler_class(self)))
        self.patches: queue.Queue[str] = queue.Queue()  # the paths of PATCHes with the right key
        self.unauthorized_paths: list[str] = []
        self.orders: dict[str, PlacedOrder] = {}
        self._urls: dict[str, str] = {}
        self._authorization = ""

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
            "url": self.url + path,
        }
        order_id = str(self._call("POST", "send_test", json=body)["partner_interview_id"])
        name = f"{first_name} {last_name}"
        order = PlacedOrder("assessment", order_id, test["partner_test_name"], name, email, path)
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


def _handler_class(greenhouse: DemoGreenhouse) -> type[CallbackHandler]:
    class Handler(CallbackHandler):
        def do_PATCH(self) -> None:  # noqa: N802  (the standard library's name)
            authorization = self.headers.get("Authorization", "")
            self.answer(greenhouse.take_patch(self.path, authorization))

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
        orders.append(replace(order, link=link))
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
    """Play the candidates; ProviderError unless one PATCH comes and `test_status` is right."""
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
        raise ProviderError(f"The PATCH or the status is wrong: {path} {status}")
    if not isinstance(status["partner_score"], int | float):
        raise ProviderError(f"The score is no number: {status}")
    page = requests.get(status["partner_profile_url"], timeout=PATCH_TIMEOUT_SECONDS)
    if not page.ok:
        raise ProviderError(f"The report does not open: {page.status_code}")
    declined = greenhouse.test_status(tomas)
    output.print_status(tomas, declined)
    if declined["partner_status"] != "declined" or not greenhouse.patches.empty():
        raise ProviderError(f"A declined test should cause no PATCH: {declined}")
    if greenhouse.unauthorized_paths:
        raise ProviderError("A PATCH came without Greenhouse's key")
    output.print_heading("One PATCH came, with Greenhouse's own key, and the score was read")
