"""Replaces values of a column in rows that nobody has changed or locked meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, bindparam, select, tuple_, update

from provider.storage.database import Database


@dataclass(frozen=True)
class Replacement:
    """A new value for a row with the primary key `key`, if it still has the value `old`."""

    key: tuple[Any, ...]
    old: Any
    new: Any


@dataclass(frozen=True)
class Replaced:
    """How many values were replaced, and how many rows were locked by other transactions."""

    count: int
    locked: int


def replace_values(
    db: Database, column: Column[Any], replacements: Sequence[Replacement]
) -> Replaced:
    """Replace values in one transaction. A row that changed meanwhile stays as it is.

    A locked row is left out: to wait for one while holding others could be a deadlock.
    """
    if not replacements:
        return Replaced(0, 0)
    key_columns = tuple(column.table.primary_key)
    query = select(*key_columns, column).where(_has_key(key_columns, replacements))
    names = [f"key_{number}" for number in range(len(key_columns))]
    statement = (
        update(column.table)
        .where(*(key == bindparam(name) for key, name in zip(key_columns, names, strict=True)))
        .where(column == bindparam("old_value"))
        .values({column: bindparam("new_value")})
    )
    # Not in the group commit: other writers would wait for the whole batch.
    with db.writing(separate_commit=True) as session:
        # Locked from here on, so that the comparison holds until the commit.
        rows = session.execute(query.with_for_update(skip_locked=True, key_share=True)).all()
        present = {tuple(row[:-1]): row[-1] for row in rows}
        changes = [
            {**dict(zip(names, entry.key, strict=True)), "old_value": entry.old}
            | {"new_value": entry.new}
            for entry in replacements
            if entry.key in present and present[entry.key] == entry.old
        ]
        if changes:
            session.connection().execute(statement, changes)
    return Replaced(len(changes), len(replacements) - len(present))


def _has_key(
    columns: tuple[Column[Any], ...], replacements: Sequence[Replacement]
) -> ColumnElement[bool]:
    keys = [replacement.key for replacement in replacements]
    if len(columns) == 1:
        return columns[0].in_([value for (value,) in keys])
    return tuple_(*columns).in_(keys)
