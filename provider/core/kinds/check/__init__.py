"""The kind check: background checks that a candidate consents to."""

from provider.core.kinds.check.candidate_details import IncompleteForm
from provider.core.kinds.check.consent import CandidateDetail, Consent
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.models import Check, Finding
from provider.core.kinds.check.package import Package

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
