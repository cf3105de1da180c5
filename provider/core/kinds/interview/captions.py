"""Captions of recordings, as WebVTT: read, checked, and written anew.

A cue is text and two times, and nothing else: styles, regions, comments and settings are left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.interview.answers import Caption, Recording
from provider.core.kinds.interview.scorecards import accept_save
from provider.errors import Conflict, Invalid

STAFF = "staff"  # the source of captions that staff wrote or uploaded
MAX_TEXT_LENGTH = 500_000  # characters of a file
MAX_CUES = 10_000
SIGNATURE = "WEBVTT"
LANGUAGE_PATTERN = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8}){0,3}", re.ASCII)


@dataclass(frozen=True)
class Cue:
    """A text from `start` to `end`, in seconds."""

    start: float
    end: float
    text: str


def save_captions(
    recording: Recording,
    text: str,
    language: str,
    source: str,
    actor: str,
    now: datetime,
    based_on: int | None = None,
) -> Caption:
    """Store the captions of a recording in place of earlier ones.

    `based_on` is the number of the save that the form showed; None replaces any. Raises Invalid for
    text that is not WebVTT and for a language that is no tag, NewerSave for an older save, Conflict
    for a recording that is deleted.
    """
    if recording.is_deleted:
        raise Conflict("This recording was deleted: the time of its storage is over")
    if not LANGUAGE_PATTERN.fullmatch(language):
        raise Invalid(
            "The language should be a tag: two or three letters, and a country where it matters"
        )
    normal_text = normalise(text)
    caption = recording.caption
    if caption is None:
        caption = recording.caption = Caption(save_number=0)
    is_same = (normal_text, language) == (caption.text, caption.language)
    caption.save_number = accept_save(caption.save_number, based_on, is_same=is_same)
    caption.text, caption.language, caption.source = normal_text, language, source
    caption.actor, caption.saved_at = actor, now
    return caption


def request_captions(session: Session, recording: Recording, actor: str, now: datetime) -> None:
    """Append the message that makes the channel `speech` transcribe a recording."""
    order = recording.interview
    outbox.append(
        session,
        queue=order.queue_name(outbox.SPEECH),
        # Not the order's key: a later recording need not wait for this one.
        ordering_key=str(outbox.OrderingKey(order.public_id, outbox.SPEECH)),
        sequence=0,
        topic="transcribe",
        payload={"recording": recording.public_id, "actor": actor},
        now=now,
    )


def normalise(text: str) -> str:
    """Return the cues of a WebVTT file as a new one. Raises Invalid, naming the cue."""
    return write_cues(read_cues(text))


def read_cues(text: str) -> list[Cue]:
    """Return the cues of a WebVTT file in the order of their times. Raises Invalid."""
    import webvtt  # late: few requests need it
    from webvtt.errors import MalformedCaptionError, MalformedFileError

    if len(text) > MAX_TEXT_LENGTH:
        raise Invalid("Shorten the captions to %(maximum)d characters", maximum=MAX_TEXT_LENGTH)
    text = text.removeprefix("\ufeff")
    if not text.startswith(SIGNATURE):
        raise Invalid("Captions are a WebVTT file: its first line is WEBVTT")
    try:
        captions: list[Any] = webvtt.from_string(text, strict=True).captions
    except (MalformedFileError, MalformedCaptionError) as error:
        raise Invalid("The captions are not valid WebVTT: %(error)s", error=str(error)) from None
    return _check(
        Cue(_seconds(caption.start), _seconds(caption.end), unescape(caption.text))
        for caption in captions
    )


def write_cues(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file. Raises Invalid for a cue without a text or without a length."""
    blocks = [
        f"{_format(cue.start)} --> {_format(cue.end)}\n{_escape(cue.text)}" for cue in _check(cues)
    ]
    return "\n\n".join([SIGNATURE, *blocks]) + "\n"


def _check(cues: Iterable[Cue]) -> list[Cue]:
    checked = []
    for number, cue in enumerate(cues, 1):
        text = "\n".join(filter(None, (line.strip() for line in cue.text.splitlines())))
        if not text:
            raise Invalid(
                "Cue %(number)d of the captions has no text: write one or delete the cue",
                number=number,
            )
        if not 0 <= cue.start < cue.end:
            raise Invalid(
                "Cue %(number)d of the captions should end after it starts", number=number
            )
        checked.append(Cue(cue.start, cue.end, text))
    if not checked:
        raise Invalid("The captions have no cue: add at least one with its times")
    if len(checked) > MAX_CUES:
        raise Invalid("Shorten the captions to %(maximum)d cues", maximum=MAX_CUES)
    return sorted(checked, key=lambda cue: (cue.start, cue.end))


def _seconds(time: str) -> float:
    hours, minutes, seconds = time.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _escape(text: str) -> str:
    """Return a text that cannot end its cue, begin another one, or have markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _format(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
