"""The kind assessment: timed tests that are scored automatically."""

from provider.core.kinds.assessment.models import (
    Answer,
    Assessment,
    StaleSave,
    Test,
    UnreadText,
)

__all__ = ["Answer", "Assessment", "StaleSave", "Test", "UnreadText"]
