"""The check of an account's credentials: it stays within the budget and reads no web page."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from provider.ats import ADAPTERS
from provider.core.accounts import Account
from provider.delivery.api_client import MAX_CHECK_WAIT, ApiClient
from provider.delivery.http.client import HttpClient
from provider.services import Services
from tests.ats.greenhouse import test_harvest
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest
from tests.fakes.vendor import html_page, redirect, status

SUCCESS = (True, "Dummy accepts the key")


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, fake: FakeDummy) -> ApiWorld:
    fake.budget_limit = 3
    return ApiWorld.of_dummy(services, clock, fake, limit=3)


def check(world: ApiWorld, http_client: HttpClient) -> list[tuple[bool, str]]:
    """Return the lines of a check; waiting moves the clock."""
    with world.services.db.reading() as session:
        account = session.get_one(Account, world.account_id)
        api = ADAPTERS[account.ats].api
        client = ApiClient(world.services, http_client)
        connection = client.connection(session, account)
    assert api
    return [(line.is_ok, line.text) for line in client.check(api, connection).lines]


def test_web_page_is_no_success(world: ApiWorld, fake: FakeDummy, http_client: HttpClient) -> None:
    fake.fail_next("GET", "/people", html_page)
    text = "A web page came in place of the ATS's answer"
    assert check(world, http_client) == [(False, text)]


def test_redirect_is_named(world: ApiWorld, fake: FakeDummy, http_client: HttpClient) -> None:
    fake.fail_next("GET", "/people", redirect("http://127.0.0.1:1/sign-in"))
    ((is_ok, text),) = check(world, http_client)
    assert not is_ok
    assert "redirects with 302" in text


def test_check_beyond_the_budget_waits_and_stays_within_it(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient
) -> None:
    for _ in range(8):
        assert check(world, http_client) == [SUCCESS]
    assert {line.status_code for line in fake.request_log} == {200}


@pytest.mark.parametrize("seconds", [20, 90])
def test_check_waits_as_the_ats_asks_or_says_how_long(
    world: ApiWorld, fake: FakeDummy, http_client: HttpClient, seconds: int
) -> None:
    started_at = world.clock.now()
    fake.fail_next("GET", "/people", status(429, Retry_After=str(seconds)))
    text = f"The ATS's limit of requests is reached: try again in {seconds} seconds"
    assert check(world, http_client) == [SUCCESS if seconds == 20 else (False, text)]
    assert world.clock.now() - started_at == timedelta(seconds=20 if seconds == 20 else 0)
    assert timedelta(seconds=20) < MAX_CHECK_WAIT < timedelta(seconds=90)


def test_token_that_is_refused_is_renewed_once(
    services: Services, clock: ManualClock, http_client: HttpClient
) -> None:
    with FakeHarvest(clock) as harvest:
        world = test_harvest.create_world(services, clock, harvest)
        test_harvest.fill(harvest)
        check(world, http_client)
        harvest.expire()
        assert all(is_ok for is_ok, _ in check(world, http_client))
        assert len(harvest.requests("POST", "/token")) == 2
        harvest.fail_next("GET", "/v3/jobs", status(401))
        harvest.fail_next("GET", "/v3/jobs", status(401))
        assert (False, "Greenhouse answers 401 for jobs") in check(world, http_client)
        assert len(harvest.requests("POST", "/token")) == 3
