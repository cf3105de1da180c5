"""The declarations with which an adapter calls its ATS's API. Nothing here does I/O."""

from provider.ats.api.base import (
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Choice,
    ChooserSteps,
    Verdict,
    budget_of_rate,
    parse_moment,
)
from provider.ats.api.connection import Connection
from provider.ats.api.http import (
    JSON_TYPE,
    ApiRequest,
    ApiResponse,
    SourceStopped,
    UnreadableAnswer,
)
from provider.ats.api.source import CANDIDATE_KEY, Page, PageState, Source, Window
from provider.ats.api.subscriptions import Subscriptions, SubscriptionSteps
from provider.ats.api.token_flow import TokenFlow, TokenRefused, Tokens, form_request
from provider.ats.api.webhook import Event, LookupSteps, Webhook
from provider.ats.api.writer import PLACED, OrderSummary, Steps, Writer, WriteRejected, WriteTask

__all__ = [
    "CANDIDATE_KEY",
    "JSON_TYPE",
    "PLACED",
    "ApiRequest",
    "ApiResponse",
    "AtsApi",
    "CheckLine",
    "CheckReport",
    "CheckSteps",
    "Choice",
    "ChooserSteps",
    "Connection",
    "Event",
    "LookupSteps",
    "OrderSummary",
    "Page",
    "PageState",
    "Source",
    "SourceStopped",
    "Steps",
    "SubscriptionSteps",
    "Subscriptions",
    "TokenFlow",
    "TokenRefused",
    "Tokens",
    "UnreadableAnswer",
    "Verdict",
    "Webhook",
    "Window",
    "WriteRejected",
    "WriteTask",
    "Writer",
    "budget_of_rate",
    "form_request",
    "parse_moment",
]
