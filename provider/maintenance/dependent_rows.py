"""The rows that depend on a row, found by the foreign keys of all tables.

A new table that refers to an order needs no further line to be exported and erased.
"""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table, select

from provider.storage.database import Base


def dependent_rows(
    table: Table, condition: ColumnElement[bool]
) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """Yield a table and every table that refers to it, each with the condition of its rows.

    A table comes before the tables that refer to it.
    """
    yield table, condition
    for child in Base.metadata.sorted_tables:
        for foreign_key in child.foreign_keys:
            if foreign_key.column.table is table and child is not table:
                parents = select(foreign_key.column).where(condition)
                yield from dependent_rows(child, foreign_key.parent.in_(parents))
