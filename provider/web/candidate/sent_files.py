"""The file that a candidate sends as the answer to a question, by a plain form.

A script sends the form as soon as the candidate has chosen a file. The file is stored before the
transaction that saves the answer, and deleted again if the answer is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from flask import request

from provider.core.kinds.accepted_files import AcceptedFiles
from provider.core.kinds.answer_files import media_key
from provider.core.text_cleaning import clean_line
from provider.errors import Unavailable
from provider.services import current_services
from provider.storage import secrets
from provider.storage.media import StoredFile

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
def stored_file(accepted: AcceptedFiles) -> Iterator[SentFile | None]:
    """Check the file of the request and store it; None without a file, and for REMOVE.

    An error in the block deletes it again. Raises Invalid for a file that is no answer, and
    Unavailable.
    """
    sent = None if request.form.get("go") == REMOVE else _store(accepted)
    try:
        yield sent
    except BaseException:
        if sent:
            with suppress(Unavailable):  # `media prune` deletes it later
                current_services().media.delete(media_key(sent.public_id))
        raise


def _store(accepted: AcceptedFiles) -> SentFile | None:
    upload = request.files.get(FILE_FIELD)
    if upload is None or not upload.filename:
        return None
    content = upload.read(accepted.max_bytes + 1)
    upload.close()  # a large one is a temporary file
    content_type = accepted.require(content)
    media, public_id = current_services().media, secrets.generate_public_id()
    media.require_free_space()
    stored = media.put(media_key(public_id), [content])
    name = clean_line(upload.filename.replace("\\", "/").rpartition("/")[2]) or DEFAULT_NAME
    return SentFile(public_id, name, content_type, stored)
