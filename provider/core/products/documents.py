"""Product documents: the YAML files in which tests, interviews and packages are written.

A file holds one or more documents, parted by `---`. Each is a mapping with `kind`, `key` and
`name`; all but `kind` and `key` is the content of a version, as JSON, and its shape is the
kind's business. Only what JSON can say is read: no anchors, aliases, tags, dates; `No` and
`10:30` are text. Every error names the line and, inside a document, the path.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError

from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES, Tree, child_path, dump, parse_trees
from provider.core.products.schema_fields import SLUG_ADVICE, is_slug
from provider.errors import Invalid


@dataclass(frozen=True)
class Document:
    """One product as its author wrote it; equal to another when what it says is equal."""

    kind: str
    key: str
    name: str
    content: dict[str, Any]
    source: str = field(default="", compare=False)
    line: int = field(default=1, compare=False)
    line_numbers: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    def line_of(self, path: str) -> int:
        """Return the line of `path`, or of the nearest thing around it that the file has."""
        return next(
            (self.line_numbers[at] for at in _enclosing_paths(path) if at in self.line_numbers),
            self.line,
        )

    def error_at(self, path: str, problem: str) -> Invalid:
        """Return the error that says where in the file `path` is and what is wrong with it."""
        return Invalid(
            f"{self.source} line {self.line_of(path)}{', ' if path else ''}{path}: {problem}"
        )


def read_file(path: Path) -> list[Document]:
    """Read the documents of a file; raise Invalid when it is missing, not text, or wrong."""
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise Invalid(f"{path}: is too large; split it into files of at most 1 MB")
        return parse_documents(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise Invalid(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path}: is not UTF-8 text; save it as UTF-8") from error


def parse_documents(text: str, source: str) -> list[Document]:
    """Read YAML `text`; raise Invalid with `origin` (a file's name), line and path."""
    documents = [_build_document(tree, source) for tree in parse_trees(text, source)]
    if not documents:
        raise Invalid(f"{source}: is empty; it should hold at least one document")
    seen: set[tuple[str, str]] = set()
    for document in documents:
        if (document.kind, document.key) in seen:
            raise document.error_at("key", f"{document.key} is already used above in this file")
        seen.add((document.kind, document.key))
    return documents


def to_yaml(document: Document) -> str:
    """Return the YAML that `read` turns into an equal document."""
    head = {"kind": document.kind, "key": document.key, "schema": 1, "name": document.name}
    if "schema" not in document.content:
        del head["schema"]
    return dump(head | document.content)


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of the content as canonical JSON (order does not matter)."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def validate(document: Document, schema: Schema) -> Any:
    """Return what `schema` loads of the content; raise Invalid for the file's topmost error."""
    try:
        return schema.load(document.content)
    except ValidationError as error:
        problems = list(_flatten_messages(error.messages))
    raise document.error_at(
        *min(problems, key=lambda problem: _problem_sort_key(document, problem[0]))
    )


def load_content(content: Mapping[str, Any], schema: Schema) -> Any:
    """Return what `schema` loads of a stored content; raise Invalid with the path."""
    try:
        return schema.load(content)
    except ValidationError as error:
        path, problem = next(_flatten_messages(error.messages))
        raise Invalid(f"{path}: {problem}" if path else problem) from error


def _problem_sort_key(document: Document, path: str) -> tuple[bool, int]:
    # A misspelt name is told before the missing one that it causes.
    return path not in document.line_numbers, document.line_of(path)


def _build_document(tree: Tree, source: str) -> Document:
    content = tree.value
    if not isinstance(content, dict):
        raise Invalid(f"{source} line {tree.line}: should be a mapping with kind, key and name")
    head = [content.get(name) for name in ("kind", "key", "name")]
    kind, key, name = (each if isinstance(each, str) else "" for each in head)
    rest = {name: value for name, value in content.items() if name not in ("kind", "key")}
    document = Document(kind, key, name.strip(), rest, source, tree.line, tree.line_numbers)
    _check_head(document)
    return document


def _check_head(document: Document) -> None:
    if not is_slug(document.kind):
        raise document.error_at("kind", "should be provided: assessment, interview or check")
    if not is_slug(document.key):
        raise document.error_at("key", SLUG_ADVICE)
    if not document.name:
        raise document.error_at("name", "should be provided, as text")


def _flatten_messages(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for step, inner in messages.items():
            yield from _flatten_messages(
                inner, path if step == "_schema" else child_path(path, step)
            )
    elif isinstance(messages, list):
        for inner in messages:
            yield from _flatten_messages(inner, path)
    else:
        yield path, str(messages)


def _enclosing_paths(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    yield ""
