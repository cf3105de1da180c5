"""The kind interview: questions that are answered on video and rated by the staff."""

from provider.core.kinds.interview.models import (
    BROKEN,
    DELETED,
    READY,
    SENT,
    Interview,
    InterviewTemplate,
    Rating,
    Recording,
)

__all__ = [
    "BROKEN",
    "DELETED",
    "READY",
    "SENT",
    "Interview",
    "InterviewTemplate",
    "Rating",
    "Recording",
]
