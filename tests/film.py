"""Short films, made in memory as a browser's recorder would have made them, and interviews full of
them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from provider.demo.film import webm as webm
from provider.house import House
from provider.kinds.interview import READY, Interview, Recording
from provider.kinds.interview.remux import remux
from tests import cast

WEBM = "video/webm;codecs=vp8,opus"
REACHES = """(film, second) => new Promise(done => {
    const look = () => film.currentTime >= second ? done() : requestAnimationFrame(look);
    look();
})"""  # in a browser: waits until a player is there
TEMPLATE: dict[str, Any] = {
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
def prepared(tint: int = 0) -> tuple[bytes, bytes, float]:
    """Return the copy of a film, its poster and its length, as they are really made."""
    with TemporaryDirectory() as folder:
        source, copy, poster = (Path(folder) / name for name in ("source", "copy", "poster"))
        source.write_bytes(webm(tint=tint))
        made = remux(source, copy, poster)
        return copy.read_bytes(), poster.read_bytes(), made.seconds


def order(house: House, number: int = 1, *, account: int | None = None, **content: Any) -> str:
    """Return an interview that was placed and begun."""
    owner = account or cast.account(house, timezone="Europe/Athens")[0]
    template = cast.product(
        house, "interview", TEMPLATE | content, f"first-{number}", "First interview"
    )
    public_id = cast.order(
        house, owner, template, "interview",
        callback_url=f"https://groove-tech.workable.com/interviews/{number}",
    )  # fmt: skip
    with house.db.writing() as session:
        Interview.find(session, public_id).start(session, house.now())
    return public_id


def take(
    house: House, interview: str, question: str, *, tint: int = 0, ready: bool = True,
    mime: str = WEBM,
) -> str:  # fmt: skip
    """Record an answer and return the recording's public id."""
    film = webm(tint=tint)
    with house.db.writing() as session:
        found = Interview.find(session, interview)
        public_id = f"take-{found.id}-{question}-{tint}"
        kept = house.media.keep(f"recordings/{public_id}/original", [film])
        recording = found.record(session, question, public_id, mime, kept, house.now())
        if ready:
            _prepare(house, recording, tint)
        return recording.public_id


def _prepare(house: House, recording: Recording, tint: int) -> None:
    copy, poster, seconds = prepared(tint)
    house.media.keep(recording.copy, [copy])
    house.media.keep(recording.poster, [poster])
    recording.state, recording.seconds = READY, seconds


def handed_in(
    house: House, number: int = 1, *, account: int | None = None
) -> tuple[str, list[str]]:
    """Return an interview that was handed in, and its recordings; `why` was recorded twice."""
    interview = order(house, number, account=account)
    first = take(house, interview, "why", tint=10 * number)
    rest = [take(house, interview, key, tint=10 * number + at)
            for at, key in enumerate(("why", "proud", "ask"), 1)]  # fmt: skip
    send(house, interview)
    return interview, [first, *rest]


def half(house: House, number: int, *, account: int) -> str:
    """Return an interview that the clock handed in: one answer, still being prepared."""
    interview = order(house, number, account=account)
    take(house, interview, "why", tint=10 * number, ready=False)
    with house.db.writing() as session:
        found = Interview.find(session, interview)
        found.close(session, house.vault, house.now())
    return interview


def send(house: House, interview: str) -> None:
    """Hand an interview in."""
    with house.db.writing() as session:
        Interview.find(session, interview).send(session, house.now())


def account_of(house: House, interview: str) -> int:
    """Return whose interview it is."""
    with house.db.reading() as session:
        return Interview.find(session, interview).account_id


def rate(house: House, interview: str, *values: int, note: str = "Clear and to the point.") -> None:
    """Rate the answers in their order."""
    with house.db.writing() as session:
        found = Interview.find(session, interview)
        for question, value in zip(found.answered(), values, strict=True):
            found.rate(question.key, value, note, "rita@provider.test", house.now())


def completed(
    house: House, number: int = 1, *, account: int | None = None
) -> tuple[str, list[str]]:
    """Return an interview with a result (75 %, passed), and its recordings."""
    interview, recordings = handed_in(house, number, account=account)
    rate(house, interview, 5, 4, 3)
    conclude(house, interview)
    return interview, recordings


def conclude(house: House, interview: str) -> None:
    """Complete an interview that is rated."""
    with house.db.writing() as session:
        found = Interview.find(session, interview)
        found.conclude(session, house.vault, "", "rita@provider.test", house.now())
