"""The steps of the demo: the ATS orders, candidates and staff act, the ATS gets callbacks."""

import queue
from collections.abc import Sequence
from dataclasses import replace

import requests

from provider.demo.ats import DemoAts, PlacedOrder, ReceivedCallback
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.demo.staff import StaffBrowser
from provider.errors import ProviderError

JOB_TITLE = "Operations Manager"
TEST_NAME = "Numerical Reasoning"
CALLBACK_TIMEOUT_SECONDS = 20.0
CANDIDATE_NAMES = {
    "assessment": ("Lakita", "Marrero"),
    "interview": ("Mei", "Lindqvist"),
    "check": ("Yusuf", "Demir"),
}
SECOND_CANDIDATE_NAME = ("Tomas", "Ibarra")


def place_orders(
    ats: DemoAts, server: DemoServer, output: ConsoleOutput, *, second_test: bool
) -> list[PlacedOrder]:
    """Order a product of each kind, and wait for the invitations' e-mails."""
    output.print_heading("The ATS orders")
    candidates = [
        *CANDIDATE_NAMES.items(),
        *([("assessment", SECOND_CANDIDATE_NAME)] if second_test else []),
    ]
    orders = [_place_order(ats, output, kind, *name) for kind, name in candidates]
    return [replace(order, link=server.wait_for_invitation(order.email)) for order in orders]


def show_callbacks(ats: DemoAts, server: DemoServer, output: ConsoleOutput) -> None:
    """Print every callback as it arrives, until Ctrl-C; Unavailable if the server has ended."""
    while True:
        server.require_running()
        try:
            callback = ats.callbacks.get(timeout=1)
        except queue.Empty:
            continue
        output.print_callback(ats.orders[callback.path], callback)


def run_automatically(
    ats: DemoAts,
    server: DemoServer,
    output: ConsoleOutput,
    orders: Sequence[PlacedOrder],
    staff: StaffBrowser,
) -> None:
    """Play the candidates and the staff; ProviderError if a callback is missing or wrong."""
    lakita, mei, yusuf, tomas = orders
    checker = CallbackChecker(ats, output)
    output.print_heading(f"{lakita.candidate} takes the test, in a browser without JavaScript")
    Candidate(lakita.link).take_test(KNOWN_ANSWERS)
    _check_report(ats, lakita, checker.expect(lakita, "completed"))
    output.print_heading(f"{mei.candidate} records the interview, and the staff rate it")
    Candidate(mei.link).record_interview()
    staff.rate_interview(mei.id, 4, "A convincing conversation.")
    _check_report(ats, mei, checker.expect(mei, "completed"))
    output.print_heading(f"{yusuf.candidate} consents, and the staff enter the outcomes")
    Candidate(yusuf.link).consent(yusuf.candidate)
    checker.expect(yusuf, "consented")
    staff.enter_outcomes(yusuf.id, consider="education")
    _check_report(ats, yusuf, checker.expect(yusuf, "completed"))
    Candidate(tomas.link).decline("I pressed the wrong button.")
    checker.expect(tomas, "rejected")
    server.run_command("order", "reopen", tomas.id, "--reason", "He asked for it")
    checker.expect(tomas, "pending")
    Candidate(server.wait_for_invitation(tomas.email, tomas.link)).take_test({})
    _check_report(ats, tomas, checker.expect(tomas, "completed"))
    checker.require_no_more()
    output.print_heading("All callbacks arrived in order, and polling answers the same")


class CallbackChecker:
    """Waits for callbacks, and compares each with the expected status and with polling."""

    def __init__(
        self, ats: DemoAts, output: ConsoleOutput, timeout_seconds: float = CALLBACK_TIMEOUT_SECONDS
    ) -> None:
        self._ats, self._output, self._timeout_seconds = ats, output, timeout_seconds
        self._last_sequences: dict[str, int] = {}

    def expect(self, order: PlacedOrder, status: str) -> ReceivedCallback:
        """Print and return the next callback; ProviderError if it is not the expected one."""
        try:
            callback = self._ats.callbacks.get(timeout=self._timeout_seconds)
        except queue.Empty:
            raise ProviderError(
                f"No callback with “{status}” came for {order.candidate}'s {order.kind} "
                f"within {self._timeout_seconds:g} seconds"
            ) from None
        self._output.print_callback(self._ats.orders[callback.path], callback)
        self._check(order, status, callback)
        return callback

    def require_no_more(self) -> None:
        """Raise ProviderError if a callback is left, or came without the account's token."""
        if self._ats.unauthorized_paths:
            raise ProviderError("A callback came without the account's token")
        if not self._ats.callbacks.empty():
            raise ProviderError(f"Unexpected callback: {self._ats.callbacks.get().body}")

    def _check(self, order: PlacedOrder, status: str, callback: ReceivedCallback) -> None:
        subject = f"{order.candidate}'s {order.kind}"
        if callback.path != order.path or callback.body.get("status") != status:
            raise ProviderError(f"Expected “{status}” for {subject}, not {callback.body}")
        if callback.sequence <= self._last_sequences.get(callback.path, 0):
            raise ProviderError(f"Callbacks for {subject} came out of order")
        self._last_sequences[callback.path] = callback.sequence
        if (polled := self._ats.poll(order)) != callback.body:
            raise ProviderError(f"Polling {subject} differs from the callback: {polled}")


def _place_order(
    ats: DemoAts, output: ConsoleOutput, kind: str, first_name: str, last_name: str
) -> PlacedOrder:
    products = ats.products(kind)
    if not products:
        raise ProviderError(f"The server lists no product of kind {kind}")
    product = next((item for item in products if item["name"] == TEST_NAME), products[0])
    names = ", ".join(item["name"] for item in products)
    output.print_text(f"{kind}: available are {names}")
    order = ats.place_order(kind, product, first_name, last_name, JOB_TITLE)
    output.print_text(f"  the ATS orders {product['name']} for {order.candidate}: {order.id}")
    return order


def _check_report(ats: DemoAts, order: PlacedOrder, callback: ReceivedCallback) -> None:
    if not callback.body[order.kind].keys() & {"score", "overall_status"}:
        raise ProviderError(
            f"{order.candidate}'s result has no score and no outcome: {callback.body}"
        )
    pdf = callback.body["attachments"][0]["url"]
    for url, expected_start in (
        (callback.body["results_url"], b"<!doctype html"),
        (ats.shared_link(order), b"<!doctype html"),
        (pdf, b"%pdf-"),
    ):
        response = requests.get(url, timeout=CALLBACK_TIMEOUT_SECONDS)
        if not response.ok or not response.content.lower().startswith(expected_start):
            raise ProviderError(f"{order.candidate}'s report does not open: {response.status_code}")
