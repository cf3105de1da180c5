"""Adding a rule, and keeping settings that a check has found: shared by commands and console."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import AtsApi
from provider.core.accounts import Account
from provider.core.connections import Rule
from provider.core.connections.resume import resume_api
from provider.core.connections.source_cursor import ensure_cursor, restart_cursor
from provider.core.products import Product
from provider.errors import Invalid

MAX_VALUE_LENGTH = 300


def require_api(account: Account) -> AtsApi:
    """Return the API of an account's ATS; Invalid where rules make no sense."""
    api = ADAPTERS[account.ats].api
    if api is None:
        raise Invalid(f"{account.name} orders by itself: {account.ats} needs no rules")
    return api


def require_match(api: AtsApi, match: Mapping[str, str]) -> dict[str, str]:
    """Return a rule's condition without empty values.

    Invalid if a fact is unknown or lacking, or if the ATS knows no such value.
    """
    cleaned = {name: " ".join(value.split()) for name, value in match.items() if value.strip()}
    for name, value in cleaned.items():
        if name not in api.rule_facts:
            raise Invalid(f"There is no fact “{name}”: there are {', '.join(api.rule_facts)}")
        if len(value) > MAX_VALUE_LENGTH:
            raise Invalid(f"{name} should have at most {MAX_VALUE_LENGTH} characters")
        if problem := api.fact_problem(name, value):
            raise Invalid(problem)
    if lacking := [name for name in api.required_facts if name not in cleaned]:
        raise Invalid(f"A rule of this ATS needs {', '.join(lacking)}")
    return cleaned


def add_rule(
    session: Session,
    account: Account,
    product: Product,
    match: Mapping[str, str],
    *,
    once: bool,
    backfills: bool,
    now: datetime,
) -> Rule:
    """Add a rule and let the account's sources be read, the full ones at once."""
    api = require_api(account)
    rule = Rule(
        account_id=account.id,
        product=product,
        match=require_match(api, match),
        once=once,
        backfills=backfills,
        created_at=now,
    )
    session.add(rule)
    session.flush()
    ensure_cursors(session, account, now, backfill=backfills)
    return rule


def ensure_cursors(
    session: Session, account: Account, now: datetime, *, backfill: bool = False
) -> None:
    """Let the sources of an account's ATS be read, the full ones at once.

    With `backfill` the next round of a full source reads all time, where it reads by time.
    """
    for source in require_api(account).sources:
        cursor = ensure_cursor(session, account.id, source.name, now)
        if source.is_full:
            restart_cursor(cursor, now, from_start=backfill)


def keep_found_settings(
    session: Session, account: Account, found: Mapping[str, Any], now: datetime
) -> None:
    """Store settings that a check has found to be right, and let calls go on."""
    if found:
        account.options = {**account.options, **found}
        resume_api(session, account, now)
