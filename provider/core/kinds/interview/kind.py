"""The description of the kind interview."""

import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from provider.core.kinds import answer_files
from provider.core.kinds.answer_files import AnswerFile
from provider.core.kinds.base import Kind, KindMedia, KindTexts, MediaReference
from provider.core.kinds.interview import content
from provider.core.kinds.interview.answers import DELETED, READY, Caption, Recording, TimeNote
from provider.core.kinds.interview.given_answers import GivenAnswer
from provider.core.kinds.interview.models import Interview, InterviewTemplate
from provider.core.kinds.interview.question_media import find_file_slots
from provider.core.kinds.interview.scorecards import Rating, Scorecard, has_rated
from provider.core.kinds.interview.scripted import play_step
from provider.core.kinds.interview.shown_questions import ShownQuestion
from provider.core.kinds.interview.template_video import prepare_video
from provider.core.kinds.interview.upload_cleanup import (
    DISCARD_ABANDONED_UPLOADS,
    find_missing_takes,
)
from provider.core.kinds.interview.uploads import Upload
from provider.core.orders import CLOSE_ATTEMPTS, RECORD_PAUSES, Order
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
    """Yield the folder of each recording, unfinished upload and file of an answer."""
    for recording in session.scalars(select(Recording).where(Recording.order_id == order.id)):
        yield recording.folder
    for upload in session.scalars(select(Upload).where(Upload.order_id == order.id)):
        yield upload.folder
    yield from answer_files.list_folders(session, order)


def forget_media(session: Session, order: Order) -> None:
    """Mark the recordings and the files of an order as deleted, and delete the captions."""
    recordings = select(Recording.id).where(Recording.order_id == order.id)
    session.execute(delete(Caption).where(Caption.recording_id.in_(recordings)))
    answer_files.forget(session, order)
    session.execute(update(Recording).where(Recording.order_id == order.id).values(state=DELETED))


# The assessments' kind lists the files of all answers: these are of one table.
HAS_MEDIA = or_(
    exists().where(Recording.order_id == Order.id, Recording.state != DELETED),
    answer_files.IS_STORED,
)
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
    prepare_video=prepare_video,
    play_step=play_step,
    folder=Path(__file__).parent,
    labels={
        "event": {
            "remux": "Recording processed",
            "transcribe": "Captions requested",
            "recording agreed": "The candidate agreed to be recorded",
        },
        "needs": {"interview": "Staff: rating"},
    },
    # Of the tables in this folder. The recordings are files:
    # see `media`.
    personal_columns=(
        Rating.value,
        Rating.note,
        Scorecard.overall,
        Scorecard.comment,
        TimeNote.text,
        Caption.text,
        GivenAnswer.value,
        AnswerFile.name,
    ),
    other_columns=(
        AnswerFile.public_id,
        AnswerFile.item_key,
        AnswerFile.type,
        AnswerFile.size,
        AnswerFile.sha256,
        AnswerFile.is_deleted,
        GivenAnswer.question,
        GivenAnswer.number,
        Rating.question,
        Rating.actor,
        Rating.save_number,
        Scorecard.reviewer,
        Scorecard.state,
        Scorecard.assigned_by,
        Scorecard.save_number,
        TimeNote.public_id,
        TimeNote.seconds,
        TimeNote.actor,
        Caption.language,
        Caption.source,
        Caption.actor,
        Caption.save_number,
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
    scheduled_works=(
        CLOSE_ATTEMPTS,
        RECORD_PAUSES,
        DISCARD_ABANDONED_UPLOADS,
    ),
    media=KindMedia(
        RECORDING_KEY_PATTERN,
        Recording.public_id,
        list_media_references,
        list_media_folders,
        HAS_MEDIA,
        forget_media,
    ),
    work_permission=Permission.RATE_INTERVIEWS,
    has_rated=has_rated,
)
