"""The form of a group of details: its controls, and the values that were typed into it.

The name of a control is `DETAIL.ROW.PART`. `shown.DETAIL` is the digest of what the page showed: a
detail that this page did not change is not saved, because another window may have changed it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from provider.core.kinds.check.packages.detail_fields import (
    DETAIL_FIELDS,
    MAX_ROWS,
    DetailField,
    Problem,
)
from provider.core.kinds.check.packages.detail_parts import Part, Row
from provider.core.kinds.check.packages.detail_value import DetailValue


@dataclass(frozen=True)
class Action:
    """What a button of the form asks for: continue, save, show, add or remove."""

    name: str
    detail: str = ""
    row: int = 0

    @classmethod
    def parse(cls, text: str) -> "Action":
        name, detail, row = (*text.split(":"), "", "")[:3]
        number = int(row) if row.isdecimal() and len(row) < 4 else 0
        return cls(
            name if name in ("save", "show", "add", "remove") else "continue", detail, number
        )


@dataclass(frozen=True)
class ControlView:
    """One control of the page."""

    part: Part
    name: str
    id: str
    value: str
    problem: str


@dataclass(frozen=True)
class RowView:
    """A row of controls; the buttons of the form need `number`."""

    number: int
    controls: tuple[ControlView, ...]


@dataclass(frozen=True)
class DetailView:
    """A detail on the page. `problem` concerns the whole; `digest` goes into `shown.DETAIL`."""

    name: str
    field: DetailField
    rows: tuple[RowView, ...]
    is_none: bool
    old_text: str
    problem: str
    digest: str


def read_values(
    form: Mapping[str, str], names: Iterable[str], default_country: str
) -> dict[str, DetailValue]:
    """Return what was typed into the form, with one row for each row of controls."""
    return {name: _read_value(form, name, default_country) for name in names}


def apply_action(values: Mapping[str, DetailValue], action: Action) -> dict[str, DetailValue]:
    """Return the values with a row more or less."""
    value = values.get(action.detail)
    if value is None or not DETAIL_FIELDS[action.detail].has_rows:
        return dict(values)
    rows = value.rows
    if action.name == "add" and len(rows) < MAX_ROWS:
        rows = (*rows, {})
    elif action.name == "remove":
        rows = tuple(row for number, row in enumerate(rows) if number != action.row)
    return {**values, action.detail: DetailValue(rows or ({},))}


def value_digest(value: DetailValue) -> str:
    """Return a digest of what a value says; empty rows say nothing."""
    if value.is_empty:
        return ""
    text = value.without_empty_rows().to_text(has_rows=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_changed(
    form: Mapping[str, str],
    typed: Mapping[str, DetailValue],
    stored: Mapping[str, DetailValue],
) -> tuple[dict[str, DetailValue], list[str]]:
    """Return the details that the form changed, and the names of those changed elsewhere, too."""
    changed, conflicts = {}, []
    for name, value in typed.items():
        shown, new = form.get(f"shown.{name}", ""), value_digest(value)
        old = value_digest(stored.get(name, DetailValue()))
        if new == shown:
            continue
        changed[name] = value
        if old not in (shown, new):
            conflicts.append(name)
    return changed, conflicts


def build_views(
    names: Iterable[str],
    values: Mapping[str, DetailValue],
    stored: Mapping[str, DetailValue],
    problems: Iterable[Problem],
    default_country: str,
) -> list[DetailView]:
    """Return the details of a page; `stored` are the saved values that the form will replace."""
    messages = {
        (problem.detail, problem.row if problem.part else -1, problem.part): str(problem.message)
        for problem in problems
    }
    views = []
    for name in names:
        value = values.get(name, DetailValue())
        rows = [
            RowView(number, tuple(_controls(name, number, row, messages)))
            for number, row in enumerate(_shown_rows(name, value, default_country))
        ]
        views.append(
            DetailView(
                name,
                DETAIL_FIELDS[name],
                tuple(rows),
                value.is_none,
                value.text,
                messages.get((name, -1, ""), ""),
                value_digest(stored.get(name, DetailValue())),
            )
        )
    return views


def _shown_rows(name: str, value: DetailValue, default_country: str) -> tuple[Row, ...]:
    field = DETAIL_FIELDS[name]
    has_country = any(part.input_type == "country" for part in field.parts)
    empty_row = {"country": default_country} if has_country and default_country else {}
    return tuple(row or empty_row for row in value.rows or ({},))


def _controls(
    name: str, number: int, row: Row, messages: Mapping[tuple[str, int, str], str]
) -> Iterable[ControlView]:
    field = DETAIL_FIELDS[name]
    for part in field.parts_of(row):
        yield ControlView(
            replace(part, autocomplete="off") if field.has_rows else part,
            f"{name}.{number}.{part.key}",
            f"field-{name}-{number}-{part.key}",
            row.get(part.key, ""),
            messages.get((name, number, part.key), ""),
        )


def _read_value(form: Mapping[str, str], name: str, default_country: str) -> DetailValue:
    field, rows = DETAIL_FIELDS[name], []
    for number in range(MAX_ROWS):
        prefix = f"{name}.{number}."
        typed = {key[len(prefix) :]: text for key, text in form.items() if key.startswith(prefix)}
        if not typed and number:
            break
        row = {part.key: part.clean(typed.get(part.key, "")) for part in field.parts_of(typed)}
        row = {key: text for key, text in row.items() if text}
        # The page chooses the country of a row in which nothing was typed.
        rows.append({} if row == {"country": default_country} else row)
    if f"{name}.none" in form and not any(rows):
        return DetailValue(is_none=True)
    return DetailValue(tuple(rows))
