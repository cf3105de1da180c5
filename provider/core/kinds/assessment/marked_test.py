"""The marking of a test: its submission waits for the marks of staff, and then it is scored."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from provider.core.accounts.email_policy import COMPLETION
from provider.core.kinds.answer_files import find_file
from provider.core.kinds.assessment.attempt_rules import AttemptRules
from provider.core.kinds.assessment.items import MarkedItem
from provider.core.kinds.assessment.results import ANSWERS_FIGURE
from provider.core.marking import (
    ANSWER,
    REASON_LENGTHS,
    WITHDRAWN,
    MarkedFile,
    MarkedOrder,
    MarkingSettings,
    MarkingTask,
    MarkingUnit,
    ask,
    find_second_look,
    load_shares,
    open_tasks,
)
from provider.core.orders import COMPLETED
from provider.core.orders.states import MARKING, SUBMITTED
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox

SECOND_LOOK_EMAIL = "second_look"  # the template


class MarkedTest(MarkedOrder, AttemptRules):
    """The part of an assessment that concerns the items that staff mark."""

    __mapper_args__ = {"polymorphic_abstract": True}  # noqa: RUF012

    if TYPE_CHECKING:  # the assessment has them

        @property
        def saved_answers(self) -> Mapping[str, Any]: ...

    @property
    def marking(self) -> MarkingSettings:
        return self.content.marking

    def marking_title(self, key: str) -> str:
        return self._find_marked_item(key).prompt_text

    def marking_unit(self, key: str) -> MarkingUnit:
        return self._describe_unit(self._find_marked_item(key), self.saved_answers.get(key))

    def unit_of_task(self, task: MarkingTask) -> MarkingUnit:
        if self._is_present(task):
            return self.marking_unit(task.unit)
        answer = self._earlier_answer(task)
        unit = self._describe_unit(self._find_marked_item(task.unit), answer)
        return replace(unit, is_lost=answer is None)

    def _describe_unit(self, item: MarkedItem, answer: Any) -> MarkingUnit:
        file_type = answer["type"] if item.takes_file and answer else ""
        return MarkingUnit(
            item.key,
            item.prompt_html,
            self.content.language,
            "" if answer is None else item.describe_for_marker(answer),
            item.points,
            item.rubric,
            has_file=bool(file_type),
            is_picture=file_type.startswith("image/"),
        )

    def marked_file(self, session: Session, task: MarkingTask) -> MarkedFile:
        item = self._find_marked_item(task.unit)
        is_present = self._is_present(task)
        answer = self.saved_answers.get(task.unit) if is_present else self._earlier_answer(task)
        if not item.takes_file or answer is None:
            raise NotFound("There is no such file")
        file = find_file(session, self, answer["file"])
        return MarkedFile(file.media_key, file.type, f"{task.unit}.{file.extension}")

    def _is_present(self, task: MarkingTask) -> bool:
        """Whether a task is about the present answers, not about those before a reopening."""
        return task.state != WITHDRAWN and self.progress in (MARKING, SUBMITTED)

    def _earlier_answer(self, task: MarkingTask) -> Any:
        """Return the answer of a task as it is kept with its result; None where it is not kept.

        The first result after the task is the one that its marks made.
        """
        result = next((row for row in self.results if row.created_at >= task.created_at), None)
        kept_answers = result.figures.get(ANSWERS_FIGURE) if result else None
        return kept_answers["values"].get(task.unit) if kept_answers else None

    @property
    def is_receipt_sent_at_submission(self) -> bool:
        """Whether staff mark some of the submitted answers."""
        session = object_session(self)
        if session is None or not self.content.marked_items:
            return False
        query = select(MarkingTask.id).where(
            MarkingTask.order_id == self.id,
            MarkingTask.purpose == ANSWER,
            MarkingTask.state != WITHDRAWN,
        )
        return session.scalar(query.limit(1)) is not None

    def require_open(self, given_at: datetime) -> None:
        super().require_open(given_at)
        if self.progress == MARKING:
            raise Conflict("This test has already been submitted")

    def require_attempt(self) -> None:
        if self.progress == MARKING:
            raise Conflict("The candidate has finished already")
        super().require_attempt()

    def ask_second_look(self, session: Session, reason: str, now: datetime) -> None:
        """Store the candidate's request.

        Raises Conflict for a test without second looks, without a result, and for a second request;
        Invalid for a reason that is too short or too long.
        """
        if not self.content.second_look:
            raise Conflict("A second look is not possible for this test")
        if self.status != COMPLETED:
            raise Conflict("There is no result yet")
        if find_second_look(session, self):
            raise Conflict("You have asked for a second look already")
        if len(reason) not in REASON_LENGTHS:
            raise Invalid("Write why you ask for a second look, in 3 to 2000 characters")
        ask(session, self, reason, now)

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        context, session = super().kind_context(secret_box), object_session(self)
        if session and self.status == COMPLETED and self.content.second_look:
            context["second_look"] = find_second_look(session, self)
        return context

    def tell_second_look(self, session: Session, now: datetime) -> None:
        if not self.is_invitation_bounced:
            self.enqueue_email(session, SECOND_LOOK_EMAIL, now)

    def load_marks(self) -> Mapping[str, Fraction]:
        """Return the share of the points of each marked answer, by item key."""
        session = object_session(self)
        if session is None or not self.content.marked_items:
            return {}
        return load_shares(session, [self.id]).get(self.id, {})

    def wait_for_marks(self, session: Session, now: datetime) -> bool:
        """Open the tasks of a submission, if it has answers to mark; otherwise return False."""
        marked_items = self.content.marked_items
        if not marked_items:
            return False
        answers = self.saved_answers
        units = [(key, item.points) for key, item in marked_items.items() if key in answers]
        open_tasks(session, self, units, now, markers=self.marking.markers)
        if not units:
            return False
        self.change_progress(session, MARKING)
        self.tell_candidate(session, COMPLETION, now)
        return True

    def _find_marked_item(self, key: str) -> MarkedItem:
        # The whole banks: a task from before a reopening may be about an item of another form.
        item = self.full_content.marked_items.get(key)
        if item is None:
            raise NotFound("There is no such question in this test")
        return item
