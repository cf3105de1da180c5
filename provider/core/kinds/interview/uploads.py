"""Takes that a browser is sending: the pieces received so far, admission, quota, clean-up.

A take is announced with its size and SHA-256, and then sent in pieces. Each piece is a file of its
own in media storage. The last piece completes the take: the pieces become the original of a
recording. `discard` deletes the pieces then, and the scheduled work those of abandoned takes.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Select, String, UniqueConstraint, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.kinds.interview.models import Interview
from provider.core.kinds.interview.questions import Question
from provider.core.orders.states import PENDING, STARTED
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Conflict, NotFound
from provider.storage import secrets
from provider.storage.database import Base, Database
from provider.storage.media import MediaStore, StoredFile
from provider.texts import gettext_noop

FOLDER = "uploads"  # in media storage: FOLDER/UPLOAD/PIECE
MAX_PIECE_BYTES = 1024 * 1024
# The bit rates that `interview-camera.js` asks of a recorder, picture and sound together.
AGREED_BYTES_PER_SECOND = (800_000 + 64_000) // 8
QUOTA_FACTOR = 2  # recorders exceed the agreed rate, and a take may be sent a second time
MAX_TAKE_BYTES = 2**31 - 1  # the column holds no more
MAX_UNFINISHED_UPLOADS = 100  # of one interview
ABANDONED_AFTER = timedelta(days=1)  # since the last piece
QUOTA_MESSAGE = gettext_noop("The recordings of this interview are larger than it allows")
KEY_PATTERN = re.compile(rf"{FOLDER}/([\w-]{{22}})/[\w-]{{22}}", re.ASCII)


class Upload(Base):
    """A take of which `received` bytes of `size` have arrived, without a gap."""

    __tablename__ = "uploads"
    __table_args__ = (UniqueConstraint("order_id", "question", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    mime: Mapped[str] = mapped_column(String(100))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    received: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    pieces: Mapped[list["UploadPiece"]] = relationship(
        order_by="UploadPiece.start", cascade="all, delete-orphan"
    )

    @property
    def folder(self) -> str:
        """The folder of the upload's pieces in media storage."""
        return f"{FOLDER}/{self.public_id}"

    @property
    def announced(self) -> StoredFile:
        return StoredFile(self.size, self.sha256)

    def next_piece_key(self) -> str:
        """Return a new media key: two tabs may send the same piece at the same time."""
        return f"{self.folder}/{secrets.generate_public_id()}"

    def require_next_piece(self, start: int) -> None:
        if start != self.received:
            raise WrongOffset(self.received)

    def add_piece(self, start: int, size: int, media_key: str, now: datetime) -> None:
        self.require_next_piece(start)
        self.pieces.append(UploadPiece(start=start, size=size, media_key=media_key))
        self.received, self.received_at = start + size, now


class UploadPiece(Base):
    """A part of a take, `size` bytes from `start`, and its file in media storage."""

    __tablename__ = "upload_pieces"
    __table_args__ = (UniqueConstraint("upload_id", "start"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id"))
    start: Mapped[int]
    size: Mapped[int]
    media_key: Mapped[str] = mapped_column(String(80))


class WrongOffset(Conflict):
    """A piece that does not begin where the received bytes end, at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__("The piece begins at another place than expected")
        self.offset = offset


def find_upload(session: Session, interview: Interview, public_id: str) -> Upload:
    """Return an upload of this interview. Raises NotFound, also for one that is completed."""
    upload = session.scalar(
        select(Upload).where(Upload.public_id == public_id, Upload.order_id == interview.id)
    )
    if upload is None:
        raise NotFound("There is no such upload")
    return upload


def open_upload(
    session: Session,
    interview: Interview,
    question: str,
    mime: str,
    announced: StoredFile,
    now: datetime,
) -> Upload:
    """Return the upload of an announced take; a take that was announced before goes on.

    Raises Conflict. `require_admitted` says whether the take may be sent.
    """
    of_interview = select(Upload).where(Upload.order_id == interview.id)
    upload = session.scalar(
        of_interview.where(Upload.question == question, Upload.sha256 == announced.sha256)
    )
    if upload is not None and upload.size != announced.size:
        raise Conflict("This recording was announced with another length")
    if announced.size > MAX_TAKE_BYTES:
        raise Conflict(QUOTA_MESSAGE)
    if upload is None:
        unfinished = session.scalar(select(func.count()).select_from(of_interview.subquery()))
        if (unfinished or 0) >= MAX_UNFINISHED_UPLOADS:
            raise Conflict("Too many recordings of this interview were not sent to their end")
        upload = Upload(
            public_id=secrets.generate_public_id(),
            order_id=interview.id,
            question=question,
            mime=mime,
            size=announced.size,
            sha256=announced.sha256,
            received=0,
            created_at=now,
            received_at=now,
        )
        session.add(upload)
    return upload


def require_admitted(session: Session, interview: Interview, upload: Upload, now: datetime) -> None:
    """Raise Conflict unless this take may be sent at present.

    A take that was announced in time may arrive until the interview is closed.
    """
    if interview.attempt_ends_at is None or now < interview.attempt_ends_at:
        interview.require_open(now)  # says what ended the interview before its time
    interview.require_in_time(upload.created_at)
    if interview.is_past_deadline(now):
        raise Conflict(interview.time_over_message)
    if not interview.takes_left(interview.find_question(upload.question)):
        raise Conflict("This answer cannot be recorded again")
    if upload.size > bytes_left(session, interview, upload):
        raise Conflict(QUOTA_MESSAGE)


def quota_bytes(questions: Iterable[Question]) -> int:
    """Return the most bytes that the recordings of one interview may have together."""
    seconds = sum(question.takes * question.answer_seconds for question in questions)
    return seconds * AGREED_BYTES_PER_SECOND * QUOTA_FACTOR


def bytes_left(session: Session, interview: Interview, upload: Upload | None = None) -> int:
    """Return the largest size that a take may have beside the recordings and other uploads.

    Recordings from before a reopening do not count, as in `Interview.takes_left`.
    """
    start = interview.started_at
    recorded = sum(take.size for take in interview.recordings if start and take.created_at >= start)
    # Bytes that were announced but never sent must not block a later take.
    received = select(func.coalesce(func.sum(Upload.received), 0)).where(
        Upload.order_id == interview.id
    )
    if upload is not None:
        received = received.where(Upload.id != upload.id)
    used = recorded + (session.scalar(received) or 0)
    return max(0, min(quota_bytes(interview.questions) - used, MAX_TAKE_BYTES))


def discard(db: Database, media: MediaStore, public_id: str) -> None:
    """Delete an upload and its pieces. Raises Unavailable; then the scheduled work repeats it.

    The files go first: a row that is left over still names its files.
    """
    media.delete_folder(f"{FOLDER}/{public_id}")
    with db.writing() as session:
        upload = session.scalar(select(Upload).where(Upload.public_id == public_id))
        if upload is not None:
            session.delete(upload)


def _discard_abandoned(context: WorkContext) -> None:
    idle_since = context.now() - ABANDONED_AFTER
    with context.db.reading() as session:
        abandoned = session.scalars(_abandoned_ids(idle_since)).all()
    for public_id in abandoned:
        discard(context.db, context.media, public_id)
    _delete_unreferenced_pieces(context, idle_since)


def _has_abandoned(session: Session, now: datetime) -> bool:
    return session.scalar(_abandoned_ids(now - ABANDONED_AFTER).limit(1)) is not None


def _abandoned_ids(idle_since: datetime) -> Select[str]:
    return (
        select(Upload.public_id)
        .join(Interview, Interview.id == Upload.order_id)
        .where(
            or_(
                Upload.received_at <= idle_since,
                Interview.status != PENDING,
                Interview.progress != STARTED,
            )
        )
    )


def _delete_unreferenced_pieces(context: WorkContext, modified_before: datetime) -> None:
    """Delete the files that a crash left without a row."""
    for key, _ in context.media.list_files(modified_before, folder=FOLDER):
        if match := KEY_PATTERN.fullmatch(key):
            with context.db.reading() as session:
                is_known = session.scalar(select(Upload.id).where(Upload.public_id == match[1]))
            if is_known is None:
                context.media.delete(key)


DISCARD_ABANDONED_UPLOADS = ScheduledWork(
    "discard_abandoned_uploads",
    every=timedelta(hours=1),
    run=_discard_abandoned,
    is_needed=_has_abandoned,
)
