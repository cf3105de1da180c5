"""The steps of a scripted candidate of a sandbox, and of the staff who rate the answers.

The recordings are short videos that are made here; they are processed like those of a browser.
"""

from sqlalchemy.orm import Session

from provider.core.kinds.base import ScriptedStep
from provider.core.kinds.interview.answers import SENT
from provider.core.kinds.interview.models import Interview
from provider.core.orders.states import STARTED, SUBMITTED
from provider.storage import secrets

ACTOR = "system"
MIME_TYPE = "video/webm;codecs=vp8,opus"


def play_step(session: Session, interview: Interview, step: ScriptedStep) -> None:
    if interview.progress == SUBMITTED:
        _rate(session, interview, step)
    elif interview.progress != STARTED:
        interview.start(session, step.now)
    elif interview.unanswered_questions():
        _record(session, interview, step)
    else:
        interview.submit(session, step.now)


def _record(session: Session, interview: Interview, step: ScriptedStep) -> None:
    from provider.core.sample_video import webm  # late: PyAV is slow to import

    for question in interview.unanswered_questions():
        public_id = secrets.generate_public_id()
        file = step.media.put(f"recordings/{public_id}/original", [webm()])
        interview.add_recording(session, question.key, public_id, MIME_TYPE, file, step.now)


def _rate(session: Session, interview: Interview, step: ScriptedStep) -> None:
    if any(recording.state == SENT for recording in interview.recordings):
        return  # a later step rates what was processed
    scale = interview.content.scale
    value = scale.max if step.is_good else scale.min
    for question in interview.unrated_questions(ACTOR):
        interview.rate(question.key, value, "", ACTOR, step.now)
    interview.conclude(session, step.secret_box, "", ACTOR, step.now)
