"""The preview of a rule: who matches at present, read within the budget of requests."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from provider.core.connections import Record
from provider.delivery.api_client import ApiClient
from provider.delivery.http.client import HttpClient
from provider.delivery.preview import MAX_DURATION, find_matches
from provider.errors import Unavailable
from provider.services import Services
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import DummyApi, FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.fakes.pageup import FakePageUp
from tests.fakes.vendor import status

MATCH = {"stage": "Test"}
LIMIT = 10  # requests in ten seconds, of which a round may use seven


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        fake.budget_limit = LIMIT
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, fake: FakeDummy) -> ApiWorld:
    return ApiWorld.of_dummy(services, clock, fake, limit=LIMIT)


def preview(
    world: ApiWorld, http_client: HttpClient, match: dict[str, str] = MATCH
) -> list[Record]:
    """Return the matches; waiting moves the clock."""
    client = ApiClient(world.services, http_client)
    return find_matches(world.services, client, world.account_id, match)


def test_preview_beyond_the_budget_waits_for_more(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient
) -> None:
    fake.lazy_people = 60
    started_at = world.clock.now()
    assert len(preview(world, http_client)) == 60
    assert timedelta(seconds=20) <= world.clock.now() - started_at <= MAX_DURATION
    assert {line.status_code for line in fake.request_log} == {200}


def test_preview_of_too_long_a_list_says_how_many_were_read(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient
) -> None:
    fake.lazy_people = 600
    fake.add(1, stage="Interview")
    started_at = world.clock.now()
    with pytest.raises(Unavailable) as caught:
        preview(world, http_client)
    read_count = 3 * len(fake.request_log)
    assert str(caught.value) == (
        "The ATS's list is too long to be read within 60 seconds: more than "
        f"{read_count} candidates were read, and {read_count - 1} of them match"
    )
    assert read_count > 100
    assert world.clock.now() - started_at <= MAX_DURATION


def test_preview_waits_as_the_ats_asks(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient
) -> None:
    fake.lazy_people = 4
    fake.fail_next("GET", "page=2", status(429, Retry_After="20"))
    assert len(preview(world, http_client)) == 4


def test_preview_without_any_budget_says_when_to_try_again(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient
) -> None:
    fake.fail_next("GET", "page=1", status(429, Retry_After="90"))
    with pytest.raises(Unavailable) as caught:
        preview(world, http_client)
    assert str(caught.value) == "The ATS's limit of requests is reached: try again in 90 seconds"


def test_preview_ignores_an_empty_condition(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DummyApi, "rule_facts", {"stage": "a stage", "job": "a job"})
    fake.add(1)
    assert len(preview(world, http_client, {"stage": "Test", "job": " "})) == 1


def test_preview_of_350_pageup_candidates_keeps_the_default_rate(
    services: Services, clock: ManualClock, http_client: HttpClient
) -> None:
    with FakePageUp(clock) as pageup:
        world = ApiWorld.create(
            services,
            clock,
            ats="pageup",
            options={"base_url": pageup.base_url},
            secrets={"api_key": pageup.key, "api_secret": pageup.secret},
        )
        pageup.budget_limit, pageup.budget_window = 2, 1
        pageup.backlog(350, tags=["needs numeracy"])
        assert len(preview(world, http_client, {"tag": "needs numeracy"})) == 350
        assert {line.status_code for line in pageup.request_log} == {200}
