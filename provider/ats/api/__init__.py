"""What an adapter declares in order to call its ATS's API. Nothing here does I/O."""

from provider.ats.api.base import (
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Choice,
    ChooserSteps,
    Verdict,
    parse_moment,
)
from provider.ats.api.connection import Connection
from provider.ats.api.http import JSON_TYPE, ApiRequest, ApiResponse, UnreadableAnswer
from provider.ats.api.source import CANDIDATE_KEY, Page, PageState, Source, Window
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
    "OrderSummary",
    "Page",
    "PageState",
    "Source",
    "Steps",
    "UnreadableAnswer",
    "Verdict",
    "Window",
    "WriteRejected",
    "WriteTask",
    "Writer",
    "parse_moment",
]
