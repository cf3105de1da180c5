"""The description of the kind assessment."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from provider.core.kinds import answer_files
from provider.core.kinds.answer_files import AnswerFile
from provider.core.kinds.assessment import content, import_warnings
from provider.core.kinds.assessment.answer_uploads import (
    DISCARD_ABANDONED_FILES,
    AnswerUpload,
    list_uploads,
)
from provider.core.kinds.assessment.answers import Answer
from provider.core.kinds.assessment.attempt import TestAttempt
from provider.core.kinds.assessment.draft_problems import find_draft_problems
from provider.core.kinds.assessment.integrity_signals import IntegritySignal
from provider.core.kinds.assessment.integrity_summary import MANY, NONE, SOME
from provider.core.kinds.assessment.items.stimulus import find_file_slots
from provider.core.kinds.assessment.marked_test import SECOND_LOOK_EMAIL
from provider.core.kinds.assessment.models import Assessment, Test
from provider.core.kinds.assessment.scoring import PARTLY_RIGHT, RIGHT, WRONG
from provider.core.kinds.assessment.scripted import play_step
from provider.core.kinds.assessment.sections import describe_entry
from provider.core.kinds.base import Kind, KindTexts
from provider.core.marking import DISPUTED_CORRECTION
from provider.core.orders import CLOSE_ATTEMPTS, RECORD_PAUSES, Order
from provider.core.staff.permissions import Permission
from provider.texts import gettext_noop
from provider.texts import lazy_gettext as _


def list_media_folders(session: Session, order: Order) -> Iterator[str]:
    """Yield the folder of each file of an answer, and of each file that is being sent."""
    yield from answer_files.list_folders(session, order)
    for upload in list_uploads(session, order):
        yield upload.folder


KIND = Kind(
    name="assessment",
    product_class=Test,
    order_class=Assessment,
    schema=content.SCHEMA,
    texts=KindTexts(
        label=_("Assessment"),
        product_label=_("Test"),
        noun=_("test"),
        noun_with_article=_("a test"),
        invited_to=_("take a test"),
        request_phrase=_("invites you to take a test"),
        button_label=_("See the test"),
        reassurance=_(
            "The time runs only from the moment you choose to begin. Looking first is safe."
        ),
        receipt=_("Thank you: your test has arrived."),
    ),
    play_step=play_step,
    folder=Path(__file__).parent,
    email_subjects={
        SECOND_LOOK_EMAIL: gettext_noop(
            "%(company)s: the answer about the result of your %(noun)s"
        ),
    },
    labels={
        "needs": {"assessment": "Staff: marking"},
        "mark": {RIGHT: _("Right"), PARTLY_RIGHT: _("Partly right"), WRONG: _("Wrong")},
        "integrity": {NONE: _("No signals"), SOME: _("Some signals"), MANY: _("Many signals")},
        "event": {
            "retake allowed": "Retake allowed",
            DISPUTED_CORRECTION: "Corrected mark differs: a decision is needed",
            SECOND_LOOK_EMAIL: "Answer to a request for a second look",
        },
    },
    # Signals are no verdict, so their tones are neither good nor bad.
    tones={RIGHT: "good", PARTLY_RIGHT: "warn", WRONG: "bad", SOME: "info", MANY: "warn"},
    personal_columns=(
        Answer.value,
        Answer.typed,
        AnswerFile.name,
        AnswerUpload.name,
        IntegritySignal.type,
        IntegritySignal.number,
        IntegritySignal.length,
        IntegritySignal.network_digest,
        IntegritySignal.browser,
    ),
    # The files of answers are in media storage: see `media`.
    other_columns=(
        AnswerFile.public_id,
        AnswerFile.item_key,
        AnswerFile.type,
        AnswerFile.size,
        AnswerFile.sha256,
        AnswerFile.is_deleted,
        AnswerUpload.public_id,
        AnswerUpload.item_key,
        AnswerUpload.type,
        AnswerUpload.size,
        AnswerUpload.sha256,
        AnswerUpload.number,
        AnswerUpload.received,
        AnswerUpload.pieces,
        Answer.item_key,
        Answer.number,
        TestAttempt.form,
        TestAttempt.part,
        TestAttempt.part_rest_ms,
        TestAttempt.item_number,
        TestAttempt.item_rest_ms,
        TestAttempt.closed,
        TestAttempt.is_break,
        TestAttempt.practice_left_ms,
        TestAttempt.frozen_ms,
        TestAttempt.flags,
        TestAttempt.device,
        TestAttempt.given_back_seconds,
        IntegritySignal.attempt,
    ),
    scheduled_works=(CLOSE_ATTEMPTS, RECORD_PAUSES, DISCARD_ABANDONED_FILES),
    media=replace(answer_files.MEDIA, list_folders=list_media_folders),
    work_permission=Permission.RATE_INTERVIEWS,
    find_warnings=import_warnings.find_warnings,
    find_draft_problems=find_draft_problems,
    find_file_slots=find_file_slots,
    describe_entry=describe_entry,
)
