"""The description of a kind: all that the rest of the program knows about it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from marshmallow import Schema
from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.core.accounts import Account
from provider.core.orders import Order, StatusSubscriber
from provider.core.products import Product
from provider.core.products.documents import DocumentProblem, DocumentWarning
from provider.core.products.files import FileSlot
from provider.core.scheduled import ScheduledWork
from provider.core.staff.permissions import Permission
from provider.core.urls import UrlBuilder
from provider.errors import Invalid
from provider.storage.database import Database
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox
from provider.texts import Text


@dataclass(frozen=True)
class KindTexts:
    """The words for a kind in sentences of pages and e-mails, and its labels in lists."""

    label: Text
    product_label: Text
    noun: Text  # “your test”, “this test”
    noun_with_article: Text  # “the result of a test”
    invited_to: Text  # the page of the invitation: “… invites you to take a test”
    request_phrase: Text  # the e-mail of the invitation: “Groove Tech invites you to take a test”
    button_label: Text
    reassurance: Text
    receipt: Text  # the e-mail that tells the candidate that nothing more is to be done


@dataclass(frozen=True)
class MediaReference:
    """A file that a row names; the row has the SHA-256 of originals only."""

    key: str
    sha256: str | None = None
    is_required: bool = True


@dataclass(frozen=True)
class StoredMedia:
    """Files in media storage that rows name.

    The first group of `key_pattern` is the value of `id_column` in the row that names the file.
    """

    key_pattern: re.Pattern[str]
    id_column: ColumnElement[str] | InstrumentedAttribute[str]
    list_references: Callable[[Session], Iterator[MediaReference]]


@dataclass
class FileRenewal:
    """How many files were encrypted with the first key, and how many could not be read."""

    renewed: int = 0
    failed: int = 0


@dataclass(frozen=True)
class KindMedia(StoredMedia):
    """The files of a kind's orders in media storage.

    `list_folders` yields the folders that have the files of one order, and nothing else.
    `is_stored` is the condition that an order has files; `forget` marks them as deleted.
    Files with `renew_files` are encrypted by the SecretBox, each with its media key as its row. It
    encrypts the files of one row anew, by its `id_column`; files of another row stay.
    """

    list_folders: Callable[[Session, Order], Iterator[str]]
    is_stored: ColumnElement[bool]
    forget: Callable[[Session, Order], None]
    renew_files: Callable[[Database, MediaStore, SecretBox, str], FileRenewal] | None = None

    @property
    def is_encrypted(self) -> bool:
        return self.renew_files is not None


@dataclass(frozen=True)
class RecordedText:
    """A legal text that candidates are shown; its key and version name it for ever."""

    key: str
    version: str
    purpose: str
    title: str  # empty for a text without one
    text: str
    sample: bool
    created_at: datetime
    is_plain: bool = False  # without Markdown


def _find_no_missing_media(_session: Session, _now: datetime) -> Mapping[int, Sequence[str]]:
    return {}


def _read_nothing(_order: Order, _secret_box: SecretBox) -> Mapping[str, Any]:
    return {}


def _find_no_draft_problems(_content: Mapping[str, Any]) -> Iterable[DocumentProblem]:
    return ()


def _find_no_slots(_content: dict[str, Any]) -> Iterable[FileSlot]:
    return ()


def _list_nothing_expired(_session: Session, _now: datetime) -> Mapping[str, Sequence[str]]:
    return {}


def _describe_nothing(_list_name: str, _entry: Mapping[str, Any]) -> str:
    return ""


def _take_no_video(_media: MediaStore, _digest: str) -> None:
    raise Invalid("This product takes no video")


def _find_no_texts(_session: Session, _digest: str) -> Sequence[RecordedText]:
    return ()


def _find_no_warnings(_content: Any) -> Iterable[DocumentWarning]:
    return ()


@dataclass(frozen=True)
class StaffWork:
    """Work that the console's overview counts, and the filter of the kind's queue that lists it.

    `ids` selects one id for each piece of work; `singular` and `plural` name it. `path` is that of
    another page of the console that lists it. Where it has `{order}`, `ids` are those of orders,
    and the page is that of the first one.
    """

    singular: str
    plural: str
    ids: Select[Any]
    filters: Mapping[str, str] = field(default_factory=dict)
    path: str = ""


def _list_no_work(_today: date) -> Sequence[StaffWork]:
    return ()


@dataclass(frozen=True)
class AlertCause:
    """Something about orders that needs the staff: an alert tells them while it lasts.

    `find` returns the public ids of the orders by account id. `advice` says what to do.
    """

    label: Text
    advice: Text
    find: Callable[[Session, datetime], Mapping[int, Sequence[str]]]


@dataclass(frozen=True)
class EmailParts:
    """The variables and files that a kind adds to an e-mail of its own.

    `attachments` are PDFs by their file name.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    attachments: Mapping[str, bytes] = field(default_factory=dict)


def _no_email_parts(
    _order: Order, _template: str, _secret_box: SecretBox, _payload: Mapping[str, Any]
) -> EmailParts:
    return EmailParts()


def _is_always_needed(_order: Order, _template: str, _payload: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True)
class ScriptedStep:
    """A step of an order in a sandbox. `is_good` says which of two results it leads to."""

    secret_box: SecretBox
    media: MediaStore
    now: datetime
    is_good: bool


@dataclass(frozen=True)
class EmailToOther:
    """An e-mail about an order to somebody else than the candidate.

    `template` is in the kind's folder `emails`, and `context` has its variables beside those of
    every e-mail. `name` is the recipient's.
    """

    to: str
    name: str
    subject: str
    template: str
    context: Mapping[str, Any]


@dataclass(frozen=True)
class EmailsToOthers:
    """The e-mails of a kind to others than candidates, such as referees.

    `compose` takes the message's topic and the writer of its ordering key; None is an e-mail that
    is not needed any more. `record_bounce` takes the public id of a message that came back.
    """

    topics: frozenset[str]
    compose: Callable[[Session, SecretBox, Order, str, str, UrlBuilder], EmailToOther | None]
    record_bounce: Callable[[Session, Any, str, datetime], None]


@dataclass(frozen=True)
class Kind:
    """One kind. `docs/adding-a-kind.md` explains the fields.

    `folder` is the kind's own. It may have `emails/` with the bodies of `email_subjects`, and
    `report.typ` with the kind's part of the PDF.
    `labels` are by family and value, as in `provider.core.labels`; `tones` are by value.
    `email_subjects` are ids of texts with the parameters company, noun, job and product.
    `personal_columns` hold data about the candidate. `other_columns` are the rest of the columns
    of the kind's tables, without keys and times.
    `read_encrypted` returns what an order of the kind stores encrypted, for an export of a person.
    The staff need `work_permission` to do what an order of the kind waits for.
    `list_staff_work` takes today's date; `queue` is the section of the console that lists the work.
    `find_warnings` takes the loaded content of a document that is imported.
    `find_draft_problems` takes a content as a mapping with errors. It returns problems of its parts
    that the schema does not come to then; some may be among the errors already.
    `find_file_slots` takes a content as a mapping, which may be incomplete, and returns the places
    that name files.
    `find_texts` returns the legal texts with a SHA-256 in hex, the oldest first.
    `find_missing_media` returns, by account id, the public ids of the orders of which a file was
    announced and never arrived, while the staff can still act. An alert tells them.
    `list_expired` returns, by account name, the public ids of the orders of which a scheduled work
    of the kind deletes a part, because the time of its storage is over.
    `account_checks` are by the name of an account's setting: each raises Invalid for a value that
    names something of the kind that there is not.
    `alert_causes` are further causes of alerts, by a name that is stored.
    `email_parts` returns the further variables and the attachments of an e-mail to a candidate.
    `is_email_needed` takes the template and the payload of an e-mail to a candidate. It tells
    whether one that has waited is still to be sent.
    `describe_entry` takes the name of a list of a document and one of its entries, which may be
    incomplete. It returns a sentence for authors about what the entry gives, or an empty text.
    `prepare_video` decodes a stored video by its SHA-256, and stores what players need of it.
    `play_step` takes the next step with an order of a sandbox that was opened, for the candidate or
    the staff; without it such an order waits.
    `emails_to_others` describes the e-mails about its orders to others than candidates.
    `follow_status` is called with each change of a status of the kind's orders, in its transaction.
    `result_events` are types of events and topics of messages that tell of a result. Staff who may
    not see results see none of them.
    `private_topics` are those of messages whose content no list and no command shows.
    `has_rated` takes a staff e-mail, and returns the condition that this person has rated an order,
    so that a hidden name may be shown.
    """

    name: str
    product_class: type[Product]
    order_class: type[Order]
    schema: Schema
    texts: KindTexts
    folder: Path
    labels: Mapping[str, Mapping[str, Text]] = field(default_factory=dict)
    tones: Mapping[str, str] = field(default_factory=dict)
    email_subjects: Mapping[str, str] = field(default_factory=dict)
    personal_columns: tuple[InstrumentedAttribute[Any], ...] = ()
    other_columns: tuple[InstrumentedAttribute[Any], ...] = ()
    scheduled_works: tuple[ScheduledWork, ...] = ()
    media: KindMedia | None = None
    work_permission: Permission = Permission.MANAGE_ORDERS
    queue: str = ""
    list_staff_work: Callable[[date], Sequence[StaffWork]] = _list_no_work
    account_checks: Mapping[str, Callable[[Account], None]] = field(default_factory=dict)
    read_encrypted: Callable[[Any, SecretBox], Mapping[str, Any]] = _read_nothing
    find_warnings: Callable[[Any], Iterable[DocumentWarning]] = _find_no_warnings
    find_draft_problems: Callable[[Mapping[str, Any]], Iterable[DocumentProblem]] = (
        _find_no_draft_problems
    )
    find_file_slots: Callable[[dict[str, Any]], Iterable[FileSlot]] = _find_no_slots
    find_missing_media: Callable[[Session, datetime], Mapping[int, Sequence[str]]] = (
        _find_no_missing_media
    )
    find_texts: Callable[[Session, str], Sequence[RecordedText]] = _find_no_texts
    list_expired: Callable[[Session, datetime], Mapping[str, Sequence[str]]] = _list_nothing_expired
    alert_causes: Mapping[str, AlertCause] = field(default_factory=dict)
    email_parts: Callable[[Any, str, SecretBox, Mapping[str, Any]], EmailParts] = _no_email_parts
    is_email_needed: Callable[[Any, str, Mapping[str, Any]], bool] = _is_always_needed
    describe_entry: Callable[[str, Mapping[str, Any]], str] = _describe_nothing
    prepare_video: Callable[[MediaStore, str], None] = _take_no_video
    play_step: Callable[[Session, Any, ScriptedStep], None] | None = None
    follow_status: StatusSubscriber | None = None
    emails_to_others: EmailsToOthers | None = None
    result_events: frozenset[str] = frozenset()
    private_topics: frozenset[str] = frozenset()
    has_rated: Callable[[str], ColumnElement[bool]] | None = None

    @property
    def emails_folder(self) -> Path:
        return self.folder / "emails"

    @property
    def report_part(self) -> Path:
        """The kind's part of the PDF. The file may be missing."""
        return self.folder / "report.typ"
