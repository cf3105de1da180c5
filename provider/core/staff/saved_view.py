"""Saved views: filters of the list of orders that staff have given a name."""

from collections.abc import Mapping, Sequence

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.staff.member import Staff
from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.database import Base, acquire_advisory_lock

MAX_NAME_LENGTH = 60  # characters
MAX_VIEWS = 50  # of one member of staff


class SavedView(Base):
    """A filter with a name. A shared view is listed for all staff; only its owner changes it.

    `filters` never has the text of a search: it often names a candidate, who may be erased.
    """

    __tablename__ = "saved_views"
    __table_args__ = (UniqueConstraint("staff_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    name: Mapped[str] = mapped_column(String(MAX_NAME_LENGTH))
    filters: Mapped[dict[str, str]] = mapped_column(JSON)
    is_shared: Mapped[bool]
    staff: Mapped[Staff] = relationship()

    @classmethod
    def create(
        cls,
        session: Session,
        staff: Staff,
        name: str,
        filters: Mapping[str, str],
        *,
        is_shared: bool,
    ) -> "SavedView":
        """Save a filter. Raises Invalid for a wrong name, Conflict for a name in use."""
        acquire_advisory_lock(session, f"saved views of {staff.id}")
        own_views = select(func.count()).where(cls.staff_id == staff.id)
        if (session.scalar(own_views) or 0) >= MAX_VIEWS:
            raise Conflict("You have %(count)s views: delete one first", count=MAX_VIEWS)
        view = cls(staff=staff, filters=dict(filters), is_shared=is_shared)
        view.rename(session, name)
        session.add(view)
        return view

    @classmethod
    def find(cls, session: Session, public_id: str, staff: Staff) -> "SavedView":
        """Return a view that a member of staff may see, locked. Raises NotFound."""
        view = None
        if len(public_id) <= 22 and "\x00" not in public_id:
            is_visible = or_(cls.staff_id == staff.id, cls.is_shared)
            query = select(cls).where(cls.public_id == public_id, is_visible)
            view = session.scalar(query.with_for_update())
        if view is None:
            raise NotFound("There is no such view; it may have been deleted")
        return view

    def rename(self, session: Session, name: str) -> None:
        """Change the name. Raises Invalid for a wrong one, Conflict for one in use."""
        name = " ".join(name.split())
        if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
            raise Invalid("The name should have 1 to %(max)s characters", max=MAX_NAME_LENGTH)
        # `id` is None for a new view, and no stored row has it.
        # The table, not the model: a view of an account that the person lost keeps its name.
        views = SavedView.__table__.c
        same_name = select(views.id).where(
            views.staff_id == self.staff.id, views.name == name, views.id != self.id
        )
        if session.scalar(same_name):
            raise Conflict("You have a view with this name already: choose another name")
        self.name = name


def list_views(session: Session, staff: Staff) -> Sequence[SavedView]:
    """Return the own views of a member of staff and the shared ones, sorted by name."""
    query = select(SavedView).where(or_(SavedView.staff_id == staff.id, SavedView.is_shared))
    return session.scalars(query.order_by(SavedView.name, SavedView.id)).all()
