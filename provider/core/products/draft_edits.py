"""Changes of a document's entries: its sections, items, questions and screenings.

A path names a part of a document by names and indexes: `("sections", 0, "items", 2)`. Its text is
`sections.0.items.2`, and `-` for the whole document. No function changes the document that it gets.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from provider.core.text_cleaning import remove_invisible
from provider.errors import NotFound

Path = tuple[str | int, ...]
ROOT = "-"
MAX_KEY_LENGTH = 40
_STEP = re.compile(r"[a-z_]{1,40}|[0-9]{1,4}")


def parse_path(text: str) -> Path:
    """Return the path that a text names. Raises NotFound."""
    if text == ROOT:
        return ()
    steps = text.split(".")
    if len(steps) > 8 or not all(_STEP.fullmatch(step) for step in steps):
        raise NotFound("There is no such part of the draft")
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def format_path(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path)) or ROOT


def parse_document_path(text: str) -> Path:
    """Return the path in a problem of a document: `sections[0].items[2].prompt`."""
    steps = re.findall(r"[^.\[\]]+", text)
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def find_node(content: Any, path: Path) -> Any:
    """Return the part of a document at a path. Raises NotFound."""
    node = content
    for step in path:
        is_there = (isinstance(node, list) and isinstance(step, int) and step < len(node)) or (
            isinstance(node, dict) and step in node
        )
        if not is_there:
            raise NotFound("There is no such part of the draft. A colleague may have removed it")
        node = node[step]
    return node


def replace_node(content: Mapping[str, Any], path: Path, node: Any) -> dict[str, Any]:
    """Return the document with another part at `path`."""
    if not path:
        return dict(node)
    result = deepcopy(dict(content))
    find_node(result, path)
    find_node(result, path[:-1])[path[-1]] = node
    return result


def add_node(content: Mapping[str, Any], list_path: Path, node: Any) -> tuple[dict[str, Any], Path]:
    """Append an entry to a list, which may be missing. Returns the document and the path."""
    result = deepcopy(dict(content))
    parent = find_node(result, list_path[:-1])
    entries = parent.get(list_path[-1])
    parent[list_path[-1]] = entries = entries if isinstance(entries, list) else []
    entries.append(node)
    return result, (*list_path, len(entries) - 1)


def remove_node(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    result = deepcopy(dict(content))
    find_node(result, path)
    del find_node(result, path[:-1])[path[-1]]
    return result


def move_node(content: Mapping[str, Any], path: Path, offset: int) -> tuple[dict[str, Any], Path]:
    """Move an entry by one place. From the end of its list it goes to the neighbour list.

    The first item of a section moves up to the end of the section before. Returns the document and
    the new path; the path is unchanged where there is no place.
    """
    result = deepcopy(dict(content))
    node = find_node(result, path)
    siblings, index = find_node(result, path[:-1]), int(path[-1])
    if 0 <= index + offset < len(siblings):
        siblings.insert(index + offset, siblings.pop(index))
        return result, (*path[:-1], index + offset)
    if len(path) < 4:
        return result, path
    outer_path, outer_index, name = path[:-3], int(path[-3]), path[-2]
    parents = find_node(result, outer_path)
    if not 0 <= outer_index + offset < len(parents):
        return result, path
    target = parents[outer_index + offset].setdefault(name, [])
    siblings.pop(index)
    place = len(target) if offset < 0 else 0
    target.insert(place, node)
    return result, (*outer_path, outer_index + offset, name, place)


def duplicate_node(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], Path]:
    """Insert a copy of an entry behind it, with keys and a title that no other entry has."""
    result = deepcopy(dict(content))
    copy = deepcopy(find_node(result, path))
    used_keys = set(entry_keys(result))
    for entry in (copy, *_inner_items(copy)):
        if isinstance(entry.get("key"), str):
            entry["key"] = unused_key(entry["key"], used_keys)
            used_keys.add(entry["key"])
    for name in ("title", "name"):
        if isinstance(copy, dict) and isinstance(copy.get(name), str):
            copy[name] += " (copy)"
    find_node(result, path[:-1]).insert(int(path[-1]) + 1, copy)
    return result, (*path[:-1], int(path[-1]) + 1)


def entry_keys(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of all entries. The keys of options and other parts are not among them."""
    for entries in content.values():
        for entry in _mappings(entries):
            for part in (entry, *_inner_items(entry)):
                if isinstance(part.get("key"), str):
                    yield part["key"]


def unused_key(key: str, used_keys: Iterable[str]) -> str:
    """Return the key, with a number where it is used already: `sum`, `sum-2`."""
    used, number, stem = set(used_keys), 2, re.sub(r"-\d+$", "", key)
    while key in used:
        key, number = f"{stem}-{number}", number + 1
    return key


def make_key(text: str, fallback: str) -> str:
    """Return a key of a text's first words, or the fallback for a text without Latin letters."""
    words = re.findall(r"[a-z0-9]+", remove_invisible(text).lower())
    key = ""
    for word in words:
        longer = f"{key}-{word}" if key else word
        if len(longer) > MAX_KEY_LENGTH:
            break
        key = longer
    return key or fallback


def _inner_items(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the entries in the lists of an entry: those that have a kind of their own."""
    for value in entry.values():
        yield from (node for node in _mappings(value) if "kind" in node)


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (node for node in value if isinstance(node, dict))
