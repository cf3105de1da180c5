"""Greenhouse's endpoints: list_tests, send_test, test_status and response_error."""

import json
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from flask import Response, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.datastructures import WWWAuthenticate

from provider import outbox
from provider.ats.base import StatusUpdate
from provider.ats.greenhouse import examples, schemas
from provider.ats.greenhouse.listed_kinds import listed_kinds
from provider.ats.greenhouse.payload import build_status
from provider.ats.http_api import (
    ERROR_DESCRIPTIONS,
    ContractBlueprint,
    abort_with_message,
    admit,
    check_callback_url,
    current_caller,
    json_response,
)
from provider.core.accounts import Account, Caller
from provider.core.host_patterns import host_of
from provider.core.orders import Order, Placement, place
from provider.core.text_cleaning import clean_line
from provider.errors import NotFound, Unavailable
from provider.outbox import CALLBACK
from provider.services import Services, current_services

MAX_NOTE_LENGTH = 2000
CHALLENGE = WWWAuthenticate("basic", {"realm": "Greenhouse"})
BASIC_SECURITY: list[dict[str, list[str]]] = [{"basic": []}]
SERVERS_WITHOUT_PREFIX = [
    {"url": "/"}
]  # OpenAPI's other server, /workable, does not have these paths
ERRORS = ERROR_DESCRIPTIONS | {
    401: ("The key is missing, unknown, or belongs to another ATS.", "Invalid Token"),
    404: ("The account has no such test or order.", "There is no such order"),
    409: (
        "The same url was sent for another test, or the account no longer lists its kind.",
        "Entity is already updated",
    ),
    422: ("Something is missing.", "Missing field: candidate.email should be provided"),
}
log = structlog.get_logger()


@cache
def build_blueprint(ats: str) -> ContractBlueprint:
    routes = ContractBlueprint(
        ats, __name__, url_prefix="/greenhouse", description="Greenhouse's Assessment Partner API"
    )

    @routes.before_request
    def _authenticate() -> None:
        # Greenhouse sends the key as the user, without a password.
        key = (request.authorization.username if request.authorization else "") or ""
        admit(ats, key.strip(), CHALLENGE)
        _remember_key(current_services(), current_caller(), key.strip())

    def add(method: str, path: str, view: Any, **description: Any) -> None:
        routes.add_endpoint(
            method,
            path,
            f"greenhouse_{path.strip('/')}",
            view,
            error_descriptions=ERRORS,
            security=BASIC_SECURITY,
            servers=SERVERS_WITHOUT_PREFIX,
            **description,
        )

    add(
        "GET",
        "/list_tests",
        _list_tests,
        response=(200, schemas.ListedTest(many=True), examples.TESTS),
    )
    add(
        "POST",
        "/send_test",
        _send_test,
        response=(200, schemas.SentTest, examples.SENT),
        error_codes=(400, 404, 409, 413, 415, 422),
        request_body=(schemas.SendTestIn(), examples.SEND_TEST),
    )
    add(
        "GET",
        "/test_status",
        _test_status,
        response=(200, schemas.TestStatus, examples.STATUS),
        error_codes=(404,),
        parameters=[
            {
                "in": "query",
                "name": "partner_interview_id",
                "required": True,
                "description": "The order, from send_test",
                "schema": {"type": "string"},
            }
        ],
    )
    add(
        "POST",
        "/response_error",
        _response_error,
        response=(200, schemas.ErrorReceived, {"status": 200}),
        error_codes=(400, 413, 415, 422),
        request_body=(schemas.ErrorIn(), examples.ERROR),
    )
    return routes


def _list_tests() -> Response:
    """List what can be sent: published products that the account may see, by kind and name."""
    services, caller = current_services(), current_caller()
    return json_response(
        [
            {"partner_test_id": product_id, "partner_test_name": name}
            for kind in listed_kinds(caller.options)
            for product_id, name in services.product_lists.get(kind, caller, services.now())
        ]
    )


def _send_test(body: dict[str, Any]) -> Response:
    """Order a test for a candidate, who is invited by e-mail.

    The same url again answers with the same id and invites nobody.
    """
    services, caller = current_services(), current_caller()
    check_callback_url(services, caller, body["url"], "url")
    placement = _build_placement(body)
    try:
        public_id = _place(services, caller, placement)
    except IntegrityError:
        # Another process inserted the order between our SELECT and our INSERT: look again.
        public_id = _place(services, caller, placement)
    if public_id is None:
        abort_with_message(404, f"Unknown test: {body['partner_test_id']}")
    log.info("order_event_recorded", order=public_id, type="placed")
    return json_response({"partner_interview_id": public_id})


def _test_status() -> Response:
    """Tell the status and, when complete, the score."""
    services, caller = current_services(), current_caller()
    order_id = request.args.get("partner_interview_id", "")
    with services.db.reading() as session:
        order = Order.find(session, order_id, caller.account_id)
        update = StatusUpdate.for_poll(
            session, services.secret_box, services.urls, order.kind, order.public_id, caller
        )
    return json_response(build_status(update, f"{services.settings.base_url}/"))


def _response_error(body: dict[str, Any]) -> Response:
    """Learn what Greenhouse found wrong with a response; the order's page shows it."""
    services, caller = current_services(), current_caller()
    note = clean_line(f"{body['api_call']}: {_errors_text(body['errors'])}")[:MAX_NOTE_LENGTH]
    order_id = body.get("partner_interview_id", "")
    log.warning("ats_reported_error", account=caller.name, order=order_id or None, error=note)
    if order_id:
        with services.db.writing() as session:
            _record_error(session, order_id, caller, note, services)
    return json_response({"status": 200})


def _record_error(
    session: Session, order_id: str, caller: Caller, note: str, services: Services
) -> None:
    try:
        order = Order.find(session, order_id, caller.account_id)
    except NotFound:  # the error may be just that: we do not know the order
        return
    order.record_event(session, "ats error", "ats", services.now(), note)


def _errors_text(errors: Any) -> str:
    texts = errors if isinstance(errors, list) else [errors]
    return "; ".join(text if isinstance(text, str) else json.dumps(text) for text in texts)


def _build_placement(body: dict[str, Any]) -> Placement:
    candidate = body["candidate"]
    return Placement(
        product=body["partner_test_id"],
        external_key=body["url"],
        email=candidate["email"],
        first_name=candidate["preferred_name"] or candidate["first_name"],
        last_name=candidate["last_name"],
        phone=candidate["phone_number"],
        reply_context={
            "url": body["url"],
            "application_id": _application_id(candidate["greenhouse_profile_url"]),
        },
        callback_host=host_of(body["url"]),
        unread_fields=body["unread_fields"],
        is_strict=False,
    )


def _application_id(profile_url: str) -> str:
    """Return the parameter `application_id`; empty if the URL is none or has none."""
    try:
        return parse_qs(urlsplit(profile_url).query)["application_id"][0][:200]
    except (KeyError, ValueError):
        return ""


def _place(services: Services, caller: Caller, placement: Placement) -> str | None:
    with services.db.writing() as session:
        return place(
            session,
            services.secret_box,
            listed_kinds(caller.options),
            placement,
            caller,
            services.now(),
        )


def _remember_key(services: Services, caller: Caller, key: str) -> None:
    """Let callbacks carry the key with which Greenhouse called last: it expects its own key back.

    So a new key is used as soon as Greenhouse has it. Callbacks that were paused because of the old
    key go on.
    """
    with services.db.reading() as session:
        account = session.get_one(Account, caller.account_id)
        if account.has_callback_token(services.secret_box, key):
            return
    # The call must not fail because another writer blocks this write: the next call repeats it.
    with suppress(Unavailable), services.db.writing() as session:
        account = session.get_one(Account, caller.account_id, with_for_update=True)
        if account.has_open_token(key):  # this process's cache may know a key that is just revoked
            account.set_callback_token(services.secret_box, key)
            outbox.resume(session, f"account/{account.id}/{CALLBACK}")
