"""Saved views of the list of orders: own ones, and those that colleagues share."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action, Fields
from provider.core.labels import label_for
from provider.core.staff import Permission, SavedView, Staff, list_views
from provider.errors import Invalid, Unauthorized
from provider.services import current_services
from provider.web.console.authentication import current_staff, may, record_act, requires
from provider.web.console.order_list import (
    FILTER_NAMES,
    Choices,
    filter_choices,
    read_filter,
)

routes = Blueprint("saved_views", __name__, url_prefix="/orders/views")


@routes.get("/")
@requires(Permission.VIEW_ORDERS)
def listing() -> str:
    with current_services().db.reading() as session:
        choices, staff = filter_choices(session), load_staff(session)
        views = list_views(session, staff)
        return render_template(
            "console/saved_views.html",
            views=views,
            staff=staff,
            list_url=list_url,
            descriptions={view.id: _describe(view, choices) for view in views},
        )


@routes.post("/")
@requires(Permission.VIEW_ORDERS)
def create() -> Response:
    """Save the filter of the form under a name."""
    with current_services().db.writing() as session:
        order_filter = read_filter(session, filter_choices(session))
        if not order_filter.values:
            raise Invalid("A view needs a filter: go back, filter the orders, then save the view")
        view = SavedView.create(
            session,
            load_staff(session),
            request.form.get("name", ""),
            order_filter.values,
            is_shared="is_shared" in request.form,
        )
        session.flush()
        if view.is_shared:
            _record(session, Action.SAVED_VIEW_SHARED, view, after=_fields(view))
        name, values = view.name, dict(view.filters)
    flash(f"The view “{name}” is saved.", "success")
    return redirect(list_url(values))


@routes.post("/<view_id>")
@requires(Permission.VIEW_ORDERS)
def change(view_id: str) -> Response:
    """Rename a view, and share it or not."""
    with current_services().db.writing() as session:
        staff = load_staff(session)
        view = SavedView.find(session, view_id, staff)
        if view.staff_id != staff.id:
            raise Unauthorized(f"This view is {view.staff.email}’s: only its owner may change it")
        before = _fields(view)
        view.rename(session, request.form.get("name", ""))
        view.is_shared = "is_shared" in request.form
        if view.is_shared and not before["is_shared"]:
            _record(session, Action.SAVED_VIEW_SHARED, view, after=_fields(view))
        elif before["is_shared"]:
            _record(session, Action.SAVED_VIEW_CHANGED, view, before, _fields(view))
        name = view.name
    flash(f"The view “{name}” is saved.", "success")
    return redirect(url_for("console.saved_views.listing"))


@routes.post("/<view_id>/delete")
@requires(Permission.VIEW_ORDERS)
def delete(view_id: str) -> Response:
    """Delete an own view. Who manages the staff may delete a shared view of others."""
    with current_services().db.writing() as session:
        staff = load_staff(session)
        view = SavedView.find(session, view_id, staff)
        if view.staff_id != staff.id and not may(Permission.MANAGE_STAFF):
            raise Unauthorized(f"This view is {view.staff.email}’s: only its owner may delete it")
        if view.is_shared:
            _record(session, Action.SAVED_VIEW_DELETED, view, before=_fields(view))
        session.delete(view)
        name = view.name
    flash(f"The view “{name}” is deleted.", "success")
    return redirect(url_for("console.saved_views.listing"))


def load_staff(session: Session) -> Staff:
    """Return the row of the member of staff behind the request."""
    return session.scalars(select(Staff).where(Staff.email == current_staff().email)).one()


def list_url(filters: Fields) -> str:
    """Return the address of the list of orders with a filter."""
    return url_for("console.orders.listing", **filters)


def _describe(view: SavedView, choices: Choices) -> str:
    """Return a filter as text: `Status: Completed; Account: Groove Tech`."""
    parts = []
    for name in FILTER_NAMES:
        if value := view.filters.get(name):
            text = dict(choices.get(name, ())).get(value, value)
            parts.append(f"{label_for('field', name)}: {text}")
    return "; ".join(parts)


def _fields(view: SavedView) -> Fields:
    return {"name": view.name, "is_shared": view.is_shared, **view.filters}


def _record(
    session: Session,
    action: Action,
    view: SavedView,
    before: Fields | None = None,
    after: Fields | None = None,
) -> None:
    record_act(session, action, f"view:{view.public_id}", before, after)
