"""Stopping with the process: not every WSGI server runs `atexit`, so a thread watches main."""

import threading
from collections.abc import Callable

CHECK_INTERVAL_SECONDS = 1.0


def stop_when_main_thread_ends(stop: Callable[[], None], is_stopped: Callable[[], bool]) -> None:
    """Call `stop` once the main thread has ended or `is_stopped()`; `stop` must allow two calls."""
    threading.Thread(target=_watch, args=(stop, is_stopped), name="dispatcher-stop").start()


def _watch(stop: Callable[[], None], is_stopped: Callable[[], bool]) -> None:
    main = threading.main_thread()
    while main.is_alive() and not is_stopped():
        main.join(timeout=CHECK_INTERVAL_SECONDS)
    stop()
