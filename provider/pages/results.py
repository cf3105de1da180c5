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

from provider import report as reports
from provider import words
from provider.errors import Conflict, Gone, NotFound
from provider.here import here
from provider.orders import PDF, REPORT, SHARED, Link, Order
from provider.pages.pace import keep_pace
from provider.report import Bar, Item, Report

routes = Blueprint("results", __name__)
routes.before_request(keep_pace)

VIEW = timedelta(minutes=30)  # that one view of a shared link lasts
KEPT = 64  # reports whose PDF is kept in memory: an ATS fetches each several times
LONGEST_NAME = 80  # characters of a PDF's file name
UNKNOWN = "This address leads to no report"
OVER = "It was made for a limited time or a limited number of views, and that is used up"
REDONE = "This result is being redone, so there is no report at the moment"


def report_of(order: Order) -> Report:
    """Return the report of a completed order; Conflict while there is no result."""
    result = order.result
    if result is None or order.finished_at is None:
        raise Conflict(REDONE)
    found = order.evidence()
    taken = [] if result.duration is None else [("Time taken", words.duration(result.duration))]
    return Report(
        title=str(order.version.content.get("name") or order.product.name),
        kind=order.kind,
        candidate=order.candidate.name,
        account=order.account.display_name,
        status=order.status,
        sentence=result.summary or found.sentence,
        finished_at=order.finished_at,
        timezone=order.account.timezone,
        reference=order.public_id,
        job_title=order.job_title or None,
        grade=result.grade,
        score=None if result.score is None else words.percent(result.score),
        bars=tuple(Bar(*bar) for bar in found.bars),
        facts=(*taken, *found.facts),
        findings=found.findings,
        items=tuple(Item(*item) for item in found.items),
        takes=found.takes,
    )


@routes.get("/r/<token>")
def report(token: str) -> str:
    """Show the report to the recruiter."""
    with here().db.reading() as session:
        order = reported(session, token)
        paper = Link.of(session, order, PDF)
        secret = paper.token(here().vault) if paper else ""
        pdf_url = url_for("results.pdf", token=secret) if secret else None
        return _page(order, pdf_url, partial(url_for, "media_files.of_report", token=token))


@routes.get("/r/<token>/report.pdf")
def pdf(token: str) -> Response:
    """Send the report as a PDF."""
    with here().db.reading() as session:
        made = report_of(_standing(_link(session, token, PDF)).order)
    return _file(made)


@routes.get("/s/<token>")
def shared(token: str) -> Response | str:
    """Show the report to whoever has a shared link, or the door before it."""
    with here().db.reading() as session:
        link = _link(session, token, SHARED)
        if _may_look(link) or link.order.result is None:
            film = partial(url_for, "media_files.of_shared", token=token)
            return _page(link.order, url_for("results.shared_pdf", token=token), film)
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
    at = here().now()
    answer = make_response(redirect(url_for("results.shared", token=token), 303))
    with here().db.writing() as session:
        link = _link(session, token, SHARED)
        if _may_look(link) or link.order.result is None:
            return answer
        if not link.burn_view(session, at):
            raise Gone(OVER)
        _let_look(answer, link, at + VIEW)
    return answer


@routes.get("/s/<token>/report.pdf")
def shared_pdf(token: str) -> Response:
    """Send the PDF to whoever may see the shared report."""
    with here().db.reading() as session:
        order = shown(session, token)
        if order is None:
            return redirect(url_for("results.shared", token=token), 303)
        made = report_of(order)
    return _file(made)


def reported(session: Session, token: str) -> Order:
    """Return the order of a report's own link; NotFound or Gone."""
    return _standing(_link(session, token, REPORT)).order


def shown(session: Session, token: str) -> Order | None:
    """Return the order of a shared link that this browser may look at; None before its door."""
    link = _link(session, token, SHARED)
    return link.order if _may_look(link) else None


def _link(session: Session, token: str, purpose: str) -> Link:
    link = Link.find(session, token, purpose)
    if link is None:
        raise NotFound(UNKNOWN)
    return link


def _standing(link: Link) -> Link:
    if not link.live(here().now()):
        raise Gone(OVER)
    return link


def _may_look(link: Link) -> bool:
    """Say whether this browser may see the report now; Gone when nobody may any more."""
    if link.views_left is not None and _looks(link):
        return True
    return _standing(link).views_left is None


def _page(order: Order, pdf_url: str | None, film: Callable[..., str]) -> str:
    if order.result is None:
        return render_template("results/redone.html", account=order.account.display_name)
    return render_template(
        "results/report.html", report=report_of(order), pdf_url=pdf_url, film=film
    )


def _file(made: Report) -> Response:
    response = Response(_pdf(made), mimetype="application/pdf")
    response.headers["Content-Disposition"] = _disposition(made)
    # A viewer brings its own styles; a document that runs nothing needs no more than this.
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"
    return response


@lru_cache(maxsize=KEPT)
def _pdf(made: Report) -> bytes:
    # The report itself is the key: what was erased or renamed is never served from memory.
    return reports.pdf(made, dict(_posters(made)))


def _posters(made: Report) -> Iterator[tuple[str, bytes]]:
    media = here().media
    for key in (take.poster for take in made.takes if take.poster):
        with suppress(NotFound):
            yield key, b"".join(media.read(key, 0, media.size(key)))


def _disposition(made: Report) -> str:
    """Name the file (RFC 6266): in plain letters, and beside them as it is (RFC 5987)."""
    name, plain = _file_name(made.title, made.candidate), _file_name(made.kind, "report")
    plain = name if name.isascii() else plain
    return f"inline; filename={plain}; filename*=UTF-8''{quote(name)}"


def _file_name(*said: str) -> str:
    return "-".join(re.findall(r"\w+", " ".join(said)))[:LONGEST_NAME] + ".pdf"


def _looks(link: Link) -> bool:
    try:
        link_id, until = _signer().loads(request.cookies.get(_cookie(link), ""))
    except (BadSignature, TypeError, ValueError):
        return False
    return bool(link_id == link.id and here().now().timestamp() < until)


def _let_look(answer: Response, link: Link, until: datetime) -> None:
    answer.set_cookie(
        _cookie(link),
        _signer().dumps([link.id, until.timestamp()]),
        max_age=VIEW,
        secure=here().settings.https,
        httponly=True,
        samesite="Lax",
    )


def _cookie(link: Link) -> str:
    prefix = "__Host-" if here().settings.https else ""
    return f"{prefix}view-{link.digest.hex()[:16]}"


def _signer() -> URLSafeSerializer:
    keys = [*current_app.config["SECRET_KEY_FALLBACKS"], current_app.config["SECRET_KEY"]]
    return URLSafeSerializer(keys, salt="shared view")
