"""Ending with the process: one of granian's never says goodbye, so its main thread is watched."""

import os
import threading
from collections.abc import Callable

import structlog

LOOK = 1.0  # seconds

log = structlog.get_logger()


def stop_with_main(
    stop: Callable[[], None], stopped: Callable[[], bool], *, orphan_ends: bool
) -> None:
    """Call `stop` once the main thread has ended, or when it is stopped already: twice is once.

    With `orphan_ends` a worker whose server was killed ends too, or it would go on for ever.
    """
    told = (stop, stopped, orphan_ends)
    threading.Thread(target=_watch, args=told, name="courier-stop").start()


def _watch(stop: Callable[[], None], stopped: Callable[[], bool], orphan_ends: bool) -> None:
    main, parent = threading.main_thread(), os.getppid()
    while main.is_alive() and not stopped():
        main.join(timeout=LOOK)
        if orphan_ends and os.getppid() != parent:
            log.error("the server process is gone; its worker ends")
            os._exit(1)
    stop()
