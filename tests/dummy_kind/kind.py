"""The core of the dummy kind. Importing this module changes the mappers of the whole process."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import post_load
from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.kinds.base import Kind, KindTexts
from provider.core.orders import Evidence, Order, ProgressTable, Result, progress_state
from provider.core.products import Product
from provider.core.products.schema_fields import DocumentSchema, Integer
from provider.core.products.schema_fields import Text as TextField
from provider.storage.database import Base
from provider.storage.secrets import SecretBox


@dataclass(frozen=True)
class GreetingContent:
    """The parsed content of a greeting card."""

    name: str
    max_length: int
    description: str = ""


class GreetingSchema(DocumentSchema):
    """The content of a greeting card."""

    schema = Integer(1, 1, load_default=1)
    name = TextField(120, required=True)
    description = TextField(1000, load_default="")
    max_length = Integer(1, 1000, required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> GreetingContent:
        del data["schema"]
        return GreetingContent(**data)


SCHEMA = GreetingSchema()


class GreetingCard(Product):
    """A card that an ATS can order."""

    __mapper_args__ = {"polymorphic_identity": "greeting"}  # noqa: RUF012


class GreetingText(Base):
    """The text of the candidate."""

    __tablename__ = "greeting_texts"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    text: Mapped[str] = mapped_column(Text)
    greeting: Mapped["Greeting"] = relationship(back_populates="texts")


@dataclass(frozen=True)
class GreetingEvidence(Evidence):
    """The evidence of a greeting: its text."""

    text: str = ""

    def pdf_fields(self, pictures: object) -> dict[str, Any]:
        return {"greeting": self.text}


class Greeting(Order):
    """A greeting ordered of a candidate."""

    __mapper_args__ = {"polymorphic_identity": "greeting"}  # noqa: RUF012

    progress_table: ClassVar[ProgressTable] = {
        "invited": progress_state("candidate", "opened", "submitted"),
        "opened": progress_state("candidate", "submitted"),
        "submitted": progress_state("nobody"),
    }
    texts: Mapped[list[GreetingText]] = relationship(back_populates="greeting")

    def write(self, session: Session, secret_box: SecretBox, text: str, now: datetime) -> None:
        """Complete the order. The score is the share of the allowed length."""
        self.require_open(now)
        self.texts.append(GreetingText(text=text))
        max_length = self.version.content["max_length"]
        result = Result(score=100 * len(text) / max_length, summary="A friendly greeting.")
        self.record_event(session, "written", "candidate", now)
        self.enqueue_email(session, "thanks", now)
        self.complete(session, secret_box, result, "candidate", now)

    def evidence(self, secret_box: SecretBox) -> GreetingEvidence:
        return GreetingEvidence.from_figures(
            self.result_figures, text=self.texts[-1].text if self.texts else ""
        )


KIND = Kind(
    name="greeting",
    product_class=GreetingCard,
    order_class=Greeting,
    schema=SCHEMA,
    texts=KindTexts(
        label="Greeting",
        product_label="Card",
        noun="greeting",
        noun_with_article="a greeting",
        invited_to="write a greeting",
        request_phrase="asks you for a greeting",
        button_label="See the card",
        reassurance="Nothing is sent before you press the button.",
        receipt="Your greeting has arrived.",
    ),
    folder=Path(__file__).parent,
    labels={"event": {"written": "Greeting written", "thanks": "Thanks"}},
    email_subjects={"thanks": "%(company)s: thanks for your %(noun)s"},
    personal_columns=(GreetingText.text,),
)
