"""The vendor simulator of sandboxes: each script, and what never goes backwards."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider.core.kinds.check import Check
from provider.core.kinds.check.vendors.vendor_simulator import PLAY_VENDORS, SCRIPTS
from provider.outbox import Message, QueueName
from provider.services import Services
from tests import check_outside_factories
from tests.check_outside_factories import VENDOR_SCREENING, read_vendor_order, task_state
from tests.factories import ManualClock

TASK = "record"
LAST_STATES = {
    "clear": ("answered", "in progress", 0),
    "consider": ("answered", "in progress", 2),
    "error": ("error", "error", 0),
    "slow": ("submitted", "submitted", 0),
    "silent": ("submitted", "submitted", 0),
    "duplicate": ("answered", "in progress", 2),
    "reordered": ("answered", "in progress", 2),
    "anybody else": ("answered", "in progress", 0),
}


def place(services: Services, last_name: str) -> str:
    return check_outside_factories.place_consented_check(
        services,
        VENDOR_SCREENING,
        account={"sandbox": True},
        email="person@example.com",
        last_name=last_name,
    )


def play(services: Services, clock: ManualClock, seconds: int = 60) -> None:
    for _ in range(seconds // 5):
        clock.advance(timedelta(seconds=5))
        PLAY_VENDORS.run(services)


def test_every_script_has_an_expected_end() -> None:
    assert set(LAST_STATES) - {"anybody else"} == set(SCRIPTS)


@pytest.mark.parametrize("name", LAST_STATES)
def test_simulator_plays_script_of_last_name(
    services: Services, clock: ManualClock, name: str
) -> None:
    check = place(services, name.title())
    assert read_vendor_order(services, check).state == "submitted"
    play(services, clock)
    state, task, record_count = LAST_STATES[name]
    vendor_order = read_vendor_order(services, check)
    assert (vendor_order.state, task_state(services, check, TASK)) == (state, task)
    with services.db.reading() as session:
        order = Check.find(session, check)
        assert len(order.records) == record_count
        assert order.findings == []
        queues = session.scalars(select(Message.queue)).all()
    assert "connector" not in {QueueName.parse(queue).channel for queue in queues}


def test_slow_script_answers_in_the_end(services: Services, clock: ManualClock) -> None:
    check = place(services, "Slow")
    for state in ("submitted", "in progress", "answered"):
        clock.advance(timedelta(minutes=10))
        PLAY_VENDORS.run(services)
        assert read_vendor_order(services, check).state == state
    with services.db.reading() as session:
        assert PLAY_VENDORS.is_needed
        assert not PLAY_VENDORS.is_needed(session, services.now() + timedelta(days=1))


def test_simulator_is_only_for_sandboxes(services: Services) -> None:
    screening = VENDOR_SCREENING | {"connector": "unknown"}
    check = check_outside_factories.place_consented_check(services, screening, last_name="Clear")
    assert task_state(services, check, TASK) == "error"
