"""Tests: timed sets of items, answered in a browser and scored at once."""

from provider.core.kinds.assessment.models import Answer, Assessment, Test

__all__ = ["Answer", "Assessment", "Test"]
