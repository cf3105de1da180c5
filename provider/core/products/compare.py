"""The differences of two documents. Entries of a list are matched by their keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any

from provider.core.products import safe_yaml
from provider.core.products.draft import node_digest
from provider.core.products.draft_edits import Path

ADDED, REMOVED, MOVED, CHANGED = "added", "removed", "moved", "changed"


@dataclass(frozen=True)
class Change:
    """One difference at `path`: of the newer document, or of the older one for REMOVED."""

    path: Path
    action: str
    before: Any = None
    after: Any = None

    def lines(self) -> list[tuple[str, str]]:
        """Return the lines of both values, each with its sign: -, + or a space."""
        before, after = _to_lines(self.before), _to_lines(self.after)
        diff = list(unified_diff(before, after, n=1, lineterm=""))[2:]
        return [(line[0], line[1:]) for line in diff if not line.startswith("@@")]


def compare(before: Any, after: Any) -> Iterator[Change]:
    """Yield what changed from one document, or part of one, to another."""
    yield from _compare(before, after, (), ())


def _compare(before: Any, after: Any, old_path: Path, path: Path) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            if name not in after:
                yield Change((*old_path, name), REMOVED, before=before[name])
            elif name not in before:
                yield Change((*path, name), ADDED, after=after[name])
            else:
                places = (*old_path, name), (*path, name)
                yield from _compare(before[name], after[name], *places)
    elif (old := _by_key(before)) is not None and (new := _by_key(after)) is not None:
        yield from _compare_entries(old, new, old_path, path)
    elif node_digest(before) != node_digest(after):  # 1 and true are equal, and not the same
        yield Change(path, CHANGED, before, after)


def _compare_entries(
    old: Mapping[str, tuple[int, Any]],
    new: Mapping[str, tuple[int, Any]],
    old_path: Path,
    path: Path,
) -> Iterator[Change]:
    for key, (index, entry) in old.items():
        if key not in new:
            yield Change((*old_path, index), REMOVED, before=entry)
    common = [key for key in old if key in new]
    if common != [key for key in new if key in old]:
        yield Change(path, MOVED, before=list(old), after=list(new))
    for key, (index, entry) in new.items():
        if key in old:
            old_index, old_entry = old[key]
            yield from _compare(old_entry, entry, (*old_path, old_index), (*path, index))
        else:
            yield Change((*path, index), ADDED, after=entry)


def _by_key(value: Any) -> dict[str, tuple[int, Any]] | None:
    """Return the entries of a list with their indexes by key; None for another value."""
    if not isinstance(value, list):
        return None
    keys = [entry.get("key") for entry in value if isinstance(entry, dict)]
    if not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(value):
        return None
    return {str(key): (index, value[index]) for index, key in enumerate(keys)}


def _to_lines(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    is_structure = isinstance(value, dict | list)
    text = safe_yaml.dump(value) if is_structure else str(value)
    return text.rstrip("\n").split("\n")
