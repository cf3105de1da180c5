"""The filtered list of orders, and the page of one order with its timeline."""

from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import ColumnElement, Select, and_, exists, select, true
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.kinds import KINDS, waited_for_values
from provider.core.labels import label_for
from provider.core.orders import (
    FINAL_STATUSES,
    INVITE,
    REPORT,
    STATUSES,
    WAITING_FOR,
    Candidate,
    Link,
    Order,
    has_email,
)
from provider.core.orders.candidate_emails import has_bounced_invitation
from provider.core.orders.states import STAFF
from provider.core.products import Product
from provider.core.staff import Permission
from provider.errors import Conflict
from provider.outbox import PARKED, Message
from provider.services import Services, current_services
from provider.web.console.authentication import MAX_DISPLAYED_COUNT, may, requires
from provider.web.console.pagination import Page, Sorting, paginate, read_filter_value
from provider.web.console.timeline import build_timeline

routes = Blueprint("orders", __name__, url_prefix="/orders")

MAX_BULK_ORDERS = 1000  # that one action may change together
# The actions on several orders, by the name of the action on one.
BULK_CHOICES = (
    ("cancel", "Cancel"),
    ("resend", "Send the invitation again"),
    ("extend", "Extend the deadline"),
    ("revoke-links", "Revoke all links"),
)
NEWEST_FIRST = Sorting(Order.public_id, (Order.id,))
COLUMNS: tuple[Any, ...] = (
    Order.public_id,
    Order.kind,
    Order.status,
    Order.progress,
    Order.job_title,
    Order.placed_at,
    Order.expires_at,
    Candidate.first_name,
    Candidate.last_name,
    Candidate.email,
    Product.name.label("product"),
    Account.name.label("account"),
    Order.waiting_for,
)


@routes.get("/")
@requires(Permission.VIEW_ORDERS)
def listing() -> str:
    services = current_services()
    with services.db.reading() as session:
        choices = _filter_choices(session)
        page = _find_page(session, services, choices)
        return render_template(
            "console/orders.html",
            page=page,
            choices=choices,
            orders_with_parked_messages=_orders_with_parked_messages(session, page),
            args=request.args,
            is_filtered=any(request.args.get(name) for name in (*choices, "email")),
            action_count=_count_needing_action(session),
            max_displayed_count=MAX_DISPLAYED_COUNT,
            bulk_choices=BULK_CHOICES,
            max_bulk_orders=MAX_BULK_ORDERS,
        )


@routes.get("/<order_id>")
@requires(Permission.VIEW_ORDERS)
def detail(order_id: str) -> str:
    services = current_services()
    with services.db.reading() as session:
        return render_order_page(session, services, Order.find(session, order_id))


def render_order_page(
    session: Session, services: Services, order: Order, invitation_url: str = ""
) -> str:
    """Return an order's page; it shows the candidate's link only when `invitation_url` is given."""
    report = Link.find_permanent(session, order, REPORT) if order.result else None
    may_see_results = may(Permission.VIEW_RESULTS)
    earlier_results = order.earlier_results if may_see_results else []
    return render_template(
        "console/order.html",
        order=order,
        timezone=order.account.timezone,
        is_final=order.status in FINAL_STATUSES,
        timeline_entries=build_timeline(session, order),
        invitation_url=invitation_url,
        report_url=services.urls.report(report.get_token(services.secret_box)) if report else "",
        has_invitation=Link.find_permanent(session, order, INVITE) is not None,
        evidence=order.evidence(services.secret_box)
        if order.started_at and may_see_results
        else None,
        earlier_results=[(result, order.earlier_evidence(result)) for result in earlier_results],
        can_retake=_can_retake(order),
    )


def _can_retake(order: Order) -> bool:
    try:
        order.require_retakable()
    except Conflict:
        return False
    return True


def list_account_names(session: Session) -> list[tuple[str, str]]:
    """Return (public id, name) of all accounts, sorted by name."""
    rows = session.execute(select(Account.public_id, Account.name).order_by(Account.name))
    return [(row.public_id, row.name) for row in rows]


def _filter_choices(session: Session) -> dict[str, list[tuple[str, str]]]:
    products = select(Product.public_id, Product.name).order_by(Product.name, Product.id)
    return {
        "kind": [(kind, label_for("kind", kind)) for kind in KINDS],
        "status": [(status, label_for("status", status)) for status in STATUSES],
        "waiting_for": [
            (value, label_for("waiting_for", value))
            for value in WAITING_FOR
            if value in waited_for_values()
        ],
        "invitation": [("bounced", "Could not be delivered")],
        "account": list_account_names(session),
        "product": [(row.public_id, row.name) for row in session.execute(products)],
    }


def _find_page(
    session: Session, services: Services, choices: dict[str, list[tuple[str, str]]]
) -> Page:
    query: Select[Any] = (
        select(*COLUMNS)
        .join(Candidate, Order.candidate_id == Candidate.id)
        .join(Product, Order.product_id == Product.id)
        .join(Account, Order.account_id == Account.id)
    )
    conditions, partitions = _conditions(session, services, choices)
    return paginate(session, query.where(*conditions), NEWEST_FIRST, partitions)


def list_matching_ids(session: Session, services: Services, limit: int) -> list[str]:
    """Return the public ids of the newest orders that the request's filter matches."""
    conditions, partitions = _conditions(session, services, _filter_choices(session))
    rows = [
        row
        for partition in partitions or [true()]
        for row in session.execute(
            select(Order.id, Order.public_id)
            .join(Candidate, Order.candidate_id == Candidate.id)
            .where(*conditions, partition)
            .order_by(Order.id.desc())
            .limit(limit)
        )
    ]
    return [public_id for _, public_id in sorted(rows, reverse=True)[:limit]]


def _conditions(
    session: Session, services: Services, choices: dict[str, list[tuple[str, str]]]
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return the conditions of the request's filter, and partitions that use the indexes.

    The conditions are on orders and candidates. The partitions, if there are any, contain them.
    """
    filters = {
        name: read_filter_value(name, [value for value, _ in values])
        for name, values in choices.items()
    }
    conditions = _filter_conditions(session, filters)
    email = request.args.get("email", "").strip()
    is_narrow = bool(filters["status"] or filters["waiting_for"] or filters["invitation"] or email)
    if conditions and not is_narrow:
        # The indexes contain the status. The conditions stand in the partitions alone: repeated in
        # the outer query, they would make SQLite choose a slower plan.
        return [], [and_(*conditions, Order.status == status) for status in STATUSES]
    if email:
        conditions.append(has_email(services.secret_box, email))
    if filters["invitation"]:
        conditions.append(has_bounced_invitation())
    if filters["waiting_for"]:
        conditions.append(Order.waiting_for == filters["waiting_for"])
    return conditions, []


def _filter_conditions(session: Session, filters: dict[str, str]) -> list[ColumnElement[bool]]:
    """Return a filter's conditions, on columns of `orders` only: the indexes contain no others."""
    columns = {"kind": Order.kind, "status": Order.status}
    conditions = [column == filters[name] for name, column in columns.items() if filters[name]]
    if filters["account"]:
        account_id = session.scalar(_id_query(Account, filters["account"]))
        conditions.append(Order.account_id == account_id)
    if filters["product"]:
        product_id = session.scalar(_id_query(Product, filters["product"]))
        conditions.append(Order.product_id == product_id)
    return conditions


def _id_query(table: type[Account] | type[Product], public_id: str) -> Select[int]:
    return select(table.id).where(table.public_id == public_id)


def _count_needing_action(session: Session) -> int:
    return len(
        session.scalars(
            select(Order.id).where(Order.waiting_for == STAFF).limit(MAX_DISPLAYED_COUNT)
        ).all()
    )


def _orders_with_parked_messages(session: Session, page: Page) -> set[str]:
    """Return the public ids of the page's orders that have a failed delivery."""
    ids = [row.public_id for row in page.rows]
    has_parked_message = exists().where(
        outbox.is_about(Message.ordering_key, Order.public_id), Message.state == PARKED
    )
    query = select(Order.public_id).where(Order.public_id.in_(ids), has_parked_message)
    return set(session.scalars(query))
