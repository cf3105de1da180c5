"""The kind check: background checks that a candidate consents to."""

from provider.core.kinds.check.models import (
    CLEAR,
    CONSIDER,
    CandidateDetail,
    Check,
    Consent,
    Finding,
    IncompleteForm,
    Package,
)

__all__ = [
    "CLEAR",
    "CONSIDER",
    "CandidateDetail",
    "Check",
    "Consent",
    "Finding",
    "IncompleteForm",
    "Package",
]
