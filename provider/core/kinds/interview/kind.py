"""The description of the kind interview."""

import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from provider.core.kinds.base import Kind, KindMedia, KindTexts, MediaReference
from provider.core.kinds.interview import content
from provider.core.kinds.interview.answers import DELETED, READY, Rating, Recording
from provider.core.kinds.interview.models import Interview, InterviewTemplate
from provider.core.kinds.interview.question_media import find_file_slots
from provider.core.kinds.interview.scripted import play_step
from provider.core.kinds.interview.shown_questions import ShownQuestion
from provider.core.kinds.interview.upload_cleanup import (
    DISCARD_ABANDONED_UPLOADS,
    find_missing_takes,
)
from provider.core.kinds.interview.uploads import Upload
from provider.core.orders import CLOSE_ATTEMPTS, Order
from provider.core.staff.permissions import Permission
from provider.texts import lazy_gettext as _

RECORDING_KEY_PATTERN = re.compile(
    r"recordings/([\w-]{22})/(?:original|playable|poster\.jpg)", re.ASCII
)


def list_media_references(session: Session) -> Iterator[MediaReference]:
    """Yield the original of each recording, and its copy and poster once they are made."""
    query = select(Recording).where(Recording.state != DELETED).order_by(Recording.id)
    query = query.execution_options(yield_per=1000)
    for recording in session.scalars(query):
        yield MediaReference(recording.original_key, recording.sha256)
        if recording.state == READY:
            yield MediaReference(recording.copy_key)
            # An earlier release made copies of sound alone, without a poster.
            yield MediaReference(recording.poster_key, is_required=False)


def list_media_folders(session: Session, order: Order) -> Iterator[str]:
    """Yield the folder of each recording, and of each upload that is not complete."""
    for recording in session.scalars(select(Recording).where(Recording.order_id == order.id)):
        yield recording.folder
    for upload in session.scalars(select(Upload).where(Upload.order_id == order.id)):
        yield upload.folder


def forget_media(session: Session, order: Order) -> None:
    """Mark the recordings of an order as deleted."""
    session.execute(update(Recording).where(Recording.order_id == order.id).values(state=DELETED))


HAS_MEDIA = exists().where(Recording.order_id == Order.id, Recording.state != DELETED)
KIND = Kind(
    name="interview",
    product_class=InterviewTemplate,
    order_class=Interview,
    schema=content.SCHEMA,
    texts=KindTexts(
        label=_("Interview"),
        product_label=_("Interview template"),
        noun=_("video interview"),
        noun_with_article=_("a video interview"),
        invited_to=_("give a video interview"),
        request_phrase=_("invites you to a video interview"),
        button_label=_("See the interview"),
        reassurance=_("Nothing is recorded before you choose to begin. Looking first is safe."),
        receipt=_("Thank you: your video interview has arrived."),
    ),
    find_warnings=content.find_warnings,
    find_file_slots=find_file_slots,
    find_missing_media=find_missing_takes,
    play_step=play_step,
    folder=Path(__file__).parent,
    labels={
        "event": {"remux": "Recording processed"},
        "needs": {"interview": "Staff: rating"},
    },
    # Of the tables in `models.py`, `shown_questions.py` and `uploads.py`. The recordings are files:
    # see `media`.
    personal_columns=(Rating.value, Rating.note),
    other_columns=(
        Rating.question,
        Rating.actor,
        Recording.public_id,
        Recording.question,
        Recording.take,
        Recording.mime,
        Recording.size,
        Recording.sha256,
        Recording.state,
        Recording.seconds,
        Recording.is_selected,
        ShownQuestion.question,
        Upload.public_id,
        Upload.question,
        Upload.take,
        Upload.mime,
        Upload.size,
        Upload.sha256,
        Upload.received,
    ),
    scheduled_works=(CLOSE_ATTEMPTS, DISCARD_ABANDONED_UPLOADS),
    media=KindMedia(
        RECORDING_KEY_PATTERN,
        Recording.public_id,
        list_media_references,
        list_media_folders,
        HAS_MEDIA,
        forget_media,
    ),
    work_permission=Permission.RATE_INTERVIEWS,
)
