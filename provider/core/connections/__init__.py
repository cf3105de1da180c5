"""Connections: what an account needs to call its ATS's API, and what was read there."""

from provider.core.connections.account_secret import (
    AccountSecret,
    get_previous_secrets,
    get_secrets,
    has_secrets,
    parse_secret,
    secrets_revision,
    set_secret,
)
from provider.core.connections.api_token import ApiToken, forget_tokens
from provider.core.connections.arrival import (
    EXISTING,
    ORDERED,
    REFUSED,
    Arrival,
    RuleContext,
    apply_rules,
    list_arrivals,
)
from provider.core.connections.budget import ApiBudget, Budget, BudgetReading, learn, reserve
from provider.core.connections.connect_state import ConnectState
from provider.core.connections.record import Record
from provider.core.connections.rule import Rule, find_rule, matches, open_rules
from provider.core.connections.source_cursor import SourceCursor, forget_pages, resume_sources
from provider.core.connections.webhook_event import WebhookEvent, webhook_address

__all__ = [
    "EXISTING",
    "ORDERED",
    "REFUSED",
    "AccountSecret",
    "ApiBudget",
    "ApiToken",
    "Arrival",
    "Budget",
    "BudgetReading",
    "ConnectState",
    "Record",
    "Rule",
    "RuleContext",
    "SourceCursor",
    "WebhookEvent",
    "apply_rules",
    "find_rule",
    "forget_pages",
    "forget_tokens",
    "get_previous_secrets",
    "get_secrets",
    "has_secrets",
    "learn",
    "list_arrivals",
    "matches",
    "open_rules",
    "parse_secret",
    "reserve",
    "resume_sources",
    "secrets_revision",
    "set_secret",
    "webhook_address",
]
