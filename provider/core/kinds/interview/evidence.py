"""The evidence of an interview: its questions with the answers on video and their ratings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from provider.core.labels import format_duration
from provider.core.orders import Evidence
from provider.texts import gettext


class VideoAnswer(NamedTuple):
    """An answer on video, with its rating as text and the note of the staff.

    `seconds` is the length of the recording. `recording_id` is its public id and `poster_key` the
    media key of its poster. An answer that is missing has empty ones. `is_broken`: the recording
    is damaged, or has no picture or no sound. `is_deleted`: its files are gone.
    """

    question: str
    rating: str
    note: str = ""
    seconds: float | None = None
    recording_id: str = ""
    poster_key: str = ""
    is_broken: bool = False
    is_deleted: bool = False
    # Of an answer that is no recording. `text` is the text, the option, or the name of the file;
    # `file_id` is the public id of the AnswerFile.
    text: str = ""
    file_id: str = ""


@dataclass(frozen=True)
class InterviewEvidence(Evidence):
    """The evidence of an interview, with one video answer per question."""

    video_answers: tuple[VideoAnswer, ...] = ()

    @property
    def picture_keys(self) -> tuple[str, ...]:
        return tuple(answer.poster_key for answer in self.video_answers if answer.poster_key)

    def without_answers(self) -> Self:
        bars = (
            bar._replace(label=gettext("Question %(number)d", number=number))
            for number, bar in enumerate(self.bars, 1)
        )
        return replace(self, bars=tuple(bars), video_answers=())

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "video_answers": [
                {
                    "number": number,
                    "question": answer.question,
                    "rating": answer.rating,
                    "note": answer.note,
                    "is_broken": answer.is_broken,
                    "is_deleted": answer.is_deleted,
                    "text": answer.text,
                    "length": "" if answer.seconds is None else format_duration(answer.seconds),
                    # The compiler must not read files, so the JSON has the bytes of the picture.
                    "poster": list(pictures.get(answer.poster_key, b"")),
                }
                for number, answer in enumerate(self.video_answers, 1)
            ]
        }
