"""The search for secrets of recognisable bytes, in every form and wherever the program writes.

A row is searched as its values and as the text of the whole row. On PostgreSQL the files of the
tables and the write-ahead log are searched, too; on SQLite both are files of the instance.
"""

import email
import email.policy
import gzip
import io
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from pypdf import PdfReader
from sqlalchemy import LargeBinary, create_engine, inspect, select, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.pool import NullPool

from provider.core.kinds import KINDS
from provider.maintenance import create_backup
from provider.outbox import CONNECTOR, EMAIL, Attempt, Message, QueueName
from provider.services import Services

DATABASE_FILES = TABLES, LOG = "database files", "write-ahead log"  # of PostgreSQL
MAIL_SUFFIX, GZIP_MAGIC = ".eml", b"\x1f\x8b"


def forms(secret: str) -> set[bytes]:
    """Return the bytes of a secret in every encoding that a program could write."""
    raw = secret.encode()
    shifted = {b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)}  # inside other base64
    plain_json, ascii_json = json.dumps(secret, ensure_ascii=False), json.dumps(secret)
    texts = {secret, plain_json[1:-1], ascii_json[1:-1], quote(secret), quote_plus(secret)}
    wide = {secret.encode("utf-16-le"), secret.encode("utf-16-be")}
    return {text.encode() for text in (*texts, raw.hex())} | shifted | wide | {b64encode(raw)}


def find_leaks(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return (secret's name, place) of every secret that a place contains."""
    forms_of = {name: forms(secret) for name, secret in secrets.items()}
    return [
        (name, place)
        for name, encodings in forms_of.items()
        for place, content in places.items()
        if any(form in content for form in encodings)
    ]


def message_contents(services: Services) -> bytes:
    """Return the payloads and bodies of all messages, decrypted, and the excerpts of answers.

    Of an order for a vendor the body is left out: the vendor must get the values of its template.
    """
    box = services.secret_box
    parts = []
    with services.db.reading() as session:
        for row in session.scalars(select(Message)):
            parts.append(str(row.get_payload(box)).encode())
            channel, body = QueueName.parse(row.queue).channel, row.get_body(box) or b""
            if channel != CONNECTOR:
                parts.append(decode_email(body) if channel == EMAIL else body)
        for excerpt, error in session.execute(select(Attempt.response_excerpt, Attempt.error)):
            parts += [excerpt.encode(), error.encode()]
    return b"\n".join(parts)


def decode_email(content: bytes) -> bytes:
    """Return an e-mail as it was sent, its decoded texts, and the texts of its PDFs."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    parts = [content, *(str(value).encode() for value in message.values())]
    for part in message.walk():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            is_pdf = part.get_content_type() == "application/pdf"
            parts.append(pdf_text(payload) if is_pdf else payload)
    return b"\n".join(parts)


def pdf_text(content: bytes) -> bytes:
    """Return the text of a PDF, whose streams are compressed, with its spaces and without."""
    pages = "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    return "\n".join((pages, " ".join(pages.split()), "".join(pages.split()))).encode()


def folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a folder, unpacked; a file is named by its path."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content) if content[:2] == GZIP_MAGIC else content
            content = decode_email(content) if path.suffix == MAIL_SUFFIX else content
            yield str(path.relative_to(folder)), content


def stored_rows(services: Services) -> bytes:
    """Return the rows of every table of the database, also of those without a class."""
    with services.db.reading() as session:
        return b"\n".join(_read_tables(session.connection()))


def _read_tables(connection: Connection) -> Iterator[bytes]:
    is_postgres = connection.dialect.name == "postgresql"
    inspector = inspect(connection)
    schemas = inspector.get_schema_names() if is_postgres else [None]
    for schema in (name for name in schemas if name != "information_schema"):
        for table in inspector.get_table_names(schema=schema):
            name = f'"{schema}"."{table}"' if schema else f'"{table}"'
            columns = "row_.*, row_::text" if is_postgres else "row_.*"
            for row in connection.execute(text(f"SELECT {columns} FROM {name} AS row_")):
                yield from (_to_bytes(value) for value in row)


def _to_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


class DatabaseFiles:
    """The files of a PostgreSQL database, and its write-ahead log since this object was made.

    SQLite has its files in the folder of the instance, so that here there are none.
    """

    def __init__(self, services: Services) -> None:
        self._url = make_url(services.settings.database_url)
        self._is_postgres = self._url.get_backend_name() == "postgresql"
        self._start = self._log_end() if self._is_postgres else ("", 0)

    def read(self) -> dict[str, bytes]:
        if not self._is_postgres:
            return {}
        folder = Path(str(self._url.query["host"])) / "data"
        log = self._read_log(folder / "pg_wal")
        self._query("CHECKPOINT")  # writes the pages from the memory to the files
        paths = self._query(
            "SELECT pg_relation_filepath(oid) FROM pg_class WHERE relkind IN ('r', 'i', 't')"
            " AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"
        )
        files = [file for (path,) in paths for file in folder.glob(f"{path}*")]
        tables = b"".join(file.read_bytes() for file in files)
        return {TABLES: tables, LOG: log}

    def _read_log(self, folder: Path) -> bytes:
        """Return the segments since the start. A checkpoint may have removed early ones.

        What follows the end in a segment is of earlier times.
        """
        (start, offset), (end, length) = self._start, self._log_end()
        contents = {}
        for name in sorted(path.name for path in folder.iterdir() if start <= path.name <= end):
            with suppress(FileNotFoundError):
                contents[name] = (folder / name).read_bytes()
        contents[end] = contents[end][:length]
        if start in contents:
            contents[start] = contents[start][offset:]
        return b"".join(contents.values())

    def _log_end(self) -> tuple[str, int]:
        """Return the name of the present segment, and the position in it."""
        ((name, offset),) = self._query(
            "SELECT * FROM pg_walfile_name_offset(pg_current_wal_lsn())"
        )
        return name, offset

    def _query(self, sql: str) -> list[Any]:
        engine = create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(text(sql))
            return list(result.all()) if result.returns_rows else []


def written_places(services: Services, backup: Path, files: DatabaseFiles) -> dict[str, bytes]:
    """Return what the program has written: rows, files, e-mails, messages, a new backup."""

    def report_nothing(*_: object) -> None: ...

    settings, now = services.settings, services.now()
    create_backup(
        services.db, services.media, settings, backup, now, report_nothing, with_key=False
    )
    places = {"rows": stored_rows(services), "messages": message_contents(services)}
    places |= files.read() | dict(folder_files(Path(settings.instance)))
    return places | {f"backup {name}": content for name, content in folder_files(backup)}


def ciphertexts(services: Services) -> set[bytes]:
    """Return what is stored encrypted of a check: details, texts, messages, pages of documents."""
    columns = [
        column for column in KINDS["check"].personal_columns if isinstance(column.type, LargeBinary)
    ]
    columns += [Message.payload_encrypted, Message.body_encrypted]
    media = services.media
    keys = [key for key, _ in media.list_files(folder="check-documents")]
    pages = {b"".join(media.read_range(key, 0, media.size(key))) for key in keys}
    with services.db.reading() as session:
        return pages | {
            value for column in columns for value in session.scalars(select(column)) if value
        }
