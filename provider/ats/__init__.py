"""How each ATS talks. A new one is a folder here and a line in DIALECTS."""

from provider.ats.base import (
    TOKEN_REJECTED_STATUS_CODES,
    AtsAdapter,
    CallbackRequest,
    CallbackResponse,
    StatusUpdate,
)
from provider.ats.workable import Workable

ADAPTERS: dict[str, AtsAdapter] = {dialect.name: dialect for dialect in (Workable(),)}

__all__ = [
    "ADAPTERS",
    "TOKEN_REJECTED_STATUS_CODES",
    "AtsAdapter",
    "CallbackRequest",
    "CallbackResponse",
    "StatusUpdate",
]
