"""Metrics: the counters of each process, their sum over all processes, and database gauges."""

from provider.metrics.recorder import Meter
from provider.metrics.store import Ledger, Tally

__all__ = ["Ledger", "Meter", "Tally"]
