"""The preferences of an order: what an ATS may override of an interview template.

A preference counts where the template's `preferences` name its key and the value is in range. All
others are left out, and the order's timeline names them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from provider.core.kinds.interview.content import MAX_MINUTES, OVERRIDES, InterviewContent
from provider.core.kinds.interview.questions import (
    MAX_ANSWER_SECONDS,
    MAX_TAKES,
    MAX_THINK_SECONDS,
    MIN_ANSWER_SECONDS,
)


class Unusable(Exception):
    """A preference that is left out."""


def apply_preferences(
    content: InterviewContent, preferences: Mapping[str, Any]
) -> tuple[InterviewContent, tuple[str, ...]]:
    """Return the content with the usable preferences, and the keys of the others."""
    unused = [key for key in preferences if key not in OVERRIDES]
    for key in OVERRIDES:  # in this order: `may_be_paused` depends on the time limit
        if key not in preferences:
            continue
        try:
            changed = _APPLY[key](content, preferences[key])
        except Unusable:
            changed = None
        if changed is None or key not in content.preferences:
            unused.append(key)
        else:
            content = changed
    return content, tuple(unused)


def _whole_number(value: Any, minimum: int, maximum: int) -> int:
    """Return a number, which may be written as text."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:9])
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise Unusable
    return value


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    if not isinstance(value, bool):
        raise Unusable
    return value


def _change_recorded(content: InterviewContent, **fields: Any) -> InterviewContent:
    """Return the content with these fields in every question that is answered by a recording."""
    questions = tuple(
        replace(question, **fields) if question.is_recorded else question
        for question in content.questions
    )
    return replace(content, questions=questions)


def _think_seconds(content: InterviewContent, value: Any) -> InterviewContent:
    seconds = None if value is None else _whole_number(value, 0, MAX_THINK_SECONDS)
    return _change_recorded(content, think_seconds=seconds)


def _answer_seconds(content: InterviewContent, value: Any) -> InterviewContent:
    seconds = _whole_number(value, MIN_ANSWER_SECONDS, MAX_ANSWER_SECONDS)
    return _change_recorded(content, answer_seconds=seconds)


def _takes(content: InterviewContent, value: Any) -> InterviewContent:
    return _change_recorded(content, takes=_whole_number(value, 1, MAX_TAKES))


def _time_limit(content: InterviewContent, value: Any) -> InterviewContent:
    if value is None:
        return replace(content, time_limit=None, may_be_paused=True)
    return replace(content, time_limit=_whole_number(value, 1, MAX_MINUTES))


def _may_be_paused(content: InterviewContent, value: Any) -> InterviewContent:
    may_be_paused = _truth(value)
    if not may_be_paused and content.time_limit is None:
        raise Unusable
    return replace(content, may_be_paused=may_be_paused)


def _practice(content: InterviewContent, value: Any) -> InterviewContent:
    if not _truth(value):
        return replace(content, practice=None)
    if content.practice is None:
        raise Unusable
    return content


_APPLY: Mapping[str, Callable[[InterviewContent, Any], InterviewContent]] = {
    "think_seconds": _think_seconds,
    "answer_seconds": _answer_seconds,
    "takes": _takes,
    "time_limit": _time_limit,
    "may_be_paused": _may_be_paused,
    "practice": _practice,
}
