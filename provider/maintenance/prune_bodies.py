"""Scheduled work: the bodies of messages that were delivered long ago are removed."""

from datetime import timedelta

from provider import outbox
from provider.core.scheduled import ScheduledWork, WorkContext


def _run(context: WorkContext) -> None:
    count = outbox.MAX_BODIES_PER_BATCH
    while count == outbox.MAX_BODIES_PER_BATCH:
        with context.db.writing(separate_commit=True) as session:
            count = outbox.drop_old_bodies(session, context.now())


PRUNE_BODIES = ScheduledWork(
    "prune_message_bodies", every=timedelta(hours=1), run=_run, is_needed=outbox.has_old_bodies
)
