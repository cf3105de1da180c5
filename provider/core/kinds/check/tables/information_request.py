"""Questions to the candidate about one screening, and the answers."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

IS_TO_REMIND = text("remind_at IS NOT NULL")


class InformationRequest(Base):
    """A question that staff ask the candidate about a screening. A task has one open at most.

    `question` and `answer` are encrypted. `documents` are names of DOCUMENT_SLOTS that are asked
    for beside the answer. `remind_at` is when the candidate gets the e-mail again.
    """

    __tablename__ = "information_requests"
    __table_args__ = (
        Index("ix_information_requests_order", "order_id", "screening"),
        Index(
            "ix_information_requests_remind",
            "remind_at",
            sqlite_where=IS_TO_REMIND,
            postgresql_where=IS_TO_REMIND,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    question: Mapped[bytes] = mapped_column(
        Encrypted("orders/{order_id.public_id}/questions/{public_id}/question")
    )
    documents: Mapped[list[str]] = mapped_column(JSON, default=list)
    asked_by: Mapped[str] = mapped_column(String(254))  # a staff e-mail
    asked_at: Mapped[datetime]
    remind_at: Mapped[datetime | None]
    answer: Mapped[bytes | None] = mapped_column(
        Encrypted("orders/{order_id.public_id}/questions/{public_id}/answer")
    )
    answered_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str] = mapped_column(String(254), default="")
    withdrawn_at: Mapped[datetime | None]

    @property
    def is_open(self) -> bool:
        return self.answered_at is None and self.withdrawn_at is None

    def row_path(self, order_id: str, field: str) -> str:
        """Return what a ciphertext of this row is bound to; `order_id` is the public id."""
        return f"orders/{order_id}/questions/{self.public_id}/{field}"

    def decrypt_question(self, secret_box: SecretBox, order_id: str) -> str:
        return secret_box.decrypt(self.question, self.row_path(order_id, "question"))

    def decrypt_answer(self, secret_box: SecretBox, order_id: str) -> str:
        """Return the candidate's answer; empty without one."""
        if self.answer is None:
            return ""
        return secret_box.decrypt(self.answer, self.row_path(order_id, "answer"))


def withdraw_questions(
    questions: Iterable[InformationRequest], actor: str, now: datetime, screening: str = ""
) -> None:
    """Withdraw the questions that are open; those of one screening, if it is given."""
    for question in questions:
        if question.is_open and screening in ("", question.screening):
            question.withdrawn_at, question.withdrawn_by = now, actor
            question.remind_at = None
