"""The evidence of an interview: its questions with the answers on video and their ratings."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from provider.core.formats import cut_at_word, format_duration
from provider.core.kinds.interview.answers import READY, Recording
from provider.core.kinds.interview.content import InterviewContent
from provider.core.kinds.interview.given_answers import answer_text
from provider.core.kinds.interview.questions import FILE, Question
from provider.core.kinds.interview.scoring import Ratings
from provider.core.orders import Evidence
from provider.core.orders.evidence import (
    late_answers_facts,
    questions_answered_fact,
    questions_answered_sentence,
)
from provider.texts import gettext

MAX_BAR_LABEL_LENGTH = 60  # characters of a question beside its bar in the report


class VideoAnswer(NamedTuple):
    """An answer on video, with its rating as text and the notes of the reviewers.

    `spread` says how far the reviewers differ; it is empty for one. `seconds` is the length of the
    recording. `recording_id` is its public id and `poster_key` the media key of its poster. An
    answer that is missing has empty ones. `is_broken`: the recording is damaged, or has no picture
    or no sound. `is_deleted`: its files are gone. `caption_language` is empty without captions.
    """

    question: str
    rating: str
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    recording_id: str = ""
    poster_key: str = ""
    is_broken: bool = False
    is_deleted: bool = False
    spread: str = ""
    caption_language: str = ""
    # Of an answer that is no recording. `text` is the text, the option, or the name of the file;
    # `file_id` is the public id of the AnswerFile.
    text: str = ""
    file_id: str = ""


@dataclass(frozen=True)
class InterviewEvidence(Evidence):
    """The evidence of an interview, with one video answer per question.

    `comments` are those of the overall ratings. `note_places` and `score_places` are the places
    that show notes, and scores and ratings: of REPORT, PDF and SHARED.
    """

    video_answers: tuple[VideoAnswer, ...] = ()
    comments: tuple[str, ...] = ()
    note_places: frozenset[str] = frozenset()
    score_places: frozenset[str] = frozenset()

    @property
    def picture_keys(self) -> tuple[str, ...]:
        return tuple(answer.poster_key for answer in self.video_answers if answer.poster_key)

    def without_answers(self) -> Self:
        bars = (
            bar._replace(label=gettext("Question %(number)d", number=number))
            for number, bar in enumerate(self.bars, 1)
        )
        return replace(self, bars=tuple(bars), video_answers=())

    def shown_at(self, places: Set[str]) -> Self:
        evidence = self
        if not places <= self.note_places:
            answers = (answer._replace(notes=()) for answer in evidence.video_answers)
            evidence = replace(evidence, video_answers=tuple(answers), comments=())
        if not places <= self.score_places:
            answers = (
                answer._replace(rating="", spread="")
                if answer.recording_id or answer.text
                else answer
                for answer in evidence.video_answers
            )
            evidence = replace(
                evidence,
                video_answers=tuple(answers),
                bars=(),
                cut_scores=(),
                facts=tuple(fact for fact in self.facts if fact not in self.score_facts),
                score_facts=(),
                shows_score=False,
            )
        return evidence

    def pdf_fields(self, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "comments": list(self.comments),
            "video_answers": [
                {
                    "number": number,
                    "question": answer.question,
                    "rating": answer.rating,
                    "spread": answer.spread,
                    "notes": list(answer.notes),
                    "is_broken": answer.is_broken,
                    "is_deleted": answer.is_deleted,
                    "text": answer.text,
                    "length": "" if answer.seconds is None else format_duration(answer.seconds),
                    # The compiler must not read files, so the JSON has the bytes of the picture.
                    "poster": list(pictures.get(answer.poster_key, b"")),
                }
                for number, answer in enumerate(self.video_answers, 1)
            ],
        }


def build_evidence(
    content: InterviewContent,
    figures: Mapping[str, Any],
    recordings: Mapping[str, Recording | None],
    given_values: Mapping[str, Any],
    answered_count: int,
    ratings: Mapping[str, Ratings],
    notes: Mapping[str, tuple[str, ...]],
    overall: Ratings | None,
    comments: tuple[str, ...],
    late_seconds: Sequence[int | None],
) -> InterviewEvidence:
    """Return the figures of a result, and every question with its ratings and notes by its key."""
    questions = content.questions
    score_facts: tuple[tuple[str, str], ...] = ()
    if overall:
        texts = filter(None, (overall.text(content.scale), overall.spread_text))
        score_facts = ((gettext("Overall rating"), "; ".join(texts)),)
    return InterviewEvidence.from_figures(
        {"bars": _bars_with_questions(content, figures)},
        cut_scores=content.grades.cut_scores if content.grades else (),
        sentence=questions_answered_sentence(answered_count, len(questions)),
        facts=(
            questions_answered_fact(answered_count, len(questions)),
            *score_facts,
            *late_answers_facts(late_seconds),
        ),
        score_facts=score_facts,
        video_answers=tuple(
            _video_answer(
                content,
                question,
                recordings[question.key],
                given_values[question.key],
                ratings.get(question.key),
                notes.get(question.key, ()),
            )
            for question in questions
        ),
        comments=comments,
        note_places=content.report.notes,
        score_places=content.report.scores,
    )


def _bars_with_questions(
    content: InterviewContent, figures: Mapping[str, Any]
) -> list[dict[str, Any]]:
    return [
        bar | {"label": cut_at_word(question.numbered_text(number), MAX_BAR_LABEL_LENGTH)}
        for number, (bar, question) in enumerate(
            zip(figures.get("bars", ()), content.questions, strict=False), 1
        )
    ]


def _video_answer(
    content: InterviewContent,
    question: Question,
    recording: Recording | None,
    given_value: Any,
    rating: Ratings | None,
    notes: tuple[str, ...],
) -> VideoAnswer:
    if given_value is not None:
        return VideoAnswer(
            question.text_without_markup,
            rating.text(content.scale) if rating else "",
            notes,
            spread=rating.spread_text if rating else "",
            text=answer_text(question, given_value),
            file_id=given_value["file"] if question.answer == FILE else "",
        )
    if recording is None:
        return VideoAnswer(question.text_without_markup, gettext("No answer"))
    caption = recording.caption
    return VideoAnswer(
        question.text_without_markup,
        rating.text(content.scale) if rating else "",
        notes,
        recording.seconds,
        recording.public_id,
        recording.poster_key if recording.state == READY else "",
        recording.is_broken,
        recording.is_deleted,
        rating.spread_text if rating else "",
        caption.language if caption and not recording.is_deleted else "",
    )
