"""Ending with the process: one of granian's never says goodbye, so its main thread is watched."""

import os
import threading
from collections.abc import Callable

import structlog

CHECK_INTERVAL_SECONDS = 1.0  # seconds

log = structlog.get_logger()


def stop_when_main_thread_ends(
    stop: Callable[[], None], is_stopped: Callable[[], bool], *, exit_when_orphaned: bool
) -> None:
    """Call `stop` once the main thread has ended, or when it is stopped already: twice is once.

    With `orphan_ends` a worker whose server was killed ends too, or it would go on for ever.
    """
    told = (stop, is_stopped, exit_when_orphaned)
    threading.Thread(target=_watch, args=told, name="courier-stop").start()


def _watch(
    stop: Callable[[], None], is_stopped: Callable[[], bool], exit_when_orphaned: bool
) -> None:
    main, parent = threading.main_thread(), os.getppid()
    while main.is_alive() and not is_stopped():
        main.join(timeout=CHECK_INTERVAL_SECONDS)
        if exit_when_orphaned and os.getppid() != parent:
            log.error("the server process is gone; its worker ends")
            os._exit(1)
    stop()
