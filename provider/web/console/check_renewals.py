"""The checks that are to be renewed soon, or should have been."""

from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.renewal import (
    MAX_LISTED_RENEWALS,
    REMINDED_BEFORE,
    list_due_renewals,
)
from provider.core.staff import Permission
from provider.errors import NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires

routes = Blueprint("renewals", __name__, url_prefix="/renewals")


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def listing() -> str:
    services = current_services()
    with services.db.reading() as session:
        now = services.now()
        return render_template(
            "console/check/renewals.html",
            renewals=list_due_renewals(session, now),
            today=now.date(),
            day_count=REMINDED_BEFORE.days,
            max_count=MAX_LISTED_RENEWALS,
        )


@routes.post("/<order_id>/close")
@requires(Permission.DECIDE_CHECKS)
def close(order_id: str) -> Response:
    """Take a check off the list: somebody has ordered it again, or nobody needs it any more."""
    services, staff = current_services(), current_staff().email
    with services.db.writing() as session:
        check = Check.find(session, order_id, lock=True)
        if check.renewal is None:
            raise NotFound("This check is not to be renewed")
        check.renewal.close(staff, services.now())
        after = {"renew_on": check.renewal.renew_on.isoformat()}
        record_act(session, Action.RENEWAL_CLOSED, f"order:{order_id}", after=after)
    flash("The check is taken off the list.", "success")
    return redirect(url_for(".listing"))
