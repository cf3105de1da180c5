"""Shared parts of every adapter's endpoints: body parsing, error responses, OpenAPI."""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import marshmallow as ma
from flask import Request, Response, after_this_request, current_app, g
from flask_smorest import Api, Blueprint
from webargs.core import is_json
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    HTTPException,
    RequestEntityTooLarge,
    TooManyRequests,
    Unauthorized,
    default_exceptions,
)

from provider.core.accounts import Caller
from provider.core.host_patterns import is_allowed_host
from provider.errors import Conflict, NotFound, ProviderError, Unavailable
from provider.errors import Unauthorized as TokenRefused
from provider.services import Services, current_services
from provider.storage.rate_limit import RateLimiter

MISSING_MESSAGE = "should be provided"
# The OpenAPI description of each error: when it occurs, and an example of its message.
ERROR_DESCRIPTIONS = {
    400: (
        "The body is not a JSON object, or a field is not what it should be.",
        "Invalid field: candidate.email should be an e-mail address",
    ),
    401: (
        "There is no bearer token, or nobody's, or one for the endpoints of another ATS.",
        "Invalid Token",
    ),
    404: ("The account has no such order of this kind.", "There is no such order"),
    409: ("What is asked for contradicts what already stands.", "Entity is already updated"),
    413: ("The body is too large.", "The body should have at most 2097152 bytes"),
    415: ("The body's Content-Type is not JSON.", "Content-Type should be application/json"),
    422: (
        "Something is missing, or the product is not one that the account may order.",
        "Missing field: candidate.email should be provided",
    ),
    429: (
        "The account has made more calls in this second than it may: wait for `Retry-After`. Where "
        "an account has a limit, every answer says in `X-Rate-Limit-Limit`, "
        "`X-Rate-Limit-Remaining` and `X-Rate-Limit-Reset` (Unix seconds) what is left.",
        "Too many requests: at most 20 a second",
    ),
    500: ("Our fault; nothing was kept, so trying again is safe.", "Internal Server Error"),
    503: ("Nothing can be kept just now: try again in a little while.", "Service Unavailable"),
}
_JSON_ENCODER = json.JSONEncoder(ensure_ascii=False)
COMMON_ERROR_CODES = (429, 500, 503)  # any endpoint may answer with these
STATUS_CODES: dict[type[ProviderError], int] = {NotFound: 404, Conflict: 409}


class Error(ma.Schema):
    """The body of every error."""

    status = ma.fields.Integer(required=True, metadata={"description": "The HTTP status code"})
    message = ma.fields.String(required=True, metadata={"description": "What is wrong"})


class ContractApi(Api):  # type: ignore[misc]
    """The OpenAPI description of all adapters' endpoints, and the contract's error responses."""

    ERROR_SCHEMA = Error
    DEFAULT_ERROR_RESPONSE_NAME = None  # each error is described under its own status code

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Return an error as `{"status": N, "message": "…"}`."""
        response = Response(
            json.dumps({"status": error.code or 500, "message": _error_message(error)}),
            status=error.code or 500,
            mimetype="application/json",
        )
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after", "www-authenticate"):
                response.headers[name] = value
        if error.code == 401:
            response.headers.setdefault("WWW-Authenticate", "Bearer")
        return response


def abort_with_message(status_code: int, message: str) -> NoReturn:
    raise default_exceptions[status_code](message)


def admit(ats: str, token: str, challenge: WWWAuthenticate | None = None) -> Caller:
    """Return the caller with this token, and keep it for `current_caller`.

    Aborts with 401 for a token that is missing or not one of this ATS, and with 429 above the
    account's rate. `challenge` is the header of a 401; None asks for a bearer token.
    """
    if not token:
        raise Unauthorized("Missing Token", www_authenticate=challenge)
    services = current_services()
    now = services.now()
    try:
        caller = g.caller = services.authenticator.authenticate(token, ats, now)
    except TokenRefused as error:
        raise Unauthorized(str(error), www_authenticate=challenge) from None
    if caller.request_rate:
        limit_by_account(services.rate_limiter, caller, caller.request_rate, now)
    return caller


def current_caller() -> Caller:
    """Return the caller that `admit` has found for this request."""
    caller: Caller = g.caller
    return caller


def check_callback_url(services: Services, caller: Caller, url: str, field: str) -> None:
    """Abort with 400 unless callbacks of the account may go to `url`, the value of `field`."""
    parts = urlsplit(url)
    if not services.settings.private_callbacks and (
        parts.scheme != "https" or parts.port not in (None, 443)
    ):
        abort_with_message(400, f"Invalid field: {field} should be an https URL without a port")
    if not is_allowed_host(parts.hostname or "", caller.callback_hosts):
        abort_with_message(
            400, f"Invalid field: {field} should be on a host that the account allows"
        )


def limit_by_account(
    rate_limiter: RateLimiter, caller: Caller, calls_per_second: int, now: datetime
) -> None:
    """Raise TooManyRequests above the account's rate; add `X-Rate-Limit-*` to every response."""
    usage = rate_limiter.hit(f"account/{caller.account_id}", calls_per_second, 1, now)

    @after_this_request
    def _add_rate_limit_headers(response: Response) -> Response:
        values = {
            "Limit": usage.limit,
            "Remaining": max(0, usage.remaining),
            "Reset": usage.resets_at,
        }
        response.headers.update({f"X-Rate-Limit-{name}": value for name, value in values.items()})
        return response

    if usage.remaining < 0:
        message = f"Too many requests: at most {calls_per_second} a second"
        raise TooManyRequests(message, retry_after=usage.seconds_until_reset(now))


class BodyParser(FlaskParser):
    """Parses a JSON object; an error names the first wrong field with its full path."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the body's JSON object; an absent Content-Type counts as JSON."""
        if req.mimetype and not is_json(req.mimetype):
            abort_with_message(415, "Content-Type should be application/json")
        try:
            body = json.loads(_read_whole_body(req), parse_constant=_reject_constant)
        except RequestEntityTooLarge:
            abort_with_message(413, f"The body should have at most {req.max_content_length} bytes")
        except (ValueError, RecursionError):
            abort_with_message(400, "Invalid JSON")
        if not isinstance(body, dict):
            abort_with_message(400, "Invalid JSON")
        return body

    def handle_error(self, error: ma.ValidationError, *_: object, **__: object) -> NoReturn:
        """Abort with 400 for an invalid field; with 422 when fields are only missing."""
        problems = list(_flatten_messages(error.messages_dict.get("json", {})))
        for path, message in problems:
            if message != MISSING_MESSAGE:
                abort_with_message(400, f"Invalid field: {path} {message}")
        abort_with_message(422, f"Missing field: {problems[0][0]} {MISSING_MESSAGE}")


class ContractBlueprint(Blueprint):  # type: ignore[misc]
    """An adapter's endpoints; `add_endpoint` registers each one with its OpenAPI description."""

    ARGUMENTS_PARSER = BodyParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_error_handler(ProviderError, _handle_provider_error)

    def add_endpoint(
        self,
        method: str,
        path: str,
        operation_id: str,
        view: Callable[..., Response],
        *,
        response: tuple[int, type[ma.Schema] | ma.Schema, Any],
        error_codes: tuple[int, ...] = (),
        error_descriptions: Mapping[int, tuple[str, str]] = ERROR_DESCRIPTIONS,
        request_body: tuple[ma.Schema, dict[str, Any]] | None = None,
        links: dict[str, Any] | None = None,
        **documentation: Any,
    ) -> None:
        """Register a path, with and without a slash at its end, and describe it once.

        `response` is status code, schema and example. `request_body` is schema and example.
        `error_descriptions` has the shape of ERROR_DESCRIPTIONS. `links` are OpenAPI links.
        `documentation` is copied into the OpenAPI operation.
        """
        code, schema, example = response
        if request_body:
            view = self.arguments(request_body[0], example=request_body[1])(view)
        described = self.response(code, schema, example=example)(view)
        error_responses = {
            error_code: _describe_error(error_code, *error_descriptions[error_code])
            for error_code in {401, *COMMON_ERROR_CODES, *error_codes}
        }
        responses = error_responses | ({code: {"links": links}} if links else {})
        described = self.doc(operationId=operation_id, responses=responses, **documentation)(
            described
        )
        # Only the description is taken from the wrappers: a request skips their overhead.
        view._apidoc = described._apidoc  # type: ignore[attr-defined]
        self.route(path, methods=[method], endpoint=operation_id, strict_slashes=False)(view)


def json_response(body: dict[str, Any] | list[Any], status_code: int = 200) -> Response:
    return Response(_JSON_ENCODER.encode(body), status=status_code, mimetype="application/json")


def _handle_provider_error(error: ProviderError) -> Response:
    code = STATUS_CODES.get(type(error))
    if code:
        return json_response({"status": code, "message": str(error)}, code)
    # The message goes to the log only: a caller can neither repair this nor needs to know it.
    current_app.log_exception(sys.exc_info())
    failure = default_exceptions[503 if isinstance(error, Unavailable) else 500]()
    response = json_response({"status": failure.code, "message": failure.name}, failure.code or 500)
    if isinstance(error, Unavailable):
        response.headers.update(error.retry_headers())
    return response


def _read_whole_body(req: Request) -> bytes:
    body, max_bytes = req.get_data(), req.max_content_length
    # Werkzeug truncates a chunked body at the limit without an error.
    if max_bytes is not None and len(body) >= max_bytes and len(body) != req.content_length:
        raise RequestEntityTooLarge
    return body


def _describe_error(status_code: int, description: str, message: str) -> dict[str, Any]:
    example = {"status": status_code, "message": message}
    return {
        "description": description,
        "content": {"application/json": {"schema": Error, "example": example}},
    }


def _error_message(error: HTTPException) -> str:
    has_own_text = type(error).description != error.description
    return str(error.description) if has_own_text and error.description else error.name


def _flatten_messages(messages: Any, path: str = "") -> Any:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            inner_path = path if name == "_schema" else f"{path}.{name}".lstrip(".")
            yield from _flatten_messages(inner, inner_path)
    else:
        yield path, messages[0] if isinstance(messages, list) else str(messages)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
