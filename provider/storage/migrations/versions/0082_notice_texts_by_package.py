"""Add the package, the language and the digest of a notice's text, and when its use ended."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0082"
down_revision = "0081"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # No table refers to `notice_texts`, so SQLite may copy it.
    with op.batch_alter_table("notice_texts") as batch:
        batch.add_column(sa.Column("product_id", sa.Integer(), nullable=True))
        batch.add_column(
            sa.Column("language", sa.String(length=35), server_default="", nullable=False)
        )
        batch.add_column(
            sa.Column("digest", sa.String(length=64), server_default="", nullable=False)
        )
        batch.add_column(
            sa.Column("ended_by", sa.String(length=254), server_default="", nullable=False)
        )
        batch.add_column(sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
        batch.create_foreign_key(
            op.f("fk_notice_texts_product_id_products"), "products", ["product_id"], ["id"]
        )
    op.create_index("ix_notice_texts_digest", "notice_texts", ["digest"])
    op.add_column(
        "adverse_notices",
        sa.Column("text_digest", sa.String(length=64), server_default="", nullable=False),
    )
    _fill_digests()


def _fill_digests() -> None:
    """Fill the digests of texts, and of the notices that name one. Samples are not stored."""
    connection = op.get_bind()
    texts = sa.table(
        "notice_texts", sa.column("id"), sa.column("text"), sa.column("digest", sa.String())
    )
    for row in connection.execute(sa.select(texts.c.id, texts.c.text)).all():
        digest = hashlib.sha256(row.text.encode()).hexdigest()
        connection.execute(texts.update().where(texts.c.id == row.id).values(digest=digest))
    op.execute(
        "UPDATE adverse_notices SET text_digest = coalesce("
        "(SELECT notice_texts.digest FROM notice_texts"
        " JOIN orders ON orders.account_id = notice_texts.account_id"
        " WHERE orders.id = adverse_notices.order_id"
        " AND notice_texts.purpose = adverse_notices.purpose"
        " AND CAST(notice_texts.number AS VARCHAR(20)) = adverse_notices.text_version), '')"
    )
