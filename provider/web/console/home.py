"""The first page of the console: what needs a person, and the figures of thirty days."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session
from werkzeug.wrappers import Response

from provider.core.accounts import Account
from provider.core.alerts import find_mail_server_pause, list_open_alerts
from provider.core.connections import REFUSED, ApiToken, Arrival, Rule, SourceCursor
from provider.core.kinds import KINDS
from provider.core.kinds.base import Kind, StaffWork
from provider.core.marking import ANSWER, SECOND_LOOK, MarkingTask, list_queued
from provider.core.orders import PERIOD_DAYS, Order, collect_statistics
from provider.core.orders.candidate_emails import has_bounced_invitation
from provider.core.orders.states import STAFF
from provider.core.pauses import list_pauses
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import (
    MAX_DISPLAYED_COUNT,
    current_staff,
    may,
    requires,
)

routes = Blueprint("home", __name__)

# A literal, not a parameter, or the planner cannot use the partial index.
WAITS_FOR_STAFF = Order.waiting_for == text(f"'{STAFF}'")


@dataclass(frozen=True)
class Task:
    """Something that needs a person: how often, in words, and the page where it is done."""

    count: int
    singular: str
    plural: str
    url: str

    @property
    def text(self) -> str:
        return self.singular if self.count == 1 else self.plural

    @property
    def is_capped(self) -> bool:
        return self.count >= MAX_DISPLAYED_COUNT


@routes.get("/")
@requires()
def overview() -> Response | str:
    """Show the overview; a role that sees no orders goes to the products."""
    if not may(Permission.VIEW_ORDERS):
        return redirect(url_for("console.products.listing"))
    services = current_services()
    with services.db.reading() as session:
        now = services.now()
        return render_template(
            "console/home.html",
            mail_server_pause=(
                find_mail_server_pause(session) if may(Permission.VIEW_DELIVERIES) else None
            ),
            tasks=[task for task in _tasks(session) if task.count],
            statistics=collect_statistics(session, now, with_scores=may(Permission.VIEW_RESULTS)),
            now=now,
            day_count=PERIOD_DAYS,
        )


def _tasks(session: Session) -> list[Task]:
    """Return the tasks that the person's role may do."""
    tasks = [
        Task(
            _count(session, Order.id, WAITS_FOR_STAFF, Order.kind == kind.name),
            f"{kind.texts.label} that waits for the staff",
            f"{kind.texts.label}s that wait for the staff",
            url_for("console.orders.listing", kind=kind.name, waiting_for=STAFF),
        )
        for kind in KINDS.values()
        # A request for an accommodation needs the permission to manage orders.
        if may(kind.work_permission) or may(Permission.MANAGE_ORDERS)
    ]
    if may(Permission.RATE_INTERVIEWS):
        marking = url_for("console.marking.listing", whose="all")
        tasks += [
            Task(
                _count_marking(session, ANSWER),
                "Answer that waits for a mark",
                "Answers that wait for a mark",
                marking,
            ),
            Task(
                _count_marking(session, SECOND_LOOK),
                "Candidate who asks for a second look",
                "Candidates who ask for a second look",
                marking,
            ),
        ]
    today = current_services().now().date()
    tasks += [
        _kind_task(session, kind, work)
        for kind in KINDS.values()
        if may(kind.work_permission)
        for work in kind.list_staff_work(today)
    ]
    if may(Permission.MANAGE_ORDERS):
        tasks.append(
            Task(
                _count(session, Order.id, has_bounced_invitation()),
                "Invitation that could not be delivered",
                "Invitations that could not be delivered",
                url_for("console.orders.listing", invitation="bounced"),
            )
        )
    if may(Permission.MANAGE_DELIVERIES):
        tasks += _delivery_tasks(session)
    if may(Permission.MANAGE_ACCOUNTS):
        tasks += _connection_tasks(session)
    return tasks


def _kind_task(session: Session, kind: Kind, work: StaffWork) -> Task:
    ids = session.scalars(work.ids.limit(MAX_DISPLAYED_COUNT)).all()
    if not work.path:
        url = url_for(f"console.{kind.queue}.listing", **dict[str, Any](work.filters))
    else:
        path = work.path
        if "{order}" in path and ids:
            query = select(Order.public_id).where(Order.id == ids[0])
            path = path.format(order=session.scalars(query).one())
        url = url_for("console.home.overview") + path
    return Task(len(ids), work.singular, work.plural, url)


def _count_marking(session: Session, purpose: str) -> int:
    query = list_queued().where(MarkingTask.purpose == purpose).limit(MAX_DISPLAYED_COUNT)
    return len(session.scalars(query).all())


def _delivery_tasks(session: Session) -> list[Task]:
    deliveries = url_for("console.deliveries.listing")
    return [
        Task(
            current_staff().parked_count,
            "Delivery that failed",
            "Deliveries that failed",
            deliveries,
        ),
        Task(
            len(list_pauses(session)),
            "Delivery that is paused",
            "Deliveries that are paused",
            deliveries,
        ),
        Task(
            sum(alert.needs_attention for alert in list_open_alerts(session)),
            "Delivery alert that nobody has acknowledged",
            "Delivery alerts that nobody has acknowledged",
            url_for("console.alerts.listing"),
        ),
    ]


def _connection_tasks(session: Session) -> list[Task]:
    """Return the tasks of accounts whose ATS cannot be read, or whose candidates are refused."""
    with_rules = select(Account).where(Account.id.in_(select(Rule.account_id)))
    tasks = []
    for account in session.scalars(with_rules.order_by(Account.name)):
        url = url_for("console.connections.detail", account_id=account.public_id)
        token = session.get(ApiToken, account.id)
        needs_consent = bool(token and token.reconnect_reason)
        stopped = (SourceCursor.account_id == account.id, SourceCursor.stopped_reason != "")
        refused = (Arrival.account_id == account.id, Arrival.outcome == REFUSED)
        tasks += [
            Task(
                int(needs_consent),
                f"{account.name}: connect again",
                f"{account.name}: connect again",
                url,
            ),
            Task(
                _count(session, SourceCursor.source, *stopped),
                f"{account.name}: list that is read no further",
                f"{account.name}: lists that are read no further",
                url,
            ),
            Task(
                _count(session, Arrival.id, *refused),
                f"{account.name}: candidate who could not be ordered for",
                f"{account.name}: candidates who could not be ordered for",
                url,
            ),
        ]
    return tasks


def _count(
    session: Session, column: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]
) -> int:
    """Count rows up to `MAX_DISPLAYED_COUNT`: the exact number of many would be slow."""
    query = select(column).where(*conditions).limit(MAX_DISPLAYED_COUNT)
    return len(session.scalars(query).all())
