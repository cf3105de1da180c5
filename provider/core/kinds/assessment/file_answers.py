"""Saving and finding the files that candidates send as answers."""

from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.kinds.answer_files import AnswerFile, add_file, find_file
from provider.core.kinds.assessment.answers import Answer
from provider.core.kinds.assessment.models import Assessment
from provider.core.orders import GivenTime
from provider.errors import NotFound
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
    value = add_file(session, assessment, item_key, public_id, name, content_type, stored_file, now)
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
