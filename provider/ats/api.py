"""The ground of every dialect's endpoints: reading bodies, one shape of error, the description."""

import json
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request, Response
from flask_smorest import Api, Blueprint
from webargs.core import is_json
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException, default_exceptions

MISSING = "should be provided"


class Error(ma.Schema):
    """What every error says."""

    status = ma.fields.Integer(required=True, metadata={"description": "The HTTP status code"})
    message = ma.fields.String(required=True, metadata={"description": "What is wrong"})


class ContractApi(Api):  # type: ignore[misc]
    """The description of all dialects' endpoints, and the errors as the contract wants them."""

    ERROR_SCHEMA = Error

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an error as `{"status": N, "message": "…"}`."""
        response = Response(
            json.dumps({"status": error.code or 500, "message": _sentence(error)}),
            status=error.code or 500,
            mimetype="application/json",
        )
        for name, value in error.get_headers():
            if name.lower() in ("allow", "retry-after", "www-authenticate"):
                response.headers[name] = value
        return response


def refuse(code: int, message: str) -> NoReturn:
    """End the request with an error of the contract."""
    raise default_exceptions[code](message)


class BodyParser(FlaskParser):  # type: ignore[misc]
    """Reads a JSON object; says of what is wrong the first thing, with its full path."""

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Read the body; an absent Content-Type is taken as JSON."""
        if req.mimetype and not is_json(req.mimetype):
            refuse(415, "Content-Type should be application/json")
        try:
            body = json.loads(req.get_data(), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            refuse(400, "Invalid JSON")
        if not isinstance(body, dict):
            refuse(400, "Invalid JSON")
        return body

    def handle_error(self, error: ma.ValidationError, *_: object, **__: object) -> NoReturn:
        """Refuse: 400 for what is wrong; 422 where nothing is wrong but something is missing."""
        said = list(_leaves(error.normalized_messages().get("json", {})))
        for path, sentence in said:
            if sentence != MISSING:
                refuse(400, f"Invalid field: {path} {sentence}")
        refuse(422, f"Missing field: {said[0][0]} {MISSING}")


class ContractBlueprint(Blueprint):  # type: ignore[misc]
    """A dialect's endpoints."""

    ARGUMENTS_PARSER = BodyParser()


def answer(body: dict[str, Any], code: int = 200) -> Response:
    """Answer with a JSON document."""
    return Response(json.dumps(body, ensure_ascii=False), status=code, mimetype="application/json")


def _sentence(error: HTTPException) -> str:
    own = type(error).description != error.description
    return str(error.description) if own and error.description else error.name


def _leaves(messages: Any, path: str = "") -> Any:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            deeper = path if name == "_schema" else f"{path}.{name}".lstrip(".")
            yield from _leaves(inner, deeper)
    else:
        yield path, messages[0] if isinstance(messages, list) else str(messages)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
