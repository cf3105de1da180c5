"""The screenings of a check that referees and vendors do: requests, answers, and what failed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core import formats
from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.external_work import do_by_hand
from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.packages.referee import Referee, parse_referee
from provider.core.kinds.check.packages.screening_types import CONNECTOR, REFEREE, STAFF
from provider.core.kinds.check.referees.referee_acts import (
    ask_referee,
    named_referees,
    revoke_request,
)
from provider.core.kinds.check.tables.referee_request import (
    BOUNCED,
    EXPIRED,
    SENT,
    GivenAnswer,
    RefereeRequest,
    list_requests,
)
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.kinds.check.tables.vendor_order import (
    FAILED,
    VendorOrder,
    VendorResult,
    list_vendor_orders,
)
from provider.core.kinds.check.vendors.vendor_acts import send_again
from provider.core.orders import CONSENTED
from provider.core.staff import Permission
from provider.errors import Invalid
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.check_readings import record_reading
from provider.web.console.presence import record_visit

routes = Blueprint("outside", __name__, url_prefix="/outside")


@dataclass(frozen=True)
class RequestRow:
    """A request with the decrypted referee and answers."""

    request: RefereeRequest
    referee: Referee
    answers: list[GivenAnswer]

    @property
    def can_be_revoked(self) -> bool:
        return self.request.state in (SENT, BOUNCED, EXPIRED)


@dataclass(frozen=True)
class OutsideRow:
    """One screening with its task, its requests to referees and its order at a vendor."""

    screening: Screening
    task: ScreeningTask
    requests: list[RequestRow] = field(default_factory=list)
    named: list[Referee] = field(default_factory=list)
    vendor_order: VendorOrder | None = None
    result: VendorResult | None = None
    record_count: int = 0

    @property
    def due_on_text(self) -> str:
        due_on = self.task.due_on
        return formats.format_date(datetime.combine(due_on, time(), UTC)) if due_on else ""

    @property
    def can_be_sent_again(self) -> bool:
        is_failed = self.vendor_order is not None and self.vendor_order.state == FAILED
        return is_failed and self.task.performer == CONNECTOR


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def detail(order_id: str) -> Response:
    record_visit(order_id)
    return _render(order_id)


@routes.post("/<screening>/referees")
@requires(Permission.DECIDE_CHECKS)
def ask(order_id: str, screening: str) -> Response:
    """Send a referee the questions. The name and the address may be corrected ones."""
    services = current_services()
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            task = check.find_task(screening)
            form = request.form
            referee = parse_referee(
                form.get("name", ""), form.get("relation", ""), form.get("email", "")
            )
            actor = authentication.current_staff().email
            ask_referee(session, services.secret_box, check, task, referee, actor, services.now())
            _record(session, Action.REFEREE_ASKED, check, task)
    except Invalid as error:
        return _render(order_id, problem=str(error), at=screening, status_code=400)
    flash("The referee gets an e-mail with the questions.", "success")
    return _back(order_id, screening)


@routes.post("/requests/<request_id>/revoke")
@requires(Permission.DECIDE_CHECKS)
def revoke(order_id: str, request_id: str) -> Response:
    """End the link of a request that was not answered."""
    services = current_services()
    with services.db.writing() as session:
        check = Check.find(session, order_id, lock=True)
        actor = authentication.current_staff().email
        revoked = revoke_request(session, check, request_id, actor, services.now())
        key = revoked.screening
        _record(session, Action.REFEREE_REQUEST_REVOKED, check, check.find_task(key))
    flash("The link of the referee has ended.", "success")
    return _back(order_id, key)


@routes.post("/<screening>/again")
@requires(Permission.DECIDE_CHECKS)
def send_to_vendor_again(order_id: str, screening: str) -> Response:
    return _act(
        order_id,
        screening,
        send_again,
        Action.VENDOR_ORDER_SENT_AGAIN,
        "The screening is sent to the vendor again.",
    )


@routes.post("/<screening>/by-hand")
@requires(Permission.DECIDE_CHECKS)
def take_over(order_id: str, screening: str) -> Response:
    """Let staff do the screening; open links end, and a later answer of the vendor is ignored."""
    return _act(
        order_id,
        screening,
        do_by_hand,
        Action.SCREENING_TAKEN_OVER,
        "Staff do this screening from now on.",
    )


def _act(
    order_id: str,
    screening: str,
    act: Callable[[Session, Check, ScreeningTask, str, datetime], object],
    action: Action,
    notice: str,
) -> Response:
    """Perform an act on a screening, and record it."""
    services = current_services()
    with services.db.writing() as session:
        check = Check.find(session, order_id, lock=True)
        task = check.find_task(screening)
        act(session, check, task, authentication.current_staff().email, services.now())
        _record(session, action, check, task)
    flash(notice, "success")
    return _back(order_id, screening)


def _record(session: Session, action: Action, check: Check, task: ScreeningTask) -> None:
    authentication.record_act(
        session, action, f"order:{check.public_id}", after={"screening": task.key}
    )


def _back(order_id: str, screening: str) -> Response:
    url = url_for("console.checks.outside.detail", order_id=order_id, _anchor=screening)
    return redirect(url)


def _render(order_id: str, *, problem: str = "", at: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        rows = _rows(session, check)
        page = render_template(
            "console/check/outside.html",
            order=check,
            timezone=check.account.timezone,
            rows=rows,
            is_at_work=check.status == CONSENTED,
            problem=problem,
            at=at,
            submitted=request.form,
            STAFF=STAFF,
            REFEREE=REFEREE,
        )
    if rows:
        record_reading(order_id, "referees and vendors")
    return make_response(page, status_code)


def _rows(session: Session, check: Check) -> list[OutsideRow]:
    """Return the screenings that others do or did, or that staff took over."""
    secret_box = current_services().secret_box
    vendor_orders = {row.screening: row for row in list_vendor_orders(session, check.id)}
    requests = list_requests(session, check.id)
    rows = []
    for task in check.tasks:
        own_requests = [entry for entry in requests if entry.screening == task.key]
        vendor_order = vendor_orders.get(task.key)
        if task.performer == STAFF and not own_requests and vendor_order is None:
            continue
        screening = check.find_screening(task.key)
        records = [record for record in check.records if record.screening == task.key]
        rows.append(
            OutsideRow(
                screening,
                task,
                [
                    RequestRow(entry, entry.get_referee(secret_box), entry.get_answers(secret_box))
                    for entry in own_requests
                ],
                named_referees(check, secret_box, screening),
                vendor_order,
                vendor_order.get_result(secret_box) if vendor_order else None,
                sum(record.removed_at is None for record in records),
            )
        )
    return rows
