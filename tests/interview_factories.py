"""Interviews with recordings. The videos are built in memory, encoded as browsers record them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from provider.core.kinds.interview import READY, Interview, Recording
from provider.core.kinds.interview.recording_reader import read_recording
from provider.core.sample_video import webm as webm
from provider.services import Services
from tests import factories

WEBM_MIME_TYPE = "video/webm;codecs=vp8,opus"
# Runs in a browser: waits until a player has reached a second of its video.
WAIT_FOR_PLAYBACK_SCRIPT = """(video, second) => new Promise(resolve => {
    const check = () => video.currentTime >= second ? resolve() : requestAnimationFrame(check);
    check();
})"""
TEMPLATE_CONTENT: dict[str, Any] = {
    "schema": 1,
    "description": "Three short questions.",
    "questions": [
        {"key": "why", "text": "Why **this** job?", "answer_seconds": 60, "takes": 3},
        {"key": "proud", "text": "What are you proud of?", "answer_seconds": 60, "takes": 1},
        {"key": "ask", "text": "What would you ask us?", "answer_seconds": 60, "takes": 1},
    ],
    "scale": {"min": 1, "max": 5, "labels": ["Poor", "Weak", "Fair", "Good", "Excellent"]},
    "grades": {"passed": 50, "excelled": 80},
    "summaries": {
        "failed": "The answers did not show what the job asks for.",
        "passed": "The answers show what the job asks for.",
        "excelled": "Convincing in every respect.",
    },
}


@cache
def processed_video(tint: int = 0) -> tuple[bytes, bytes, float]:
    """Return the remuxed video, its poster and its length in seconds."""
    with TemporaryDirectory() as folder:
        source, copy, poster = (Path(folder) / name for name in ("source", "copy", "poster"))
        source.write_bytes(webm(tint=tint))
        seconds = read_recording(source, copy, poster)["seconds"]
        return copy.read_bytes(), poster.read_bytes(), seconds


def place_interview(
    services: Services, number: int = 1, *, account: int | None = None, **content: Any
) -> str:
    """Return the public id of an interview that its candidate has started."""
    account_id = account or factories.create_account(services, timezone="Europe/Athens")[0]
    template = factories.create_product(
        services, "interview", TEMPLATE_CONTENT | content, f"first-{number}", "First interview"
    )
    public_id = factories.place_order(
        services,
        account_id,
        template,
        "interview",
        callback_url=f"https://groove-tech.workable.com/interviews/{number}",
    )
    with services.db.writing() as session:
        Interview.find(session, public_id).start(session, services.now())
    return public_id


def record_answer(
    services: Services,
    interview: str,
    question: str,
    *,
    tint: int = 0,
    ready: bool = True,
    mime: str = WEBM_MIME_TYPE,
) -> str:
    """Return the public id of a recorded answer; only a `ready` one has been processed."""
    video = webm(tint=tint)
    with services.db.writing() as session:
        interview_row = Interview.find(session, interview)
        public_id = f"rec-{interview_row.id}-{question}-{tint}"
        stored_file = services.media.put(f"recordings/{public_id}/original", [video])
        recording = interview_row.add_recording(
            session, question, public_id, mime, stored_file, services.now()
        )
        if ready:
            _process_recording(services, recording, tint)
        return recording.public_id


def _process_recording(services: Services, recording: Recording, tint: int) -> None:
    copy, poster, seconds = processed_video(tint)
    services.media.put(recording.copy_key, [copy])
    services.media.put(recording.poster_key, [poster])
    recording.state, recording.seconds = READY, seconds


def submitted_interview(
    services: Services, number: int = 1, *, account: int | None = None, **content: Any
) -> tuple[str, list[str]]:
    """Return a submitted interview and its recordings; `why` was recorded twice."""
    interview = place_interview(services, number, account=account, **content)
    first = record_answer(services, interview, "why", tint=10 * number)
    later = [
        record_answer(services, interview, key, tint=10 * number + offset)
        for offset, key in enumerate(("why", "proud", "ask"), 1)
    ]
    submit_interview(services, interview)
    return interview, [first, *later]


def auto_submitted_interview(
    services: Services, number: int, *, account: int, **content: Any
) -> str:
    """Return an interview submitted at its deadline: one answer, not processed yet."""
    interview = place_interview(services, number, account=account, **content)
    record_answer(services, interview, "why", tint=10 * number, ready=False)
    with services.db.writing() as session:
        interview_row = Interview.find(session, interview)
        interview_row.close_at_deadline(session, services.secret_box, services.now())
    return interview


def submit_interview(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        Interview.find(session, interview).submit(session, services.now())


def selected_recording(services: Services, interview: str, question: str) -> str:
    with services.db.reading() as session:
        recording = Interview.find(session, interview).selected_recording(question)
        assert recording
        return recording.public_id


def account_id_of(services: Services, interview: str) -> int:
    with services.db.reading() as session:
        return Interview.find(session, interview).account_id


REVIEWER = "operator@provider.test"  # whom `ConsoleClient` signs in


def rate_answers(
    services: Services,
    interview: str,
    *values: int,
    note: str = "Clear and to the point.",
    reviewer: str = REVIEWER,
) -> None:
    """Rate the answers in the order of the questions."""
    with services.db.writing() as session:
        interview_row = Interview.find(session, interview)
        for question, value in zip(interview_row.answered_questions(), values, strict=True):
            interview_row.rate(question.key, value, note, reviewer, services.now())


def submit_scorecard(services: Services, interview: str, reviewer: str = REVIEWER) -> None:
    with services.db.writing() as session:
        interview_row = Interview.find(session, interview)
        interview_row.submit_scorecard(session, reviewer, services.now())


def completed_interview(
    services: Services, number: int = 1, *, account: int | None = None, **content: Any
) -> tuple[str, list[str]]:
    """Return an interview with a result (75 %, passed) and its recordings."""
    interview, recordings = submitted_interview(services, number, account=account, **content)
    rate_answers(services, interview, 5, 4, 3)
    complete_interview(services, interview)
    return interview, recordings


def complete_interview(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        interview_row = Interview.find(session, interview)
        interview_row.conclude(session, services.secret_box, "", REVIEWER, services.now())
