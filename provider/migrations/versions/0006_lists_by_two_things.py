"""Lists by two things at once"""

from alembic import op


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_messages_lane", "messages", ["lane", "id"])
    for name in ("account", "kind"):
        op.drop_index(f"ix_orders_{name}", "orders")
    op.drop_index("ix_orders_product_id", "orders")
    for name, column in {"account": "account_id", "kind": "kind", "product": "product_id"}.items():
        op.create_index(f"ix_orders_{name}", "orders", [column, "status", "id"])
