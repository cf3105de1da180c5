"""The web pages of the demo's ATS, and the address to which the server sends callbacks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from flask import Flask, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_bootstrap import Bootstrap5
from werkzeug.exceptions import HTTPException, SecurityError

from provider.demo.ats.contract import KIND_CONTRACTS, PlacedOrder
from provider.demo.ats.records import (
    JOBS,
    AtsRecords,
    Candidate,
    Job,
    ReceivedCallback,
    find_candidate,
    find_job,
)
from provider.demo.mailbox import Mailbox
from provider.demo.receiver import HOST, MAX_BODY_BYTES
from provider.errors import NotFound, ProviderError

KIND_LABELS = {
    "assessment": "Test",
    "interview": "Video interview",
    "check": "Background check",
}
# Status → label, and the class of its colour.
STATUSES = {
    "pending": ("Waiting for the candidate", "wait"),
    "consented": ("Consented", "info"),
    "completed": ("Completed", "good"),
    "rejected": ("Declined", "bad"),
    "declined": ("Declined", "bad"),
    "expired": ("Expired", "quiet"),
}
ATS_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
# An e-mail may neither run scripts nor load anything; its links open in a tab of their own.
EMAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


class Ats(Protocol):
    """The functions of the ATS that its pages call."""

    records: AtsRecords
    server_url: str

    def products(self, kind: str) -> list[dict[str, str]]: ...

    def place_order(
        self, kind: str, product: dict[str, str], candidate: Candidate, job: Job
    ) -> PlacedOrder: ...

    def shared_link(self, order: PlacedOrder) -> str: ...

    def receive_callback(
        self, path: str, sequence: int, authorization: str, body: dict[str, Any]
    ) -> int: ...


@dataclass(frozen=True)
class OrderCard:
    """An order as its card shows it."""

    order: PlacedOrder
    callbacks: list[ReceivedCallback]

    @property
    def key(self) -> str:
        return self.order.path.rpartition("/")[2]

    @property
    def status(self) -> str:
        return self.callbacks[-1].status if self.callbacks else "pending"

    @property
    def document(self) -> Mapping[str, Any] | None:
        """Return the callback's document with the result, unless the order is open again."""
        return self.callbacks[-1].body if self.status == "completed" else None

    @property
    def result(self) -> Mapping[str, Any]:
        result: Mapping[str, Any] = (self.document or {}).get(self.order.kind, {})
        return result


def create_pages(ats: Ats, mailbox: Mailbox) -> Flask:
    """Return the ATS as an app."""
    app = Flask(__name__)
    app.config.update(
        BOOTSTRAP_SERVE_LOCAL=True, TRUSTED_HOSTS=[HOST], MAX_CONTENT_LENGTH=MAX_BODY_BYTES
    )
    Bootstrap5(app)
    app.jinja_env.filters.update(clock_time=_clock_time, indented_json=_indented_json)
    app.jinja_env.globals.update(kind_labels=KIND_LABELS, statuses=STATUSES, jobs=JOBS)
    app.before_request(_refuse_other_sites)
    app.after_request(_add_headers)
    app.register_error_handler(ProviderError, _render_error)
    app.register_error_handler(requests.RequestException, _render_unreachable)
    app.register_error_handler(HTTPException, _render_http_error)
    app.context_processor(lambda: {"server_url": ats.server_url})
    _add_job_pages(app, ats)
    _add_order_pages(app, ats)
    _add_inbox(app, ats, mailbox)
    return app


def _add_job_pages(app: Flask, ats: Ats) -> None:
    def list_cards(candidate: Candidate) -> list[OrderCard]:
        orders = ats.records.list_orders(candidate)
        return [OrderCard(order, ats.records.list_callbacks(order)) for order in orders]

    @app.get("/")
    def show_jobs() -> ResponseReturnValue:
        return render_template("jobs.html")

    @app.get("/jobs/<job_id>")
    def show_job(job_id: str) -> ResponseReturnValue:
        job = find_job(job_id)
        cards = {candidate.id: list_cards(candidate) for candidate in job.candidates}
        return render_template("job.html", job=job, cards=cards)

    @app.get("/candidates/<candidate_id>")
    def show_candidate(candidate_id: str) -> ResponseReturnValue:
        job, candidate = find_candidate(candidate_id)
        cards = list_cards(candidate)
        return render_template("candidate.html", job=job, candidate=candidate, cards=cards)


def _add_order_pages(app: Flask, ats: Ats) -> None:
    @app.get("/candidates/<candidate_id>/order/<kind>")
    def choose_product(candidate_id: str, kind: str) -> ResponseReturnValue:
        job, candidate = find_candidate(candidate_id)
        products = _list_products(ats, kind)
        return render_template(
            "order.html", job=job, candidate=candidate, kind=kind, products=products
        )

    @app.post("/candidates/<candidate_id>/order/<kind>")
    def place_order(candidate_id: str, kind: str) -> ResponseReturnValue:
        job, candidate = find_candidate(candidate_id)
        product_id = request.form.get("product")
        products = _list_products(ats, kind)
        product = next((item for item in products if item["id"] == product_id), None)
        if product is None:
            raise NotFound("This product is not offered: go back and choose one of the list")
        ats.place_order(kind, product, candidate, job)
        return redirect(url_for("show_candidate", candidate_id=candidate.id))

    @app.get("/shared-links/<key>")
    def open_shared_link(key: str) -> ResponseReturnValue:
        return redirect(ats.shared_link(ats.records.find_order(f"/callbacks/{key}")))

    @app.put("/callbacks/<key>")
    def receive_callback(key: str) -> ResponseReturnValue:
        sequence = int(request.headers.get("X-Provider-Sequence", 0))
        authorization = request.headers.get("Authorization", "")
        body = request.get_json()
        return "", ats.receive_callback(f"/callbacks/{key}", sequence, authorization, body)


def _add_inbox(app: Flask, ats: Ats, mailbox: Mailbox) -> None:
    @app.get("/inbox")
    def show_inbox() -> ResponseReturnValue:
        address = request.args.get("to", "")
        return render_template("inbox.html", emails=mailbox.list_emails(address), address=address)

    @app.get("/inbox/<name>")
    def show_email(name: str) -> ResponseReturnValue:
        email = mailbox.find(name)
        link = email.find_link(f"{ats.server_url}/c/")
        return render_template("email.html", email=email, link=link)

    @app.get("/inbox/<name>/body")
    def show_email_body(name: str) -> ResponseReturnValue:
        html = mailbox.find(name).html.replace("<head>", '<head><base target="_blank">', 1)
        response = Response(html)
        response.headers["Content-Security-Policy"] = EMAIL_POLICY
        return response


def _list_products(ats: Ats, kind: str) -> list[dict[str, str]]:
    if kind not in KIND_CONTRACTS:
        abort(404)
    return ats.products(kind)


def _refuse_other_sites() -> None:
    """Refuse a form that a page of another site sends: the ATS has no sign-in."""
    origin = request.headers.get("Origin")
    if origin and urlsplit(origin).netloc != request.host:
        abort(403)


def _add_headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", ATS_POLICY)
    # With `no-referrer` a browser would send no Origin with the ATS's own forms.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if not request.path.startswith(("/static/", "/bootstrap/")):
        response.headers["Cache-Control"] = "no-store"
    return response


def _render_error(error: ProviderError) -> ResponseReturnValue:
    return render_template("error.html", message=str(error)), 404 if isinstance(
        error, NotFound
    ) else 502


def _render_unreachable(_error: requests.RequestException) -> ResponseReturnValue:
    message = "The provider’s server does not answer: is the demo still running?"
    return render_template("error.html", message=message), 502


def _render_http_error(error: HTTPException) -> ResponseReturnValue:
    if isinstance(error, SecurityError):  # the host is unknown: no link can be built
        return error.get_response()
    return render_template("error.html", message=error.description), error.code or 500


def _clock_time(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"


def _indented_json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
