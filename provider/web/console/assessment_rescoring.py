"""Scores earlier attempts at a test by a version with corrected keys, after a preview."""

from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger
from werkzeug.wrappers import Response

from provider.core.kinds.assessment import Test
from provider.core.kinds.assessment.rescoring import Rescoring
from provider.core.kinds.assessment.results import SAME_RESULT_MESSAGE
from provider.core.orders.bulk_run import REFUSED, BulkRow, BulkRun
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console import authentication
from provider.web.console.authentication import requires

routes = Blueprint(
    "rescoring", __name__, url_prefix="/products/<product_id>/versions/<int:number>/rescore"
)

log = get_logger()

MAX_SHOWN_ATTEMPTS = 200
MAX_SHOWN_PROBLEMS = 100


@routes.get("/")
@requires(Permission.EDIT_PRODUCTS)
def detail(product_id: str, number: int) -> Response:
    """Show what scoring again concerns; with `preview` in the query, also what it changes."""
    return _render(product_id, number, is_previewed="preview" in request.args)


@routes.post("/")
@requires(Permission.EDIT_PRODUCTS)
def start(product_id: str, number: int) -> Response:
    """Store a run that scores the attempts again, and show its progress."""
    services, reason = current_services(), request.form.get("reason", "")
    actor = authentication.current_staff().email
    try:
        with services.db.writing() as session:
            _plan(session, product_id, number).start(session, reason, actor, services.now())
    except (Invalid, Conflict) as error:
        status_code = 409 if isinstance(error, Conflict) else 400
        return _render(product_id, number, is_previewed=True, problem=str(error), code=status_code)
    log.info("attempts_scored_again", product=product_id, version=number, actor=actor)
    flash(f"Version {number} scores these attempts now.", "success")
    return redirect(url_for(".detail", product_id=product_id, number=number))


@routes.get("/progress")
@requires(Permission.EDIT_PRODUCTS)
def progress(product_id: str, number: int) -> str:
    """Return the part of the page that changes while a run goes on."""
    with current_services().db.reading() as session:
        run = _plan(session, product_id, number).find_run(session)
        if run is None:
            raise NotFound("Nobody has scored attempts by this version in the last 30 days")
        context = _run_context(session, run)
        return render_template("console/assessment/_rescoring_progress.html", **context)


def _plan(session: Session, product_id: str, number: int) -> Rescoring:
    product = Test.find(session, product_id)
    matching = [version for version in product.versions if version.number == number]
    if not matching:
        raise NotFound(f"{product.name} has no such version")
    return Rescoring.plan(product, matching[0])


def _render(
    product_id: str, number: int, *, is_previewed: bool, problem: str = "", code: int = 200
) -> Response:
    with current_services().db.reading() as session:
        rescoring = _plan(session, product_id, number)
        run = rescoring.find_run(session)
        page = render_template(
            "console/assessment/rescoring.html",
            product=rescoring.product,
            version=rescoring.target,
            rescoring=rescoring,
            attempt_count=rescoring.count_attempts(session),
            open_count=rescoring.count_open(session),
            preview=rescoring.preview(session) if is_previewed else None,
            max_shown=MAX_SHOWN_ATTEMPTS,
            # The author of a test need not see who took it.
            has_names=authentication.may(Permission.VIEW_ORDERS)
            and authentication.may(Permission.VIEW_RESULTS),
            problem=problem,
            reason=request.form.get("reason", ""),
            **_run_context(session, run),
        )
    return make_response(page, code)


def _run_context(session: Session, run: BulkRun | None) -> dict[str, Any]:
    """Return the variables of a run's progress. The rows that stay the same are no problems."""
    if run is None:
        return {"run": None}
    refused = select(BulkRow).where(BulkRow.run_id == run.id, BulkRow.state == REFUSED)
    problems = refused.where(BulkRow.problem != SAME_RESULT_MESSAGE).order_by(BulkRow.id)
    rows = session.scalars(problems.limit(MAX_SHOWN_PROBLEMS)).all()
    return {"run": run, "progress": run.progress(session), "problems": rows}
