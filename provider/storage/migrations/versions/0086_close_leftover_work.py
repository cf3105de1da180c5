"""Close proposals, renewals and notices of checks on which nobody can act any more."""

from alembic import op

revision = "0086"
down_revision = "0085"
branch_labels = None
depends_on = None

# A proposal is about a check at work, or the correction of a completed one. `answered_at` stays
# empty: nobody has answered.
CLOSE_PROPOSALS = """
UPDATE decision_proposals SET answer = 'withdrawn', answered_by = 'system'
WHERE answer = '' AND order_id IN (
    SELECT id FROM orders WHERE orders.id = decision_proposals.order_id AND NOT (
        (decision_proposals.purpose = 'completion' AND orders.status = 'consented')
        OR (decision_proposals.purpose = 'revision' AND orders.status = 'completed')
    )
)
"""
# The time of the reopening is not in a column of its own: that of the order stands for it.
CLOSE_RENEWALS = """
UPDATE check_renewals SET closed_by = 'system', closed_at = (
    SELECT placed_at FROM orders WHERE orders.id = check_renewals.order_id
)
WHERE closed_at IS NULL AND order_id IN (SELECT id FROM orders WHERE status <> 'completed')
"""
CLOSE_NOTICES = """
UPDATE adverse_notices SET undeliverable_at = NULL
WHERE purpose = 'pre_adverse' AND action_id IN (
    SELECT id FROM adverse_actions WHERE state = 'withdrawn'
)
"""


def upgrade() -> None:
    for statement in (CLOSE_PROPOSALS, CLOSE_RENEWALS, CLOSE_NOTICES):
        op.execute(statement)
