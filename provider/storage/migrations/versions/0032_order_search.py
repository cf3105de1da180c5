"""Add the search for orders, filled with the words of the existing orders; and saved views."""

import re
import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

BATCH_SIZE = 1000  # orders
# The `ascii` tokenizer splits at the spaces alone: the words have letters and digits only. The
# search needs no positions and no sizes of the words (`detail`, `columnsize`).
SQLITE_INDEX = """
CREATE VIRTUAL TABLE order_search_index USING fts5(
    words, content='order_search', content_rowid='order_id', tokenize='ascii',
    detail=none, columnsize=0, prefix='2 3'
)"""
# Without it the words of an erased order would stay in the index until a merge.
SECURE_DELETE = "INSERT INTO order_search_index (order_search_index, rank) VALUES ('secure-delete', 1)"
SECURE_DELETE_VERSION = (3, 42)  # of SQLite, the first one with this option
ADD_NEW = "INSERT INTO order_search_index (rowid, words) VALUES (new.order_id, new.words);"
REMOVE_OLD = (
    "INSERT INTO order_search_index (order_search_index, rowid, words) "
    "VALUES ('delete', old.order_id, old.words);"
)
TRIGGERS = (
    f"CREATE TRIGGER order_search_added AFTER INSERT ON order_search BEGIN {ADD_NEW} END",
    f"CREATE TRIGGER order_search_removed AFTER DELETE ON order_search BEGIN {REMOVE_OLD} END",
    "CREATE TRIGGER order_search_changed AFTER UPDATE ON order_search "
    f"BEGIN {REMOVE_OLD} {ADD_NEW} END",
)


def upgrade() -> None:
    op.create_table(
        "order_search",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_search_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_order_search")),
    )
    connection = op.get_bind()
    _fill(connection)
    if connection.dialect.name == "sqlite":
        _create_sqlite_index(connection)
    else:
        op.execute(
            "CREATE INDEX ix_order_search_words ON order_search "
            "USING gin (array_to_tsvector(string_to_array(words, ' ')))"
        )
    _create_saved_views()


def _fill(connection: Connection) -> None:
    orders = sa.table("orders", *map(sa.column, (*ORDER_COLUMNS, "id", "candidate_id")))
    candidates = sa.table("candidates", *map(sa.column, (*CANDIDATE_COLUMNS, "id")))
    order_search = sa.table("order_search", sa.column("order_id"), sa.column("words"))
    texts = [*(orders.c[name] for name in ORDER_COLUMNS)]
    texts += [candidates.c[name] for name in CANDIDATE_COLUMNS]
    last_id = 0
    while True:
        rows = connection.execute(
            sa.select(orders.c.id, *texts)
            .join_from(orders, candidates, orders.c.candidate_id == candidates.c.id)
            .where(orders.c.id > last_id)
            .order_by(orders.c.id)
            .limit(BATCH_SIZE)
        ).all()
        if not rows:
            return
        values: list[dict[str, Any]] = [
            {"order_id": order_id, "words": _join_words(texts)} for order_id, *texts in rows
        ]
        connection.execute(sa.insert(order_search), values)
        last_id = rows[-1].id


ORDER_COLUMNS = ("public_id", "job_title", "job_reference", "external_key")
CANDIDATE_COLUMNS = ("email", "first_name", "last_name")


def _join_words(texts: list[str]) -> str:
    text = " ".join(texts)
    for _ in range(2):
        text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKD", text)
    letters = "".join(char for char in text if unicodedata.category(char)[0] != "M")
    return " ".join(sorted({word[:64] for word in re.findall(r"[^\W_]+", letters)}))


def _create_sqlite_index(connection: Connection) -> None:
    op.execute(SQLITE_INDEX)
    if connection.dialect.dbapi.sqlite_version_info >= SECURE_DELETE_VERSION:  # type: ignore[union-attr]
        op.execute(SECURE_DELETE)
    op.execute("INSERT INTO order_search_index (order_search_index) VALUES ('rebuild')")
    for trigger in TRIGGERS:
        op.execute(trigger)


def _create_saved_views() -> None:
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("staff_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["staff_id"], ["staff.id"], name=op.f("fk_saved_views_staff_id_staff")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("public_id", name=op.f("uq_saved_views_public_id")),
        sa.UniqueConstraint("staff_id", "name", name=op.f("uq_saved_views_staff_id_name")),
    )
