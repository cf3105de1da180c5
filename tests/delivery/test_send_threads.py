"""The threads of a dispatcher: functions run in order, in as many threads as allowed."""

import threading
from functools import partial

from provider.delivery.send_threads import SendThreads


def test_stop_waits_for_every_function() -> None:
    threads = SendThreads(3)
    calls: list[int] = []
    for number in range(50):
        threads.submit(partial(calls.append, number))
    threads.stop()
    assert sorted(calls) == list(range(50))


def test_one_thread_runs_functions_in_order() -> None:
    threads = SendThreads(1)
    calls: list[int] = []
    for number in range(50):
        threads.submit(partial(calls.append, number))
    threads.stop()
    assert calls == list(range(50))


def test_functions_run_at_once_up_to_the_limit() -> None:
    threads, barrier = SendThreads(4), threading.Barrier(4, timeout=20)
    names: set[str] = set()

    def meet() -> None:
        barrier.wait()  # four functions must run at once, or this fails
        names.add(threading.current_thread().name)

    for _ in range(12):
        threads.submit(meet)
    threads.stop()
    assert len(names) <= 4
    assert not barrier.broken


def test_idle_thread_is_used_again() -> None:
    threads = SendThreads(8)
    names: set[str] = set()
    for _ in range(5):
        threads.submit(lambda: names.add(threading.current_thread().name))
        wait_until_idle(threads)
    threads.stop()
    assert len(names) == 1


def test_error_of_a_function_ends_no_thread() -> None:
    threads = SendThreads(1)
    calls: list[int] = []
    threads.submit(lambda: calls.append(1 // 0))
    threads.submit(lambda: calls.append(2))
    threads.stop()
    assert calls == [2]


def wait_until_idle(threads: SendThreads) -> None:
    while threads.unfinished_count:
        pass
