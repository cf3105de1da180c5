"""`/docs/`: the API's reference for people, rendered from the same data as `/openapi.json`."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from flask import Blueprint, current_app, render_template

from provider.core.markdown import render_markdown

routes = Blueprint("docs", __name__)

MAX_DEPTH = 6  # levels of nested objects that are listed; a recursive schema ends there
JSON_MEDIA_TYPE = "application/json"

Spec = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of a body: its path from the root, its type for people, its meaning."""

    name: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True)
class Body:
    """The JSON document of a request or a response."""

    fields: tuple[Field, ...]
    example: str


@dataclass(frozen=True)
class ResponseDescription:
    """A status code, its meaning and its body."""

    status_code: str
    description: str
    body: Body

    @property
    def is_success(self) -> bool:
        return self.status_code.startswith("2")

    @property
    def example_message(self) -> str:
        """The message of the example error body; empty when there is none."""
        example = json.loads(self.body.example or "{}")
        return str(example.get("message", ""))


@dataclass(frozen=True)
class CallbackDescription:
    """A request that this server sends later, because of an operation."""

    method: str
    url: str
    summary: str
    request_body: Body
    responses: tuple[ResponseDescription, ...]


@dataclass(frozen=True)
class Operation:
    """One method of one path, as an ATS calls it."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    description: str
    requires_token: bool
    request_body: Body | None
    responses: tuple[ResponseDescription, ...]
    callbacks: tuple[CallbackDescription, ...]
    curl: str

    @property
    def title(self) -> str:
        """The operation's name for people, such as “Create assessment”."""
        return self.id.replace("_", " ").capitalize()


@routes.get("/docs/")
def docs() -> str:
    spec = published_spec()
    titles = {tag["name"]: tag.get("description", "") for tag in spec.get("tags", [])}
    groups = [
        (titles.get(tag, tag), list(operations))
        for tag, operations in groupby(list_operations(spec), _operation_tag)
    ]
    return render_template(
        "docs.html",
        info=spec["info"],
        server_urls=[server["url"] for server in spec["servers"]],
        groups=groups,
        markdown=render_markdown,
    )


def published_spec() -> Spec:
    """Return the OpenAPI document that `/openapi.json` serves."""
    spec: Spec = current_app.extensions["openapi"].to_dict()
    return spec


def list_operations(spec: Spec) -> Iterator[Operation]:
    """Yield the operations of an OpenAPI document, in its order."""
    for path, methods in spec["paths"].items():
        for method, definition in methods.items():
            if method != "parameters":
                yield _parse_operation(spec, method.upper(), path, definition)


def _operation_tag(operation: Operation) -> str:
    return operation.tag


def _parse_operation(spec: Spec, method: str, path: str, definition: Spec) -> Operation:
    request_body = None
    if "requestBody" in definition:
        request_body = _parse_body(spec, definition["requestBody"])
    requires_token = bool(definition.get("security", spec.get("security")))
    url = spec["servers"][0]["url"] + path
    return Operation(
        id=definition["operationId"],
        tag=(definition.get("tags") or [""])[0],
        method=method,
        path=path,
        summary=definition.get("summary", ""),
        description=definition.get("description", ""),
        requires_token=requires_token,
        request_body=request_body,
        responses=_parse_responses(spec, definition),
        callbacks=tuple(_parse_callbacks(spec, definition)),
        curl=_curl_command(url, method, requires_token, request_body),
    )


def _parse_responses(spec: Spec, definition: Spec) -> tuple[ResponseDescription, ...]:
    responses = sorted((str(code), response) for code, response in definition["responses"].items())
    return tuple(
        ResponseDescription(code, response.get("description", ""), _parse_body(spec, response))
        for code, response in responses
    )


def _parse_callbacks(spec: Spec, definition: Spec) -> Iterator[CallbackDescription]:
    for expressions in definition.get("callbacks", {}).values():
        for expression, methods in expressions.items():
            for method, callback in methods.items():
                # `{$request.body#/callback_url}` is OpenAPI's expression for a request field.
                field_name = expression.strip("{}").rpartition("/")[2]
                yield CallbackDescription(
                    method=method.upper(),
                    url=field_name,
                    summary=callback.get("summary", ""),
                    request_body=_parse_body(spec, callback.get("requestBody", {})),
                    responses=_parse_responses(spec, callback),
                )


def _parse_body(spec: Spec, definition: Spec) -> Body:
    content = definition.get("content", {}).get(JSON_MEDIA_TYPE, {})
    example = content.get("example")
    text = "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
    return Body(tuple(_parse_fields(spec, content.get("schema", {}))), text)


def _parse_fields(
    spec: Spec, schema: Spec, parent_path: str = "", max_depth: int = MAX_DEPTH
) -> Iterator[Field]:
    """Yield the fields of an object, each followed by its nested fields."""
    schema = _resolve_reference(spec, schema)
    required = schema.get("required", ())
    for name, reference in schema.get("properties", {}).items() if max_depth else ():
        field_schema = _resolve_reference(spec, reference)
        path, type_label = parent_path + name, _type_label(spec, field_schema)
        yield Field(path, type_label, name in required, _field_description(field_schema))
        yield from _parse_fields(spec, field_schema, f"{path}.", max_depth - 1)
        yield from _parse_fields(spec, field_schema.get("items", {}), f"{path}[].", max_depth - 1)


def _resolve_reference(spec: Spec, schema: Spec) -> Spec:
    if "$ref" not in schema:
        return schema
    target: Any = spec
    for key in schema["$ref"].removeprefix("#/").split("/"):
        target = target[key]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _type_label(spec: Spec, schema: Spec) -> str:
    types = schema.get("type", "anything")
    # The top of the page explains once that null counts as absent.
    names = [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
    if names == ["array"]:
        return f"array of {_type_label(spec, _resolve_reference(spec, schema.get('items', {})))}s"
    return {"uri": "URL"}.get(schema.get("format", ""), " or ".join(names))


def _field_description(schema: Spec) -> str:
    sentences = [schema["description"]] if schema.get("description") else []
    if "enum" in schema:
        sentences.append("One of " + ", ".join(f"`{value}`" for value in schema["enum"]))
    if "maxLength" in schema:
        sentences.append(f"At most {schema['maxLength']} characters")
    return "".join(f"{sentence}. " for sentence in sentences).strip()


def _curl_command(url: str, method: str, requires_token: bool, request_body: Body | None) -> str:
    """Return a shell command; path parameters become names in capitals, for the reader to fill."""
    url = re.sub(r"{(\w+)}", lambda match: match[1].upper(), url)
    lines = [f"curl -X {method} {url}"]
    if requires_token:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if request_body:
        lines += [
            f"-H 'Content-Type: {JSON_MEDIA_TYPE}'",
            f"-d {shlex.quote(request_body.example)}",
        ]
    return " \\\n  ".join(lines)
