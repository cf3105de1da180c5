"""The thread of a server's process that records heartbeats (see `core/orders/outages.py`)."""

import threading
from collections.abc import Callable

from structlog import get_logger

from provider.core.orders.heartbeat import HEARTBEAT_INTERVAL
from provider.core.orders.outages import record_heartbeat
from provider.delivery.runners.shutdown import stop_when_main_thread_ends
from provider.services import Services

log = get_logger()


def start_heartbeat(services: Services) -> Callable[[], None]:
    """Give back the time of an outage that has just ended, and start the thread.

    Returns a function that stops it.
    """
    stopping = threading.Event()
    _beat(services)
    thread = threading.Thread(target=_run, args=(services, stopping), name="heartbeat", daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join(HEARTBEAT_INTERVAL.total_seconds())

    stop_when_main_thread_ends(stop, stopping.is_set)
    return stop


def _run(services: Services, stopping: threading.Event) -> None:
    while not stopping.wait(HEARTBEAT_INTERVAL.total_seconds()):
        _beat(services)


def _beat(services: Services) -> None:
    # A database that does not answer is an outage too: the next heartbeat finds it.
    try:
        if count := record_heartbeat(services.db, services.now()):
            log.warning("outage_time_given_back", attempts=count)
    except Exception:
        log.exception("heartbeat_failed")
