"""Keeps the overview's figures for a minute, where counting a great many orders takes long."""

from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import NamedTuple

from provider.core.orders import Statistics

SLOW_SECONDS = 0.1  # figures that were collected more quickly are collected anew each time
LIFETIME = timedelta(minutes=1)
MAX_ENTRIES = 100


class Figures(NamedTuple):
    """Statistics and when they were collected."""

    statistics: Statistics
    collected_at: datetime


class FiguresCache:
    """Figures by what they depend on: the accounts and the permissions of a person."""

    def __init__(self, measure: Callable[[], float] = monotonic) -> None:
        self._measure = measure  # returns seconds; only differences count
        self._entries: dict[object, Figures] = {}

    def get(self, key: object, now: datetime, collect: Callable[[], Statistics]) -> Figures:
        """Return the kept figures, or collect them."""
        kept = self._entries.get(key)
        if kept and kept.collected_at <= now < kept.collected_at + LIFETIME:
            return kept
        started_at = self._measure()
        figures = Figures(collect(), now)
        if len(self._entries) >= MAX_ENTRIES:
            self._entries.clear()
        if self._measure() - started_at > SLOW_SECONDS:
            self._entries[key] = figures
        return figures
