"""/docs/: the API's description for people, made of the same facts as /openapi.json."""

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

MAX_DEPTH = 6  # levels of objects in objects that are written out
JSON_MEDIA_TYPE = "application/json"

Spec = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of a body: its path from the top, its type in words, and what it means."""

    name: str
    type: str
    required: bool
    description: str


@dataclass(frozen=True)
class Body:
    """A JSON document that is sent or answered."""

    fields: tuple[Field, ...]
    example: str


@dataclass(frozen=True)
class ResponseDescription:
    """What a status code means, and the document that comes with it."""

    status_code: str
    description: str
    body: Body

    @property
    def is_success(self) -> bool:
        """Whether the call did what it was for."""
        return self.status_code.startswith("2")

    @property
    def example_message(self) -> str:
        """What an error may say, for one."""
        example = json.loads(self.body.example or "{}")
        return str(example.get("message", ""))


@dataclass(frozen=True)
class CallbackDescription:
    """A request that this server makes in the wake of an operation."""

    method: str
    url: str
    summary: str
    request_body: Body
    responses: tuple[ResponseDescription, ...]


@dataclass(frozen=True)
class Operation:
    """One thing that an ATS can ask for."""

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
        """The operation's name in words, such as “Create assessment”."""
        return self.id.replace("_", " ").capitalize()


@routes.get("/docs/")
def docs() -> str:
    """Show every operation with its fields, answers and an example."""
    spec = published_spec()
    rooms = {room["name"]: room.get("description", "") for room in spec.get("tags", [])}
    groups = [
        (rooms.get(tag, tag), list(of))
        for tag, of in groupby(list_operations(spec), _operation_tag)
    ]
    addresses = [server["url"] for server in spec["servers"]]
    return render_template(
        "docs.html",
        about=spec["info"],
        addresses=addresses,
        groups=groups,
        markdown=render_markdown,
    )


def published_spec() -> Spec:
    """Return the published description."""
    apis = current_app.extensions["flask-smorest"]["apis"]
    described: Spec = apis[""]["ext_obj"].spec.to_dict()
    return described


def list_operations(spec: Spec) -> Iterator[Operation]:
    """Return every operation of a description, in its order."""
    for path, methods in spec["paths"].items():
        for method, said in methods.items():
            if method != "parameters":
                yield _parse_operation(spec, method.upper(), path, said)


def _operation_tag(operation: Operation) -> str:
    return operation.tag


def _parse_operation(spec: Spec, method: str, path: str, definition: Spec) -> Operation:
    takes = _parse_body(spec, definition["requestBody"]) if "requestBody" in definition else None
    guarded = bool(definition.get("security", spec.get("security")))
    return Operation(
        id=definition["operationId"],
        tag=(definition.get("tags") or [""])[0],
        method=method,
        path=path,
        summary=definition.get("summary", ""),
        description=definition.get("description", ""),
        requires_token=guarded,
        request_body=takes,
        responses=_parse_responses(spec, definition),
        callbacks=tuple(_parse_callbacks(spec, definition)),
        curl=_curl_command(spec["servers"][0]["url"] + path, method, guarded, takes),
    )


def _parse_responses(spec: Spec, definition: Spec) -> tuple[ResponseDescription, ...]:
    responses = sorted((str(code), answer) for code, answer in definition["responses"].items())
    return tuple(
        ResponseDescription(code, answer.get("description", ""), _parse_body(spec, answer))
        for code, answer in responses
    )


def _parse_callbacks(spec: Spec, definition: Spec) -> Iterator[CallbackDescription]:
    for addresses in definition.get("callbacks", {}).values():
        for url, methods in addresses.items():
            for method, told in methods.items():
                # `{$request.body#/callback_url}` is how OpenAPI says: the address you sent.
                name = url.strip("{}").rpartition("/")[2]
                yield CallbackDescription(
                    method=method.upper(),
                    url=name,
                    summary=told.get("summary", ""),
                    request_body=_parse_body(spec, told.get("requestBody", {})),
                    responses=_parse_responses(spec, told),
                )


def _parse_body(spec: Spec, definition: Spec) -> Body:
    content = definition.get("content", {}).get(JSON_MEDIA_TYPE, {})
    example = content.get("example")
    shown = "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
    return Body(tuple(_parse_fields(spec, content.get("schema", {}))), shown)


def _parse_fields(
    spec: Spec, schema: Spec, parent_path: str = "", max_depth: int = MAX_DEPTH
) -> Iterator[Field]:
    """Return the fields of an object and, after each, those of the objects in it."""
    schema = _resolve_reference(spec, schema)
    for name, inner in schema.get("properties", {}).items() if max_depth else ():
        inner = _resolve_reference(spec, inner)
        path, type_ = parent_path + name, _type_label(spec, inner)
        yield Field(path, type_, name in schema.get("required", ()), _field_description(inner))
        yield from _parse_fields(spec, inner, f"{path}.", max_depth - 1)
        yield from _parse_fields(spec, inner.get("items", {}), f"{path}[].", max_depth - 1)


def _resolve_reference(spec: Spec, schema: Spec) -> Spec:
    if "$ref" not in schema:
        return schema
    found: Any = spec
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return {**found, **{name: said for name, said in schema.items() if name != "$ref"}}


def _type_label(spec: Spec, schema: Spec) -> str:
    said = schema.get("type", "anything")
    # That null counts as absent is said once, at the top of the page.
    names = [each for each in ([said] if isinstance(said, str) else said) if each != "null"]
    if names == ["array"]:
        return f"array of {_type_label(spec, _resolve_reference(spec, schema.get('items', {})))}s"
    return {"uri": "URL"}.get(schema.get("format", ""), " or ".join(names))


def _field_description(schema: Spec) -> str:
    said = [schema["description"]] if schema.get("description") else []
    if "enum" in schema:
        said.append("One of " + ", ".join(f"`{value}`" for value in schema["enum"]))
    if "maxLength" in schema:
        said.append(f"At most {schema['maxLength']} characters")
    return "".join(f"{sentence}. " for sentence in said).strip()


def _curl_command(url: str, method: str, requires_token: bool, request_body: Body | None) -> str:
    """Write the call as it can be pasted into a shell; names in capitals stand for your own."""
    url = re.sub(r"{(\w+)}", lambda name: name[1].upper(), url)
    lines = [f"curl -X {method} {url}"]
    if requires_token:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if request_body:
        lines += [
            f"-H 'Content-Type: {JSON_MEDIA_TYPE}'",
            f"-d {shlex.quote(request_body.example)}",
        ]
    return " \\\n  ".join(lines)
