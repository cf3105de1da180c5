"""A dispatcher that works only in queues that are leased to it, and ends each lease in time."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from provider.delivery.dispatcher import MAX_CONCURRENT_SENDS, Dispatcher
from provider.outbox import AttemptResult
from provider.services import Services

QUEUE_LEASE_SECONDS = 5.0  # after which a busy queue goes to the next free worker


@dataclass
class QueueLease:
    """The lease of a queue; `ended` gets whether the queue may have more to send."""

    ended: Future[bool] = field(default_factory=Future)
    expires_at: float = field(default_factory=lambda: time.monotonic() + QUEUE_LEASE_SECONDS)

    @property
    def is_expired(self) -> bool:
        return time.monotonic() > self.expires_at

    def end(self, *, has_more: bool) -> None:
        if self.ended.set_running_or_notify_cancel():  # False if the job was cancelled
            self.ended.set_result(has_more)


class LeasedQueueDispatcher(Dispatcher):
    """Claims messages of leased queues only, so that one process at a time works in a queue.

    The rate of a queue is known to one process, so two processes would exceed it. Sends that still
    run at the end of a lease are settled all the same. That may free a message which nobody
    examines: `notify` is called with its queue.
    """

    def __init__(
        self,
        services: Services,
        notify: Callable[[Iterable[str]], None],
        max_concurrent_sends: int = MAX_CONCURRENT_SENDS,
    ) -> None:
        super().__init__(services, max_concurrent_sends=max_concurrent_sends)
        self._notify = notify
        self._leases: dict[str, QueueLease] = {}
        # Until the cycle's commit: another process could not see yet what it settles.
        self._ended_leases: list[tuple[QueueLease, bool]] = []
        self._unleased_queues: dict[str, None] = {}

    def lease(self, queue: str) -> Future[bool]:
        """Work in a queue until nothing may be sent or the lease expires.

        The future gets whether the queue may have more to send. It gets False at once when the
        queue is leased already, since that lease sends what is due, and when the channel is
        unknown.
        """
        is_known = self._is_known_channel(queue)
        with self._condition:
            lease = QueueLease()
            if self._stopping or queue in self._leases or not is_known:
                lease.end(has_more=self._stopping)
            else:
                self._leases[queue] = lease
            self.wake([queue])
            return lease.ended

    def run_once(self) -> int:
        attempt_count = super().run_once()
        with self._condition:
            for queue in [queue for queue in self._leases if self._is_idle(queue)]:
                self._end_lease(queue, has_more=False)
            unleased_queues, self._unleased_queues = self._unleased_queues, {}
        if unleased_queues:
            self._notify(unleased_queues)
        self._report_ended_leases()
        return attempt_count

    def stop(self, loop_thread: threading.Thread | None = None) -> None:
        """Claim nothing more, settle the sends, and end all leases."""
        super().stop(loop_thread)
        with self._condition:
            for queue in list(self._leases):
                self._end_lease(queue, has_more=True)
        self._report_ended_leases()

    def _take_ready_queues(self, results: Sequence[AttemptResult]) -> list[str]:
        leased_queues = []
        for queue in super()._take_ready_queues(results):
            if queue not in self._leases:
                self._unleased_queues[queue] = None
            # A rate-limited queue is kept until it may send again: the next process starts with
            # a full rate, so the two together would exceed it.
            elif self._leases[queue].is_expired and not self._policy.is_rate_limited(queue):
                self._end_lease(queue, has_more=True)
            else:
                leased_queues.append(queue)
        return leased_queues

    def _is_idle(self, queue: str) -> bool:
        return not (
            self._unsettled_counts[queue]
            or queue in self._signalled_queues
            or self._policy.is_rate_limited(queue)
        )

    def _end_lease(self, queue: str, *, has_more: bool) -> None:
        self._ended_leases.append((self._leases.pop(queue), has_more))

    def _report_ended_leases(self) -> None:
        with self._condition:
            ended_leases, self._ended_leases = self._ended_leases, []
        for lease, has_more in ended_leases:
            lease.end(has_more=has_more)
