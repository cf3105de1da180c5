"""The orders: found by what one knows of them, each with its story."""

from typing import Any

from flask import Blueprint, render_template, request
from sqlalchemy import ColumnElement, Select, and_, case, select, text
from sqlalchemy.orm import Session

from provider.accounts import Account
from provider.here import here
from provider.house import House
from provider.kinds import KINDS
from provider.orders import (
    FINAL,
    INVITE,
    REPORT,
    STATUSES,
    Candidate,
    Link,
    Order,
    Product,
)
from provider.orders.order import WAITS_ON_STAFF
from provider.outbox import PARKED, Message
from provider.pages.console.gate import MOST_COUNTED
from provider.pages.console.paging import Shelf, Sorting, chosen, shelf
from provider.pages.console.story import story_of
from provider.words import word

routes = Blueprint("orders", __name__, url_prefix="/orders")

NEWEST_FIRST = Sorting(Order.public_id, (Order.id,))
WAITS = text(WAITS_ON_STAFF)
COLUMNS: tuple[Any, ...] = (
    Order.public_id, Order.kind, Order.status, Order.progress, Order.job_title,
    Order.placed_at, Order.expires_at,
    Candidate.first_name, Candidate.last_name, Candidate.email,
    Product.name.label("product"), Account.name.label("account"),
    case((WAITS, True), else_=False).label("waits"),
)  # fmt: skip


@routes.get("/")
def listing() -> str:
    """List orders, newest first."""
    house = here()
    with house.db.reading() as session:
        choices = _choices(session)
        found = _page(session, house, choices)
        return render_template(
            "console/orders.html",
            shelf=found, choices=choices, troubled=_troubled(session, found), args=request.args,
            narrowed=any(request.args.get(name) for name in (*choices, "email")),
            waiting=_waiting(session), most_counted=MOST_COUNTED,
        )  # fmt: skip


@routes.get("/<order_id>")
def story(order_id: str) -> str:
    """Tell all about one order."""
    house = here()
    with house.db.reading() as session:
        return order_page(session, house, Order.find(session, order_id))


def order_page(session: Session, house: House, order: Order, link: str = "") -> str:
    """Render an order's page, with the candidate's link where it was asked for."""
    report = Link.of(session, order, REPORT) if order.result else None
    return render_template(
        "console/order.html",
        order=order, zone=order.account.timezone, final=order.status in FINAL,
        story=story_of(session, order), link=link,
        report=house.links.report(report.token(house.vault)) if report else "",
        linked=Link.of(session, order, INVITE) is not None,
        evidence=order.evidence() if order.started_at else None,
    )  # fmt: skip


def account_names(session: Session) -> list[tuple[str, str]]:
    """Return (public id, name) of all accounts, by name."""
    rows = session.execute(select(Account.public_id, Account.name).order_by(Account.name))
    return [(row.public_id, row.name) for row in rows]


def _choices(session: Session) -> dict[str, list[tuple[str, str]]]:
    products = select(Product.public_id, Product.name).order_by(Product.name, Product.id)
    return {
        "kind": [(kind, word("kind", kind)) for kind in KINDS],
        "status": [(status, word("status", status)) for status in STATUSES],
        "waits": [("staff", "Waits on the staff")],
        "account": account_names(session),
        "product": [(row.public_id, row.name) for row in session.execute(products)],
    }


def _page(session: Session, house: House, choices: dict[str, list[tuple[str, str]]]) -> Shelf:
    query: Select[Any] = (
        select(*COLUMNS)
        .join(Candidate, Order.candidate_id == Candidate.id)
        .join(Product, Order.product_id == Product.id)
        .join(Account, Order.account_id == Account.id)
    )
    told = {name: chosen(name, [value for value, _ in values]) for name, values in choices.items()}
    conditions = _narrowed(session, told)
    email = request.args.get("email", "").strip()
    if email:
        digests = house.vault.indexes(email, "candidate e-mail")
        query = query.where(Candidate.email_digest.in_(digests))
    if told["waits"]:
        query = query.where(WAITS)
    if not conditions or told["status"] or told["waits"] or email:
        return shelf(session, query.where(*conditions), NEWEST_FIRST)
    # The indexes go by status too. What the piles say is not said twice: SQLite would go by that.
    piles = [and_(*conditions, Order.status == status) for status in STATUSES]
    return shelf(session, query, NEWEST_FIRST, piles)


def _narrowed(session: Session, told: dict[str, str]) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter, by this table's own columns: only they are in indexes."""
    columns = {"kind": Order.kind, "status": Order.status}
    conditions = [column == told[name] for name, column in columns.items() if told[name]]
    if told["account"]:
        number = session.scalar(_number_of(Account, told["account"]))
        conditions.append(Order.account_id == number)
    if told["product"]:
        number = session.scalar(_number_of(Product, told["product"]))
        conditions.append(Order.product_id == number)
    return conditions


def _number_of(table: type[Account] | type[Product], public_id: str) -> Select[int]:
    return select(table.id).where(table.public_id == public_id)


def _waiting(session: Session) -> int:
    return len(session.scalars(select(Order.id).where(WAITS).limit(MOST_COUNTED)).all())


def _troubled(session: Session, found: Shelf) -> set[str]:
    """Return which of the orders have something parked."""
    ids = [row.public_id for row in found.rows]
    query = select(Message.key).where(Message.key.in_(ids), Message.state == PARKED)
    return set(session.scalars(query.distinct()))
