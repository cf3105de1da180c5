"""/docs/: the API's description for people, made of the same facts as /openapi.json."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from flask import Blueprint, current_app, render_template

from provider.text import markdown

routes = Blueprint("docs", __name__)

DEEPEST = 6  # levels of objects in objects that are written out
JSON = "application/json"

Spec = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One field of a body: its path from the top, its type in words, and what it means."""

    name: str
    type: str
    required: bool
    says: str


@dataclass(frozen=True)
class Body:
    """A JSON document that is sent or answered."""

    fields: tuple[Field, ...]
    example: str


@dataclass(frozen=True)
class Answer:
    """What a status code means, and the document that comes with it."""

    code: str
    says: str
    body: Body

    @property
    def good(self) -> bool:
        """Whether the call did what it was for."""
        return self.code.startswith("2")

    @property
    def sentence(self) -> str:
        """What an error may say, for one."""
        example = json.loads(self.body.example or "{}")
        return str(example.get("message", ""))


@dataclass(frozen=True)
class Callback:
    """A request that this server makes in the wake of an operation."""

    method: str
    url: str
    says: str
    sends: Body
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Operation:
    """One thing that an ATS can ask for."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    says: str
    guarded: bool
    takes: Body | None
    answers: tuple[Answer, ...]
    callbacks: tuple[Callback, ...]
    curl: str

    @property
    def title(self) -> str:
        """The operation's name in words, such as “Create assessment”."""
        return self.id.replace("_", " ").capitalize()


@routes.get("/docs/")
def docs() -> str:
    """Show every operation with its fields, answers and an example."""
    spec = description()
    rooms = {room["name"]: room.get("description", "") for room in spec.get("tags", [])}
    groups = [(rooms.get(tag, tag), list(of)) for tag, of in groupby(operations(spec), _tag)]
    addresses = [server["url"] for server in spec["servers"]]
    return render_template(
        "docs.html", about=spec["info"], addresses=addresses, groups=groups, markdown=markdown
    )


def description() -> Spec:
    """Return the published description."""
    apis = current_app.extensions["flask-smorest"]["apis"]
    described: Spec = apis[""]["ext_obj"].spec.to_dict()
    return described


def operations(spec: Spec) -> Iterator[Operation]:
    """Return every operation of a description, in its order."""
    for path, methods in spec["paths"].items():
        for method, said in methods.items():
            if method != "parameters":
                yield _operation(spec, method.upper(), path, said)


def _tag(operation: Operation) -> str:
    return operation.tag


def _operation(spec: Spec, method: str, path: str, said: Spec) -> Operation:
    takes = _body(spec, said["requestBody"]) if "requestBody" in said else None
    guarded = bool(said.get("security", spec.get("security")))
    return Operation(
        id=said["operationId"],
        tag=(said.get("tags") or [""])[0],
        method=method,
        path=path,
        summary=said.get("summary", ""),
        says=said.get("description", ""),
        guarded=guarded,
        takes=takes,
        answers=_answers(spec, said),
        callbacks=tuple(_callbacks(spec, said)),
        curl=_curl(spec["servers"][0]["url"] + path, method, guarded, takes),
    )


def _answers(spec: Spec, said: Spec) -> tuple[Answer, ...]:
    responses = sorted((str(code), answer) for code, answer in said["responses"].items())
    return tuple(
        Answer(code, answer.get("description", ""), _body(spec, answer))
        for code, answer in responses
    )


def _callbacks(spec: Spec, said: Spec) -> Iterator[Callback]:
    for addresses in said.get("callbacks", {}).values():
        for url, methods in addresses.items():
            for method, told in methods.items():
                # `{$request.body#/callback_url}` is how OpenAPI says: the address you sent.
                name = url.strip("{}").rpartition("/")[2]
                yield Callback(
                    method=method.upper(),
                    url=name,
                    says=told.get("summary", ""),
                    sends=_body(spec, told.get("requestBody", {})),
                    answers=_answers(spec, told),
                )


def _body(spec: Spec, holder: Spec) -> Body:
    content = holder.get("content", {}).get(JSON, {})
    example = content.get("example")
    shown = "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
    return Body(tuple(_fields(spec, content.get("schema", {}))), shown)


def _fields(spec: Spec, schema: Spec, above: str = "", depth: int = DEEPEST) -> Iterator[Field]:
    """Return the fields of an object and, after each, those of the objects in it."""
    schema = _resolved(spec, schema)
    for name, inner in schema.get("properties", {}).items() if depth else ():
        inner = _resolved(spec, inner)
        path, type_ = above + name, _type(spec, inner)
        yield Field(path, type_, name in schema.get("required", ()), _meaning(inner))
        yield from _fields(spec, inner, f"{path}.", depth - 1)
        yield from _fields(spec, inner.get("items", {}), f"{path}[].", depth - 1)


def _resolved(spec: Spec, schema: Spec) -> Spec:
    if "$ref" not in schema:
        return schema
    found: Any = spec
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return {**found, **{name: said for name, said in schema.items() if name != "$ref"}}


def _type(spec: Spec, schema: Spec) -> str:
    said = schema.get("type", "anything")
    # That null counts as absent is said once, at the top of the page.
    names = [each for each in ([said] if isinstance(said, str) else said) if each != "null"]
    if names == ["array"]:
        return f"array of {_type(spec, _resolved(spec, schema.get('items', {})))}s"
    return {"uri": "URL"}.get(schema.get("format", ""), " or ".join(names))


def _meaning(schema: Spec) -> str:
    said = [schema["description"]] if schema.get("description") else []
    if "enum" in schema:
        said.append("One of " + ", ".join(f"`{value}`" for value in schema["enum"]))
    if "maxLength" in schema:
        said.append(f"At most {schema['maxLength']} characters")
    return "".join(f"{sentence}. " for sentence in said).strip()


def _curl(url: str, method: str, guarded: bool, takes: Body | None) -> str:
    """Write the call as it can be pasted into a shell; names in capitals stand for your own."""
    url = re.sub(r"{(\w+)}", lambda name: name[1].upper(), url)
    lines = [f"curl -X {method} {url}"]
    if guarded:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if takes:
        lines += [f"-H 'Content-Type: {JSON}'", f"-d {shlex.quote(takes.example)}"]
    return " \\\n  ".join(lines)
