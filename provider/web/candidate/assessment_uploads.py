"""The file that a candidate sends as the answer to a question, by a plain form.

A script sends the form as soon as the candidate has chosen a file. The file is stored before the
transaction that saves the answer, and deleted again if the answer is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from flask import request

from provider.core.kinds.assessment.answer_files import media_key
from provider.core.kinds.assessment.file_answers import save_file
from provider.core.kinds.assessment.items import FileAnswer, Item
from provider.core.text_cleaning import clean_line
from provider.errors import NotFound, Unavailable
from provider.services import current_services
from provider.storage import secrets
from provider.storage.media import StoredFile
from provider.web.candidate.assessment_navigation import ItemPosition
from provider.web.candidate.assessment_page import AssessmentRequest

FILE_FIELD = "file"
REMOVE = "remove"  # the value of the button that deletes the answer
STAY = "stay"  # the value of the button that sends the file
DEFAULT_NAME = "file"


class SentFile(NamedTuple):
    """A file of the request that is in media storage."""

    public_id: str
    name: str
    content_type: str
    stored: StoredFile


@contextmanager
def stored_file(item: Item) -> Iterator[SentFile | None]:
    """Check the file of the request and store it; None without a file.

    An error in the block deletes it again. Raises NotFound for an item that takes no file, Invalid
    for a file that is no answer, and Unavailable.
    """
    if not isinstance(item, FileAnswer):
        raise NotFound("There is no such page")
    sent = None if request.form.get("go") == REMOVE else _store(item)
    try:
        yield sent
    except BaseException:
        if sent:
            with suppress(Unavailable):  # `media prune` deletes it later
                current_services().media.delete(media_key(sent.public_id))
        raise


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


def _store(item: FileAnswer) -> SentFile | None:
    upload = request.files.get(FILE_FIELD)
    if upload is None or not upload.filename:
        return None
    content = upload.read(item.max_bytes + 1)
    upload.close()  # a large one is a temporary file
    content_type = item.require_file(content)
    media, public_id = current_services().media, secrets.generate_public_id()
    media.require_free_space()
    stored = media.put(media_key(public_id), [content])
    return SentFile(public_id, read_name(upload.filename), content_type, stored)


def read_name(text: str) -> str:
    """Return the name of a file as a browser states it, without folders."""
    return clean_line(text.replace("\\", "/").rpartition("/")[2]) or DEFAULT_NAME
