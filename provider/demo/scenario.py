"""The steps of the demo: the ATS orders, candidates and staff act, the ATS gets callbacks."""

import queue
from dataclasses import replace

from provider.demo.ats import DemoAts, PlacedOrder, ReceivedCallback
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.recruiter import Recruiter
from provider.demo.server import DemoServer
from provider.demo.staff import StaffBrowser
from provider.errors import ProviderError

TEST_NAME = "Numerical Reasoning"
CALLBACK_TIMEOUT_SECONDS = 20.0
# The candidate's id in the ATS, the kind and the name of the product.
ORDERS = (
    ("lakita-marrero", "assessment", TEST_NAME),
    ("mei-lindqvist", "interview", "First Interview"),
    ("yusuf-demir", "check", "Employment Screening"),
    ("tomas-ibarra", "assessment", TEST_NAME),
)


def place_orders(ats: DemoAts, server: DemoServer, output: ConsoleOutput) -> list[PlacedOrder]:
    """Order in the pages of the ATS, and wait for the invitations' e-mails."""
    output.print_heading("A recruiter orders in the ATS")
    recruiter = Recruiter(ats)
    orders = [recruiter.order(*order) for order in ORDERS]
    for order in orders:
        output.print_text(f"{order.product} for {order.candidate}: {order.id}")
    return [replace(order, link=server.wait_for_invitation(order.email)) for order in orders]


def run_automatically(
    ats: DemoAts,
    server: DemoServer,
    output: ConsoleOutput,
    staff: StaffBrowser,
) -> None:
    """Play recruiter, candidates and staff; ProviderError if a callback is missing or wrong."""
    lakita, mei, yusuf, tomas = place_orders(ats, server, output)
    recruiter = Recruiter(ats)
    checker = CallbackChecker(ats, output)
    output.print_heading(f"{lakita.candidate} takes the test, in a browser without JavaScript")
    Candidate(lakita.link).take_test(KNOWN_ANSWERS)
    checker.expect(lakita, "completed")
    recruiter.open_result(lakita)
    output.print_heading(f"{mei.candidate} records the interview, and the staff rate it")
    Candidate(mei.link).record_interview()
    staff.rate_interview(mei.id, 4, "A convincing conversation.")
    checker.expect(mei, "completed")
    recruiter.open_result(mei)
    output.print_heading(f"{yusuf.candidate} consents, and the staff enter the outcomes")
    Candidate(yusuf.link).consent(yusuf.candidate)
    checker.expect(yusuf, "consented")
    staff.enter_outcomes(yusuf.id, consider="education")
    checker.expect(yusuf, "completed")
    recruiter.open_result(yusuf)
    Candidate(tomas.link).decline("I pressed the wrong button.")
    checker.expect(tomas, "rejected")
    staff.reopen(tomas.id, "He asked for it")
    checker.expect(tomas, "pending")
    Candidate(server.wait_for_invitation(tomas.email, tomas.link)).take_test({})
    checker.expect(tomas, "completed")
    recruiter.open_result(tomas)
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
        self._output.print_callback(self._ats.records.find_order(callback.path), callback)
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
