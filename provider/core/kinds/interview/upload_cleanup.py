"""The scheduled work that deletes the bytes of takes that were never sent to their end.

An upload goes on until its interview ends: the browser deletes what the server has acknowledged, so
the server is the only one that has those bytes. After the end the bytes go, and the row stays: it
says that an announced take is missing.
"""

import re
from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from provider.core.kinds.interview.answers import Recording
from provider.core.kinds.interview.models import Interview
from provider.core.kinds.interview.uploads import FOLDER, GROWING_FILE, Upload
from provider.core.orders.states import EXPIRED, PENDING, STARTED, SUBMITTED
from provider.core.scheduled import ScheduledWork, WorkContext

# Files without a row are deleted when they are older: a piece is stored before its row.
UNREFERENCED_AFTER = timedelta(days=1)
FORGET_MISSING_AFTER = timedelta(days=14)
KEY_PATTERN = re.compile(rf"{FOLDER}/([\w-]{{22}})/(?:[\w-]{{22}}|{GROWING_FILE})", re.ASCII)


def _discard_abandoned(context: WorkContext) -> None:
    now = context.now()
    with context.db.reading() as session:
        abandoned = session.scalars(_abandoned_ids()).all()
    for public_id in abandoned:
        context.media.delete_folder(f"{FOLDER}/{public_id}")
        with context.db.writing() as session:
            upload = session.scalar(select(Upload).where(Upload.public_id == public_id))
            if upload and upload.recording_id is None:
                upload.restart()
                upload.missing_since = now
    _delete_unreferenced_files(context, now - UNREFERENCED_AFTER)


def _has_abandoned(session: Session, _: datetime) -> bool:
    return session.scalar(_abandoned_ids().limit(1)) is not None


def _abandoned_ids() -> Select[str]:
    is_over = or_(Interview.status != PENDING, Interview.progress != STARTED)
    return (
        select(Upload.public_id)
        .join(Interview, Interview.id == Upload.order_id)
        .where(Upload.recording_id.is_(None), Upload.missing_since.is_(None), is_over)
    )


def _delete_unreferenced_files(context: WorkContext, modified_before: datetime) -> None:
    """Delete the files that a crash left: without a row, or beside a take that is saved."""
    for key, _ in context.media.list_files(modified_before, folder=FOLDER):
        if match := KEY_PATTERN.fullmatch(key):
            is_unfinished = (
                select(Upload.id)
                .where(Upload.public_id == match[1])
                .where(Upload.recording_id.is_(None), Upload.missing_since.is_(None))
            )
            with context.db.reading() as session:
                is_needed = session.scalar(is_unfinished) is not None
            if not is_needed:
                context.media.delete(key)


def find_missing_takes(session: Session, now: datetime) -> dict[int, list[str]]:
    """Return the interviews of which an announced take is missing, by account id.

    A take that the candidate recorded again is not missing. The staff can act until they conclude
    the interview, or for FORGET_MISSING_AFTER.
    """
    later = select(Recording.id).where(
        Recording.order_id == Upload.order_id,
        Recording.question == Upload.question,
        Recording.created_at >= Upload.created_at,
    )
    is_submitted = (Interview.status == PENDING) & (Interview.progress == SUBMITTED)
    query = (
        select(Interview.account_id, Interview.public_id, Interview.id)
        .join(Upload, Upload.order_id == Interview.id)
        .where(Upload.missing_since > now - FORGET_MISSING_AFTER)
        .where(Upload.recording_id.is_(None), ~later.exists())
        .where(Upload.created_at >= Interview.started_at)
        .where(or_(is_submitted, Interview.status == EXPIRED))
        .order_by(Interview.id)
        .distinct()
    )
    missing: dict[int, list[str]] = {}
    for account_id, public_id, _ in session.execute(query):
        missing.setdefault(account_id, []).append(public_id)
    return missing


DISCARD_ABANDONED_UPLOADS = ScheduledWork(
    "discard_abandoned_uploads",
    every=timedelta(hours=1),
    run=_discard_abandoned,
    is_needed=_has_abandoned,
)
