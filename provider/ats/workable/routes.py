"""Workable's endpoints: the same four for each kind, built from KIND_CONTRACTS."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import marshmallow as ma
import structlog
from flask import Response, request
from sqlalchemy.exc import IntegrityError

from provider.ats.base import StatusUpdate
from provider.ats.http_api import (
    ERROR_DESCRIPTIONS,
    ContractBlueprint,
    abort_with_message,
    admit,
    check_callback_url,
    current_caller,
    json_response,
)
from provider.ats.workable import examples, schemas
from provider.ats.workable.payload import build_payload
from provider.core.accounts import Caller
from provider.core.host_patterns import host_of
from provider.core.kinds import KINDS
from provider.core.orders import Link, Placement, place
from provider.services import Services, current_services

NO_RESULT_ERROR = (
    "The order has no result that could be shared.",
    "There is no result to share yet",
)
log = structlog.get_logger()
BEARER_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}]


@dataclass(frozen=True)
class KindContract:
    """The contract's paths, keys and schemas for one kind."""

    kind: str
    noun: str
    product_noun: str
    products_path: str
    products_key: str
    product_id_key: str
    orders_path: str
    order_id_key: str
    job_key: str | None
    request_schema: type[schemas.OrderIn]
    status_schema: type[schemas.Status]
    example_fields: dict[str, Any]


KIND_CONTRACTS = (
    KindContract(
        "assessment",
        "Assessment",
        "test",
        "/tests",
        "tests",
        "test_id",
        "/assessments",
        "assessment_id",
        "job_shortcode",
        schemas.AssessmentIn,
        schemas.AssessmentStatus,
        {"job_shortcode": "GROOV005"},
    ),
    KindContract(
        "interview",
        "Interview",
        "interview template",
        "/interview-templates",
        "interview_templates",
        "interview_template_id",
        "/interviews",
        "interview_id",
        "job_id",
        schemas.InterviewIn,
        schemas.InterviewStatus,
        {"job_id": "6789", "preferences": {"key": "value"}},
    ),
    KindContract(
        "check",
        "Background Check",
        "package",
        "/packages",
        "packages",
        "package_id",
        "/checks",
        "background_check_id",
        None,
        schemas.CheckIn,
        schemas.CheckStatus,
        {"preferences": {"key": "value"}},
    ),
)


@cache
def build_blueprint(ats: str) -> ContractBlueprint:
    routes = ContractBlueprint(ats, __name__, description="Workable's provider contract")

    @routes.before_request
    def _authenticate() -> None:
        # `request.headers` takes six times as long as the WSGI environ, at every call.
        scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        admit(ats, token.strip() if scheme.lower() == "bearer" else "")

    for contract in KIND_CONTRACTS:
        for add_endpoint in (
            _add_list_endpoint,
            _add_create_endpoint,
            _add_get_endpoint,
            _add_share_endpoint,
        ):
            add_endpoint(routes, contract)
    return routes


def _add_list_endpoint(routes: ContractBlueprint, contract: KindContract) -> None:
    def view() -> Response:
        """List what can be ordered: published products that the account may see, by name."""
        services, caller = current_services(), current_caller()
        rows = services.product_lists.get(contract.kind, caller, services.now())
        return json_response(
            {contract.products_key: [{"id": product_id, "name": name} for product_id, name in rows]}
        )

    products_field = ma.fields.List(
        ma.fields.Nested(schemas.Listed), required=True, metadata={"description": "By name"}
    )
    response_schema = _build_schema(
        f"{contract.kind.capitalize()}Products", {contract.products_key: products_field}
    )
    example = {
        contract.products_key: [{"id": "12345", "name": examples.PRODUCT_NAMES[contract.kind]}]
    }
    routes.add_endpoint(
        "GET",
        contract.products_path,
        f"list_{contract.products_key}",
        view,
        response=(200, response_schema, example),
        security=BEARER_SECURITY,
    )


def _add_create_endpoint(routes: ContractBlueprint, contract: KindContract) -> None:
    def view(order_body: dict[str, Any]) -> Response:
        """Order for a candidate, who is invited by e-mail.

        The same order again (the same callback_url and content) answers with the same id and
        invites nobody; the same callback_url with other content is a conflict.
        """
        services, caller = current_services(), current_caller()
        check_callback_url(services, caller, order_body["callback_url"], "callback_url")
        public_id = _place_order(services, caller, contract, order_body)
        if public_id is None:
            abort_with_message(
                422, f"Unknown {contract.product_noun}: {order_body[contract.product_id_key]}"
            )
        log.info("order_event_recorded", order=public_id, kind=contract.kind, type="placed")
        return json_response({contract.order_id_key: public_id}, 201)

    id_field = ma.fields.String(required=True, metadata={"description": "Keep it, to ask again"})
    response_schema = _build_schema(
        f"{contract.kind.capitalize()}Created", {contract.order_id_key: id_field}
    )
    example = examples.order_body(
        contract.product_id_key, contract.orders_path, **contract.example_fields
    )
    routes.add_endpoint(
        "POST",
        contract.orders_path,
        f"create_{contract.kind}",
        view,
        response=(201, response_schema, {contract.order_id_key: "2044922"}),
        error_codes=(400, 409, 413, 415, 422),
        request_body=(contract.request_schema(), example),
        security=BEARER_SECURITY,
        links=_openapi_links(contract),
        callbacks={"status": _openapi_callback(contract)},
    )


def _add_get_endpoint(routes: ContractBlueprint, contract: KindContract) -> None:
    def view(order_id: str) -> Response:
        """Tell the status and, when completed, the result: what the callbacks say."""
        services, caller = current_services(), current_caller()
        with services.db.raw_read() as connection:
            update = StatusUpdate.for_poll(
                connection, services.secret_box, services.urls, contract.kind, order_id, caller
            )
        return json_response(build_payload(update))

    example = examples.completed_status(contract.kind, contract.noun, contract.orders_path)
    routes.add_endpoint(
        "GET",
        f"{contract.orders_path}/<string:order_id>",
        f"get_{contract.kind}",
        view,
        response=(200, contract.status_schema, example),
        error_codes=(404,),
        security=BEARER_SECURITY,
    )


def _add_share_endpoint(routes: ContractBlueprint, contract: KindContract) -> None:
    def view(order_id: str) -> Response:
        """Give a public address of the report: permanent, or with the account's time to live."""
        services, caller = current_services(), current_caller()
        with services.db.writing() as session:
            order = KINDS[contract.kind].order_class.find(
                session, order_id, caller.account_id, lock=True
            )
            link = Link.get_or_create_shared(
                session,
                services.secret_box,
                order,
                caller.shared_ttl,
                caller.shared_ttl_units,
                services.now(),
            )
            url = services.urls.shared(link.get_token(services.secret_box))
        answer: dict[str, str | None] = {"url": url}
        if caller.shared_ttl:
            answer |= {"ttl": str(caller.shared_ttl), "ttl_units": caller.shared_ttl_units}
        return json_response(answer)

    routes.add_endpoint(
        "GET",
        f"{contract.orders_path}/<string:order_id>/shared-link",
        f"share_{contract.kind}",
        view,
        response=(200, schemas.SharedLink, examples.shared_link(contract.orders_path)),
        error_codes=(404, 409),
        error_descriptions=ERROR_DESCRIPTIONS | {409: NO_RESULT_ERROR},
        security=BEARER_SECURITY,
    )


def _openapi_links(contract: KindContract) -> dict[str, Any]:
    """Return OpenAPI links from a created order to its other operations."""
    parameters = {"order_id": f"$response.body#/{contract.order_id_key}"}
    return {
        name: {"operationId": f"{name}_{contract.kind}", "parameters": parameters}
        for name in ("get", "share")
    }


def _openapi_callback(contract: KindContract) -> dict[str, Any]:
    """Return the OpenAPI description of the callback at every change of status."""
    example = examples.completed_status(contract.kind, contract.noun, contract.orders_path)
    content = {"application/json": {"schema": contract.status_schema, "example": example}}
    operation = {
        "summary": "Learn the new status and, when completed, the result.",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "2XX": {"description": "Understood."},
            "410": {"description": "Never send this again."},
            "4XX": {"description": "A refusal: believed at the third time."},
            "5XX": {"description": "Try again later; so do 401, 403, 408, 425 and 429."},
        },
    }
    return {"{$request.body#/callback_url}": {"put": operation}}


def _place_order(
    services: Services, caller: Caller, contract: KindContract, order_body: dict[str, Any]
) -> str | None:
    placement = Placement(
        product=order_body[contract.product_id_key],
        external_key=order_body["callback_url"],
        job_title=order_body["job_title"],
        job_reference=order_body[contract.job_key] if contract.job_key else "",
        preferences=order_body.get("preferences", {}),
        reply_context={"callback_url": order_body["callback_url"]},
        callback_host=host_of(order_body["callback_url"]),
        unread_fields=order_body["unread_fields"],
        **order_body["candidate"],
    )
    try:
        return _write_order(services, caller, contract, placement)
    except IntegrityError:
        # Another process inserted the order between our SELECT and our INSERT: look again.
        return _write_order(services, caller, contract, placement)


def _write_order(
    services: Services, caller: Caller, contract: KindContract, placement: Placement
) -> str | None:
    with services.db.writing() as session:
        return place(
            session, services.secret_box, (contract.kind,), placement, caller, services.now()
        )


def _build_schema(name: str, fields: dict[str, Any]) -> type[ma.Schema]:
    return ma.Schema.from_dict(fields, name=name)
