"""Metrics: the counters of this process, gauges from the database, and their HTTP server."""

from provider.metrics.database import DatabaseGauges
from provider.metrics.recorder import MetricsRecorder

__all__ = ["DatabaseGauges", "MetricsRecorder"]
