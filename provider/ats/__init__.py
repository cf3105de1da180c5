"""Adapters: how each ATS speaks. A new ATS is a folder here and an entry in `ADAPTERS`."""

from provider.ats.base import (
    TOKEN_REJECTED_STATUS_CODES,
    AtsAdapter,
    CallbackRequest,
    CallbackResponse,
    StatusUpdate,
)
from provider.ats.greenhouse import Greenhouse
from provider.ats.jobtrain import Jobtrain
from provider.ats.pageup import PageUp
from provider.ats.workable import Workable

ADAPTERS: dict[str, AtsAdapter] = {
    adapter.name: adapter for adapter in (Workable(), Greenhouse(), Jobtrain(), PageUp())
}

__all__ = [
    "ADAPTERS",
    "TOKEN_REJECTED_STATUS_CODES",
    "AtsAdapter",
    "CallbackRequest",
    "CallbackResponse",
    "StatusUpdate",
]
