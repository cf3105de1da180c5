"""The report, its PDF, and the shared links to both.

A link preview or a mail scanner sends only GET requests, so a GET never uses up a view of a shared
link. The recruiter presses a button instead. A signed cookie for this one link then opens the
report for half an hour.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.orders import PDF, REPORT, SHARED, Link, Order
from provider.core.report import build_report
from provider.errors import Gone, NotFound
from provider.services import current_services
from provider.texts import gettext_noop
from provider.web.candidate.responses import branding_context
from provider.web.pdf_response import report_pdf_response
from provider.web.rate_limit import limit_by_address

routes = Blueprint("report", __name__)
routes.before_request(limit_by_address)

VIEW_LIFETIME = timedelta(minutes=30)
REPORT_NOT_FOUND_MESSAGE = gettext_noop("This address leads to no report")
LINK_EXPIRED_MESSAGE = gettext_noop(
    "It was made for a limited time or a limited number of views, and that is used up"
)


@routes.get("/r/<token>")
def report(token: str) -> str:
    with current_services().db.reading() as session:
        order = find_reported_order(session, token)
        pdf_link = Link.find_permanent(session, order, PDF)
        pdf_token = pdf_link.get_token(current_services().secret_box) if pdf_link else ""
        pdf_url = url_for("report.pdf", token=pdf_token) if pdf_token else None
        media_url = partial(url_for, "media_files.report_media", token=token)
        captions_url = partial(url_for, "media_files.report_captions", token=token)
        return _render_report(order, REPORT, pdf_url, media_url, captions_url)


@routes.get("/r/<token>/report.pdf")
def pdf(token: str) -> Response:
    with current_services().db.reading() as session:
        order = _require_valid(_find_link(session, token, PDF)).order
        report_data = build_report(order, current_services().secret_box, {PDF})
    return report_pdf_response(report_data)


@routes.get("/s/<token>")
def shared_report(token: str) -> Response | str:
    """Show the report, or a button that uses one view of the link."""
    with current_services().db.reading() as session:
        link = _find_link(session, token, SHARED)
        if _can_view(link) or link.order.result is None:
            media_url = partial(url_for, "media_files.shared_media", token=token)
            pdf_url = url_for("report.shared_pdf", token=token)
            captions_url = partial(url_for, "media_files.shared_captions", token=token)
            return _render_report(link.order, SHARED, pdf_url, media_url, captions_url)
        return render_template(
            "report/confirm_view.html",
            **branding_context(link.order.account) | {"account": link.order.account.display_name},
            kind_texts=KINDS[link.order.kind].texts,
            views_left=link.views_left,
            url=url_for("report.confirm_view", token=token),
        )


@routes.post("/s/<token>")
def confirm_view(token: str) -> Response:
    """Use one view of a shared link, and open the report for half an hour."""
    now = current_services().now()
    response = make_response(redirect(url_for("report.shared_report", token=token), 303))
    with current_services().db.writing() as session:
        link = _find_link(session, token, SHARED)
        if _can_view(link) or link.order.result is None:
            return response
        if not link.consume_view(session, now):
            raise Gone(LINK_EXPIRED_MESSAGE)
        _set_view_cookie(response, link, now + VIEW_LIFETIME)
    return response


@routes.get("/s/<token>/report.pdf")
def shared_pdf(token: str) -> Response:
    with current_services().db.reading() as session:
        order = find_shared_order(session, token)
        if order is None:
            return redirect(url_for("report.shared_report", token=token), 303)
        report_data = build_report(order, current_services().secret_box, {SHARED, PDF})
    return report_pdf_response(report_data)


def find_reported_order(session: Session, token: str) -> Order:
    """Return the order of a report's own link; raises NotFound or Gone."""
    return _require_valid(_find_link(session, token, REPORT)).order


def find_shared_order(session: Session, token: str) -> Order | None:
    """Return the order of a shared link; None when the browser must confirm a view first."""
    link = _find_link(session, token, SHARED)
    return link.order if _can_view(link) else None


def _find_link(session: Session, token: str, purpose: str) -> Link:
    link = Link.find(session, token, purpose)
    if link is None:
        raise NotFound(REPORT_NOT_FOUND_MESSAGE)
    return link


def _require_valid(link: Link) -> Link:
    if not link.is_valid(current_services().now()):
        raise Gone(LINK_EXPIRED_MESSAGE)
    return link


def _can_view(link: Link) -> bool:
    """Return True when this browser may see the report; raises Gone for an expired link."""
    if link.views_left is not None and _has_view_cookie(link):
        return True
    return _require_valid(link).views_left is None


def _render_report(
    order: Order,
    place: str,
    pdf_url: str | None,
    media_url: Callable[..., str],
    captions_url: Callable[..., str],
) -> str:
    if order.result is None:
        context = branding_context(order.account) | {"account": order.account.display_name}
        findings = order.partial_findings(current_services().secret_box)
        if findings:
            return render_template(
                f"report/{order.kind}/partial.html", order=order, findings=findings, **context
            )
        return render_template("report/reopened.html", **context)
    return render_template(
        [f"report/{order.kind}/report.html", "report/report.html"],
        report=build_report(order, current_services().secret_box, {place}),
        brand_css=branding_context(order.account)["brand_css"],
        pdf_url=pdf_url,
        media_url=media_url,
        captions_url=captions_url,
    )


def _has_view_cookie(link: Link) -> bool:
    try:
        link_id, expires_at = _view_signer().loads(request.cookies.get(_view_cookie_name(link), ""))
    except (BadSignature, TypeError, ValueError):
        return False
    return bool(link_id == link.id and current_services().now().timestamp() < expires_at)


def _set_view_cookie(response: Response, link: Link, expires_at: datetime) -> None:
    response.set_cookie(
        _view_cookie_name(link),
        _view_signer().dumps([link.id, expires_at.timestamp()]),
        max_age=VIEW_LIFETIME,
        secure=current_services().settings.is_https,
        httponly=True,
        samesite="Lax",
    )


def _view_cookie_name(link: Link) -> str:
    prefix = "__Host-" if current_services().settings.is_https else ""
    return f"{prefix}view-{link.token_hash.hex()[:16]}"


def _view_signer() -> URLSafeSerializer:
    keys = [*current_app.config["SECRET_KEY_FALLBACKS"], current_app.config["SECRET_KEY"]]
    return URLSafeSerializer(keys, salt="shared view")
