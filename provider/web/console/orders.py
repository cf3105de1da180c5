"""The filtered list of orders, and the page of one order with its timeline."""

from collections.abc import Sequence

from flask import Blueprint, render_template, request
from sqlalchemy import exists, select
from sqlalchemy.orm import Session, joinedload

from provider import outbox
from provider.core.labels import needs_label
from provider.core.orders import FINAL_STATUSES, INVITE, REPORT, Link, Order
from provider.core.orders.bulk_run import MAX_BULK_ORDERS
from provider.core.orders.states import STAFF
from provider.core.sandbox import find_script
from provider.core.staff import Permission, list_views
from provider.errors import Conflict
from provider.maintenance.bulk_erasure import BULK_ACTIONS
from provider.outbox import PARKED, Message
from provider.services import Services, current_services
from provider.web.console.accommodations import accommodation_context
from provider.web.console.authentication import (
    MAX_DISPLAYED_COUNT,
    candidate_names,
    may,
    requires,
)
from provider.web.console.order_list import (
    MAX_QUERY_LENGTH,
    current_scores,
    filter_choices,
    find_page,
    read_filter,
    row_names,
)
from provider.web.console.pagination import Page, is_plausible_id
from provider.web.console.presence import presence_context, record_visit
from provider.web.console.saved_views import list_url, load_staff
from provider.web.console.timeline import build_timeline

routes = Blueprint("orders", __name__, url_prefix="/orders")

# The actions on several orders, by the name of the action on one.
BULK_CHOICES = (
    ("cancel", "Cancel"),
    ("resend", "Send the invitation again"),
    ("extend", "Extend the deadline"),
    ("extra-time", "Give extra time"),
    ("reopen", "Reopen"),
    ("retake", "Let candidates take the test again"),
    ("end-attempt", "End the attempts now"),
    ("redeliver", "Send failed deliveries again"),
    ("hold", "Put on hold"),
    ("release", "Release from hold"),
    ("revoke-links", "Revoke all links"),
    ("erase", "Erase the candidates’ data"),
)


@routes.get("/")
@requires(Permission.VIEW_ORDERS)
def listing() -> str:
    services = current_services()
    with services.db.reading() as session:
        choices = filter_choices(session)
        order_filter = read_filter(session, choices)
        page = find_page(session, order_filter)
        return render_template(
            "console/orders.html",
            page=page,
            names=row_names(session, page.rows),
            choices=choices,
            orders_with_parked_messages=_orders_with_parked_messages(session, page),
            scores=current_scores(session, page.rows) if may(Permission.VIEW_RESULTS) else None,
            views=list_views(session, load_staff(session)),
            order_filter=order_filter,
            list_url=list_url,
            needs_label=needs_label,
            max_query_length=MAX_QUERY_LENGTH,
            args=request.args,
            action_count=_count_needing_action(session),
            max_displayed_count=MAX_DISPLAYED_COUNT,
            bulk_choices=[
                (name, title) for name, title in BULK_CHOICES if may(BULK_ACTIONS[name].permission)
            ],
            max_bulk_orders=MAX_BULK_ORDERS,
        )


@routes.get("/<order_id>")
@requires(Permission.VIEW_ORDERS)
def detail(order_id: str) -> str:
    services = current_services()
    record_visit(order_id)
    with services.db.reading() as session:
        return render_order_page(session, services, Order.find(session, order_id))


def render_order_page(
    session: Session, services: Services, order: Order, invitation_url: str = ""
) -> str:
    """Return an order's page; it shows the candidate's link only when `invitation_url` is given."""
    may_see_results = may(Permission.VIEW_RESULTS)
    partial_findings = order.partial_findings(services.secret_box) if may_see_results else ()
    is_name_hidden = candidate_names().is_hidden(order)
    # A report has the name: of an order that was opened again, and of a check's first outcomes.
    has_report = (order.result or partial_findings) and not is_name_hidden
    report = Link.find_permanent(session, order, REPORT) if has_report else None
    earlier_results = order.earlier_results if may_see_results else []
    return render_template(
        "console/order.html",
        order=order,
        is_name_hidden=is_name_hidden,
        timezone=order.account.timezone,
        is_final=order.status in FINAL_STATUSES,
        timeline_entries=(timeline_entries := build_timeline(session, order)),
        has_failed_delivery=any(
            entry.delivery and entry.delivery.is_parked for entry in timeline_entries
        ),
        invitation_url=invitation_url,
        report_url=services.urls.report(report.get_token(services.secret_box)) if report else "",
        has_invitation=Link.find_permanent(session, order, INVITE) is not None,
        evidence=order.evidence(services.secret_box)
        if order.started_at and may_see_results
        else None,
        earlier_results=[(result, order.earlier_evidence(result)) for result in earlier_results],
        can_retake=_can_retake(order),
        start_refusal=order.find_start_refusal(services.secret_box, services.now()),
        retake_facts=order.retake_facts(services.secret_box) if may_see_results else [],
        partial_findings=partial_findings,
        presence=presence_context(session, order),
        # It says something about a person's health, so only those who decide see it.
        **(accommodation_context(session, order) if may(Permission.MANAGE_ORDERS) else {}),
        is_scripted=find_script(order) is not None,
    )


def load_orders(session: Session, order_ids: Sequence[str]) -> Sequence[Order]:
    """Return the orders with these public ids, newest first; unknown ids are left out."""
    plausible_ids = [order_id for order_id in order_ids if is_plausible_id(order_id)]
    related = (joinedload(Order.account), joinedload(Order.product), joinedload(Order.candidate))
    query = select(Order).where(Order.public_id.in_(plausible_ids)).order_by(Order.id.desc())
    return session.scalars(query.options(*related)).all()


def _can_retake(order: Order) -> bool:
    try:
        order.require_retakable()
    except Conflict:
        return False
    return True


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
