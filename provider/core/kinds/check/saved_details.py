"""The details of a check's candidate: saved as they are typed, and corrected afterwards."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Mapped, Session

from provider.core.kinds.check.packages.content import PackageContent, Screening
from provider.core.kinds.check.packages.detail_fields import (
    DETAIL_FIELDS,
    IncompleteForm,
    Problem,
    find_problems,
)
from provider.core.kinds.check.packages.detail_value import DetailValue
from provider.core.kinds.check.tables.consent import CandidateDetail
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.orders import CONSENTED
from provider.errors import Conflict
from provider.storage.secrets import SecretBox


class SavedDetails:
    """Reads and writes a check's details. Each is encrypted for its order and its name."""

    if TYPE_CHECKING:  # the check declares these
        public_id: Mapped[str]
        status: Mapped[str]
        candidate_details: Mapped[list[CandidateDetail]]
        tasks: Mapped[list[ScreeningTask]]

        @property
        def content(self) -> PackageContent: ...

        @property
        def screenings(self) -> tuple[Screening, ...]: ...

        def record_event(
            self, session: Session, event_type: str, actor: str, now: datetime, note: str = ""
        ) -> None: ...

    def detail_values(self, secret_box: SecretBox) -> dict[str, DetailValue]:
        """Return the details by name, complete or not."""
        return {
            detail.name: DetailValue.from_text(self._decrypt_detail(secret_box, detail))
            for detail in self.candidate_details
        }

    def decrypt_details(self, secret_box: SecretBox) -> dict[str, str]:
        """Return the details by name as people read them, with one line per row."""
        values = self.detail_values(secret_box)
        return {
            name: "\n".join(DETAIL_FIELDS[name].describe(value))
            for name, value in values.items()
            if name in DETAIL_FIELDS and not value.is_empty
        }

    def save_details(self, secret_box: SecretBox, values: Mapping[str, Any]) -> list[str]:
        """Store details as they are, complete or not; return the names of those that changed.

        A detail that no screening needs is not stored.
        """
        rows = {detail.name: detail for detail in self.candidate_details}
        changed = []
        for name in self.content.requested_details:
            if name not in values:
                continue
            value = DetailValue.from_data(values[name])
            text = value.to_text(has_rows=DETAIL_FIELDS[name].has_rows)
            row = rows.get(name)
            if row is None:
                if value.is_empty:
                    continue
                row = CandidateDetail(name=name)
                self.candidate_details.append(row)
            elif self._decrypt_detail(secret_box, row) == text:
                continue
            row.value_encrypted = secret_box.encrypt(text, self.row_path(name))
            changed.append(name)
        return changed

    def find_detail_problems(self, secret_box: SecretBox, now: datetime) -> list[Problem]:
        """Return what is missing or wrong before the candidate can consent."""
        return find_problems(self.content.requested_details, self.detail_values(secret_box), now)

    @property
    def correctable_details(self) -> frozenset[str]:
        """The details that the candidate may change: no screening that has begun asks for them."""
        if self.status != CONSENTED:
            return frozenset()
        begun = {task.key for task in self.tasks if task.started_at or task.done_at}
        locked = {
            name
            for screening in self.screenings
            if screening.key in begun
            for name in screening.asks
        }
        return frozenset(self.content.requested_details) - locked

    @property
    def can_correct_details(self) -> bool:
        """Whether the candidate may still change one of her details."""
        return bool(self.correctable_details)

    def require_correctable(self, details: Iterable[str]) -> None:
        """Raise Conflict unless these details may be changed, or any at all where none is named."""
        correctable = self.correctable_details
        if not correctable or not correctable.issuperset(details):
            raise Conflict(
                "A part of your check that needs this has begun, so that it cannot be changed here"
            )

    def correct_details(
        self,
        session: Session,
        secret_box: SecretBox,
        values: Mapping[str, DetailValue],
        now: datetime,
    ) -> None:
        """Replace details after the consent, and record which. Raises IncompleteForm."""
        self.require_correctable(values)
        all_values = {**self.detail_values(secret_box), **values}
        problems = find_problems(self.content.requested_details, all_values, now)
        if problems := [problem for problem in problems if problem.detail in values]:
            raise IncompleteForm(first_messages(problems))
        if changed := self.save_details(secret_box, values):
            names = ", ".join(DETAIL_FIELDS[name].label.english for name in changed)
            self.record_event(session, "details changed", "candidate", now, names)

    def _decrypt_detail(self, secret_box: SecretBox, detail: CandidateDetail) -> str:
        return secret_box.decrypt(detail.value_encrypted, self.row_path(detail.name))

    def row_path(self, field: str) -> str:
        return f"orders/{self.public_id}/{field}"


def first_messages(problems: list[Problem]) -> dict[str, Any]:
    """Return the first message of each detail, by its name."""
    messages: dict[str, Any] = {}
    for problem in problems:
        messages.setdefault(problem.detail, problem.message)
    return messages
