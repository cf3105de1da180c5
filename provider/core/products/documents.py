"""Product documents: the YAML files of tests, interview templates and packages.

A file has one or more documents, separated by `---`. A document is a mapping with `kind`, `key`
and `name`. All fields but `kind` and `key` are the content of a version. The schema of the kind
validates the content. The YAML is restricted to the types of JSON: anchors, aliases, tags and
dates are not read, and `No` and `10:30` are text. An error names the line and the path.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError

from provider.core.products.files import StoredProductFile
from provider.core.products.odd_characters import find_odd_character
from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES, Tree, child_path, dump, parse_trees
from provider.core.products.schema_fields import SLUG_ADVICE, is_slug
from provider.errors import Invalid


@dataclass(frozen=True)
class DocumentWarning:
    """An allowed but probably unintended text at `path`. `line` counts within it, from 0."""

    path: str
    problem: str
    line: int = 0


@dataclass(frozen=True)
class DocumentProblem:
    """A problem at `path` of a document. An error prevents publishing, a warning does not."""

    path: str
    text: str
    is_error: bool = True


@dataclass(frozen=True)
class Document:
    """One product document. Equality ignores its source and line numbers."""

    kind: str
    key: str
    name: str
    content: dict[str, Any]
    source: str = field(default="", compare=False)
    line: int = field(default=1, compare=False)
    line_numbers: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    # The first line of each text that is a literal block. Only its lines are those of the file.
    block_lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    source_lines: Sequence[str] = field(default=(), compare=False, repr=False)
    # The files that the content names, once they are stored.
    files: tuple[StoredProductFile, ...] = ()

    def line_of(self, path: str) -> int:
        """Return the line of `path`, or of the nearest enclosing path that the file has."""
        return next(
            (
                self.line_numbers[enclosing_path]
                for enclosing_path in _enclosing_paths(path)
                if enclosing_path in self.line_numbers
            ),
            self.line,
        )

    def error_at(self, path: str, problem: str) -> Invalid:
        """Return an error that names the file, the line and the path.

        It names a character of the line that is in the way, such as a no-break space.
        """
        number = self.line_of(path)
        # A line whose colon is no plain one belongs to the value of the line above.
        odd = find_odd_character(self.source_lines, (number, number + 1))
        hint = f"; {odd}" if odd else ""
        return Invalid(f"{self._position(number, path)}: {problem}{hint}")

    def describe(self, warning: DocumentWarning) -> str:
        """Return the warning with the file, the line and the path."""
        first_line = self.block_lines.get(warning.path)
        number = first_line + warning.line if first_line else self.line_of(warning.path)
        return f"{self._position(number, warning.path)}: {warning.problem}"

    def _position(self, line: int, path: str) -> str:
        return f"{self.source} line {line}{', ' if path else ''}{path}"


def read_file(path: Path) -> list[Document]:
    """Read the documents of a file. Raises Invalid for an unreadable or wrong file."""
    try:
        with path.open("rb") as file:
            return decode_documents(file.read(MAX_DOCUMENT_BYTES + 1), str(path))
    except OSError as error:
        raise Invalid(f"{path}: cannot be read: {error.strerror}") from error


def decode_documents(file_content: bytes, source: str) -> list[Document]:
    """Parse the bytes of a file, whose name is `source`. Raises Invalid as `parse_documents`."""
    if len(file_content) > MAX_DOCUMENT_BYTES:
        raise Invalid(f"{source}: is too large; split it into files of at most 1 MB")
    try:
        text = file_content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = file_content.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{source} line {line}: is not UTF-8 text; save the file as UTF-8") from error
    return parse_documents(text.replace("\r\n", "\n").replace("\r", "\n"), source)


def parse_documents(text: str, source: str) -> list[Document]:
    """Parse YAML. Raises Invalid with `source` (the name of the file), line and path."""
    lines = text.splitlines()
    documents = [_build_document(tree, source, lines) for tree in parse_trees(text, source)]
    if not documents:
        raise Invalid(f"{source}: is empty; it should hold at least one document")
    seen_keys: set[tuple[str, str]] = set()
    for document in documents:
        if (document.kind, document.key) in seen_keys:
            raise document.error_at("key", f"{document.key} is already used above in this file")
        seen_keys.add((document.kind, document.key))
    return documents


def to_yaml(document: Document) -> str:
    """Return YAML that `parse_documents` reads as an equal document."""
    head = {"kind": document.kind, "key": document.key, "schema": 1, "name": document.name}
    if "schema" not in document.content:
        del head["schema"]
    return dump(head | document.content)


def content_digest(content: Mapping[str, Any], files: Iterable[StoredProductFile] = ()) -> str:
    """Return the SHA-256 of the content and its files in hex. The order of keys is no difference.

    Without files it is that of the content alone.
    """
    digests = {file.name: file.sha256 for file in files}
    document = {"content": content, "files": digests} if digests else content
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def validate(document: Document, schema: Schema) -> Any:
    """Load the content with a schema. Raises Invalid for the error that is first in the file."""
    try:
        return schema.load(document.content)
    except ValidationError as error:
        problems = list(flatten_messages(error.messages))
    raise document.error_at(
        *min(problems, key=lambda problem: _problem_sort_key(document, problem[0]))
    )


def load_content(content: Mapping[str, Any], schema: Schema) -> Any:
    """Load a stored content with a schema. Raises Invalid with the path of the error."""
    try:
        return schema.load(content)
    except ValidationError as error:
        path, problem = next(flatten_messages(error.messages))
        raise Invalid(f"{path}: {problem}" if path else problem) from error


def _problem_sort_key(document: Document, path: str) -> tuple[bool, int]:
    # A misspelt name comes before the missing field that it causes.
    return path not in document.line_numbers, document.line_of(path)


def _build_document(tree: Tree, source: str, source_lines: Sequence[str]) -> Document:
    content = tree.value
    if not isinstance(content, dict):
        raise Invalid(f"{source} line {tree.line}: should be a mapping with kind, key and name")
    kind, key, name = (
        value if isinstance(value := content.get(field_name), str) else ""
        for field_name in ("kind", "key", "name")
    )
    version_content = {
        field_name: value
        for field_name, value in content.items()
        if field_name not in ("kind", "key")
    }
    document = Document(
        kind,
        key,
        name.strip(),
        version_content,
        source,
        tree.line,
        tree.line_numbers,
        tree.block_lines,
        source_lines,
    )
    _check_head(document)
    return document


def _check_head(document: Document) -> None:
    if not is_slug(document.kind):
        raise document.error_at("kind", "should be provided, such as assessment or check")
    if not is_slug(document.key):
        raise document.error_at("key", SLUG_ADVICE)
    if not document.name:
        raise document.error_at("name", "should be provided, as text")


def flatten_messages(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each message of a ValidationError."""
    if isinstance(messages, dict):
        for step, inner in messages.items():
            yield from flatten_messages(
                inner, path if step == "_schema" else child_path(path, step)
            )
    elif isinstance(messages, list):
        for inner in messages:
            yield from flatten_messages(inner, path)
    else:
        yield path, str(messages)


def _enclosing_paths(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    yield ""
