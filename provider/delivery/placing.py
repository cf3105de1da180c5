"""Placing the orders of rules for one record, as rounds and events do it."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.callbacks import enqueue_writers_of_placement
from provider.core.accounts import Account
from provider.core.connections import Record, Rule, RuleContext, apply_rules, open_rules
from provider.logging_config import log_after_commit
from provider.storage.secrets import SecretBox

log = structlog.get_logger()


def load_rules(
    session: Session, secret_box: SecretBox, account: Account, now: datetime
) -> tuple[RuleContext, Sequence[Rule]]:
    """Return what `place_by_rules` needs, and the rules of an account; a disabled one has none."""
    kinds = ADAPTERS[account.ats].orderable_kinds(account.options)
    rules = () if account.disabled_at else open_rules(session, account.id)
    return RuleContext(session, secret_box, account, kinds, now), rules


def place_by_rules(
    context: RuleContext, rules: Sequence[Rule], record: Record, problems: list[str]
) -> int:
    """Apply the rules to one record; return the number of new orders.

    A record must not stop the others: neither one with data that cannot be stored, nor one whose
    order another process has placed at this moment. The next round finds that order.
    """
    try:
        matching = [rule for rule in rules if rule.matches(record)]
        if not matching:  # most records match no rule, and a savepoint takes time
            return 0
        with context.session.begin_nested():
            order_ids = apply_rules(context, matching, record).order_ids
            for order_id in order_ids:
                enqueue_writers_of_placement(
                    context.session, context.account, order_id, context.now
                )
    except (AttributeError, TypeError, ValueError, DataError, IntegrityError):
        log.exception("record_failed", account=context.account.name)
        problems.append("A record cannot be stored")
        return 0
    for order_id in order_ids:
        log_after_commit(context.session, "order_event_recorded", order=order_id, type="placed")
    return len(order_ids)
