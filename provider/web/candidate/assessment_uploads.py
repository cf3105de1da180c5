"""The file that a candidate sends as the answer to an item of a test."""

from contextlib import AbstractContextManager

from flask import request

from provider.core.kinds.assessment.file_answers import save_file
from provider.core.kinds.assessment.items import FileAnswer, Item
from provider.errors import NotFound
from provider.web.candidate import sent_files
from provider.web.candidate.assessment_navigation import ItemPosition
from provider.web.candidate.assessment_page import AssessmentRequest
from provider.web.candidate.sent_files import FILE_FIELD, REMOVE, STAY, SentFile

__all__ = ["FILE_FIELD", "REMOVE", "STAY", "save_sent", "stored_file"]


def stored_file(item: Item) -> AbstractContextManager[SentFile | None]:
    """Check the file of the request and store it, as `sent_files.stored_file` does.

    Raises NotFound for an item that takes no file.
    """
    if not isinstance(item, FileAnswer):
        raise NotFound("There is no such page")
    return sent_files.stored_file(item.accepted_files)


def save_sent(
    candidate_request: AssessmentRequest, position: ItemPosition, sent: SentFile | None
) -> None:
    """Save a stored file as the answer, or delete the answer if that button was pressed.

    A form with neither changes nothing. Raises ClosedItem, Conflict and StaleSave.
    """
    order, now, given = candidate_request.order, candidate_request.now, candidate_request.given
    if sent:
        save_file(candidate_request.session, order, position.item.key, *sent, given, now)
    elif request.form.get("go") == REMOVE:
        order.save(position.item.key, {}, now, given)
