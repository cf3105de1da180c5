"""The time at which a request began to arrive.

A body may take seconds over a slow connection. A candidate who sent it in time must not be late.
"""

from datetime import datetime, timedelta
from typing import Any

from flask import request

BEGAN_AT_KEY = "provider.began_at"
# The HTTP server's figure: the seconds from the first byte of a request to the call of the app.
RECEIVE_SECONDS_KEY = "provider.receive_seconds"


def record_begin(environ: dict[str, Any], now: datetime) -> None:
    """Write the time of the first byte to the WSGI environment."""
    environ[BEGAN_AT_KEY] = now - timedelta(seconds=environ.get(RECEIVE_SECONDS_KEY, 0))


def request_began_at(now: datetime) -> datetime:
    """Return the time of the current request's first byte; `now` if it is not known."""
    began_at: datetime = request.environ.get(BEGAN_AT_KEY, now)
    return min(began_at, now)
