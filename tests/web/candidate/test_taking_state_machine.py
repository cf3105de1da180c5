"""A state machine over two devices and a flaky line: no acknowledged answer is lost.

Rules are events: a candidate answers on one of two devices, a request or its reply gets lost, saves
arrive late and in another order, parts and breaks end, the server has an outage, time passes. After
each event the stored answers are compared with what the devices know.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from provider.app import create_app
from provider.core.kinds.assessment import Assessment
from provider.core.orders import PENDING, close_overdue_orders
from provider.core.orders.given_time import to_milliseconds
from provider.core.orders.heartbeat import Heartbeat
from provider.core.orders.outages import record_heartbeat
from provider.services import Services
from tests import factories
from tests.core.kinds.assessment.test_form import item, section
from tests.factories import ManualClock
from tests.web.candidate.test_pages import open_invitation, submit_form

SECTIONS = [
    section("one", [item("q1")], time_limit=5, **{"break": 2}),
    section("two", [item("q2")]),
]
DEVICES, QUESTIONS = st.integers(0, 1), st.sampled_from([1, 1, 2])
CHOICES = st.sampled_from("abcdef")
OFTEN = st.sampled_from([True, True, False])
WAITS = st.sampled_from([0.001, 0.5, 4, 9.99, 11])
DISTURBANCES = st.sampled_from(
    ["part", "part/finish", "go-on", "go-on", "part", "outage", "130", "290", "submit"]
)
MIN_EVENTS_BEFORE_SUBMIT = 20
DELIVERED, REPLY_LOST, REQUEST_LOST = FATES = ("delivered", "reply lost", "request lost")


class Save(NamedTuple):
    """A save as a page sends it."""

    question: int
    choice: str
    number: int


@dataclass
class Device:
    """A browser: its saves that no reply has acknowledged, and the newest number of each answer."""

    client: FlaskClient
    csrf: str
    waiting: list[Save] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)


class World:
    """One server for all examples; each example has an order of its own."""

    def __init__(self, services: Services, clock: ManualClock) -> None:
        self.services, self.clock = services, clock
        self.app = create_app(services)
        self.account_id, _ = factories.create_account(services)
        self.product_id = factories.create_test(
            services, sections=SECTIONS, time_limit=20, grades=None
        )
        self.count = 0

    def place_order(self) -> str:
        self.count += 1
        url = f"https://groove-tech.workable.com/assessments/{self.count}"
        return factories.place_order(
            self.services, self.account_id, self.product_id, callback_url=url
        )


class Taking(RuleBasedStateMachine):
    """One candidate at one test."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        world = self.world
        self.event_count = 0
        self.order_id = world.place_order()
        self.root = f"/c/o/{self.order_id}"
        self.devices = [self._open_device(), self._open_device()]
        self.given: dict[tuple[int, int], set[str]] = {}  # (question, number) → choices
        self.acknowledged: dict[int, Save] = {}
        self._post(self.devices[0], "part", part="0")
        self._beat()

    def teardown(self) -> None:
        with self.world.services.db.writing() as session:
            order = Assessment.find(session, self.order_id)
            if order.status == PENDING:
                order.cancel(session, "sam", "the example is over", self.world.clock.now())
        self._beat()

    def _beat(self) -> None:
        record_heartbeat(self.world.services.db, self.world.clock.now())

    def _open_device(self) -> Device:
        client = self.world.app.test_client()
        page = open_invitation(client, self.world.services, self.order_id).text
        submit = f"{self.root}/start"
        if submit in page:
            submit_form(client, page, submit)
        return Device(client, factories.csrf_token(client.get(f"{self.root}/decline").text))

    @rule(
        device=DEVICES,
        question=QUESTIONS,
        choice=CHOICES,
        is_sent=OFTEN,
    )
    def answer(self, device: int, question: int, choice: str, is_sent: bool) -> None:
        """Choose an option; the page numbers it by the server's time, and may send it at once."""
        browser = self.devices[device]
        now = to_milliseconds(self.world.clock.now())
        number = max(browser.numbers.get(question, 0) + 1, now)
        browser.numbers[question] = number
        browser.waiting.append(Save(question, choice, number))
        self.given.setdefault((question, number), set()).add(choice)
        if is_sent:
            self.send(device, len(browser.waiting) - 1, DELIVERED)

    @rule(device=DEVICES, index=st.integers(0, 5), fate=st.sampled_from(FATES))
    def send(self, device: int, index: int, fate: str) -> None:
        """Send one of the waiting saves, not always the oldest; after a lost reply it waits on."""
        browser = self.devices[device]
        if not browser.waiting or fate == REQUEST_LOST:
            return
        save = browser.waiting[index % len(browser.waiting)]
        path = f"items/{save.question}"
        reply = self._post(browser, path, answer=save.choice, given_at=str(save.number), go="")
        if fate == REPLY_LOST:
            return
        browser.waiting.remove(save)
        assert reply.status_code in (200, 409)
        if reply.status_code == 200:
            known = self.acknowledged.get(save.question)
            if known is None or known.number < save.number:
                self.acknowledged[save.question] = save
        elif number := (reply.get_json() or {}).get("number"):
            browser.numbers[save.question] = max(browser.numbers[save.question], number)

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
            self.pass_time(float(what))
        else:
            self._post(self.devices[0], what, part=str(self._order().part.index))
            self._post(self.devices[1], what, part="0")  # on a page from before

    @rule(wait=WAITS)
    def pass_time(self, wait: float) -> None:
        """Time passes, with heartbeats, and the scheduled work runs."""
        now = self.world.clock.advance(timedelta(seconds=wait))
        with self.world.services.db.writing() as session:
            session.execute(update(Heartbeat).values(beat_at=now))
            close_overdue_orders(session, self.world.services.secret_box, self.world.clock.now())

    def have_outage(self, minutes: int) -> None:
        """The server is away, and gives the time back before it answers again."""
        before = self._order()
        seconds_left = before.answer_time_left(self.world.clock.now()).total_seconds()
        is_running = before.is_clock_running(self.world.clock.now()) and before.is_part_open
        self.world.clock.advance(timedelta(minutes=minutes))
        self._beat()
        after = self._order()
        if is_running:
            left = after.answer_time_left(self.world.clock.now()).total_seconds()
            assert left >= seconds_left

    def submit(self) -> None:
        """Submit from the second device. Before the last part the server refuses it."""
        if self.event_count < MIN_EVENTS_BEFORE_SUBMIT:
            return
        self._post(self.devices[1], "submit", blank="9")

    @invariant()
    def newest_acknowledged_answers_are_stored(self) -> None:
        self.event_count += 1
        order = self._order()
        numbers = {answer.item_key: answer.number for answer in order.answers}
        for question, save in self.acknowledged.items():
            key = f"q{question}"
            assert numbers[key] >= save.number
            if numbers[key] == save.number:
                assert order.saved_answers[key] == save.choice
        for key, number in numbers.items():
            question = int(key.removeprefix("q"))
            assert order.saved_answers[key] in self.given[question, number]
            closed_ms = order.attempt and order.attempt.part_closed_ms(question - 1)
            # Two answers within one millisecond have numbers one after the other.
            assert not closed_ms or number < closed_ms + len(self.given)
            assert order.attempt
            assert question == 1 or order.attempt.part == 1

    def _order(self) -> Assessment:
        with self.world.services.db.reading() as session:
            order = Assessment.find(session, self.order_id)
            assert order.attempt
            assert order.parts
            assert order.saved_answers is not None
            return order

    def _post(self, browser: Device, path: str, **data: Any) -> Any:
        headers = {"Accept": "application/json", "X-CSRFToken": browser.csrf}
        reply = browser.client.post(f"{self.root}/{path}", data=data, headers=headers)
        assert reply.status_code < 500
        return reply


def test_state_machine_loses_no_acknowledged_answer(services: Services, clock: ManualClock) -> None:
    Taking.world = World(services, clock)
    run_state_machine_as_test(
        Taking,
        settings=settings(
            max_examples=5,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
