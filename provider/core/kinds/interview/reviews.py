"""The reviewing of an interview: reviewers, their scorecards, and the result.

Several reviewers rate blindly: nobody who rates sees the scorecard of another before the own one is
in. Then the scorecards that are in are averaged: see `scoring.py`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from provider.core.kinds.interview.answers import Recording
from provider.core.kinds.interview.content import InterviewContent, Question, Scale, parse
from provider.core.kinds.interview.evidence import InterviewEvidence, build_evidence
from provider.core.kinds.interview.given_answers import GivenAnswer
from provider.core.kinds.interview.preferences import apply_preferences
from provider.core.kinds.interview.scorecards import IN, OBSERVER, OPEN, Rating, Scorecard
from provider.core.kinds.interview.scoring import Ratings, build_result, rate_together
from provider.core.marking import (
    assign_whole_order,
    finish_whole_order,
    reopen_whole_order,
    settle_whole_order,
    unassign_whole_order,
)
from provider.core.orders import Result, TimedOrder
from provider.core.orders.states import COMPLETED, SUBMITTED
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped

MAX_NOTE_LENGTH = 2000  # characters


class ReviewedInterview(TimedOrder):
    """The part of an interview that reviewers work with."""

    __abstract__ = True

    if TYPE_CHECKING:
        recordings: Mapped[list[Recording]]
        given_answers: Mapped[list[GivenAnswer]]
        ratings: Mapped[list[Rating]]
        scorecards: Mapped[list[Scorecard]]

    @property
    def content(self) -> InterviewContent:
        """The content of the version that was ordered, with the preferences of the order."""
        content = self.version.parsed(parse)
        return apply_preferences(content, self.preferences)[0] if self.preferences else content

    def selected_recording(self, question: str) -> Recording | None:
        """Return the recording that counts as the answer to a question."""
        return next(
            (take for take in self.recordings if take.question == question and take.is_selected),
            None,
        )

    def given_value(self, question: str) -> Any:
        """Return the text, the option or the file that answers a question; None without one."""
        values = {answer.question: answer.value for answer in self.given_answers}
        return values.get(question)

    def is_answered(self, question: Question) -> bool:
        """Whether a question has an answer that can be rated."""
        if not question.is_recorded:
            return self.given_value(question.key) is not None
        take = self.selected_recording(question.key)
        return take is not None and not take.is_broken

    def answered_questions(self) -> list[Question]:
        """Return the questions with an answer that can be rated."""
        return [question for question in self.content.questions if self.is_answered(question)]

    def find_question(self, key: str) -> Question:
        for question in self.content.questions:
            if question.key == key:
                return question
        raise NotFound("There is no such question in this interview")

    # Reviewers

    def current_scorecards(self) -> list[Scorecard]:
        """Return the scorecards of this attempt, in the order of their opening."""
        start = self.started_at
        return [card for card in self.scorecards if start and card.opened_at >= start]

    def scorecard_of(self, reviewer: str) -> Scorecard | None:
        return next((card for card in self.current_scorecards() if card.reviewer == reviewer), None)

    def sees_scorecards(self, reviewer: str, *, may_rate: bool) -> bool:
        """Return whether a member of staff sees the scorecards of others that are in."""
        card = self.scorecard_of(reviewer)
        return self.status == COMPLETED or not may_rate or (card is not None and not card.is_open)

    def may_observe(self, reviewer: str) -> bool:
        """Return whether a member of staff can become an observer, who never rates."""
        card = self.scorecard_of(reviewer)
        return card is None or (card.is_open and not card.assigned_by)

    def observe(self, reviewer: str, now: datetime) -> None:
        """Show somebody the scorecards of others, who then cannot rate any more."""
        self._require_submitted()
        card = self.scorecard_of(reviewer)
        if card and card.state == OBSERVER:
            return
        if not self.may_observe(reviewer):
            raise Conflict("You are a reviewer of this interview: submit your scorecard first")
        self._open_scorecard(reviewer, now).state = OBSERVER

    def assign(self, session: Session, reviewer: str, assigned_by: str, now: datetime) -> None:
        """Ask somebody for a scorecard. The interview is not completed before it is in."""
        self._require_submitted()
        card = self.scorecard_of(reviewer)
        if card and not card.is_open:
            if card.is_in:
                raise Conflict(
                    "%(reviewer)s has submitted a scorecard already: choose somebody else",
                    reviewer=reviewer,
                )
            raise Conflict(
                "%(reviewer)s has seen the scorecards already: choose somebody else",
                reviewer=reviewer,
            )
        self._open_scorecard(reviewer, now).assigned_by = assigned_by
        assign_whole_order(session, self, reviewer, now)

    def unassign(self, session: Session, reviewer: str) -> None:
        """Withdraw an assignment. What the reviewer has saved stays, and can still be submitted."""
        card = self.scorecard_of(reviewer)
        if card is None or not card.is_awaited:
            raise Conflict("%(reviewer)s is not asked for a scorecard any more", reviewer=reviewer)
        card.assigned_by = ""
        unassign_whole_order(session, self, reviewer)

    # Ratings

    def rate(
        self,
        question: str,
        value: int | None,
        note: str,
        actor: str,
        now: datetime,
        based_on: int | None = None,
    ) -> Rating:
        """Save a rating of an answer in the reviewer's scorecard.

        `based_on` is the number of the save that the reviewer's page showed. Raises Invalid for a
        value outside the scale, NewerSave for an older save, Conflict when the scorecard is in.
        """
        self._require_submitted()
        if not self.is_answered(self.find_question(question)):
            raise Conflict("This question has no answer to rate")
        self._require_in_scale(value)
        self._require_open_scorecard(actor, now)
        rating = next(
            (row for row in self.ratings if row.question == question and row.actor == actor), None
        )
        if rating is None:
            rating = Rating(question=question, actor=actor, save_number=0)
            self.ratings.append(rating)
        elif self.started_at and rating.rated_at < self.started_at:
            rating.begin_again()
        rating.save(value, note.strip()[:MAX_NOTE_LENGTH], now, based_on)
        return rating

    def rate_overall(
        self,
        value: int | None,
        comment: str,
        actor: str,
        now: datetime,
        based_on: int | None = None,
    ) -> Scorecard:
        """Save the overall rating of a reviewer. Raises as `rate` does."""
        self._require_submitted()
        self._require_in_scale(value)
        card = self._require_open_scorecard(actor, now)
        card.save_overall(value, comment.strip()[:MAX_NOTE_LENGTH], based_on)
        return card

    def submit_scorecard(self, session: Session, reviewer: str, now: datetime) -> None:
        """Submit a scorecard. Raises Conflict while an answer has no rating."""
        self._require_submitted()
        card = self._require_open_scorecard(reviewer, now)
        if unrated := self.unrated_questions(reviewer):
            raise Conflict("%(count)d of the answers have no rating yet", count=len(unrated))
        card.state, card.submitted_at = IN, now
        finish_whole_order(session, self, reviewer, now)

    def may_take_back(self, reviewer: str) -> bool:
        """Return whether a scorecard can be changed again: its reviewer has seen no other one."""
        cards_in = [card.reviewer for card in self.current_scorecards() if card.is_in]
        return self.status == "pending" and cards_in == [reviewer]

    def take_back_scorecard(self, session: Session, reviewer: str, now: datetime) -> None:
        """Open a submitted scorecard again. Raises Conflict when another one is in."""
        self._require_submitted()
        if not self.may_take_back(reviewer):
            raise Conflict("Another scorecard is in, so yours cannot be changed any more")
        card = self.scorecard_of(reviewer)
        assert card
        card.state, card.submitted_at = OPEN, None
        reopen_whole_order(session, self, reviewer)
        if card.assigned_by:
            assign_whole_order(session, self, reviewer, now)

    def ratings_by_question(self, reviewer: str) -> dict[str, Rating]:
        """Return the ratings of a reviewer, without those from before a reopening."""
        start = self.started_at
        return {
            rating.question: rating
            for rating in self.ratings
            if start and rating.rated_at >= start and rating.actor == reviewer
        }

    def unrated_questions(self, reviewer: str = "") -> list[Question]:
        """Return the answered questions that a reviewer has not rated; all for nobody."""
        rated = {
            key
            for key, rating in self.ratings_by_question(reviewer).items()
            if rating.value is not None
        }
        return [question for question in self.answered_questions() if question.key not in rated]

    # The result

    def counted_scorecards(self, reviewer: str = "") -> list[Scorecard]:
        """Return the scorecards that are in; without one, that of `reviewer` if it is whole."""
        cards = [card for card in self.current_scorecards() if card.is_in]
        own = self.scorecard_of(reviewer)
        if not cards and own and own.is_open and not self.unrated_questions(reviewer):
            return [own]
        return cards

    def joint_ratings(self, cards: list[Scorecard]) -> Mapping[str, Ratings]:
        """Return the ratings in some scorecards, by question."""
        by_card = [self.ratings_by_question(card.reviewer) for card in cards]
        ratings = {
            question.key: rate_together(
                [rows[question.key].value for rows in by_card if question.key in rows]
            )
            for question in self.content.questions
        }
        return {key: rating for key, rating in ratings.items() if rating}

    def joint_notes(self, cards: list[Scorecard]) -> Mapping[str, tuple[str, ...]]:
        """Return the notes in some scorecards, by question, in the order of the scorecards."""
        by_card = [self.ratings_by_question(card.reviewer) for card in cards]
        return {
            question.key: tuple(
                rows[question.key].note
                for rows in by_card
                if question.key in rows and rows[question.key].note
            )
            for question in self.content.questions
        }

    def joint_overall(self, cards: list[Scorecard]) -> Ratings | None:
        return rate_together([card.overall for card in cards])

    def build_result(self, summary: str = "", reviewer: str = "") -> Result:
        """Return the result of the scorecards that count for `reviewer`: see `scoring.py`."""
        cards = self.counted_scorecards(reviewer)
        return build_result(
            self.content,
            self.joint_ratings(cards),
            self.joint_overall(cards),
            summary,
            self.answer_seconds(),
        )

    def conclude(
        self, session: Session, secret_box: SecretBox, summary: str, actor: str, now: datetime
    ) -> None:
        """Complete the interview. A single reviewer's scorecard is submitted by this.

        Raises Conflict while a scorecard is awaited, or while an answer has no rating.
        """
        self._require_submitted()
        own = self.scorecard_of(actor)
        if not any(card.is_in for card in self.current_scorecards()):
            self.submit_scorecard(session, actor, now)
        elif own and own.is_open:
            raise Conflict("Submit your scorecard first: another one is in already")
        if awaited := [card.reviewer for card in self.current_scorecards() if card.is_awaited]:
            raise Conflict(
                "The scorecard of %(reviewers)s is not in yet", reviewers=", ".join(awaited)
            )
        settle_whole_order(session, self, now)
        result = self.build_result(summary.strip()[:5000])
        self.complete(session, secret_box, result, actor, now)

    def answer_seconds(self) -> int | None:
        """Return the total length of the answers; None until every length is known."""
        lengths = [take.seconds for take in self.recordings if take.is_selected]
        known_lengths = [length for length in lengths if length is not None]
        if len(known_lengths) < len(lengths):
            return None
        return round(sum(known_lengths)) or None

    def evidence(self, secret_box: SecretBox) -> InterviewEvidence:
        """Return the figures of the result, and every question with its ratings."""
        cards = self.counted_scorecards()
        return build_evidence(
            self.content,
            self.result_figures,
            {
                question.key: self.selected_recording(question.key)
                for question in self.content.questions
            },
            {question.key: self.given_value(question.key) for question in self.content.questions},
            len(self.answered_questions()),
            self.joint_ratings(cards),
            self.joint_notes(cards),
            self.joint_overall(cards),
            tuple(card.comment for card in cards if card.comment),
            [self.late_seconds(take.created_at) for take in self.recordings]
            + [self.late_seconds(answer.saved_at) for answer in self.given_answers],
        )

    def _require_submitted(self) -> None:
        if self.status != "pending" or self.progress != SUBMITTED:
            raise Conflict("Only a submitted interview can be rated")

    def _require_in_scale(self, value: int | None) -> None:
        scale: Scale = self.content.scale
        if value is not None and not scale.min <= value <= scale.max:
            raise Invalid(
                "The rating should be from %(lowest)d to %(highest)d",
                lowest=scale.min,
                highest=scale.max,
            )

    def _require_open_scorecard(self, reviewer: str, now: datetime) -> Scorecard:
        card = self._open_scorecard(reviewer, now)
        if card.state == OBSERVER:
            raise Conflict("You have seen the scorecards of others, so you cannot rate any more")
        if card.is_in:
            raise Conflict("Your scorecard is submitted, so it cannot be changed any more")
        return card

    def _open_scorecard(self, reviewer: str, now: datetime) -> Scorecard:
        """Return the scorecard of a reviewer, which is new or emptied where there was none."""
        card = next((card for card in self.scorecards if card.reviewer == reviewer), None)
        if card is None:
            card = Scorecard(
                reviewer=reviewer, state=OPEN, comment="", assigned_by="", save_number=0
            )
            card.opened_at = now
            self.scorecards.append(card)
        elif card is not self.scorecard_of(reviewer):
            card.begin_again(now)
        return card
