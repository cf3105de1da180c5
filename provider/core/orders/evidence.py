"""The evidence of a result, as text and numbers that a report can show unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class VideoAnswer(NamedTuple):
    """An answer on video, with its rating as text and the note of the staff.

    `seconds` is the length of the recording. `recording_id` is its public id and `poster_key` the
    media key of its poster. An answer that is missing has empty ones.
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

    `sentence` is shown for a result without a summary. The tuples are:
    bars (label, percent from 0 to 100, note), facts (label, value),
    findings (name, `clear` or `consider`), items (section, prompt, answer, points).
    """

    sentence: str = ""
    bars: tuple[tuple[str, float, str], ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[tuple[str, str], ...] = ()
    items: tuple[tuple[str, str, str, str], ...] = ()
    video_answers: tuple[VideoAnswer, ...] = ()

    @classmethod
    def from_figures(cls, figures: Mapping[str, Any]) -> "Evidence":
        """Build the evidence from the keys `bars` and `findings` of a result's figures."""
        bars = figures.get("bars", [])
        findings = figures.get("findings", [])
        return cls(
            bars=tuple((bar["label"], bar["percent"], bar.get("note", "")) for bar in bars),
            findings=tuple((finding["name"], finding["status"]) for finding in findings),
        )
