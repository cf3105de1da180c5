"""How long the bodies of settled messages are stored."""

from datetime import datetime, timedelta

from sqlalchemy import CursorResult, Select, select, update
from sqlalchemy.orm import Session

from provider.outbox.message import DELIVERED, SUPERSEDED, Message

BODY_RETENTION = timedelta(days=30)  # after the delivery
MAX_BODIES_PER_BATCH = 500  # a longer transaction would block other writers


def has_old_bodies(session: Session, now: datetime) -> bool:
    return session.scalar(_old_ids(now).limit(1)) is not None


def drop_old_bodies(session: Session, now: datetime) -> int:
    """Remove up to `MAX_BODIES_PER_BATCH` old bodies, and return how many were removed.

    `Message.body_digest` stays: it proves what was sent. A body is old 30 days after the delivery,
    or after a later message superseded it. A parked message keeps its body, since it can be sent
    again. The caller repeats this, each time in a transaction of its own, until it returns fewer.
    """
    old_ids = _old_ids(now).order_by(Message.settled_at).limit(MAX_BODIES_PER_BATCH)
    result = session.execute(
        update(Message)
        .where(Message.id.in_(old_ids.with_for_update(skip_locked=True)))
        .values(body_encrypted=None)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


def _old_ids(now: datetime) -> Select[int]:
    return select(Message.id).where(
        Message.body_encrypted.is_not(None),
        Message.settled_at <= now - BODY_RETENTION,
        Message.state.in_((DELIVERED, SUPERSEDED)),
    )
