"""The files that a form sends: product documents, and the files that they name.

They come one by one, or in a ZIP file, as the console gives a version with its files.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath

from flask import request

from provider.core.products.documents import Document
from provider.core.products.files import MAX_BYTES
from provider.core.products.text_files import include_text_files
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

MAX_NAME_LENGTH = 100  # characters
MAX_ZIPPED_FILES = 200
MAX_UNZIPPED_BYTES = 40_000_000  # of all files together
MAX_FILE_BYTES = max(MAX_BYTES.values())
YAML_EXTENSIONS = (".yaml", ".yml")
_TOO_LARGE = "This ZIP file has too much in it. Import it on the server, by provider product import"


def read_sent_files() -> dict[str, bytes]:
    """Return the files of the form's field `file` by name. Raises Invalid."""
    sent: dict[str, bytes] = {}
    for file in request.files.getlist("file"):
        name, content = clean_line(file.filename or "")[:MAX_NAME_LENGTH], file.read()
        file.close()  # a large one is a temporary file
        if name.lower().endswith(".zip"):
            sent |= _unzip(content)
        elif name:
            sent[name] = content
    return sent


def find_document_name(sent: dict[str, bytes]) -> str:
    """Return the name of the one file of product documents. Raises Invalid."""
    names = [name for name in sent if name.endswith(YAML_EXTENSIONS)] or list(sent)
    if not names:
        raise Invalid("Choose a file of product documents")
    if len(names) > 1:
        raise Invalid("Choose one file of product documents, with the pictures and sounds it names")
    return names[0]


def include_sent_texts(document: Document, sent: Mapping[str, bytes]) -> Document:
    """Return the document with the texts of the sent files that it names. Raises Invalid."""
    return include_text_files(document, lambda name: sent[PurePosixPath(name).name])


def _unzip(content: bytes) -> dict[str, bytes]:
    """Return the files of a ZIP file by their names without folders."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_ZIPPED_FILES:
                raise Invalid(_TOO_LARGE)
            return _read_entries(archive, entries)
    # A damaged file raises any of these, and one with a password a RuntimeError.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Invalid("This ZIP file cannot be read. Make it anew, without a password") from error


def _read_entries(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    """Read the entries. The declared sizes are no proof, so the bytes are counted."""
    unzipped: dict[str, bytes] = {}
    room = MAX_UNZIPPED_BYTES
    for entry in entries:
        with archive.open(entry) as file:
            data = file.read(MAX_FILE_BYTES + 1)
        room -= len(data)
        if room < 0 or len(data) > MAX_FILE_BYTES:
            raise Invalid(_TOO_LARGE)
        unzipped[clean_line(PurePosixPath(entry.filename).name)[:MAX_NAME_LENGTH]] = data
    return unzipped
