"""The data of a check beside its order: the country, and the copies that the candidate wants."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.storage.database import Base


class CheckCase(Base):
    """One row for each check whose candidate has begun.

    `country` is where the candidate lives (ISO 3166), `subdivision` a state or nation such as CA
    or SCT. They say which legal texts and which waiting times apply.
    """

    __tablename__ = "check_cases"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    country: Mapped[str] = mapped_column(String(2), default="")
    subdivision: Mapped[str] = mapped_column(String(3), default="")
    wants_copy: Mapped[bool] = mapped_column(default=False)
    wants_messages: Mapped[bool] = mapped_column(default=False)
