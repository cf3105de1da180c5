"""The kind assessment: timed tests that are scored automatically."""

from provider.core.kinds.assessment.answers import Answer, StaleSave, UnreadText
from provider.core.kinds.assessment.models import Assessment, Test
from provider.core.kinds.assessment.navigated_order import ClosedItem

__all__ = ["Answer", "Assessment", "ClosedItem", "StaleSave", "Test", "UnreadText"]
