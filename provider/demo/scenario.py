"""What happens in the demo: the ATS orders, somebody takes the test, the ATS hears of it."""

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
CALLBACK_TIMEOUT_SECONDS = 20.0  # seconds that a callback may take
CANDIDATE_NAMES = {
    "assessment": ("Lakita", "Marrero"),
    "interview": ("Mei", "Lindqvist"),
    "check": ("Yusuf", "Demir"),
}
SECOND_CANDIDATE_NAME = ("Tomas", "Ibarra")


def place_orders(
    ats: DemoAts, server: DemoServer, output: ConsoleOutput, *, second_test: bool
) -> list[PlacedOrder]:
    """Order one of each kind, `twice` a second test, and wait until the letters are there."""
    output.print_heading("The ATS orders")
    wishes = [
        *CANDIDATE_NAMES.items(),
        *([("assessment", SECOND_CANDIDATE_NAME)] if second_test else []),
    ]
    placed = [_place_order(ats, output, kind, *name) for kind, name in wishes]
    return [replace(order, link=server.wait_for_invitation(order.email)) for order in placed]


def show_callbacks(ats: DemoAts, server: DemoServer, output: ConsoleOutput) -> None:
    """Show every callback as it lands, until somebody presses Ctrl-C."""
    while True:
        server.require_running()
        try:
            put = ats.callbacks.get(timeout=1)
        except queue.Empty:
            continue
        output.print_callback(ats.orders[put.path], put)


def run_automatically(
    ats: DemoAts,
    server: DemoServer,
    output: ConsoleOutput,
    orders: Sequence[PlacedOrder],
    staff: StaffBrowser,
) -> None:
    """Play the candidates and the staff too; ProviderError unless the ATS hears all of it."""
    lakita, mei, yusuf, tomas = orders
    hear = CallbackChecker(ats, output)
    output.print_heading(f"{lakita.candidate} takes the test, in a browser without scripts")
    Candidate(lakita.link).take_test(KNOWN_ANSWERS)
    _check_report(ats, lakita, hear(lakita, "completed"))
    output.print_heading(f"{mei.candidate} gives the interview, and the staff rate it")
    Candidate(mei.link).record_interview()
    staff.rate_interview(mei.id, 4, "A convincing conversation.")
    _check_report(ats, mei, hear(mei, "completed"))
    output.print_heading(f"{yusuf.candidate} consents, and the staff enter what they found")
    Candidate(yusuf.link).consent(yusuf.candidate)
    hear(yusuf, "consented")
    staff.enter_outcomes(yusuf.id, consider="education")
    _check_report(ats, yusuf, hear(yusuf, "completed"))
    Candidate(tomas.link).decline("I pressed the wrong button.")
    hear(tomas, "rejected")
    server.run_command("order", "reopen", tomas.id, "--reason", "He asked for it")
    hear(tomas, "pending")
    Candidate(tomas.link).take_test({})
    _check_report(ats, tomas, hear(tomas, "completed"))
    hear.require_no_more()
    output.print_heading("All arrived, in order, and polling answers the same")


class CallbackChecker:
    """Waits for callbacks and holds each against what it should say and what polling answers."""

    def __init__(
        self, ats: DemoAts, output: ConsoleOutput, timeout_seconds: float = CALLBACK_TIMEOUT_SECONDS
    ) -> None:
        self._ats, self._output, self._timeout_seconds = ats, output, timeout_seconds
        self._last_sequences: dict[str, int] = {}

    def __call__(self, order: PlacedOrder, status: str) -> ReceivedCallback:
        """Return the next callback, shown; ProviderError when it is not the expected one."""
        try:
            put = self._ats.callbacks.get(timeout=self._timeout_seconds)
        except queue.Empty:
            raise ProviderError(
                f"No callback said “{status}” of {order.candidate}'s {order.kind} "
                f"within {self._timeout_seconds:g} seconds"
            ) from None
        self._output.print_callback(self._ats.orders[put.path], put)
        self._check(order, status, put)
        return put

    def require_no_more(self) -> None:
        """Raise unless nothing came but what was waited for."""
        if self._ats.unauthorized_paths:
            raise ProviderError("A callback came without the account's token")
        if not self._ats.callbacks.empty():
            raise ProviderError(f"A callback too many: {self._ats.callbacks.get().body}")

    def _check(self, order: PlacedOrder, status: str, callback: ReceivedCallback) -> None:
        whose = f"{order.candidate}'s {order.kind}"
        if callback.path != order.path or callback.body.get("status") != status:
            raise ProviderError(f"Expected “{status}” of {whose}; came {callback.body}")
        if callback.sequence <= self._last_sequences.get(callback.path, 0):
            raise ProviderError(f"Callbacks of {whose} came out of order")
        self._last_sequences[callback.path] = callback.sequence
        if (polled := self._ats.poll(order)) != callback.body:
            raise ProviderError(f"Polling {whose} answers otherwise than the PUT: {polled}")


def _place_order(
    ats: DemoAts, output: ConsoleOutput, kind: str, first_name: str, last_name: str
) -> PlacedOrder:
    products = ats.products(kind)
    if not products:
        raise ProviderError(f"The server lists nothing to order as {kind}")
    product = next((each for each in products if each["name"] == TEST_NAME), products[0])
    names = ", ".join(each["name"] for each in products)
    output.print_text(f"{kind}: it may pick {names}")
    placed = ats.place_order(kind, product, first_name, last_name, JOB_TITLE)
    output.print_text(f"  and orders {product['name']} for {placed.candidate}: {placed.id}")
    return placed


def _check_report(ats: DemoAts, order: PlacedOrder, callback: ReceivedCallback) -> None:
    if not callback.body[order.kind].keys() & {"score", "overall_status"}:
        raise ProviderError(f"{order.candidate}'s result says nothing: {callback.body}")
    pdf = callback.body["attachments"][0]["url"]
    for url, start in (
        (callback.body["results_url"], b"<!doctype html"),
        (ats.shared_link(order), b"<!doctype html"),
        (pdf, b"%PDF-"),
    ):
        answer = requests.get(url, timeout=CALLBACK_TIMEOUT_SECONDS)
        if not answer.ok or not answer.content.lower().startswith(start.lower()):
            raise ProviderError(f"{order.candidate}'s report does not open: {answer.status_code}")
