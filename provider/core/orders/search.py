"""The search for orders: each word of a query must be the beginning of some word of an order.

Python folds the texts, so the search means the same on both databases. `order_search` has the
folded words of each order. On SQLite triggers keep a full-text index (FTS5) equal to this table;
on PostgreSQL the table has a GIN index.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Select,
    Text,
    bindparam,
    case,
    column,
    event,
    func,
    insert,
    literal,
    literal_column,
    select,
    table,
    text,
    true,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column

from provider.core.orders.candidate import Candidate
from provider.core.orders.filters import SCANNED_ORDERS, OrderFilters
from provider.core.orders.order import Order
from provider.storage.compiled import CompiledQuery
from provider.storage.database import Base

MAX_WORD_LENGTH = 64  # characters; the rest of a longer word is left out
MAX_QUERY_WORDS = 32  # the further words of a query are left out
SAMPLED_ORDERS = 1000
COMMON_SHARE = 0.1  # of the sampled orders; the index of a more common word is not read

_WORD = re.compile(r"[^\W_]+")


class OrderSearch(Base):
    """The words by which an order is found, sorted, with one space between them."""

    __tablename__ = "order_search"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    words: Mapped[str] = mapped_column(Text)


# SQLite's full-text index. It is no table of the metadata: a copy of an instance fills it by the
# triggers of `order_search`.
_INDEX = table("order_search_index", column("rowid"), column("order_search_index"))
_TABLE = Base.metadata.tables[OrderSearch.__tablename__]
_ID_COLUMN = _TABLE.c.order_id
_INSERT = CompiledQuery(
    insert(_TABLE)
    .values(order_id=bindparam("order_id"), words=bindparam("words"))
    .returning(_ID_COLUMN)
)


def split_words(text: str) -> list[str]:
    """Return the folded words of a text: without case, marks and punctuation."""
    folded = text.casefold() if text.isascii() else _fold(text)
    return [word[:MAX_WORD_LENGTH] for word in _WORD.findall(folded)]


def _fold(text: str) -> str:
    # Twice, or compatibility characters such as the sign for "trade mark" would keep capitals.
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKD", text)
    return "".join(char for char in text if unicodedata.category(char)[0] != "M")


def read_query(query: str) -> tuple[str, ...]:
    """Return the words of a query that an order must have; empty without letters and digits."""
    words = dict.fromkeys(split_words(query))
    # An order with a word that begins with "marrero" has one that begins with "mar", too.
    needed = (
        word
        for word in words
        if not any(other != word and other.startswith(word) for other in words)
    )
    return tuple(needed)[:MAX_QUERY_WORDS]


def index_order(session: Session, order_id: int, texts: Iterable[str]) -> None:
    """Make a new order findable by the words of these texts."""
    _INSERT.fetch_one(session, {"order_id": order_id, "words": join_words(texts)})


def join_words(texts: Iterable[str]) -> str:
    return " ".join(sorted(set(split_words(" ".join(texts)))))


@event.listens_for(Candidate, "after_update")
def _update_words(_: Mapper[Candidate], connection: Connection, candidate: Candidate) -> None:
    """Index a changed candidate again, in the transaction of the change."""
    order = Order.__table__.c
    columns = (order.id, order.public_id, order.job_title, order.job_reference, order.external_key)
    for order_id, *texts in connection.execute(
        select(*columns).where(order.candidate_id == candidate.id)
    ):
        words = join_words([candidate.email, candidate.first_name, candidate.last_name, *texts])
        connection.execute(update(_TABLE).where(order_id == _ID_COLUMN).values(words=words))


def find_order_ids(
    session: Session,
    words: Sequence[str],
    filters: OrderFilters,
    limit: int,
    *,
    before: int | None = None,
    after: int | None = None,
) -> list[int]:
    """Return ids of matching orders: the newest ones, or the nearest ones before or after an id.

    Without words no order matches. Ids after an id are in ascending order.
    """
    if not words:
        return []
    search = _Search(session, words, filters, limit, before, after)
    ids = search.scan_nearest()
    if len(ids) < limit:
        ids = search.scan_few() if filters.matches_few(session) else search.read_index()
    return ids


class _Search:
    def __init__(
        self,
        session: Session,
        words: Sequence[str],
        filters: OrderFilters,
        limit: int,
        before: int | None,
        after: int | None,
    ) -> None:
        self._session, self._words, self._filters = session, words, filters
        self._limit, self._before, self._after = limit, before, after

    def scan_nearest(self) -> list[int]:
        """Read the nearest orders, of which a common word needs a few only."""
        if self._after is not None:
            nearest = max(self._after, self._filters.first_id or 0)
            in_window = nearest + SCANNED_ORDERS >= _ID_COLUMN
        else:
            limits = [limit for limit in (self._before, self._filters.end_id) if limit is not None]
            nearest = min(limits) if limits else self._newest_id()
            in_window = nearest - SCANNED_ORDERS <= _ID_COLUMN
        query = self._query(self._filters.scanned(), self._words)
        # `before` and `after` limit both columns: PostgreSQL does not infer one from the other.
        query = self._limit_ids(query.where(in_window), _ID_COLUMN)
        return self._fetch(query, Order.id)

    def _newest_id(self) -> int:
        # Of all accounts: to find the newest order of one account could read the whole table.
        return self._session.scalar(select(func.max(_ID_COLUMN))) or 0

    def scan_few(self) -> list[int]:
        """Read all orders that match the filters."""
        ids = select(Order.id).where(*self._filters.all_matches())
        return self._fetch(self._query([Order.id.in_(ids)], self._words), Order.id)

    def read_index(self) -> list[int]:
        rare, common = self._split_by_frequency()
        if self._session.get_bind().dialect.name == "sqlite":
            match = " AND ".join(f'"{word}"*' for word in rare)
            query = self._query(self._filters.scanned(), common)
            query = query.join(_INDEX, _INDEX.c.rowid == _ID_COLUMN).where(
                _INDEX.c.order_search_index.match(match)
            )
            return self._fetch(query, _INDEX.c.rowid)
        return self._read_postgres_index(rare, common)

    def _read_postgres_index(self, rare: Sequence[str], common: Sequence[str]) -> list[int]:
        """Read and sort all matches, then read their orders until enough match the filters.

        The planner cannot estimate how rare a beginning is, nor how many orders match the filters.
        Without the first OFFSET it would read the newest orders until enough match. Without LATERAL
        and the second OFFSET it would compare the filters with every order.
        """
        match = " & ".join(f"'{word}':*" for word in rare)
        is_match = text(f"{POSTGRES_INDEX_SQL} @@ CAST(:match AS tsquery)").bindparams(match=match)
        # The table, because account limits on it would read every order. `order` has them.
        is_common = (_has_word(_TABLE.c.words, word) for word in common)
        matches = (
            self._limit_ids(select(_ID_COLUMN).where(is_match, *is_common), _ID_COLUMN)
            .order_by(self._in_direction(_ID_COLUMN))
            .offset(literal_column("0"))
            .subquery("matches")
        )
        order = (
            select(Order.id)
            .where(Order.id == matches.c.order_id, *self._filters.scanned())
            .offset(literal_column("0"))
            .lateral()
        )
        query = select(matches.c.order_id).join(order, true())
        return self._fetch(query, matches.c.order_id)

    def _split_by_frequency(self) -> tuple[list[str], list[str]]:
        """Return the words for the index, and those that most orders have.

        To read the index of a common word takes longer than to read the orders of a rare one. If
        all words are common, the index is read for all of them.
        """
        newest = (
            select(_TABLE.c.words)  # of all accounts: only the frequencies matter
            .order_by(_ID_COLUMN.desc())
            .limit(SAMPLED_ORDERS)
            .subquery()
        )
        counts = self._session.execute(
            select(
                *(
                    func.sum(case((_has_word(newest.c.words, word), 1), else_=0))
                    for word in self._words
                )
            )
        ).one()
        highest = SAMPLED_ORDERS * COMMON_SHARE
        frequencies = list(zip(self._words, counts, strict=True))
        rare = [word for word, count in frequencies if (count or 0) <= highest]
        common = [word for word, count in frequencies if (count or 0) > highest]
        return (rare, common) if rare else (common, [])

    def _query(
        self, conditions: Sequence[ColumnElement[bool]], words: Sequence[str]
    ) -> Select[int]:
        return (
            select(Order.id)
            .join(OrderSearch, OrderSearch.order_id == Order.id)
            .where(*conditions, *(_has_word(OrderSearch.words, word) for word in words))
        )

    def _fetch(self, query: Select[int], id_column: Any) -> list[int]:
        query = self._limit_ids(query, id_column).order_by(self._in_direction(id_column))
        return list(self._session.scalars(query.limit(self._limit)))

    def _in_direction(self, id_column: Any) -> ColumnElement[int]:
        sorted_column: ColumnElement[int]
        sorted_column = id_column.desc() if self._after is None else id_column.asc()
        return sorted_column

    def _limit_ids(self, query: Select[int], id_column: Any) -> Select[int]:
        query = query.where(*self._filters.id_conditions(id_column))
        if self._before is not None:
            query = query.where(id_column < self._before)
        if self._after is not None:
            query = query.where(id_column > self._after)
        return query


# Python has made the lexemes, so PostgreSQL's parsers and dictionaries are not used.
POSTGRES_INDEX_SQL = "array_to_tsvector(string_to_array(order_search.words, ' '))"


def _has_word(words: ColumnElement[str] | Mapped[str], beginning: str) -> ColumnElement[bool]:
    return (literal(" ") + words).like(f"% {beginning}%")
