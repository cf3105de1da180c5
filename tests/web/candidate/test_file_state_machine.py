"""A state machine of files in pieces: what was announced in time arrives, also after the end.

Rules are events: a candidate chooses files on two devices, requests or their replies get lost, time
passes until after the end. An independent model says which pieces must be accepted.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from provider.core.kinds.assessment.file_answers import MAX_ARRIVAL_TIME, PIECE_ARRIVAL_TIME
from provider.core.orders import PENDING
from provider.core.orders.given_time import ARRIVAL_GRACE, to_milliseconds
from provider.services import Services
from tests.core.kinds.assessment.test_form import item, section
from tests.factories import ManualClock
from tests.web.candidate.taking_machine import (
    DELIVERED,
    FATES,
    REPLY_LOST,
    REQUEST_LOST,
    Save,
    TakingMachine,
    World,
)

FILE_ITEM = {"kind": "file", "key": "q2", "prompt": "Send a plan."}
FILE_QUESTION = 2
PIECE_BYTES = 20
PIECE_COUNT = 3
DEVICES = st.integers(0, 1)
FILES = st.integers(0, 3)
WAITS = st.sampled_from([0.001, 4, 9.99, 61, 250, 299])
LONG_WAITS = st.sampled_from([301, 890, 1190])
MACHINE_EXAMPLES, MACHINE_STEPS = 15, 40


@dataclass
class OutgoingFile:
    """A file that a device sends. `url` is known after a reply to its announcement."""

    device: int
    name: str
    number: int
    url: str = ""
    is_admitted: bool = False
    is_saved: bool = False
    signed_at: datetime | None = None  # the last announcement or piece that the server got

    @property
    def content(self) -> bytes:
        head = f"%PDF-1.7 {self.name} ".encode()
        return head + b"x" * (PIECE_BYTES * PIECE_COUNT - len(head))


class FileTaking(TakingMachine):
    """A test with a question for a file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[OutgoingFile] = []
        ends_at = self.load_order().attempt_ends_at
        assert ends_at
        self.ends_at, self.open_until = ends_at, ends_at + ARRIVAL_GRACE

    @rule(device=DEVICES)
    def choose_file(self, device: int) -> None:
        """Choose a file; the page numbers it by the server's time, and has yet to send it."""
        save = self.choose(device, FILE_QUESTION, f"file{len(self.files)}.pdf")
        self.devices[device].waiting.clear()
        self.files.append(OutgoingFile(device, save.choice, save.number))

    @rule(index=FILES, fate=st.sampled_from([DELIVERED, DELIVERED, *FATES]))
    def send_next(self, index: int, fate: str) -> None:
        """Send what comes next of one of the newest files."""
        if fate == REQUEST_LOST or not self.files:
            return
        file = self.files[-1 - index % len(self.files)]
        if file.is_saved:
            return
        if file.url:
            self._send_piece(file, fate)
        else:
            self._announce(file, fate)

    @rule(wait=WAITS)
    def wait(self, wait: float) -> None:
        self.let_pass(wait)

    @rule(wait=LONG_WAITS, is_rare=st.sampled_from([True, False, False]))
    def wait_long(self, wait: float, is_rare: bool) -> None:
        if is_rare:
            self.let_pass(wait)

    @rule(is_rare=st.sampled_from([True, False]))
    def wait_for_the_end(self, is_rare: bool) -> None:
        """Let pass what is left, up to one second before the end."""
        left = (self.ends_at - self.now).total_seconds() - 1
        if is_rare and left > 0:
            self.let_pass(left)

    @invariant()
    def attempt_is_open_exactly_while_something_may_arrive(self) -> None:
        is_pending = self.load_order().status == PENDING
        if self._is_open():
            assert is_pending
        elif is_pending:  # nobody has asked since
            assert self.load_order().is_past_deadline(self.now)

    def _announce(self, file: OutgoingFile, fate: str) -> None:
        earliest_ms = to_milliseconds(self.now - ARRIVAL_GRACE)
        stated_ms = file.number if file.is_admitted else max(file.number, earliest_ms)
        given_at = min(self.now, datetime.fromtimestamp(stated_ms / 1000, UTC))
        is_expected = self._is_open() and given_at < self.ends_at
        reply = self.post(
            self.devices[file.device],
            f"items/{FILE_QUESTION}/file/pieces",
            size=str(len(file.content)),
            sha256=sha256(file.content).hexdigest(),
            name=file.name,
            given_at=str(file.number),
        )
        assert reply.status_code == (201 if is_expected else 409)
        if is_expected:
            file.is_admitted = True
            self._hold_open(file)
            file.url = "" if fate == REPLY_LOST else reply.get_json()["upload"]

    def _send_piece(self, file: OutgoingFile, fate: str) -> None:
        browser = self.devices[file.device]
        is_open = self._is_open()
        state = browser.client.get(file.url)
        start = state.get_json()["offset"] if state.status_code == 200 else 0
        headers = {"Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
        reply = browser.client.patch(
            file.url,
            data=file.content[start : start + PIECE_BYTES],
            headers={"Accept": "application/json", "X-CSRFToken": browser.csrf, **headers},
        )
        is_last = start + PIECE_BYTES == len(file.content)
        stands = self.acknowledged.get(FILE_QUESTION)
        is_stale = is_last and stands is not None and stands.number > file.number
        is_expected = is_open and not is_stale and not self._has_same_number(file, is_last)
        assert reply.status_code == (200 if is_expected else 409)
        if not is_expected:
            return
        if is_last:
            self._note_saved(file)
        else:
            self._hold_open(file)
        if fate == REPLY_LOST and is_last:  # the page asks again, and learns that it is saved
            assert self._ask_again(file).get("next")

    def _has_same_number(self, file: OutgoingFile, is_last: bool) -> bool:
        """Whether the other device chose a file at the same moment, which stands."""
        stands = self.acknowledged.get(FILE_QUESTION)
        return is_last and stands is not None and stands.number == file.number

    def _note_saved(self, file: OutgoingFile) -> None:
        file.is_saved = True
        self.acknowledged[FILE_QUESTION] = Save(FILE_QUESTION, file.name, file.number)
        others = [other for other in self.files if other.is_admitted and not other.is_saved]
        times = [other.signed_at for other in others if other.signed_at]
        if all(signed_at + PIECE_ARRIVAL_TIME <= self.now for signed_at in times):
            self.open_until = self.ends_at + ARRIVAL_GRACE

    def _ask_again(self, file: OutgoingFile) -> Any:
        browser = self.devices[file.device]
        fields = {"size": str(len(file.content)), "sha256": sha256(file.content).hexdigest()}
        reply = self.post(browser, f"items/{FILE_QUESTION}/file/pieces", name=file.name, **fields)
        return reply.get_json()

    def _hold_open(self, file: OutgoingFile) -> None:
        file.signed_at = self.now
        latest = self.ends_at + MAX_ARRIVAL_TIME
        self.open_until = max(self.open_until, min(self.now + PIECE_ARRIVAL_TIME, latest))

    def _is_open(self) -> bool:
        return self.now < self.open_until


def test_files_that_were_announced_in_time_arrive(services: Services, clock: ManualClock) -> None:
    sections = [section("one", [item("q1"), FILE_ITEM])]
    FileTaking.world = World(services, clock, sections)
    run_state_machine_as_test(
        FileTaking,
        settings=settings(
            max_examples=MACHINE_EXAMPLES,
            stateful_step_count=MACHINE_STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
