"""The contract's endpoints, the same four for each kind, from a table of its words."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma
from flask import Response, g, request
from sqlalchemy.exc import IntegrityError

from provider.accounts import Caller
from provider.ats.api import ContractBlueprint, Error, answer, refuse
from provider.ats.dialect import News
from provider.ats.workable import schemas
from provider.ats.workable.news import body
from provider.errors import Conflict, Denied, NotFound, ProviderError
from provider.hosts import allowed
from provider.house import House, here
from provider.kinds import KINDS
from provider.orders import Link, Placement, listed, place

CODES = {Denied: 401, NotFound: 404, Conflict: 409}


@dataclass(frozen=True)
class Words:
    """What the contract calls the parts of one kind."""

    kind: str
    product: str
    products_path: str
    products: str
    product_id: str
    orders_path: str
    order_id: str
    job: str | None
    order_in: type[schemas.OrderIn]
    status_out: type[schemas.Status]


CONTRACT = (
    Words(
        "assessment", "test", "/tests", "tests", "test_id",
        "/assessments", "assessment_id", "job_shortcode",
        schemas.AssessmentIn, schemas.AssessmentStatus,
    ),
    Words(
        "interview", "interview template", "/interview-templates", "interview_templates",
        "interview_template_id", "/interviews", "interview_id", "job_id",
        schemas.InterviewIn, schemas.InterviewStatus,
    ),
    Words(
        "check", "package", "/packages", "packages", "package_id",
        "/checks", "background_check_id", None,
        schemas.CheckIn, schemas.CheckStatus,
    ),
)  # fmt: skip


def blueprint(ats: str) -> ContractBlueprint:
    """Return the endpoints of all three kinds."""
    routes = ContractBlueprint(ats, __name__, description="Workable's provider contract")

    @routes.before_request
    def _admit() -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            refuse(401, "Missing Token")
        house = here()
        g.caller = house.doorkeeper.admit(token.strip(), ats, house.now())

    @routes.errorhandler(ProviderError)
    def _refused(error: ProviderError) -> Response:
        code = CODES.get(type(error), 400)
        return answer({"status": code, "message": str(error)}, code)

    for words in CONTRACT:
        _add(routes, words)
    return routes


def _add(routes: ContractBlueprint, words: Words) -> None:
    """Add the list, the order, the poll and the shared link of one kind."""
    order = words.orders_path

    @_route(routes, "GET", words.products_path, f"list_{words.products}", _listed(words))
    def _list() -> Response:
        """List what can be ordered."""
        house, caller = here(), _caller()
        with house.db.reading() as session:
            rows = listed(
                session, words.kind, account_id=caller.account_id, sees_all=caller.sees_all
            )
        return answer({words.products: [{"id": row.public_id, "name": row.name} for row in rows]})

    @_route(
        routes, "POST", order, f"create_{words.kind}", _created(words), 201,
        errors=(400, 409, 413, 415, 422), body_in=words.order_in(),
    )  # fmt: skip
    def _order(wish: dict[str, Any]) -> Response:
        """Order for a candidate, who is invited by e-mail; the same again returns the same id."""
        house, caller = here(), _caller()
        _check_address(house, caller, wish["callback_url"])
        public_id = _place(house, caller, words, wish)
        if public_id is None:
            refuse(422, f"Unknown {words.product}: {wish[words.product_id]}")
        return answer({words.order_id: public_id}, 201)

    @_route(
        routes, "GET", f"{order}/<string:order_id>", f"get_{words.kind}", words.status_out,
        errors=(404,),
    )  # fmt: skip
    def _poll(order_id: str) -> Response:
        """Tell the status and, when completed, the result: what the callbacks say."""
        house, caller = here(), _caller()
        with house.db.reading() as session:
            found = KINDS[words.kind].order.find(session, order_id, caller.account_id)
            news = News.of(session, house.vault, house.links, found)
        return answer(body(news))

    @_route(
        routes, "GET", f"{order}/<string:order_id>/shared-link", f"share_{words.kind}",
        schemas.SharedLink, errors=(404, 409),
    )  # fmt: skip
    def _share(order_id: str) -> Response:
        """Give a public address of the report: permanent, or with the account's time to live."""
        house, caller, at = here(), _caller(), here().now()
        with house.db.writing() as session:
            found = KINDS[words.kind].order.find(session, order_id, caller.account_id)
            link = Link.share(
                session, house.vault, found, caller.shared_ttl, caller.shared_ttl_units, at
            )
            url = house.links.shared(link.token(house.vault))
        said = {"url": url}
        if caller.shared_ttl and caller.shared_ttl_units:
            said |= {"ttl": str(caller.shared_ttl), "ttl_units": caller.shared_ttl_units}
        return answer(said)


def _route(
    routes: ContractBlueprint,
    method: str,
    path: str,
    operation: str,
    out: type[ma.Schema],
    code: int = 200,
    *,
    errors: tuple[int, ...] = (),
    body_in: ma.Schema | None = None,
) -> Any:
    """Serve a path, with and without a slash at its end, and describe it once."""

    def decorate(view: Any) -> Any:
        described = view
        if body_in is not None:
            described = routes.arguments(body_in)(described)
        described = routes.response(code, out)(described)
        for error in (401, *errors):
            described = routes.alt_response(error, schema=Error)(described)
        described = routes.doc(operationId=operation, security=[{"bearer": []}])(described)
        routes.route(path, methods=[method], endpoint=operation, strict_slashes=False)(described)
        return view

    return decorate


def _place(house: House, caller: Caller, words: Words, wish: dict[str, Any]) -> str | None:
    placement = Placement(
        product=wish[words.product_id],
        origin=wish["callback_url"],
        job_title=wish["job_title"],
        job_reference=wish[words.job] if words.job else "",
        preferences=wish.get("preferences", {}),
        reply={"callback_url": wish["callback_url"]},
        **wish["candidate"],
    )
    for last in (False, True):
        try:
            with house.db.writing() as session:
                return place(
                    session, house.vault, words.kind, placement,
                    account_id=caller.account_id, sees_all=caller.sees_all,
                    expire_after=caller.expire_after, at=house.now(),
                )  # fmt: skip
        except IntegrityError:
            # Another process placed it between our look and our write: the next look finds it.
            if last:
                raise
    raise AssertionError("unreachable")


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


def _listed(words: Words) -> type[ma.Schema]:
    many = ma.fields.List(ma.fields.Nested(schemas.Listed), required=True)
    return _schema(f"{words.kind.capitalize()}Products", {words.products: many})


def _created(words: Words) -> type[ma.Schema]:
    return _schema(
        f"{words.kind.capitalize()}Created", {words.order_id: ma.fields.String(required=True)}
    )


def _schema(name: str, fields: dict[str, Any]) -> type[ma.Schema]:
    return ma.Schema.from_dict(fields, name=name)
