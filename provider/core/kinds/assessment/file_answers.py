"""Saving and finding the files that candidates send as answers."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.core.kinds.assessment.answer_files import (
    MAX_FILES,
    MAX_NAME_LENGTH,
    AnswerFile,
    find_file,
)
from provider.core.kinds.assessment.answers import Answer
from provider.core.kinds.assessment.models import Assessment
from provider.core.orders import GivenTime
from provider.errors import Conflict, NotFound
from provider.storage.media import StoredFile


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
    # The files of earlier attempts do not count.
    of_order = select(func.count(AnswerFile.id)).where(
        AnswerFile.order_id == assessment.id, AnswerFile.created_at >= assessment.started_at
    )
    if (session.scalar(of_order) or 0) >= MAX_FILES:
        raise Conflict("You have sent too many files. The last one that was saved counts")
    file = AnswerFile(
        public_id=public_id,
        order_id=assessment.id,
        item_key=item_key,
        name=name[:MAX_NAME_LENGTH],
        type=content_type,
        size=stored_file.size,
        sha256=stored_file.sha256,
        is_deleted=False,
        created_at=now,
    )
    session.add(file)
    value = {"file": public_id, "name": file.name, "type": file.type, "size": file.size}
    Answer.put(assessment, item_key, value, now, given.number)


def find_own_file(session: Session, assessment: Assessment, public_id: str) -> AnswerFile:
    """Return a file that is an answer of the running attempt, as `find_file` does.

    One that the candidate removed, and one of an earlier attempt, is NotFound.
    """
    items = [item for item in assessment.content.items if item.takes_file]
    answers = [assessment.saved_answers.get(item.key) for item in items]
    if not any(answer and answer["file"] == public_id for answer in answers):
        raise NotFound("There is no such file")
    return find_file(session, assessment, public_id)
