"""The scheduled work that removes the bodies of old messages, batch by batch."""

import pytest
from sqlalchemy import func, select

from provider import outbox
from provider.core.scheduled import run_if_due
from provider.maintenance.prune_bodies import PRUNE_BODIES
from provider.outbox import BODY_RETENTION, Message, Outcome
from provider.services import Services
from tests.factories import ManualClock, settle_attempt

QUEUE = "1/email"
MESSAGE_COUNT = 5


@pytest.mark.both
def test_prune_bodies_removes_all_old_bodies_in_batches(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.outbox.MAX_BODIES_PER_BATCH", 2)
    monkeypatch.setattr("provider.outbox.retention.MAX_BODIES_PER_BATCH", 2)
    for number in range(MESSAGE_COUNT):
        deliver_message(services, f"key-{number}")
    assert run_if_due(services, PRUNE_BODIES)
    assert count_bodies(services) == MESSAGE_COUNT
    clock.advance(BODY_RETENTION)
    assert run_if_due(services, PRUNE_BODIES)
    assert count_bodies(services) == 0


def deliver_message(services: Services, ordering_key: str) -> None:
    with services.db.writing() as session:
        now = services.now()
        outbox.append(
            session,
            queue=QUEUE,
            ordering_key=ordering_key,
            sequence=1,
            topic="invitation",
            payload={},
            now=now,
        )
        (claim,) = outbox.claim(session, QUEUE, now, 1)
        outbox.store_body(session, claim, b"Dear Lakita")
        assert settle_attempt(services, session, claim, Outcome("delivered"))


def count_bodies(services: Services) -> int:
    with services.db.reading() as session:
        query = select(func.count(Message.id)).where(Message.body_encrypted.is_not(None))
        return session.scalar(query) or 0
