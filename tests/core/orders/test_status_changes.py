"""Subscribers get status changes; their messages belong to the same transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.ats.callbacks import STATUS_SUBSCRIBERS
from provider.config import Settings
from provider.core.orders import Order, StatusChange
from provider.delivery.channels.base import Channel
from provider.delivery.channels.callback import CallbackChannel
from provider.delivery.dispatcher import Dispatcher
from provider.errors import Conflict
from provider.outbox import CALLBACK, DELIVERED, EMAIL, Claim, Message, Outcome
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts

NOTE = "note"
COPY = "copy"


@dataclass
class NoteDelivery:
    """A note; the fake destination refuses the first attempts."""

    channel: "NoteChannel"
    claim: Claim
    body: bytes

    def send(self) -> Outcome:
        if self.channel.refusals_left:
            self.channel.refusals_left -= 1
            return Outcome("retry")
        self.channel.received.append((self.claim.ordering_key, self.body.decode()))
        return Outcome("delivered")


class NoteChannel(Channel):
    """A second destination, which stores notes in a list."""

    name = NOTE

    def __init__(self, services: Services, refusals_left: int = 0) -> None:
        super().__init__(services)
        self.received: list[tuple[str, str]] = []
        self.refusals_left = refusals_left

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[NoteDelivery]:
        return [NoteDelivery(self, claim, self._render(claim)) for claim in claims]

    def _render(self, claim: Claim) -> bytes:
        secret_box = self.services.secret_box
        text: str = claim.get_payload(secret_box)["text"]
        return claim.get_body(secret_box) or text.encode()


def append_note(session: Session, change: StatusChange) -> None:
    """Append two notes of one change to a second destination."""
    for writer in ("log", "chat"):
        change.order.append_message(
            session,
            NOTE,
            writer=writer,
            topic="note",
            payload={"text": f"{change.old_status} to {change.new_status}: {change.reason}"},
            now=change.changed_at,
        )


def append_copy(session: Session, change: StatusChange) -> None:
    """Append a second callback of each change to the same host."""
    change.order.append_message(
        session,
        CALLBACK,
        host=change.order.callback_host,
        writer=COPY,
        topic="status",
        payload={"status": change.new_status, "result": None},
        now=change.changed_at,
    )


@pytest.fixture
def changes() -> list[StatusChange]:
    """Return the list that a subscriber of the fixture `services` fills."""
    return []


@pytest.fixture
def services(
    settings: Settings, clock: ManualClock, changes: list[StatusChange]
) -> Iterator[Services]:
    def record(session: Session, change: StatusChange) -> None:
        changes.append(change)

    services = Services.build(
        settings,
        clock,
        status_subscribers=(*STATUS_SUBSCRIBERS, append_note, append_copy, record),
    )
    yield services
    services.db.close()


def place_order(services: Services, callback_url: str = "https://groove.workable.com/1") -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(
        services, account_id, factories.create_test(services), callback_url=callback_url
    )


def cancel(session: Session, services: Services, public_id: str) -> None:
    order = Order.find(session, public_id, lock=True)
    order.cancel(session, "sam", "a mistake", services.now())


def reopen(session: Session, services: Services, public_id: str) -> None:
    order = Order.find(session, public_id, lock=True)
    order.reopen(session, services.secret_box, "sam", "ask again", services.now())


def messages(services: Services, public_id: str) -> list[tuple[str, str, int]]:
    """Return channel, ordering key and sequence of the messages about status changes."""
    with services.db.reading() as session:
        return [
            (outbox.QueueName.parse(message.queue).channel, message.ordering_key, message.sequence)
            for message in outbox.history(session, public_id)
            if message.topic in ("status", "note")
        ]


@pytest.mark.both
def test_every_subscriber_appends_messages_with_own_keys(services: Services) -> None:
    order = place_order(services)
    with services.db.writing() as session:
        cancel(session, services, order)
    with services.db.writing() as session:
        reopen(session, services, order)
    assert messages(services, order) == [
        (channel, key, revision)
        for revision in (1, 2)
        for channel, key in (
            (CALLBACK, order),
            (NOTE, f"{order}/log"),
            (NOTE, f"{order}/chat"),
            (CALLBACK, f"{order}/{COPY}"),
        )
    ]


def cancel_and_fail(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        cancel(session, services, public_id)
        assert session.scalar(select(func.count(Message.id))) == 5  # with the invitation
        raise ZeroDivisionError


@pytest.mark.both
def test_rollback_leaves_no_subscribers_message(services: Services) -> None:
    order = place_order(services)
    with pytest.raises(ZeroDivisionError):
        cancel_and_fail(services, order)
    assert messages(services, order) == []
    assert factories.order_status(services, order) == "pending"


def test_failing_subscriber_rolls_the_status_back(settings: Settings, clock: ManualClock) -> None:
    def fail(session: Session, change: StatusChange) -> None:
        raise ZeroDivisionError

    services = Services.build(settings, clock, status_subscribers=(*STATUS_SUBSCRIBERS, fail))
    order = place_order(services)
    with pytest.raises(ZeroDivisionError), services.db.writing() as session:
        cancel(session, services, order)
    assert factories.order_status(services, order) == "pending"
    assert messages(services, order) == []
    services.db.close()


def test_subscribers_learn_both_statuses_reason_and_result(
    services: Services, changes: list[StatusChange]
) -> None:
    order = place_order(services)
    with services.db.writing() as session:
        cancel(session, services, order)
    with services.db.writing() as session:
        reopen(session, services, order)
    factories.finish_test(services, order)
    learned = [
        (change.old_status, change.new_status, change.revision, change.reason) for change in changes
    ]
    assert learned == [
        ("pending", "cancelled", 1, "a mistake"),
        ("cancelled", "pending", 2, "ask again"),
        ("pending", "completed", 3, ""),
    ]
    assert [change.order.public_id for change in changes] == [order] * 3
    assert {change.changed_at for change in changes} == {services.now()}
    results = [change.result for change in changes]
    assert results[:2] == [None, None]
    assert results[2]
    assert results[2].revision == 3


def test_refused_change_calls_no_subscriber(
    services: Services, changes: list[StatusChange]
) -> None:
    order = place_order(services)
    with services.db.writing() as session:
        cancel(session, services, order)
    with pytest.raises(Conflict), services.db.writing() as session:
        cancel(session, services, order)
    assert [change.new_status for change in changes] == ["cancelled"]


def test_status_change_in_session_without_subscribers_fails(services: Services) -> None:
    order = place_order(services)
    with (
        pytest.raises(RuntimeError, match="only in a session of"),
        Session(services.db.engine) as session,
    ):
        cancel(session, services, order)
    assert factories.order_status(services, order) == "pending"


def test_two_writers_messages_are_delivered_in_order_per_key(
    services: Services, settings: Settings, clock: ManualClock, ats: FakeAts
) -> None:
    """The second destination refuses twice; neither writer holds the other up."""
    services = Services.build(
        replace(settings, private_callbacks=True),
        clock,
        status_subscribers=(*STATUS_SUBSCRIBERS, append_note, append_copy),
    )
    order = place_order(services, f"{ats.url}/1")
    with services.db.writing() as session:
        cancel(session, services, order)
    with services.db.writing() as session:
        reopen(session, services, order)
    notes = NoteChannel(services, refusals_left=2)
    dispatcher = Dispatcher(services, {CALLBACK: CallbackChannel(services), NOTE: notes})
    queues = [queue for queue in _queues(services) if EMAIL not in queue]
    dispatcher.drain(*queues)
    assert notes.received == []
    assert [request.json["status"] for request in ats.received].count("expired") >= 1
    clock.advance(settings.retry_schedule[0] * 2)
    dispatcher.drain(*queues)
    dispatcher.stop()
    for key in (f"{order}/log", f"{order}/chat"):
        assert [text for received_key, text in notes.received if received_key == key] == [
            "pending to cancelled: a mistake",
            "cancelled to pending: ask again",
        ]
    statuses = [request.json["status"] for request in ats.received]
    assert sorted(statuses) == ["expired", "expired", "pending", "pending"]
    assert statuses[0] == "expired"
    assert statuses[-1] == "pending"
    with services.db.reading() as session:
        states = {
            message.state
            for message in outbox.history(session, order)
            if message.topic in ("status", "note")
        }
    assert states == {DELIVERED}
    services.db.close()


def _queues(services: Services) -> list[str]:
    with services.db.reading() as session:
        return outbox.list_queues(session)
