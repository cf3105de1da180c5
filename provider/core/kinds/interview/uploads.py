"""Takes that a browser is sending: the bytes received so far, admission, quota.

A take is announced when its recording begins, and sent while it is recorded. The announcement
decides whether the take is in time. On disk the bytes are appended to one file; in a bucket each
piece is a file of its own. When all bytes are there they become the original of a recording.

The row stays after that: the page asks it what became of the take. `upload_cleanup.py` deletes the
bytes of takes that were never sent to their end.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    ForeignKey,
    String,
    UniqueConstraint,
    and_,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.kinds.interview.answers import BROKEN, READY, Recording
from provider.core.kinds.interview.models import Interview
from provider.core.kinds.interview.questions import Question
from provider.core.orders import Order
from provider.core.orders.states import PENDING, STARTED
from provider.errors import Conflict, NotFound
from provider.storage import secrets
from provider.storage.database import Base, Database
from provider.storage.media import MediaStore
from provider.texts import gettext_noop

FOLDER = "uploads"  # in media storage: FOLDER/UPLOAD/PIECE
GROWING_FILE = "take"  # the name of a file that grows, instead of pieces
MAX_PIECE_BYTES = 4 * 1024 * 1024
# The highest bit rates that `interview-line.js` asks of a recorder, picture and sound together.
AGREED_BYTES_PER_SECOND = (800_000 + 64_000) // 8
QUOTA_FACTOR = 2  # recorders exceed the agreed rate, and a take may be sent a second time
MAX_TAKE_BYTES = 2**31 - 1  # the column holds no more
MAX_UNFINISHED_UPLOADS = 100  # of one interview
# The time to send the rest of a take that was begun before the end of the interview.
ARRIVAL_TIME = timedelta(minutes=15)
QUOTA_MESSAGE = gettext_noop("The recordings of this interview are larger than it allows")
BROKEN_MESSAGE = gettext_noop("This recording cannot be played. Please record this answer again")
# The states of an upload, as the page reads them.
RECEIVING, SAVED, CHECKED = "receiving", "saved", "checked"
_orders = Order.__table__


class Upload(Base):
    """A take of which `received` bytes have arrived, without a gap.

    `take` is the browser's own id of it. `size` is None while the take is being recorded, and
    `sha256` (hex) is None unless the browser has announced it. `recording_id` is set when the take
    is saved, and `missing_since` when the interview ended before all bytes were there.
    """

    __tablename__ = "take_uploads"
    __table_args__ = (UniqueConstraint("order_id", "question", "take"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    take: Mapped[str] = mapped_column(String(64))
    mime: Mapped[str] = mapped_column(String(100))
    size: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    received: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    received_at: Mapped[datetime]
    missing_since: Mapped[datetime | None] = mapped_column(index=True)
    recording_id: Mapped[int | None] = mapped_column(ForeignKey("recordings.id"), index=True)
    recording: Mapped[Recording | None] = relationship()
    pieces: Mapped[list["UploadPiece"]] = relationship(
        order_by="UploadPiece.start", cascade="all, delete-orphan"
    )

    @property
    def folder(self) -> str:
        """The folder of the upload's bytes in media storage."""
        return f"{FOLDER}/{self.public_id}"

    @property
    def growing_key(self) -> str:
        """The media key of the file to which a store on disk appends."""
        return f"{self.folder}/{GROWING_FILE}"

    @property
    def state(self) -> str:
        """RECEIVING, SAVED (durable), CHECKED (decoded) or BROKEN."""
        if self.recording is None:
            return RECEIVING
        return {READY: CHECKED, BROKEN: BROKEN}.get(self.recording.state, SAVED)

    def next_piece_key(self) -> str:
        """Return a new media key: two tabs may send the same piece at the same time."""
        return f"{self.folder}/{secrets.generate_public_id()}"

    def require_offset(self, start: int) -> None:
        if start != self.received:
            raise WrongOffset(self.received)

    def set_size(self, size: int) -> None:
        """Set the length of a take whose recording has ended. Raises Conflict for another one."""
        if self.size not in (None, size):
            raise Conflict("This recording was announced with another length")
        if size < self.received:
            raise Conflict("More bytes of this recording have arrived than it has")
        self.size = size

    def grow(self, start: int, size: int, now: datetime, media_key: str = "") -> None:
        """Count bytes that are stored; `media_key` names their file, if it is one of its own."""
        self.require_offset(start)
        if media_key:
            self.pieces.append(UploadPiece(start=start, size=size, media_key=media_key))
        self.received, self.received_at = start + size, now

    def restart(self) -> None:
        """Forget all bytes: the browser sends them again. The time of the announcement stays."""
        self.pieces.clear()
        self.received = 0


class UploadPiece(Base):
    """A part of a take, `size` bytes from `start`, and its file in media storage."""

    __tablename__ = "take_pieces"
    __table_args__ = (UniqueConstraint("upload_id", "start"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("take_uploads.id"))
    start: Mapped[int]
    size: Mapped[int]
    media_key: Mapped[str] = mapped_column(String(80))


class WrongOffset(Conflict):
    """A piece that does not begin where the received bytes end, at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__("The piece begins at another place than expected")
        self.offset = offset


class QuotaExceeded(Conflict):
    """A take that is larger than what is left of the interview's quota."""

    def __init__(self) -> None:
        super().__init__(QUOTA_MESSAGE)


def find_upload(session: Session, interview: Interview, public_id: str) -> Upload:
    """Return an upload of this interview.

    Raises NotFound, also for an upload whose bytes were deleted.
    """
    upload = session.scalar(
        select(Upload).where(
            Upload.public_id == public_id,
            Upload.order_id == interview.id,
            Upload.missing_since.is_(None),
        )
    )
    if upload is None:
        raise NotFound("There is no such upload")
    return upload


def open_upload(
    session: Session,
    interview: Interview,
    question: str,
    take: str,
    mime: str,
    now: datetime,
    *,
    size: int | None = None,
    sha256: str | None = None,
) -> Upload:
    """Return the upload of an announced take; a take that was announced before goes on.

    Raises Conflict. `require_admitted` says whether the take may be sent.
    """
    upload = session.scalar(
        select(Upload).where(
            Upload.order_id == interview.id, Upload.question == question, Upload.take == take
        )
    )
    if (size or 0) > MAX_TAKE_BYTES:
        raise QuotaExceeded
    if upload is not None:
        if size is not None and upload.recording_id is None:
            upload.set_size(size)
        upload.missing_since = None
        return upload
    unfinished = session.scalar(select(func.count(Upload.id)).where(_is_unfinished(interview)))
    if (unfinished or 0) >= MAX_UNFINISHED_UPLOADS:
        raise Conflict("Too many recordings of this interview were not sent to their end")
    if mime.startswith("audio/") and not interview.accepts_sound(question):
        raise Conflict("Please record this answer with your camera")
    upload = Upload(
        public_id=secrets.generate_public_id(),
        order_id=interview.id,
        question=question,
        take=take,
        mime=mime,
        size=size,
        sha256=sha256,
        received=0,
        created_at=now,
        received_at=now,
    )
    session.add(upload)
    session.flush()
    return upload


def require_admitted(
    session: Session, interview: Interview, upload: Upload, now: datetime, size: int
) -> None:
    """Raise Conflict unless this take, of at least `size` bytes, may be sent at present."""
    require_receiving(interview, upload, now)
    if not interview.takes_left(interview.find_question(upload.question)):
        raise Conflict("This answer cannot be recorded again")
    if max(size, upload.size or 0) > bytes_left(session, interview, upload):
        raise QuotaExceeded


def require_receiving(interview: Interview, upload: Upload, now: datetime) -> None:
    """Raise Conflict unless the interview receives the bytes of an announced take at present.

    A take that was announced in time may arrive until the interview is closed.
    """
    if interview.attempt_ends_at is None or now < interview.attempt_ends_at:
        interview.require_open(now)  # says what ended the interview before its time
    interview.require_in_time(upload.created_at)
    if interview.is_past_deadline(now):
        raise Conflict(interview.time_over_message)


def count_received(session: Session, public_id: str) -> int:
    """Return how many bytes of an upload have arrived. NotFound if it was deleted."""
    received = session.scalar(
        select(Upload.received).where(Upload.public_id == public_id, Upload.missing_since.is_(None))
    )
    if received is None:
        raise NotFound("There is no such upload")
    return received


def count_bytes(
    session: Session, public_id: str, start: int, end: int, size: int | None, now: datetime
) -> bool:
    """Count stored bytes in one statement, without the rows; the pieces of a take are many.

    Returns False, and counts nothing, if the upload or its interview has changed meanwhile.
    """
    is_open = exists().where(
        _orders.c.id == Upload.order_id,
        _orders.c.status == PENDING,
        _orders.c.progress == STARTED,
    )
    counted = session.execute(
        update(Upload)
        .where(Upload.public_id == public_id, Upload.received == start, is_open)
        .where(Upload.recording_id.is_(None), Upload.missing_since.is_(None))
        .where(or_(Upload.size.is_(None), Upload.size == size))
        .values(received=end, received_at=now, size=size)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[Any], counted).rowcount == 1


def hold_open_for(interview: Interview, upload: Upload, now: datetime) -> None:
    """Keep the interview open until a take that was announced in time can have arrived."""
    seconds = 0
    if upload.size is None:  # it is being recorded
        questions = {question.key: question for question in interview.questions}
        seconds = questions[upload.question].answer_seconds
    until = now + timedelta(seconds=seconds) + ARRIVAL_TIME
    if not interview.is_running(until):
        interview.hold_open(until)


def expires_at(interview: Interview) -> datetime | None:
    """Return the time until which unfinished takes are stored; None when the interview is over."""
    return interview.closes_at


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
        _is_unfinished(interview), Upload.id != (upload.id if upload else 0)
    )
    used = recorded + (session.scalar(received) or 0)
    return max(0, min(quota_bytes(interview.questions) - used, MAX_TAKE_BYTES))


def discard(db: Database, media: MediaStore, public_id: str) -> None:
    """Delete an upload and its bytes. Raises Unavailable; then the scheduled work repeats it.

    The files go first: a row that is left over still names its files. A saved take stays.
    """
    media.delete_folder(f"{FOLDER}/{public_id}")
    with db.writing() as session:
        upload = session.scalar(select(Upload).where(Upload.public_id == public_id))
        if upload is not None and upload.recording_id is None:
            session.delete(upload)


def _is_unfinished(interview: Interview) -> ColumnElement[bool]:
    return and_(
        Upload.order_id == interview.id,
        Upload.recording_id.is_(None),
        Upload.missing_since.is_(None),
    )
