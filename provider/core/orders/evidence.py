"""What a result rests on, in words and numbers that a report can show as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class VideoAnswer(NamedTuple):
    """An answer on video: what was asked, its rating as text, the note on it, its length in s.

    `recording` is the public id of what can be watched, `poster` the media key of its picture;
    each is empty where there is none.
    """

    question: str
    rating: str
    note: str = ""
    seconds: float | None = None
    recording_id: str = ""
    poster_key: str = ""


@dataclass(frozen=True)
class Evidence:
    """The evidence of one result.

    `sentence` says it where the author gave no summary; bars are (label, percent 0 to 100, note),
    facts (label, value), findings (name, `clear` or `consider`), items (section, asked, answered,
    points).
    """

    sentence: str = ""
    bars: tuple[tuple[str, float, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[tuple[str, str], ...] = ()
    items: tuple[tuple[str, str, str, str], ...] = ()
    video_answers: tuple[VideoAnswer, ...] = ()

    @classmethod
    def from_figures(cls, figures: Mapping[str, Any]) -> "Evidence":
        """Return what a result's figures hold: `bars` and `findings`."""
        bars = figures.get("bars", [])
        findings = figures.get("findings", [])
        return cls(
            bars=tuple((bar["label"], bar["percent"], bar.get("note", "")) for bar in bars),
            findings=tuple((finding["name"], finding["status"]) for finding in findings),
        )
