"""The common part of the state machines of a running test: two devices, a flaky line, outages.

A subclass adds rules, and the sections of its test. Each rule is an event. After each event the
stored answers are compared with what the devices know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from flask.testing import FlaskClient
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import update

from provider.app import create_app
from provider.core.kinds.assessment import Assessment
from provider.core.orders import PENDING, close_overdue_orders
from provider.core.orders.given_time import to_milliseconds
from provider.core.orders.heartbeat import Heartbeat
from provider.core.orders.outages import record_heartbeat
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.candidate.test_pages import open_invitation, submit_form

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

    def __init__(
        self, services: Services, clock: ManualClock, sections: Sequence[dict[str, Any]]
    ) -> None:
        self.services, self.clock = services, clock
        self.app = create_app(services)
        self.account_id, _ = factories.create_account(services)
        self.product_id = factories.create_test(
            services, sections=list(sections), time_limit=20, grades=None
        )
        self.count = 0

    def place_order(self) -> str:
        self.count += 1
        url = f"https://groove-tech.workable.com/assessments/{self.count}"
        return factories.place_order(
            self.services, self.account_id, self.product_id, callback_url=url
        )


class TakingMachine(RuleBasedStateMachine):
    """One candidate at one test."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.order_id = self.world.place_order()
        self.root = f"/c/o/{self.order_id}"
        self.devices = [self.open_device(), self.open_device()]
        self.given: dict[tuple[int, int], set[str]] = {}  # (question, number) → choices
        self.acknowledged: dict[int, Save] = {}
        self.post(self.devices[0], "part", part="0")
        self.beat()

    def teardown(self) -> None:
        with self.world.services.db.writing() as session:
            order = Assessment.find(session, self.order_id)
            if order.status == PENDING:
                order.cancel(session, "sam", "the example is over", self.now)
        self.beat()

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    def beat(self) -> None:
        record_heartbeat(self.world.services.db, self.now)

    def open_device(self) -> Device:
        client = self.world.app.test_client()
        page = open_invitation(client, self.world.services, self.order_id).text
        submit = f"{self.root}/start"
        if submit in page:
            submit_form(client, page, submit)
        return Device(client, factories.csrf_token(client.get(f"{self.root}/decline").text))

    def choose(self, device: int, question: int, choice: str) -> Save:
        """Choose an option; the page numbers it by the server's time, and has yet to send it."""
        browser = self.devices[device]
        number = max(browser.numbers.get(question, 0) + 1, to_milliseconds(self.now))
        browser.numbers[question] = number
        save = Save(question, choice, number)
        browser.waiting.append(save)
        self.given.setdefault((question, number), set()).add(choice)
        return save

    def send(self, device: int, index: int, fate: str, go: str = "") -> Any:
        """Send one of the waiting saves; after a lost reply it waits on. Return the reply."""
        browser = self.devices[device]
        if not browser.waiting or fate == REQUEST_LOST:
            return None
        save = browser.waiting[index % len(browser.waiting)]
        path = f"items/{save.question}"
        reply = self.post(browser, path, answer=save.choice, given_at=str(save.number), go=go)
        self.check_reply(save, reply)
        if fate == REPLY_LOST:
            return reply
        browser.waiting.remove(save)
        if reply.status_code == 200:
            known = self.acknowledged.get(save.question)
            if known is None or known.number < save.number:
                self.acknowledged[save.question] = save
        elif number := (reply.get_json() or {}).get("number"):
            browser.numbers[save.question] = max(browser.numbers[save.question], number)
        return reply

    def check_reply(self, save: Save, reply: Any) -> None:
        """A save is acknowledged only if it is stored; otherwise the reply says that it is not."""
        assert reply.status_code in (200, 409)
        if reply.status_code == 200:
            assert self.find_stored(save.question) == (save.number, save.choice)
        else:
            body = reply.get_json()
            assert body.get("error") or body.get("message")

    def find_stored(self, question: int) -> tuple[int, str] | None:
        """Return the number and the choice of the stored answer; None without one."""
        order = self.load_order()
        key = f"q{question}"
        number = next((row.number for row in order.answers if row.item_key == key), None)
        return None if number is None else (number, read_choice(order.saved_answers[key]))

    def let_pass(self, seconds: float) -> None:
        """Time passes, with heartbeats, and the scheduled work runs."""
        now = self.world.clock.advance(timedelta(seconds=seconds))
        with self.world.services.db.writing() as session:
            session.execute(update(Heartbeat).values(beat_at=now))
            close_overdue_orders(session, self.world.services.secret_box, now)

    def have_outage(self, minutes: int) -> None:
        """The server is away, and gives the time back before it answers again."""
        before = self.load_order()
        seconds_left = before.answer_time_left(self.now).total_seconds()
        is_running = before.is_clock_running(self.now) and before.is_part_open
        self.world.clock.advance(timedelta(minutes=minutes))
        self.beat()
        after = self.load_order()
        if is_running:
            assert after.answer_time_left(self.now).total_seconds() >= seconds_left

    @invariant()
    def newest_acknowledged_answers_are_stored(self) -> None:
        order = self.load_order()
        numbers = {answer.item_key: answer.number for answer in order.answers}
        for question, save in self.acknowledged.items():
            key = f"q{question}"
            assert numbers[key] >= save.number
            if numbers[key] == save.number:
                assert read_choice(order.saved_answers[key]) == save.choice
        for key, number in numbers.items():
            question = int(key.removeprefix("q"))
            assert read_choice(order.saved_answers[key]) in self.given[question, number]
            assert order.attempt
            assert order.part_index_of(question) <= order.attempt.part
            closed_ms = find_closed_ms(order, question)
            # Two answers within one millisecond have numbers one after the other.
            assert not closed_ms or number < closed_ms + len(self.given)

    def load_order(self) -> Assessment:
        with self.world.services.db.reading() as session:
            order = Assessment.find(session, self.order_id)
            assert order.attempt
            assert order.parts
            assert order.saved_answers is not None
            return order

    def post(self, browser: Device, path: str, **data: Any) -> Any:
        headers = {"Accept": "application/json", "X-CSRFToken": browser.csrf}
        reply = browser.client.post(f"{self.root}/{path}", data=data, headers=headers)
        assert reply.status_code < 500
        return reply


def read_choice(value: Any) -> str:
    """Return a stored answer as a device names it: an option, or the name of a file."""
    return str(value["name"] if isinstance(value, dict) else value)


def find_closed_ms(order: Assessment, question: int) -> int | None:
    """Return when the candidate left a question or its part, the earlier of them; None if open."""
    assert order.attempt
    part_ms = order.attempt.part_closed_ms(order.part_index_of(question))
    times = [part_ms, order.attempt.item_closed_ms(question)]
    return min((ms for ms in times if ms is not None), default=None)
