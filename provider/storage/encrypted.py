"""The types of columns whose values depend on a secret key: ciphertexts and keyed digests.

A new secret key must reach all of them. So each ciphertext's column says what its values are bound
to, and the columns are found by their types.
"""

from collections.abc import Iterator
from datetime import datetime
from string import Formatter
from typing import Any

from sqlalchemy import Column, FromClause, LargeBinary, MetaData, Row, Select, Table, select


class Encrypted(LargeBinary):
    """A ciphertext of `SecretBox`, bound to `row_name`.

    In `row_name` a `{column}` is a value of the row. A `{column.name}` is the value `name` of the
    row to which the foreign key `column` points.
    """

    def __init__(self, row_name: str) -> None:
        super().__init__()
        self.row_name = row_name


class KeyedDigest(LargeBinary):
    """A digest of `SecretBox.blind_index`. It does not tell the key that made it."""


def encrypted_columns(metadata: MetaData) -> Iterator[Column[Any]]:
    """Yield the columns with ciphertexts, in the order of tables and columns."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Encrypted):
                yield column


def select_with_row_names(column: Column[Any]) -> Select[Any]:
    """Return the query for the key, the ciphertext, and what `read_row_name` needs."""
    table = column.table
    source: FromClause = table
    joined: dict[str, FromClause] = {}
    values: list[Any] = []
    for path in _paths(column):
        *keys, name = path.split(".")
        current: FromClause = table
        for number, key in enumerate(keys, 1):
            prefix = ".".join(keys[:number])
            if prefix not in joined:
                (foreign_key,) = current.c[key].foreign_keys
                target = foreign_key.column.table.alias()
                source = source.join(target, current.c[key] == target.c[foreign_key.column.name])
                joined[prefix] = target
            current = joined[prefix]
        values.append(current.c[name])
    return select(*primary_key(column), column, *values).select_from(source)


def read_row_name(column: Column[Any], row: Row[Any]) -> str:
    """Return the name to which the ciphertext of a row of `select_with_row_names` is bound."""
    values = iter(row[len(primary_key(column)) + 1 :])
    return "".join(
        text + ("" if path is None else _to_text(next(values)))
        for text, path, _, _ in Formatter().parse(_row_name(column))
    )


def primary_key(column: Column[Any]) -> tuple[Column[Any], ...]:
    table = column.table
    assert isinstance(table, Table)
    return tuple(table.primary_key)


def _paths(column: Column[Any]) -> list[str]:
    parts = Formatter().parse(_row_name(column))
    return [path for _, path, _, _ in parts if path is not None]


def _row_name(column: Column[Any]) -> str:
    assert isinstance(column.type, Encrypted)
    return column.type.row_name


def _to_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
