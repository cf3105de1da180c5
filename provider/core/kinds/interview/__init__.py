"""The kind interview: questions that are answered on video and rated by the staff."""

from provider.core.kinds.interview.answers import (
    BROKEN,
    DELETED,
    READY,
    SENT,
    Recording,
)
from provider.core.kinds.interview.models import Interview, InterviewTemplate
from provider.core.kinds.interview.scorecards import Rating, Scorecard

__all__ = [
    "BROKEN",
    "DELETED",
    "READY",
    "SENT",
    "Interview",
    "InterviewTemplate",
    "Rating",
    "Recording",
    "Scorecard",
]
