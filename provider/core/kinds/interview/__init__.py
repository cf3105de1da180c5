"""The kind interview: questions that are answered on video and rated by the staff."""

from provider.core.kinds.interview.answers import (
    BROKEN,
    DELETED,
    READY,
    SENT,
    Rating,
    Recording,
)
from provider.core.kinds.interview.models import Interview, InterviewTemplate

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
