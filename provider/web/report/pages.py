"""What the recruiter sees: the report, its PDF, and shared links to both.

A link preview or a mail scanner only ever sends a GET, and a GET takes no view of a shared link
that has a number of them: that is what the button behind it is for. Whoever pressed it may look
for half an hour, by a signed cookie that is good for this one link.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache, partial
from urllib.parse import quote

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.orders import PDF, REPORT, SHARED, Link, Order
from provider.core.report import Report, build_report
from provider.core.report_pdf import render_pdf
from provider.errors import Gone, NotFound
from provider.services import current_services
from provider.web.rate_limit import limit_by_address

routes = Blueprint("results", __name__)
routes.before_request(limit_by_address)

VIEW_LIFETIME = timedelta(minutes=30)  # that one view of a shared link lasts
PDF_CACHE_SIZE = 64  # reports whose PDF is kept in memory: an ATS fetches each several times
MAX_FILE_NAME_LENGTH = 80  # characters of a PDF's file name
REPORT_NOT_FOUND_MESSAGE = "This address leads to no report"
LINK_EXPIRED_MESSAGE = (
    "It was made for a limited time or a limited number of views, and that is used up"
)


@routes.get("/r/<token>")
def report(token: str) -> str:
    """Show the report to the recruiter."""
    with current_services().db.reading() as session:
        order = find_reported_order(session, token)
        paper = Link.find_permanent(session, order, PDF)
        secret = paper.get_token(current_services().secret_box) if paper else ""
        pdf_url = url_for("results.pdf", token=secret) if secret else None
        return _render_report(
            order, pdf_url, partial(url_for, "media_files.of_report", token=token)
        )


@routes.get("/r/<token>/report.pdf")
def pdf(token: str) -> Response:
    """Send the report as a PDF."""
    with current_services().db.reading() as session:
        made = build_report(_require_valid(_find_link(session, token, PDF)).order)
    return _pdf_response(made)


@routes.get("/s/<token>")
def shared(token: str) -> Response | str:
    """Show the report to whoever has a shared link, or the door before it."""
    with current_services().db.reading() as session:
        link = _find_link(session, token, SHARED)
        if _can_view(link) or link.order.result is None:
            film = partial(url_for, "media_files.of_shared", token=token)
            return _render_report(link.order, url_for("results.shared_pdf", token=token), film)
        return render_template(
            "results/door.html",
            account=link.order.account.display_name,
            kind=link.order.kind,
            views=link.views_left,
            url=url_for("results.enter", token=token),
        )


@routes.post("/s/<token>")
def enter(token: str) -> Response:
    """Take one view of a shared link and open the report for half an hour."""
    at = current_services().now()
    answer = make_response(redirect(url_for("results.shared", token=token), 303))
    with current_services().db.writing() as session:
        link = _find_link(session, token, SHARED)
        if _can_view(link) or link.order.result is None:
            return answer
        if not link.consume_view(session, at):
            raise Gone(LINK_EXPIRED_MESSAGE)
        _set_view_cookie(answer, link, at + VIEW_LIFETIME)
    return answer


@routes.get("/s/<token>/report.pdf")
def shared_pdf(token: str) -> Response:
    """Send the PDF to whoever may see the shared report."""
    with current_services().db.reading() as session:
        order = find_shared_order(session, token)
        if order is None:
            return redirect(url_for("results.shared", token=token), 303)
        made = build_report(order)
    return _pdf_response(made)


def find_reported_order(session: Session, token: str) -> Order:
    """Return the order of a report's own link; NotFound or Gone."""
    return _require_valid(_find_link(session, token, REPORT)).order


def find_shared_order(session: Session, token: str) -> Order | None:
    """Return the order of a shared link that this browser may look at; None before its door."""
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
    """Say whether this browser may see the report now; Gone when nobody may any more."""
    if link.views_left is not None and _has_view_cookie(link):
        return True
    return _require_valid(link).views_left is None


def _render_report(order: Order, pdf_url: str | None, media_url: Callable[..., str]) -> str:
    if order.result is None:
        return render_template("results/redone.html", account=order.account.display_name)
    return render_template(
        "results/report.html", report=build_report(order), pdf_url=pdf_url, film=media_url
    )


def _pdf_response(report_data: Report) -> Response:
    response = Response(_cached_pdf(report_data), mimetype="application/pdf")
    response.headers["Content-Disposition"] = _content_disposition(report_data)
    # A viewer brings its own styles; a document that runs nothing needs no more than this.
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    return response


@lru_cache(maxsize=PDF_CACHE_SIZE)
def _cached_pdf(report_data: Report) -> bytes:
    # The report itself is the key: what was erased or renamed is never served from memory.
    return render_pdf(report_data, dict(_read_posters(report_data)))


def _read_posters(report_data: Report) -> Iterator[tuple[str, bytes]]:
    media = current_services().media
    for key in (take.poster_key for take in report_data.video_answers if take.poster_key):
        with suppress(NotFound):
            yield key, b"".join(media.read_range(key, 0, media.size(key)))


def _content_disposition(report_data: Report) -> str:
    """Name the file (RFC 6266): in plain letters, and beside them as it is (RFC 5987)."""
    name, plain = (
        _file_name(report_data.title, report_data.candidate),
        _file_name(report_data.kind, "report"),
    )
    plain = name if name.isascii() else plain
    return f"inline; filename={plain}; filename*=UTF-8''{quote(name)}"


def _file_name(*parts: str) -> str:
    return "-".join(re.findall(r"\w+", " ".join(parts)))[:MAX_FILE_NAME_LENGTH] + ".pdf"


def _has_view_cookie(link: Link) -> bool:
    try:
        link_id, until = _view_signer().loads(request.cookies.get(_view_cookie_name(link), ""))
    except (BadSignature, TypeError, ValueError):
        return False
    return bool(link_id == link.id and current_services().now().timestamp() < until)


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
