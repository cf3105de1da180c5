"""Pages of a filtered list of which no index has the whole filter.

The rest of the filter is compared row by row, in the order of the list. A page compares at most
MAX_COMPARED_ROWS rows: otherwise a filter that matches nothing would read the whole table. The
page says when the search stopped early, and its next page goes on from there.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.storage.compiled import CompiledQuery, literal_limit
from provider.web.console import pagination
from provider.web.console.pagination import Sorting, in_direction, read_cursor

MAX_COMPARED_ROWS = 40_000  # about 8 ms where an index has the compared columns
PARTITION, PARTITIONS = "partition", "partitions"  # the names of parameters
_ONE_PARTITION = bindparam(PARTITION, type_=Integer)

Column = InstrumentedAttribute[Any]
Key = tuple[Any, ...]  # the values of the sort columns


@dataclass(frozen=True)
class Filter:
    """The rows of `indexed` whose columns have the values of `compared`; None stands for NULL.

    An index in the sort order has the rows of `indexed`, and should have the columns of `compared`.
    With a `partition_column`, the index begins with it, and the rows have one of these values: ids.
    """

    indexed: tuple[ColumnElement[bool], ...]
    compared: tuple[tuple[Column, Any], ...] = ()
    partition_column: Column | None = None
    partition_values: Sequence[Any] = (None,)


@dataclass(frozen=True)
class FoundPage:
    """The keys of a page's rows, and those of its cursors; None at either end.

    `is_partial` says that the search stopped before the page was full.
    """

    keys: Sequence[Key]
    previous_key: Key | None
    next_key: Key | None
    is_partial: bool = False


@dataclass(frozen=True)
class Search:
    """The search for one page, in one direction from a cursor on."""

    columns: tuple[Column, ...]
    filter: Filter
    cursor: Key = ()
    is_descending: bool = False
    partition: ColumnElement[int] = _ONE_PARTITION

    def find_keys(self, session: Session) -> tuple[list[Key], Key | None]:
        """Return the keys of the page and of one more row, and where the search stopped early."""
        if self.filter.compared and len(self.filter.partition_values) > 1:
            rows = self._read(session, Search.match_and_stop_query)
            found, stops = ([row[:-1] for row in rows if row[-1] == flag] for flag in (0, 1))
        else:
            found, stops = self._read(session, Search.match_query), []
            if self.filter.compared and len(found) <= pagination.PAGE_SIZE:
                stops = self._read(session, Search.stop_query)
        # Behind the first stop, rows of the partition that stopped there may be missing.
        stop = stops[0] if stops else None
        if stop is not None:
            found = [key for key in found if (key >= stop if self.is_descending else key <= stop)]
        found = found[: pagination.PAGE_SIZE + 1]
        return found, None if len(found) > pagination.PAGE_SIZE else stop

    def match_query(self) -> Select[Any]:
        """Return the query of the first matches of a partition."""
        compared = self.filter.compared
        query = self._in_order(*(column for column, _ in compared))
        if compared:
            rows = query.limit(literal_limit(self._max_rows)).subquery()
            columns = [rows.c[column.key] for column in self.columns]
            conditions = (rows.c[column.key] == value for column, value in compared)
            query = select(*columns).where(*conditions).order_by(*self._order(columns))
        return query.limit(literal_limit(pagination.PAGE_SIZE + 1))

    def stop_query(self) -> Select[Any]:
        """Return the query of the last row of a partition that is compared, if others follow."""
        query = self._in_order().offset(literal_limit(self._max_rows - 1))
        return query.limit(literal_limit(1))

    def match_and_stop_query(self) -> Select[Any]:
        """Return both queries as one, for many partitions; the last column of a stop is 1."""
        parts = union_all(
            *(
                select(*query.subquery().c, literal_column(flag).label("is_stop"))
                for query, flag in ((self.match_query(), "0"), (self.stop_query(), "1"))
            )
        )
        return select(*parts.subquery().c)

    def query_of_all_partitions(
        self, build_query: Callable[["Search"], Select[Any]]
    ) -> Select[Any]:
        """Return one query that runs the query of a partition for each of them, for PostgreSQL."""
        values = bindparam(PARTITIONS, type_=ARRAY(Integer))
        partitions = func.unnest(values).table_valued("value").render_derived(PARTITIONS)
        # A name in the text: SQLAlchemy would read the list again in each nested query.
        partition = literal_column(f"{PARTITIONS}.value", Integer)
        rows = build_query(replace(self, partition=partition)).lateral()
        return select(*rows.c).select_from(partitions.join(rows, true()))

    @property
    def _max_rows(self) -> int:
        """The number of rows of a partition that are compared."""
        partition_count = len(self.filter.partition_values) or 1
        return max(MAX_COMPARED_ROWS // partition_count, pagination.PAGE_SIZE + 1)

    def _in_order(self, *more_columns: Column) -> Select[Any]:
        query = select(*self.columns, *more_columns).where(*self.filter.indexed)
        if self.filter.partition_column is not None:
            query = query.where(self.filter.partition_column == self.partition)
        if self.cursor:
            row_key, cursor_key = tuple_(*self.columns), tuple_(*self.cursor)
            is_later = row_key < cursor_key if self.is_descending else row_key > cursor_key
            query = query.where(is_later)
        return query.order_by(*self._order(self.columns))

    def _order(self, columns: Iterable[Any]) -> Iterator[ColumnElement[Any]]:
        return (in_direction(column, self.is_descending) for column in columns)

    def _read(self, session: Session, build_query: Callable[["Search"], Select[Any]]) -> list[Key]:
        """Return the rows that the query finds in all partitions, in the order of the search.

        The session limits no compiled statement to the accounts of a person, so the filter must
        name these.
        """
        values = self.filter.partition_values
        if self.filter.partition_column is None:
            return CompiledQuery(build_query(self)).fetch_all(session, {})
        if session.get_bind().dialect.name == "postgresql":
            query = CompiledQuery(self.query_of_all_partitions(build_query))
            keys = query.fetch_all(session, {PARTITIONS: list(values)})
        else:  # SQLite has no LATERAL, and needs no time between two statements
            query = CompiledQuery(build_query(self))
            keys = [key for value in values for key in query.fetch_all(session, {PARTITION: value})]
        return sorted(keys, reverse=self.is_descending)


def search_page(session: Session, sorting: Sorting, row_filter: Filter) -> FoundPage:
    """Return the page that the arguments `before` or `after` ask for."""
    cursor, is_backwards = read_cursor(session, sorting)
    search = Search(sorting.columns, row_filter, cursor, sorting.descending != is_backwards)
    found, stop = search.find_keys(session)
    has_more, keys = len(found) > pagination.PAGE_SIZE, found[: pagination.PAGE_SIZE]
    if is_backwards:
        keys.reverse()
    first, last = (keys[0], keys[-1]) if keys else (stop, stop)
    onward = stop or ((first if is_backwards else last) if has_more else None)
    if is_backwards:
        return FoundPage(keys, onward, last, stop is not None)
    return FoundPage(keys, first if cursor else None, onward, stop is not None)
