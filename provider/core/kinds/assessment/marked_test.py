"""The marking of a test: its submission waits for the marks of staff, and then it is scored."""

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session, object_session

from provider.core.accounts.email_policy import COMPLETION
from provider.core.kinds.answer_files import find_file
from provider.core.kinds.assessment.attempt_rules import AttemptRules
from provider.core.kinds.assessment.items import MarkedItem
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
from provider.core.orders.states import MARKING
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox


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
        item = self._find_marked_item(key)
        answer = self.saved_answers.get(key)
        file_type = answer["type"] if item.takes_file and answer else ""
        return MarkingUnit(
            key,
            item.prompt_html,
            self.content.language,
            "" if answer is None else item.describe_for_marker(answer),
            item.points,
            item.rubric,
            has_file=bool(file_type),
            is_picture=file_type.startswith("image/"),
        )

    def marked_file(self, session: Session, key: str) -> MarkedFile:
        item, answer = self._find_marked_item(key), self.saved_answers.get(key)
        if not item.takes_file or answer is None:
            raise NotFound("There is no such file")
        file = find_file(session, self, answer["file"])
        return MarkedFile(file.media_key, file.type, f"{key}.{file.extension}")

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
        item = self.content.marked_items.get(key)
        if item is None:
            raise NotFound("There is no such question in this test")
        return item
