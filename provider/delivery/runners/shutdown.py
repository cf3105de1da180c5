"""Stopping with the process: granian's workers never run `atexit`, so a thread watches main."""

import os
import threading
from collections.abc import Callable

import structlog

CHECK_INTERVAL_SECONDS = 1.0

log = structlog.get_logger()


def stop_when_main_thread_ends(
    stop: Callable[[], None], is_stopped: Callable[[], bool], *, exit_when_orphaned: bool
) -> None:
    """Call `stop` once the main thread has ended or `is_stopped()`; `stop` must allow two calls.

    With `exit_when_orphaned` a process whose parent was killed exits, or it would run for ever.
    """
    args = (stop, is_stopped, exit_when_orphaned)
    threading.Thread(target=_watch, args=args, name="dispatcher-stop").start()


def _watch(
    stop: Callable[[], None], is_stopped: Callable[[], bool], exit_when_orphaned: bool
) -> None:
    main, parent = threading.main_thread(), os.getppid()
    while main.is_alive() and not is_stopped():
        main.join(timeout=CHECK_INTERVAL_SECONDS)
        if exit_when_orphaned and os.getppid() != parent:
            log.error("server_process_lost")
            os._exit(1)
    stop()
