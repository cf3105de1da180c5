"""Texts in Markdown files of their own, which a document names: `file: legal/us-rights.md`.

Such a file begins with a header in YAML between two lines of `---`. The part of the document that
names the file gets the fields of the header, and what follows as its `text`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from provider.core.products.documents import Document
from provider.core.products.safe_yaml import MAX_DOCUMENT_BYTES, child_path, dump, parse_trees
from provider.errors import DocumentError

# A file beside the document, or in a folder there.
_NAME = re.compile(r"(?:[\w-]+/)?\w[\w.-]{0,98}\.md", re.ASCII)
_FILE = re.compile(r"---\n(?P<header>.*?\n)---\n(?P<text>.*)", re.DOTALL)


def include_text_files(document: Document, read: Callable[[str], bytes]) -> Document:
    """Return the document with the texts of the files that it names.

    `read` returns a file by its name; it raises OSError or KeyError. Raises Invalid with the file,
    the line and the path of an error.
    """
    try:
        content = _include(document.content, "", read)
    except DocumentError as error:
        raise document.error_at(error.path, error.problem) from error
    return document if content == document.content else replace(document, content=content)


def write_text_file(header: Mapping[str, Any], text: str) -> str:
    """Return the content of a file that `include_text_files` reads."""
    return f"---\n{dump(dict(header))}---\n{text}\n"


def _include(node: Any, path: str, read: Callable[[str], bytes]) -> Any:
    if isinstance(node, list):
        return [_include(entry, child_path(path, index), read) for index, entry in enumerate(node)]
    if not isinstance(node, dict):
        return node
    name = node.get("file")
    if isinstance(name, str) and _NAME.fullmatch(name):
        own_fields = {key: value for key, value in node.items() if key != "file"}
        return _read_file(name, child_path(path, "file"), read) | own_fields
    return {key: _include(value, child_path(path, key), read) for key, value in node.items()}


def _read_file(name: str, path: str, read: Callable[[str], bytes]) -> dict[str, Any]:
    try:
        content = read(name)
    except (OSError, KeyError) as error:
        raise DocumentError(path, f"{name} cannot be read: put it beside the document") from error
    if len(content) > MAX_DOCUMENT_BYTES:
        raise DocumentError(path, f"{name} is too large: a text has at most 1 MB")
    try:
        text = content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DocumentError(path, f"{name} is not UTF-8 text; save the file as UTF-8") from error
    match = _FILE.fullmatch(text)
    # The first line of the file stays as an empty one, so that errors have the file's own lines.
    headers = [tree.value for tree in parse_trees(f"\n{match['header']}", name)] if match else []
    if match is None or len(headers) != 1 or not isinstance(headers[0], dict):
        raise DocumentError(path, f"{name} should begin with a header between two lines of ---")
    return {**headers[0], "text": match["text"].strip()}
