"""A new ATS works without a changed file of the program: its adapter is registered at run time."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.conftest import LiveServer
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.test_ats_stories import add_rule, expect_delivered, expect_no_refusals, wait_for_order
from tests.test_end_to_end import take_reasoning_test, wait_for_invitation_link

PROGRAM = Path(__file__).parents[1] / "provider"
# The words `a dummy` and names like `dummy_hash` have nothing to do with the adapter.
ADAPTER_NAME = re.compile(rb"""dummy_ats|["']dummy["']|\bDummy|\bFakeDummy""")


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


def test_new_ats_from_stage_to_note(fake: FakeDummy, live_server: LiveServer, page: Page) -> None:
    world = ApiWorld.of_dummy(live_server.services, live_server.clock, fake)
    person = fake.add(1, name="Lakita Marrero", stage="Applied")
    add_rule(world, stage="Test")
    assert world.orders() == []
    person.stage = "Test"
    world.clock.advance(world.interval)
    order = wait_for_order(world)

    page.goto(wait_for_invitation_link(world.services.settings.instance, "Groove Tech"))
    take_reasoning_test(page)
    expect_delivered(world, "note")
    assert person.notes == [f"Reasoning: excelled [order {order}, 1]"]
    expect_no_refusals(fake)


def test_no_file_of_the_program_names_the_new_ats() -> None:
    files = [path for path in PROGRAM.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    naming = [str(path) for path in files if ADAPTER_NAME.search(path.read_bytes())]
    assert len(files) > 100
    assert naming == []
