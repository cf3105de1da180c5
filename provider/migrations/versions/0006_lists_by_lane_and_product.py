"""Lists by lane, and by product"""

from alembic import op


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_messages_lane", "messages", ["lane", "id"])
    op.create_index("ix_orders_product", "orders", ["product_id", "id"])
    op.drop_index("ix_orders_product_id", "orders")
