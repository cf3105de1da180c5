"""The steps of a scripted candidate of a sandbox, and of the staff who rate the answers.

The recordings are short videos that are made here; they are processed like those of a browser.
"""

from sqlalchemy.orm import Session

from provider.core.kinds.answer_files import EXTENSIONS, media_key
from provider.core.kinds.base import ScriptedStep
from provider.core.kinds.interview.answers import SENT
from provider.core.kinds.interview.given_answers import save_answer, save_file
from provider.core.kinds.interview.models import Interview
from provider.core.kinds.interview.questions import FILE, Question
from provider.core.orders import GivenTime
from provider.core.orders.states import STARTED, SUBMITTED
from provider.storage import secrets

ACTOR = "system"
SCRIPTED_TEXT = "A reply"  # short, because a question may limit the words
SCRIPTED_FILES = {
    "application/pdf": b"%PDF-1.4\n%%EOF\n",
    "image/jpeg": b"\xff\xd8\xff\xd9",
}
MIME_TYPE = "video/webm;codecs=vp8,opus"


def play_step(session: Session, interview: Interview, step: ScriptedStep) -> None:
    if interview.progress == SUBMITTED:
        _rate(session, interview, step)
    elif interview.progress != STARTED:
        interview.start(session, step.now)
    elif interview.unanswered_questions():
        _answer(session, interview, step)
    else:
        interview.submit(session, step.now)


def _answer(session: Session, interview: Interview, step: ScriptedStep) -> None:
    for question in interview.unanswered_questions():
        if question.is_recorded:
            _record(session, interview, question, step)
        elif question.answer == FILE:
            _send_file(session, interview, question, step)
        else:
            value = question.options[0] if question.options else SCRIPTED_TEXT
            value = value[: question.max_characters]
            given = GivenTime(step.now)
            save_answer(session, interview, question, value, step.now, given)


def _record(session: Session, interview: Interview, question: Question, step: ScriptedStep) -> None:
    from provider.core.sample_video import webm  # late: PyAV is slow to import

    public_id = secrets.generate_public_id()
    file = step.media.put(f"recordings/{public_id}/original", [webm()])
    interview.add_recording(session, question.key, public_id, MIME_TYPE, file, step.now)


def _send_file(
    session: Session, interview: Interview, question: Question, step: ScriptedStep
) -> None:
    content_type = question.accepted_files.content_types[0]
    public_id = secrets.generate_public_id()
    file = step.media.put(media_key(public_id), [SCRIPTED_FILES[content_type]])
    name, given = f"answer.{EXTENSIONS[content_type]}", GivenTime(step.now)
    save_file(session, interview, question, public_id, name, content_type, file, step.now, given)


def _rate(session: Session, interview: Interview, step: ScriptedStep) -> None:
    if any(recording.state == SENT for recording in interview.recordings):
        return  # a later step rates what was processed
    scale = interview.content.scale
    value = scale.max if step.is_good else scale.min
    for question in interview.unrated_questions(ACTOR):
        interview.rate(question.key, value, "", ACTOR, step.now)
    interview.conclude(session, step.secret_box, "", ACTOR, step.now)
