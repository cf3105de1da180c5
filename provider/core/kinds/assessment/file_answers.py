"""Saving and finding the files that candidates send as answers.

A file that was announced before the end of the attempt may arrive after it. The attempt stays open
while its pieces come, for a limited time.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.core.kinds.answer_files import (
    MAX_NAME_LENGTH,
    AnswerFile,
    add_file,
    find_file,
)
from provider.core.kinds.assessment.answer_uploads import AnswerUpload, list_uploads
from provider.core.kinds.assessment.answers import Answer
from provider.core.kinds.assessment.items import FileAnswer
from provider.core.kinds.assessment.models import Assessment
from provider.core.orders import GivenTime
from provider.errors import Conflict, NotFound
from provider.storage.media import StoredFile
from provider.storage.secrets import generate_public_id

MAX_UNFINISHED_UPLOADS = 20  # of one order
QUOTA_FACTOR = 5  # a candidate may send each file several times
# After the end of an attempt: how long it waits for the next piece of a file, and for all of them.
PIECE_ARRIVAL_TIME = timedelta(minutes=5)
MAX_ARRIVAL_TIME = timedelta(minutes=15)


def save_file(
    session: Session,
    assessment: Assessment,
    item_key: str,
    public_id: str,
    name: str,
    content_type: str,
    stored_file: StoredFile,
    given: GivenTime,
    now: datetime,
) -> None:
    """Save a file, which is in media storage already, as the answer to an item.

    Raises Conflict for a file that was sent after the end, or after too many others, ClosedItem for
    an item that is not open, and StaleSave after a newer answer. The caller then deletes the file.
    """
    assessment.require_in_time(given.given_at)
    number, _ = assessment.find_item(item_key)
    assessment.require_open_item(number, given.given_at)
    value = add_file(session, assessment, item_key, public_id, name, content_type, stored_file, now)
    Answer.put(assessment, item_key, value, now, given.number)


def find_saved_file(
    session: Session, assessment: Assessment, item_key: str, announced: StoredFile
) -> bool:
    """Return whether the saved answer to an item is the file of this size and hash."""
    answer = assessment.saved_answers.get(item_key)
    if not isinstance(answer, dict) or "file" not in answer:
        return False
    file = find_file(session, assessment, answer["file"])
    return (file.size, file.sha256) == (announced.size, announced.sha256)


def open_upload(
    session: Session,
    assessment: Assessment,
    item_key: str,
    name: str,
    announced: StoredFile,
    given: GivenTime,
    now: datetime,
) -> AnswerUpload:
    """Return the upload of an announced file; one that was announced before goes on.

    Raises NotFound for an item that takes no file, Invalid for a file that is too large, and
    Conflict for too many unfinished ones. `require_admitted` says whether it may be sent.
    """
    _, item = assessment.find_item(item_key)
    if not isinstance(item, FileAnswer):
        raise NotFound("There is no such page")
    item.accepted_files.require_size(announced.size)
    uploads = list_uploads(session, assessment)
    upload = next(
        (row for row in uploads if (row.item_key, row.announced) == (item_key, announced)), None
    )
    if upload is None:
        if len(uploads) >= MAX_UNFINISHED_UPLOADS:
            raise Conflict("Too many files were not sent to their end. Please reload this page")
        upload = AnswerUpload(
            public_id=generate_public_id(),
            order_id=assessment.id,
            item_key=item_key,
            type="",
            size=announced.size,
            sha256=announced.sha256,
            received=0,
            pieces=[],
        )
        session.add(upload)
    upload.received_at = now
    # The same announcement again, after a lost reply, keeps the time of the first.
    if given.number is None or upload.number != given.number:
        upload.name, upload.number, upload.given_at = (
            name[:MAX_NAME_LENGTH],
            given.number,
            given.given_at,
        )
    return upload


def require_admitted(
    session: Session, assessment: Assessment, upload: AnswerUpload, now: datetime
) -> None:
    """Raise Conflict or ClosedItem unless bytes of this file may be stored at present.

    A file that was announced in time may arrive until the attempt is closed (see `hold_open`): its
    content is fixed by its hash, so that later pieces give nobody more time.
    """
    assessment.require_in_time(upload.given_at)
    if not assessment.is_running(now) and not assessment.is_ending(now):
        raise Conflict(assessment.time_over_message)
    number, _ = assessment.find_item(upload.item_key)
    assessment.require_open_item(number, upload.given_at)
    if upload.size > _bytes_left(session, assessment, upload):
        raise Conflict("You have sent too many files. The last one that was saved counts")


def hold_open(assessment: Assessment, now: datetime) -> None:
    """Keep the attempt open until the next piece of an admitted file can have arrived."""
    if assessment.attempt_ends_at:
        latest = assessment.attempt_ends_at + MAX_ARRIVAL_TIME
        assessment.hold_open(min(now + PIECE_ARRIVAL_TIME, latest))


def stop_holding(
    session: Session, assessment: Assessment, upload: AnswerUpload, now: datetime
) -> None:
    """Let the attempt close after a file has arrived, unless another one is on its way."""
    others = [row for row in list_uploads(session, assessment) if row is not upload]
    if all(row.received_at + PIECE_ARRIVAL_TIME <= now for row in others):
        assessment.held_open_until = None


def _bytes_left(session: Session, assessment: Assessment, upload: AnswerUpload) -> int:
    """Return the largest size that a file may have beside the others of this attempt."""
    items = [item for item in assessment.content.items if isinstance(item, FileAnswer)]
    of_attempt = select(func.coalesce(func.sum(AnswerFile.size), 0)).where(
        AnswerFile.order_id == assessment.id, AnswerFile.created_at >= assessment.started_at
    )
    used = session.scalar(of_attempt) or 0
    used += sum(row.received for row in list_uploads(session, assessment) if row is not upload)
    return QUOTA_FACTOR * sum(item.max_bytes for item in items) - used


def find_own_file(session: Session, assessment: Assessment, public_id: str) -> AnswerFile:
    """Return a file that is an answer of the running attempt, as `find_file` does.

    One that the candidate removed, and one of an earlier attempt, is NotFound.
    """
    items = [item for item in assessment.content.items if item.takes_file]
    answers = [assessment.saved_answers.get(item.key) for item in items]
    if not any(answer and answer["file"] == public_id for answer in answers):
        raise NotFound("There is no such file")
    return find_file(session, assessment, public_id)
