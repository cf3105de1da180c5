"""The page of an interview: its recordings, the scorecards of its reviewers, their notes."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from flask import Blueprint, make_response, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.interview import Interview, Recording, Scorecard
from provider.core.kinds.interview.speech import find_engine
from provider.core.kinds.interview.time_notes import MAX_TEXT_LENGTH, format_time
from provider.core.orders import COMPLETED
from provider.core.orders.states import SUBMITTED
from provider.core.staff import ROLE_PERMISSIONS, Permission, Staff
from provider.errors import Conflict, NotFound, Unavailable
from provider.services import current_services
from provider.web.console import interview_files
from provider.web.console.authentication import (
    candidate_names,
    current_staff,
    may,
    record_act,
    requires,
)
from provider.web.console.presence import presence_context, record_visit
from provider.web.range_responses import safe_mimetype, serve_media
from provider.web.report.interview_media import captions_response, find_media_file

routes = Blueprint("interviews", __name__, url_prefix="/orders/<order_id>/interview")
routes.register_blueprint(interview_files.routes)

MAX_NOTE_LENGTH = 2000  # characters
FILE_EXTENSIONS = {
    "video/webm": "webm",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "audio/mp4": "mp4",
}
# A player asks for a recording again and again while it plays: this is one act of watching.
WATCHING = timedelta(hours=1)

log = get_logger()


@dataclass(frozen=True)
class Problem:
    """Why a form was not saved. `place` is the key of a question, `overall`, or empty."""

    text: str
    status_code: int
    place: str = ""


@routes.get("")
@requires(Permission.VIEW_RESULTS)
def detail(order_id: str) -> Response:
    record_visit(order_id)
    return render_interview(order_id)


@routes.get("/<any(takes, posters):variant>/<recording_id>")
@requires(Permission.VIEW_RESULTS)
def media_file(order_id: str, variant: str, recording_id: str) -> Response:
    """Send a recording or its poster; range requests are answered in part."""
    with current_services().db.reading() as session:
        recording = find_recording(session, order_id, recording_id)
        key, mimetype = find_media_file(recording, variant)
        is_noted = variant == "posters" or _is_noted(session, order_id, recording_id)
    if not is_noted:
        _note_watching(order_id, recording_id)
    return serve_media(current_services().media, key, mimetype)


@routes.get("/captions/<recording_id>.vtt")
@requires(Permission.VIEW_RESULTS)
def captions(order_id: str, recording_id: str) -> Response:
    """Send the captions of a recording: to a player, or with `download` as a file."""
    with current_services().db.reading() as session:
        recording = find_recording(session, order_id, recording_id)
        name = f"{order_id}-{recording.question}-{recording.take}.vtt"
        return captions_response(recording, name if "download" in request.args else "")


@routes.get("/originals/<recording_id>")
@requires(Permission.VIEW_RESULTS)
def download_original(order_id: str, recording_id: str) -> Response:
    """Send the uploaded file as a download, for recordings that could not be processed."""
    with current_services().db.reading() as session:
        recording = find_recording(session, order_id, recording_id)
        key, mimetype = find_media_file(recording, "originals")
        name = f"{order_id}-{recording.question}-{recording.take}.{_file_extension(mimetype)}"
    _note_watching(order_id, recording_id)
    return serve_media(current_services().media, key, mimetype, name)


def render_interview(order_id: str, problem: Problem | None = None) -> Response:
    """Return the page; after a form that was not saved with the problem and what was typed."""
    email = current_staff().email
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        can_rate = (
            interview.status == "pending"
            and is_submitted(interview)
            and may(Permission.RATE_INTERVIEWS)
        )
        own = interview.scorecard_of(email)
        sees_others = sees_scorecards(interview)
        can_fill_in = can_rate and (own is None or own.is_open)
        if problem and not can_fill_in:  # there is no form that could show the problem
            problem = replace(problem, place="")
        html = render_template(
            "console/interview/detail.html",
            order=interview,
            content=interview.content,
            timezone=interview.account.timezone,
            name=candidate_names().name_of(interview),
            is_name_hidden=candidate_names().is_hidden(interview),
            may_take_back=not submits_once(interview) and interview.may_take_back(email),
            own=own,
            ratings=interview.ratings_by_question(email),
            others=_list_others(interview) if sees_others else [],
            sees_others=sees_others,
            can_watch=is_submitted(interview),
            can_rate=can_rate,
            can_fill_in=can_fill_in,
            unrated_count=len(interview.unrated_questions(email)),
            reviewers=interview.current_scorecards(),
            assignable=_list_assignable(session, interview),
            format_time=format_time,
            has_engine=find_engine(current_services().settings.speech_engine) is not None,
            problem=problem,
            invalid_place=problem.place if problem else "",
            form=request.form,
            max_length=MAX_NOTE_LENGTH,
            max_note_length=MAX_TEXT_LENGTH,
            presence=presence_context(session, interview),
        )
    return make_response(html, problem.status_code if problem else 200)


def is_submitted(interview: Interview) -> bool:
    # Before submission the candidate may still replace a recording, so staff must not see it.
    return interview.progress == SUBMITTED and interview.status in ("pending", COMPLETED)


def sees_scorecards(interview: Interview) -> bool:
    """Return whether the member of staff behind the request sees the scorecards of others."""
    return interview.sees_scorecards(
        current_staff().email, may_rate=may(Permission.RATE_INTERVIEWS)
    )


def submits_once(interview: Interview) -> bool:
    """Return whether the submission of a scorecard shows its reviewer a hidden name.

    The scorecard must not be changed any more then.
    """
    return interview.account.hides_names_from_reviewers and candidate_names().is_reviewer


def find_recording(session: Session, order_id: str, recording_id: str) -> Recording:
    interview = Interview.find(session, order_id)
    if not is_submitted(interview):
        raise Conflict("The recordings can be watched after the candidate submits the interview")
    return interview.find_recording(recording_id)


def question_number(interview: Interview, question_key: str) -> int:
    keys = [question.key for question in interview.content.questions]
    if question_key not in keys:
        raise NotFound("There is no such question in this interview")
    return keys.index(question_key) + 1


def _list_others(interview: Interview) -> list[tuple[Scorecard, Any]]:
    """Return the scorecards of others that are in, each with its ratings by question."""
    email = current_staff().email
    return [
        (card, interview.ratings_by_question(card.reviewer))
        for card in interview.current_scorecards()
        if card.is_in and card.reviewer != email
    ]


def _list_assignable(session: Session, interview: Interview) -> list[str]:
    """Return the e-mails of those who may rate the interview and have no scorecard yet."""
    if not may(Permission.MANAGE_ORDERS):
        return []
    busy = {card.reviewer for card in interview.current_scorecards() if card.assigned_by}
    busy |= {card.reviewer for card in interview.current_scorecards() if not card.is_open}
    roles = [
        role
        for role, permissions in ROLE_PERMISSIONS.items()
        if {Permission.RATE_INTERVIEWS, Permission.VIEW_RESULTS} <= permissions
    ]
    staff = session.scalars(
        select(Staff)
        .where(Staff.role.in_(roles), Staff.disabled_at.is_(None))
        .order_by(Staff.email)
    )
    return [
        member.email
        for member in staff
        if member.email not in busy
        and (member.account_ids is None or interview.account_id in member.account_ids)
    ]


def _is_noted(session: Session, order_id: str, recording_id: str) -> bool:
    """Return whether the audit log has it that the member of staff watches the recording now."""
    query = select(AuditEntry.after).where(
        AuditEntry.subject == f"order:{order_id}",
        AuditEntry.action == Action.RECORDING_WATCHED,
        AuditEntry.actor == current_staff().email,
        AuditEntry.at > current_services().now() - WATCHING,
    )
    return any(after == {"recording": recording_id} for after in session.scalars(query))


def _note_watching(order_id: str, recording_id: str) -> None:
    """Write to the audit log who watches; a database that cannot be written stops nobody."""
    try:
        with current_services().db.writing() as session:
            after = {"recording": recording_id}
            record_act(session, Action.RECORDING_WATCHED, f"order:{order_id}", after=after)
    except Unavailable as error:
        log.warning("watching_not_recorded", order=order_id, error=str(error))


def _file_extension(mimetype: str) -> str:
    return FILE_EXTENSIONS.get(safe_mimetype(mimetype), "bin")
