"""The kind assessment: timed tests that are scored automatically."""

from provider.core.kinds.assessment.answers import Answer, StaleSave, UnreadText
from provider.core.kinds.assessment.models import Assessment, Test

__all__ = ["Answer", "Assessment", "StaleSave", "Test", "UnreadText"]
