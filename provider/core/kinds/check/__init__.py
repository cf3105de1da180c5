"""The kind check: background checks that a candidate consents to."""

from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.detail_fields import IncompleteForm
from provider.core.kinds.check.packages.package import Package
from provider.core.kinds.check.tables.consent import CandidateDetail, Consent
from provider.core.kinds.check.tables.finding import Finding

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
