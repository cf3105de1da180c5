"""Rounds: sources are read page by page, and each record and rule orders once."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from provider.ats import ADAPTERS
from provider.ats.api import ApiRequest, Connection
from provider.core.accounts import Account
from provider.core.connections import resume_sources
from provider.core.connections.source_cursor import acquire_lease
from provider.delivery import api_client, rounds
from provider.delivery.api_client import open_api_client
from provider.delivery.api_errors import CallFailed
from provider.delivery.http import client as client_module
from provider.delivery.rounds import LEASE, Round
from provider.services import Services
from tests.delivery.api_world import ROUND, ApiWorld, dummy_server
from tests.dummy_ats import KEY, FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.fakes.vendor import (
    VendorRequest,
    drip,
    hang_up,
    html_page,
    huge,
    redirect,
    status,
    truncated,
)


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, fake: FakeDummy) -> ApiWorld:
    return ApiWorld.of_dummy(services, clock, fake)


@pytest.mark.both
def test_record_that_reaches_the_stage_is_ordered_once(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    fake.add(1, stage="  test ")
    world.read()
    fake.people[1].name = "Ana Lee"
    world.read_next()
    world.read_next()
    assert world.orders() == ["ana@example.org"]
    assert world.arrivals() == [("ordered", "")]


def test_record_of_before_the_rule_is_not_ordered(world: ApiWorld, fake: FakeDummy) -> None:
    fake.add(1)
    world.add_rule()
    world.read()
    world.read_next()
    assert world.arrivals() == [("existing", "")]
    assert world.orders() == []


def test_changed_time_after_the_rule_makes_a_record_new(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_rule()
    moment = world.clock.now()
    fake.add(1, at=(moment - timedelta(hours=1)).isoformat())
    fake.add(2, at=(moment + timedelta(seconds=1)).isoformat(), email="bo@example.org")
    world.read()
    assert world.orders() == ["bo@example.org"]


def test_backfill_orders_for_those_who_match_already(world: ApiWorld, fake: FakeDummy) -> None:
    fake.add(1)
    world.add_rule(backfills=True)
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_repeating_rule_orders_at_each_entry(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule(once=False)
    fake.add(1, entry="first")
    world.read()
    world.read_next()
    fake.people[1].entry = "second"
    world.read_next()
    assert len(world.orders()) == 2


def test_other_stage_and_removed_rule_order_nothing(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule("Interview")
    fake.add(1)
    world.read()
    assert world.arrivals() == []


@pytest.mark.both
def test_record_that_cannot_be_mailed_is_refused_and_tried_again(
    world: ApiWorld, fake: FakeDummy
) -> None:
    world.add_known_rule()
    fake.add(1, email="")
    fake.add(2, email="no address")
    fake.add(3, email="bo@example.org")
    world.read()
    refusals = [
        ("refused", "The candidate has no e-mail address in the ATS"),
        ("refused", "The candidate's e-mail address in the ATS cannot be mailed"),
    ]
    assert world.arrivals() == [*refusals, ("ordered", "")]
    fake.people[1].email = "ana@example.org"
    world.read_next()
    assert world.orders() == ["bo@example.org", "ana@example.org"]


def test_archived_product_is_a_refusal(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    with world.services.db.writing() as session:
        session.get_one(Account, world.account_id).all_products = False
    fake.add(1)
    world.read()
    assert world.arrivals() == [("refused", "The product is archived, or not open to this account")]


def test_unreadable_entry_is_noted_and_stops_no_page(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    page = b'{"people": [{"name": "Bo"}, {"id": 2, "name": "Cy", "stage": "Test", '
    page += b'"email": "cy@example.org"}], "more": false}'
    fake.fail_next("GET", "/people", status(200, page))
    world.read()
    assert world.orders() == ["cy@example.org"]
    expected = "1 entries could not be read; the first: a person without an id"
    assert world.cursor().problems == expected


@pytest.mark.both
def test_round_of_many_pages_asks_for_each_once(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    fake.request_log.clear()
    fake.lazy_people = 10
    world.read()
    assert [request.query["page"] for request in fake.requests("GET", "/people")] == list("1234")
    cursor = world.cursor()
    assert (cursor.pages, cursor.records, cursor.orders) == (4, 10, 10)


def test_idle_account_costs_one_request_for_each_interval(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    fake.request_log.clear()
    for _ in range(30):
        world.read()
        world.clock.advance(ROUND / 10)
    assert len(fake.request_log) == 3


def test_account_without_rules_is_not_asked(world: ApiWorld, fake: FakeDummy) -> None:
    world.read()
    assert fake.request_log == []


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (hang_up, "The receiver hung up without an answer"),
        (status(503), "The ATS has trouble: it answers 503"),
        (status(408), "The ATS has trouble: it answers 408"),
        (status(418), "Dummy refuses the list with 418"),
        (status(200, b"<html>"), "The ATS's answer is not JSON"),
        (status(200, b"[]"), "The ATS's answer has another form than documented (TypeError)"),
        (html_page, "A web page came in place of the ATS's answer"),
        (truncated, "The ATS's answer broke off or is too long"),
        (huge, "The ATS's answer broke off or is too long"),
    ],
)
def test_failed_page_is_read_again_at_the_next_interval(
    world: ApiWorld, fake: FakeDummy, failure: object, error: str
) -> None:
    world.add_known_rule()
    fake.add(1)
    fake.fail_next("GET", "/people", failure)  # type: ignore[arg-type]
    world.read()
    assert world.cursor().last_error == error
    assert world.orders() == []
    world.read_next()
    assert world.orders() == ["ana@example.org"]
    assert world.cursor().last_error == ""


def test_redirect_is_not_followed_and_leaks_no_key(
    world: ApiWorld, fake: FakeDummy, clock: ManualClock
) -> None:
    world.add_known_rule()
    with FakeDummy(clock) as other:
        fake.fail_next("GET", "/people", redirect(f"{other.url}/people?page=1"))
        world.read()
        assert other.request_log == []
    assert "redirects with 302" in world.cursor().last_error


def test_refused_key_waits_for_people(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    fake.add(1)
    fake.key = "another key"
    fake.request_log.clear()
    world.read()
    world.read_next()
    assert len(fake.request_log) == 1
    assert world.cursor().last_error == "The ATS refuses the account's credentials with 401"
    world.set_secret("key", "another key")
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_key_revoked_between_two_pages_goes_on_with_the_second(
    world: ApiWorld, fake: FakeDummy
) -> None:
    world.add_known_rule()
    fake.lazy_people = 5
    fake.fail_next("GET", "page=2", status(401))
    world.read()
    assert len(world.orders()) == 3
    world.clock.advance(timedelta(hours=1))
    fake.request_log.clear()
    world.read()
    assert [request.query["page"] for request in fake.requests("GET", "/people")] == ["2"]
    assert len(world.orders()) == 5


@pytest.mark.parametrize("has_header", [True, False])
def test_too_many_requests_wait_as_the_ats_asks(
    world: ApiWorld, fake: FakeDummy, has_header: bool
) -> None:
    world.add_known_rule()
    fake.add(1)
    refusal = status(429, Retry_After="120") if has_header else status(429)
    fake.fail_next("GET", "/people", refusal)
    world.read()
    wait = world.cursor().due_at - world.clock.now()
    assert wait == timedelta(seconds=120 if has_header else 30)
    assert world.cursor().last_error == ""
    world.clock.advance(wait)
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_page_that_changes_while_it_is_read_loses_nobody(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    for number in range(10, 16):
        fake.add(number, email=f"p{number}@example.org")

    def remove_a_person_of_page_1(request: VendorRequest) -> None:
        if "page=2" in request.target:
            fake.people.pop(10, None)

    fake.before_request.append(remove_a_person_of_page_1)
    world.read()
    assert "p13@example.org" not in world.orders()  # it moved to page 1, which was read before
    fake.before_request.clear()
    world.read_next()
    assert sorted(world.orders()) == [f"p{number}@example.org" for number in range(10, 16)]


@pytest.mark.both
def test_killed_after_the_page_was_read_orders_once(world: ApiWorld, fake: FakeDummy) -> None:
    """The process dies between the ATS's answer and our commit: nothing is stored."""
    world.add_known_rule()
    fake.add(1)
    lease = _lease(world)
    with open_api_client(world.services) as client:
        current = Round(world.services, client, lease)
        step = current._next_step()
        assert step is not None
        current._read(step)
    world.read()
    assert world.orders() == []  # the lease of the dead process holds
    world.clock.advance(LEASE)
    world.read()
    assert world.orders() == ["ana@example.org"]


@pytest.mark.both
def test_killed_after_a_page_was_committed_goes_on_with_the_next(
    world: ApiWorld, fake: FakeDummy
) -> None:
    world.add_known_rule()
    fake.lazy_people = 5
    lease = _lease(world)
    with open_api_client(world.services) as client:
        current = Round(world.services, client, lease)
        step = current._next_step()
        assert step is not None
        assert not current._apply(step, current._read(step))
    fake.request_log.clear()
    world.clock.advance(LEASE)
    world.read()
    assert [request.query["page"] for request in fake.requests("GET", "/people")] == ["2"]
    assert len(world.orders()) == 5


@pytest.mark.both
def test_lease_lost_during_a_request_writes_nothing(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    fake.add(1)
    lease = _lease(world)
    with open_api_client(world.services) as client:
        slow = Round(world.services, client, lease)
        step = slow._next_step()
        assert step is not None
        page = slow._read(step)
        world.clock.advance(LEASE)
        world.read()
        with pytest.raises(rounds.LeaseLost):
            slow._apply(step, page)
    assert world.orders() == ["ana@example.org"]


@pytest.mark.both
def test_brake_stops_a_round_until_staff_resume_it(
    world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MAX_ORDERS_PER_ROUND", 4)
    world.add_known_rule()
    fake.lazy_people = 9
    world.read()
    assert len(world.orders()) == 4
    assert world.cursor().stopped_reason == "4 orders were placed in one round"
    world.read_next()
    assert len(world.orders()) == 4
    for _ in range(2):
        with world.services.db.writing() as session:
            resume_sources(session, world.account_id, world.clock.now())
        world.read()
    assert len(world.orders()) == 9
    assert world.cursor().stopped_reason == ""


def test_slice_of_time_ends_between_two_pages(
    world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "SLICE_SECONDS", 0.0)
    world.add_rule(backfills=True)
    fake.lazy_people = 5
    world.read()
    assert len(world.orders()) == 3
    world.read()  # at once: the round is still due
    assert len(world.orders()) == 5


def test_missing_secret_is_named_and_nothing_is_sent(world: ApiWorld, fake: FakeDummy) -> None:
    world.set_secret("key", None)
    world.add_rule()
    world.read()
    assert world.cursor().last_error == "Not set yet: key"
    assert fake.request_log == []


def test_request_to_another_host_is_not_sent(world: ApiWorld, fake: FakeDummy) -> None:
    connection = _connection(world)
    api = ADAPTERS["dummy"].api
    assert api is not None
    with (
        open_api_client(world.services) as client,
        pytest.raises(CallFailed, match="leads to another host: localhost"),
    ):
        client.call(api, connection, ApiRequest("GET", "http://localhost:1/people"))


def test_key_is_in_no_log_and_no_stored_text(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule()
    body = f'{{"error": "{KEY}"}}'.encode()
    for code in (200, 401, 418, 503):
        fake.fail_next("GET", "/people", status(code, body))
        with capture_logs() as logs:
            world.clock.advance(timedelta(hours=1))
            world.read()
        assert KEY not in str(logs)
    assert KEY not in world.stored_texts()
    assert KEY not in repr(_connection(world))


@pytest.mark.usefixtures("short_deadline")
def test_dripping_answer_ends_at_the_deadline(
    world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "REQUEST_TIMEOUT_SECONDS", client_module.TIMEOUT_SECONDS)
    world.add_known_rule()
    fake.fail_next("GET", "/people", drip)
    world.read()
    assert world.cursor().last_error == "The ATS's answer broke off or is too long"


def _lease(world: ApiWorld) -> str:
    with world.services.db.writing() as session:
        lease = acquire_lease(session, world.account_id, "people", world.clock.now(), LEASE)
    assert lease is not None
    return lease


def _connection(world: ApiWorld) -> Connection:
    with (
        open_api_client(world.services) as client,
        world.services.db.reading() as session,
    ):
        return client.connection(session, session.get_one(Account, world.account_id))


def test_backfill_during_a_page_on_its_way_is_not_lost(world: ApiWorld, fake: FakeDummy) -> None:
    world.add_known_rule("Interview")
    fake.add(1)
    lease = _lease(world)
    with open_api_client(world.services) as client:
        current = Round(world.services, client, lease)
        step = current._next_step()
        assert step is not None
        page = current._read(step)
        world.add_rule(backfills=True)
        with pytest.raises(rounds.LeaseLost):
            current._apply(step, page)
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_list_without_an_end_is_given_up(
    world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MAX_PAGES_PER_ROUND", 3)
    world.add_known_rule()
    fake.lazy_people = 30
    world.read()
    assert world.cursor().last_error == "The list has no end after 3 pages"
