"""Replaces values of a column in rows that nobody has changed or locked meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, select, tuple_, update

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
    keys = [replacement.key for replacement in replacements]
    query = select(*key_columns).where(tuple_(*key_columns).in_(keys))
    count = 0
    # Not in the group commit: other writers would wait for the whole batch.
    with db.writing(separate_commit=True) as session:
        free_keys = {
            tuple(row)
            for row in session.execute(query.with_for_update(skip_locked=True, key_share=True))
        }
        for replacement in replacements:
            if replacement.key in free_keys:
                is_unchanged = (
                    tuple_(*key_columns) == replacement.key,
                    column == replacement.old,
                )
                statement = update(column.table).where(*is_unchanged)
                result = session.execute(
                    statement.values({column: replacement.new}).returning(key_columns[0])
                )
                count += result.first() is not None
    return Replaced(count, len(replacements) - len(free_keys))
