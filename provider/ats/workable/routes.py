"""The contract's endpoints, the same four for each kind, from a table of its words."""

from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma
import structlog
from flask import Response, g, request
from sqlalchemy.exc import IntegrityError

from provider.accounts import Caller
from provider.ats.api import ERRORS, ContractBlueprint, answer, keep_pace, refuse
from provider.ats.dialect import News
from provider.ats.workable import examples, schemas
from provider.ats.workable.news import body
from provider.errors import Denied
from provider.here import here
from provider.hosts import allowed, host_of
from provider.house import House
from provider.kinds import KINDS
from provider.orders import Link, Placement, place

NO_RESULT = ("The order has no result that could be shared.", "There is no result to share yet")
log = structlog.get_logger()
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]


@dataclass(frozen=True)
class Words:
    """What the contract calls the parts of one kind."""

    kind: str
    noun: str
    product: str
    products_path: str
    products: str
    product_id: str
    orders_path: str
    order_id: str
    job: str | None
    order_in: type[schemas.OrderIn]
    status_out: type[schemas.Status]
    extra: dict[str, Any]


CONTRACT = (
    Words(
        "assessment", "Assessment", "test", "/tests", "tests", "test_id",
        "/assessments", "assessment_id", "job_shortcode",
        schemas.AssessmentIn, schemas.AssessmentStatus, {"job_shortcode": "GROOV005"},
    ),
    Words(
        "interview", "Interview", "interview template", "/interview-templates",
        "interview_templates", "interview_template_id", "/interviews", "interview_id", "job_id",
        schemas.InterviewIn, schemas.InterviewStatus,
        {"job_id": "6789", "preferences": {"key": "value"}},
    ),
    Words(
        "check", "Background Check", "package", "/packages", "packages", "package_id",
        "/checks", "background_check_id", None,
        schemas.CheckIn, schemas.CheckStatus, {"preferences": {"key": "value"}},
    ),
)  # fmt: skip


@cache
def blueprint(ats: str) -> ContractBlueprint:
    """Return the endpoints of all three kinds."""
    routes = ContractBlueprint(ats, __name__, description="Workable's provider contract")

    @routes.before_request
    def _admit() -> None:
        # Straight from the environ: at every call, `headers` looks it up six times as slowly.
        scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            refuse(401, "Missing Token")
        house = here()
        at = house.now()
        try:
            caller = g.caller = house.doorkeeper.admit(token.strip(), ats, at)
        except Denied as error:
            refuse(401, str(error))
        if caller.request_rate:
            keep_pace(house.limits, caller, caller.request_rate, at)

    for words in CONTRACT:
        for add in (_list, _order, _poll, _share):
            add(routes, words)
    return routes


def _list(routes: ContractBlueprint, words: Words) -> None:
    def view() -> Response:
        """List what can be ordered: published products that the account may see, by name."""
        house, caller = here(), _caller()
        rows = house.catalogue.listed(words.kind, caller, house.now())
        return answer({words.products: [{"id": key, "name": name} for key, name in rows]})

    entry = ma.fields.Nested(schemas.Listed)
    many = ma.fields.List(entry, required=True, metadata={"description": "By name"})
    out = _schema(f"{words.kind.capitalize()}Products", {words.products: many})
    example = {words.products: [{"id": "12345", "name": examples.PRODUCTS[words.kind]}]}
    routes.add(
        "GET", words.products_path, f"list_{words.products}", view, answers=(200, out, example),
        security=SECURITY,
    )  # fmt: skip


def _order(routes: ContractBlueprint, words: Words) -> None:
    def view(wish: dict[str, Any]) -> Response:
        """Order for a candidate, who is invited by e-mail.

        The same order again (the same callback_url and content) answers with the same id and
        invites nobody; the same callback_url with other content is a conflict.
        """
        house, caller = here(), _caller()
        _check_address(house, caller, wish["callback_url"])
        public_id = _place(house, caller, words, wish)
        if public_id is None:
            refuse(422, f"Unknown {words.product}: {wish[words.product_id]}")
        log.info("order", order=public_id, kind=words.kind, word="placed")
        return answer({words.order_id: public_id}, 201)

    made = ma.fields.String(required=True, metadata={"description": "Keep it, to ask again"})
    out = _schema(f"{words.kind.capitalize()}Created", {words.order_id: made})
    wish = examples.wish(words.product_id, words.orders_path, **words.extra)
    routes.add(
        "POST", words.orders_path, f"create_{words.kind}", view,
        answers=(201, out, {words.order_id: "2044922"}),
        errors=(400, 409, 413, 415, 422), takes=(words.order_in(), wish), security=SECURITY,
        links=_links(words), callbacks={"status": _callback(words)},
    )  # fmt: skip


def _poll(routes: ContractBlueprint, words: Words) -> None:
    def view(order_id: str) -> Response:
        """Tell the status and, when completed, the result: what the callbacks say."""
        house, caller = here(), _caller()
        with house.db.glancing() as glance:
            news = News.standing(glance, house.vault, house.links, words.kind, order_id, caller)
        return answer(body(news))

    example = examples.completed(words.kind, words.noun, words.orders_path)
    routes.add(
        "GET", f"{words.orders_path}/<string:order_id>", f"get_{words.kind}", view,
        answers=(200, words.status_out, example), errors=(404,), security=SECURITY,
    )  # fmt: skip


def _share(routes: ContractBlueprint, words: Words) -> None:
    def view(order_id: str) -> Response:
        """Give a public address of the report: permanent, or with the account's time to live."""
        house, caller, at = here(), _caller(), here().now()
        with house.db.writing() as session:
            found = KINDS[words.kind].order.find(session, order_id, caller.account_id, lock=True)
            link = Link.share(
                session, house.vault, found, caller.shared_ttl, caller.shared_ttl_units, at
            )
            url = house.links.shared(link.token(house.vault))
        said: dict[str, str | None] = {"url": url}
        if caller.shared_ttl:
            said |= {"ttl": str(caller.shared_ttl), "ttl_units": caller.shared_ttl_units}
        return answer(said)

    routes.add(
        "GET", f"{words.orders_path}/<string:order_id>/shared-link", f"share_{words.kind}", view,
        answers=(200, schemas.SharedLink, examples.shared(words.orders_path)),
        errors=(404, 409), said_of=ERRORS | {409: NO_RESULT}, security=SECURITY,
    )  # fmt: skip


def _links(words: Words) -> dict[str, Any]:
    """Say where the new id leads."""
    known = {"order_id": f"$response.body#/{words.order_id}"}
    return {
        name: {"operationId": f"{name}_{words.kind}", "parameters": known}
        for name in ("get", "share")
    }


def _callback(words: Words) -> dict[str, Any]:
    """Describe what the ATS is sent at every change of the status."""
    example = examples.completed(words.kind, words.noun, words.orders_path)
    content = {"application/json": {"schema": words.status_out, "example": example}}
    said = {
        "summary": "Learn the new status and, when completed, the result.",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "2XX": {"description": "Understood."},
            "410": {"description": "Never send this again."},
            "4XX": {"description": "A refusal: believed at the third time."},
            "5XX": {"description": "Try again later; so do 401, 403, 408, 425 and 429."},
        },
    }
    return {"{$request.body#/callback_url}": {"put": said}}


def _place(house: House, caller: Caller, words: Words, wish: dict[str, Any]) -> str | None:
    placement = Placement(
        product=wish[words.product_id],
        origin=wish["callback_url"],
        job_title=wish["job_title"],
        job_reference=wish[words.job] if words.job else "",
        preferences=wish.get("preferences", {}),
        reply={"callback_url": wish["callback_url"]},
        host=host_of(wish["callback_url"]),
        **wish["candidate"],
    )
    try:
        return _write(house, caller, words, placement)
    except IntegrityError:
        # Another process placed it between our look and our write: the next look finds it.
        return _write(house, caller, words, placement)


def _write(house: House, caller: Caller, words: Words, placement: Placement) -> str | None:
    with house.db.jotting() as pen:
        return place(pen, house.vault, words.kind, placement, caller, house.now())


def _check_address(house: House, caller: Caller, url: str) -> None:
    parts = urlsplit(url)
    if not house.settings.private_callbacks and (
        parts.scheme != "https" or parts.port not in (None, 443)
    ):
        refuse(400, "Invalid field: callback_url should be an https URL without a port")
    if not allowed(parts.hostname or "", caller.callback_hosts):
        refuse(400, "Invalid field: callback_url should be on a host that the account allows")


def _caller() -> Caller:
    caller: Caller = g.caller
    return caller


def _schema(name: str, fields: dict[str, Any]) -> type[ma.Schema]:
    return ma.Schema.from_dict(fields, name=name)
