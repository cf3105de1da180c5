"""Helpers that append, claim, settle and read messages, each in a transaction of its own."""

from provider import outbox
from provider.outbox import Claim, Message, Outcome
from provider.services import Services
from tests import factories

QUEUE = "1/callback"


def put(
    services: Services, key: str = "a", sequence: int = 1, queue: str = QUEUE, **more: bool
) -> int:
    with services.db.writing() as session:
        return outbox.append(
            session,
            queue=queue,
            ordering_key=key,
            sequence=sequence,
            topic="status",
            payload={"n": sequence},
            now=services.now(),
            **more,
        )


def claim(services: Services, queue: str = QUEUE, limit: int = 100) -> list[Claim]:
    with services.db.writing() as session:
        return outbox.claim(session, queue, services.now(), limit)


def settle(services: Services, claimed: Claim, outcome: Outcome) -> bool:
    with services.db.writing() as session:
        return bool(factories.settle_attempt(services, session, claimed, outcome))


def state(services: Services, message_id: int) -> str:
    with services.db.reading() as session:
        return session.get_one(Message, message_id).state


def row(services: Services, message_id: int) -> Message:
    with services.db.reading() as session:
        return session.get_one(Message, message_id)


def requeue(services: Services, message_id: int) -> bool:
    with services.db.writing() as session:
        return outbox.requeue(session, session.get_one(Message, message_id), services.now())
