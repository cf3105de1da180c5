"""Outbox, courier and receiver in a small world: whatever happens, nothing is lost or reordered."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.endurance.simulated_world import SEND_OUTCOMES, SimulatedWorld, sqlite_settings

COURIERS, LANES, KEYS = st.integers(0, 1), st.integers(0, 3), st.integers(0, 2)
WAITS = st.sampled_from([0.1, 1, 7, 40, 70, 400, 4000, 90_000]).map(lambda s: timedelta(seconds=s))


class Deliveries(RuleBasedStateMachine):
    """Every step is something that happens; at the end all must have arrived, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.world = SimulatedWorld.create(sqlite_settings(Path(self.folder.name)))

    def teardown(self) -> None:
        """Let everything be well again, and judge."""
        try:
            self.world.settle_all()
        finally:
            self.world.services.db.close()
            self.folder.cleanup()

    @rule(lane=LANES, key=KEYS, status=st.sampled_from(["completed", "expired"]))
    def a_status(self, lane: int, key: int, status: str) -> None:
        """An order changes."""
        self.world.append(lane, key, status)

    @rule(dispatcher=COURIERS)
    def a_turn(self, dispatcher: int) -> None:
        """A courier takes a turn."""
        self.world.run_dispatcher(dispatcher)

    @precondition(lambda self: any(puppet.in_flight for puppet in self.world.dispatchers))
    @rule(dispatcher=COURIERS, index=st.integers(0, 7), how=st.sampled_from(sorted(SEND_OUTCOMES)))
    def a_landing(self, dispatcher: int, index: int, how: str) -> None:
        """A try ends."""
        self.world.complete_send(dispatcher, index, how)

    @rule(wait=WAITS)
    def a_wait(self, wait: timedelta) -> None:
        """Time passes."""
        self.world.advance_clock(wait)

    @rule(dispatcher=COURIERS, reached=st.integers(0, 3))
    def a_crash(self, dispatcher: int, reached: int) -> None:
        """A courier dies."""
        self.world.crash_dispatcher(dispatcher, reached)

    @rule(dispatcher=COURIERS)
    def a_turn_that_renders_nothing(self, dispatcher: int) -> None:
        """What cannot be written is parked."""
        self.world.run_dispatcher(dispatcher, is_failing=True)

    @rule(which=st.integers(0, 9))
    def sent_again(self, which: int) -> None:
        """Staff send something parked again."""
        self.world.requeue(which)

    @rule(account=st.integers(0, 1))
    def a_new_token(self, account: int) -> None:
        """An account gets a new token."""
        self.world.replace_token(account)


def test_whatever_happens_everything_arrives_in_order() -> None:
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=12,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
