"""State machines over two devices and a flaky line: no acknowledged answer is lost.

Rules are events: a candidate answers on one of two devices, a request or its reply gets lost, saves
arrive late and in another order, parts and breaks end, the server has an outage, time passes.
"""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from provider.core.kinds.assessment import Assessment
from provider.core.orders.given_time import ARRIVAL_GRACE, MAX_CLOCK_SKEW, to_milliseconds
from provider.services import Services
from tests.core.kinds.assessment.test_form import item, section
from tests.factories import ManualClock
from tests.web.candidate.taking_machine import (
    DELIVERED,
    FATES,
    REPLY_LOST,
    Save,
    TakingMachine,
    World,
    find_closed_ms,
)

DEVICES = st.integers(0, 1)
CHOICES = st.sampled_from("abcdef")
OFTEN = st.sampled_from([True, True, False])
WAITS = st.sampled_from([0.001, 0.5, 4, 9.99, 11])
MIN_EVENTS_BEFORE_SUBMIT = 20

FREE_SECTIONS = [
    section("one", [item("q1")], time_limit=5, **{"break": 2}),
    section("two", [item("q2")]),
]
QUESTIONS = st.sampled_from([1, 1, 2])
DISTURBANCES = st.sampled_from(
    ["part", "part/finish", "go-on", "go-on", "part", "outage", "130", "290", "submit"]
)

FORWARD_SECTIONS = [
    section(
        "one",
        [item("q1", time_limit_seconds=60), item("q2")],
        navigation="forward",
        time_limit=5,
        **{"break": 2},
    ),
    section("two", [item("q3")], time_limit=5),
    section("three", [item("q4", time_limit_seconds=60), item("q5")], navigation="forward"),
]
FORWARD_QUESTIONS = range(1, 6)
# The button of the page that the server shows now, or any other one.
SHOWN = "the button that is shown"
STEPS = st.sampled_from([SHOWN, SHOWN, SHOWN, "part", "part/finish", "go-on", "submit"])
LONG_WAITS = st.sampled_from(["outage", "40", "65", "130", "290"])


class FreeTaking(TakingMachine):
    """A test whose candidate moves freely within each of two parts."""

    event_count = 0

    @rule(device=DEVICES, question=QUESTIONS, choice=CHOICES, is_sent=OFTEN)
    def answer(self, device: int, question: int, choice: str, is_sent: bool) -> None:
        """Choose an option; the page may send it at once."""
        self.choose(device, question, choice)
        if is_sent:
            self.send(device, -1, DELIVERED)

    @rule(device=DEVICES, index=st.integers(0, 5), fate=st.sampled_from(FATES))
    def send_any(self, device: int, index: int, fate: str) -> None:
        """Send one of the waiting saves, not always the oldest."""
        self.send(device, index, fate)

    @rule(device=DEVICES)
    def send_oldest(self, device: int) -> None:
        """The line is back, and a save from long ago arrives."""
        self.send(device, 0, DELIVERED)

    @rule(what=DISTURBANCES, is_rare=st.sampled_from([True, False, False]))
    def disturb(self, what: str, is_rare: bool) -> None:
        """Let something happen that ends a part or a break, or moves an end."""
        if not is_rare:
            return
        if what == "outage":
            self.have_outage(minutes=7)
        elif what == "submit":
            self.submit()
        elif what.isdigit():
            self.let_pass(float(what))
        else:
            self.post(self.devices[0], what, part=str(self.load_order().part.index))
            self.post(self.devices[1], what, part="0")  # on a page from before

    @rule(wait=WAITS)
    def wait(self, wait: float) -> None:
        self.let_pass(wait)

    def submit(self) -> None:
        """Submit from the second device. Before the last part the server refuses it."""
        if self.event_count >= MIN_EVENTS_BEFORE_SUBMIT:
            self.post(self.devices[1], "submit", blank="9")

    @invariant()
    def events_are_counted(self) -> None:
        self.event_count += 1


class ForwardTaking(TakingMachine):
    """A test with parts without a way back. Each device shows the page that it loaded last."""

    def __init__(self) -> None:
        self.shown = [1, 1]
        self.place = (0, 0)  # the part and the question, as far as the candidate has come
        self.closed: dict[int, int] = {}  # when each question was left
        self.frozen: dict[int, tuple[int, str] | None] = {}  # the answers of questions long left
        super().__init__()

    @rule(device=DEVICES)
    def load(self, device: int) -> None:
        """Load the page at which the candidate goes on."""
        self._show(device, self._get(device, "now").headers["Location"])

    @rule(device=DEVICES, choice=CHOICES, is_sent=OFTEN)
    def answer(self, device: int, choice: str, is_sent: bool) -> None:
        """Answer the question that the device shows, which the other one may have left."""
        self.choose(device, self.shown[device], choice)
        if is_sent:
            self.send(device, -1, DELIVERED)

    @rule(device=DEVICES, index=st.integers(0, 5), fate=st.sampled_from(FATES))
    def send_any(self, device: int, index: int, fate: str) -> None:
        self.send(device, index, fate)

    @rule(device=DEVICES, choice=CHOICES, fate=st.sampled_from([DELIVERED, DELIVERED, REPLY_LOST]))
    def press_next(self, device: int, choice: str, fate: str) -> None:
        """Answer, and leave the question. After a lost reply the page sends the form again."""
        self.choose(device, self.shown[device], choice)
        before = self.load_order().attempt
        reply = self.send(device, -1, fate, go="next")
        after = self.load_order().attempt
        assert before
        assert after
        if before.part == after.part:  # nothing was skipped
            assert after.item_number - before.item_number in (0, 1)
        if fate == DELIVERED and "next" in reply.get_json():
            self._show(device, reply.get_json()["next"])

    @rule(device=DEVICES, step=STEPS, is_taken=OFTEN)
    def take_step(self, device: int, step: str, is_taken: bool) -> None:
        """Press a button of another page; the server refuses those that are not shown now."""
        if not is_taken:
            return
        order = self.load_order()
        path = self._find_button(order) if step == SHOWN else step
        self.post(self.devices[device], path, part=str(order.part.index), blank="9")
        self.load(device)

    @rule(wait=WAITS)
    def wait(self, wait: float) -> None:
        self.let_pass(wait)

    @rule(what=LONG_WAITS, is_rare=st.sampled_from([True, False, False]))
    def wait_long(self, what: str, is_rare: bool) -> None:
        if is_rare and what == "outage":
            self.have_outage(minutes=7)
        elif is_rare:
            self.let_pass(float(what))

    def check_reply(self, save: Save, reply: Any) -> None:
        """A save of a left question is refused, and the reply has the page to go on at."""
        super().check_reply(save, reply)
        order = self.load_order()
        if order.status != "pending":
            return
        closed_ms = self.closed.get(save.question)  # from before: the request itself may leave it
        number = min(save.number, to_milliseconds(self.now + MAX_CLOCK_SKEW))
        given_ms = max(number, to_milliseconds(self.now - ARRIVAL_GRACE))
        is_same_again = self.find_stored(save.question) == (save.number, save.choice)
        if closed_ms is not None and given_ms >= closed_ms and not is_same_again:
            assert reply.status_code == 409
            # During a break the reply says that the time is paused, and names no page.
            assert "next" in reply.get_json() or order.is_paused(self.now)
        elif closed_ms is not None and given_ms < closed_ms and reply.status_code == 409:
            assert reply.get_json().get("number", 0) >= save.number  # a newer answer stands

    @invariant()
    def left_questions_stay_left(self) -> None:
        order = self.load_order()
        assert order.attempt
        place = (order.attempt.part, order.attempt.item_number)
        assert place >= self.place
        self.place = place
        for question in FORWARD_QUESTIONS:
            closed_ms = find_closed_ms(order, question)
            if closed_ms is None:
                assert question not in self.closed
                continue
            assert self.closed.setdefault(question, closed_ms) == closed_ms
            assert closed_ms <= to_milliseconds(self.now)
            if to_milliseconds(self.now - ARRIVAL_GRACE) >= closed_ms:
                stored = self.find_stored(question)
                assert self.frozen.setdefault(question, stored) == stored

    @invariant()
    def questions_without_a_way_back_are_not_shown_again(self) -> None:
        if self.load_order().status != "pending":
            return
        for question in self.closed:
            reply = self._get(0, f"items/{question}")
            assert reply.status_code == 303 or f"q{question}?" not in reply.text

    def _find_button(self, order: Assessment) -> str:
        """Return the path of the form that leads on from the page that is shown now."""
        assert order.attempt
        if order.is_paused(self.now):
            return "go-on"
        if not order.is_part_open:
            return "part"
        if order.is_item_over(order.attempt.item_number, self.now):
            return f"items/{order.attempt.item_number}/leave"
        return "submit" if order.is_last_part else "part/finish"

    def _get(self, device: int, path: str) -> Any:
        return self.devices[device].client.get(f"{self.root}/{path}")

    def _show(self, device: int, location: str) -> None:
        name, _, number = location.partition("#")[0].removeprefix(f"{self.root}/").partition("/")
        if name == "items":
            self.shown[device] = int(number)


def _run(machine: type[TakingMachine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_free_parts_lose_no_acknowledged_answer(services: Services, clock: ManualClock) -> None:
    FreeTaking.world = World(services, clock, FREE_SECTIONS)
    _run(FreeTaking, examples=5, steps=30)


def test_left_questions_keep_their_answers(services: Services, clock: ManualClock) -> None:
    ForwardTaking.world = World(services, clock, FORWARD_SECTIONS)
    _run(ForwardTaking, examples=8, steps=40)
