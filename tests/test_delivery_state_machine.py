"""A state machine over outbox, dispatchers and receiver: nothing is lost or reordered."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.endurance.simulated_world import SEND_OUTCOMES, SimulatedWorld, sqlite_settings

DISPATCHERS, QUEUES, KEYS = st.integers(0, 1), st.integers(0, 3), st.integers(0, 2)
WAITS = st.sampled_from([0.1, 1, 7, 40, 70, 400, 4000, 90_000]).map(lambda s: timedelta(seconds=s))


class Deliveries(RuleBasedStateMachine):
    """Rules are events; at the end every message must have arrived, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.world = SimulatedWorld.create(sqlite_settings(Path(self.folder.name)))

    def teardown(self) -> None:
        """Remove all faults, deliver the rest, and check the result."""
        try:
            self.world.settle_all()
        finally:
            self.world.services.db.close()
            self.folder.cleanup()

    @rule(queue=QUEUES, key=KEYS, status=st.sampled_from(["completed", "expired"]))
    def append_status(self, queue: int, key: int, status: str) -> None:
        self.world.append(queue, key, status)

    @rule(dispatcher=DISPATCHERS)
    def run_cycle(self, dispatcher: int) -> None:
        self.world.run_dispatcher(dispatcher)

    @precondition(lambda self: any(simulated.in_flight for simulated in self.world.dispatchers))
    @rule(
        dispatcher=DISPATCHERS,
        index=st.integers(0, 7),
        outcome=st.sampled_from(sorted(SEND_OUTCOMES)),
    )
    def complete_send(self, dispatcher: int, index: int, outcome: str) -> None:
        self.world.complete_send(dispatcher, index, outcome)

    @rule(wait=WAITS)
    def advance_clock(self, wait: timedelta) -> None:
        self.world.advance_clock(wait)

    @rule(dispatcher=DISPATCHERS, reached=st.integers(0, 3))
    def crash(self, dispatcher: int, reached: int) -> None:
        self.world.crash_dispatcher(dispatcher, reached)

    @rule(dispatcher=DISPATCHERS)
    def run_cycle_with_rendering_errors(self, dispatcher: int) -> None:
        self.world.run_dispatcher(dispatcher, is_failing=True)

    @rule(message_index=st.integers(0, 9))
    def requeue(self, message_index: int) -> None:
        self.world.requeue(message_index)

    @rule(account=st.integers(0, 1))
    def replace_token(self, account: int) -> None:
        self.world.replace_token(account)


def test_state_machine_delivers_everything_in_order() -> None:
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=8,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
