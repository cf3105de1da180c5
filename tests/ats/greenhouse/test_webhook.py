"""Greenhouse's webhook: signed events, each read again, and one order whatever comes."""

import hmac
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.connections import WebhookEvent, resume_sources, webhook_address
from provider.core.connections.source_cursor import EVENTS, acquire_lease, find_leased
from provider.delivery import rounds
from provider.delivery.api_client import open_api_client
from provider.delivery.inbox import BRAKE_INTERVAL, RETRY_WAITS, process_due_events
from tests.ats.greenhouse.test_harvest import OTHER_STAGE, STAGE, create_world, fill
from tests.conftest import LiveServer
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest

pytestmark = pytest.mark.usefixtures("enabled")


@pytest.fixture
def harvest(clock: ManualClock) -> Iterator[FakeHarvest]:
    with FakeHarvest(clock) as fake:
        fill(fake)
        yield fake


@pytest.fixture
def world(app_server: LiveServer, clock: ManualClock, harvest: FakeHarvest) -> ApiWorld:
    world = create_world(app_server.services, clock, harvest)
    world.set_secret("webhook_secret", harvest.webhook_secret)
    return world


@pytest.fixture
def address(world: ApiWorld) -> str:
    with world.services.db.reading() as session:
        account = session.get_one(Account, world.account_id)
        return webhook_address(world.services.secret_box, account)


@pytest.fixture
def enabled(app_server: LiveServer, world: ApiWorld, harvest: FakeHarvest, address: str) -> None:
    """Let Greenhouse know the address: it tries it by a ping."""
    harvest.webhook_url = f"{app_server.url}/hooks/{address}/candidate_stage_change"
    assert harvest.ping().answers[0][1] == 200
    world.add_rule(match={"stage": str(STAGE)})


def process(world: ApiWorld) -> None:
    with open_api_client(world.services) as client:
        process_due_events(world.services, client)


def begin_round(world: ApiWorld) -> str:
    """Lease the source, as another process does."""
    with world.services.db.writing() as session:
        now = world.clock.now()
        lease = acquire_lease(session, world.account_id, "stage_entries", now, timedelta(minutes=2))
    assert lease
    return lease


def resume(world: ApiWorld) -> None:
    with world.services.db.writing() as session:
        assert resume_sources(session, world.account_id, world.clock.now()) == 2


def events(world: ApiWorld) -> list[WebhookEvent]:
    with world.services.db.reading() as session:
        return list(session.scalars(select(WebhookEvent).order_by(WebhookEvent.id)))


def test_signature_equals_the_vector() -> None:
    body = b'{"action":"ping"}'
    digest = hmac.digest(b"SECRET", body, "sha256").hex()
    assert digest == "81131b7009d0aa800993b49664a03f7383b0d686e64f4231fe5e33d71cd0ff09"


def test_move_orders_once_and_the_round_finds_it(world: ApiWorld, harvest: FakeHarvest) -> None:
    application = harvest.apply(OTHER_STAGE, last_name="Łi Ñandú")
    delivery = harvest.move(application, STAGE)
    assert delivery
    assert delivery.answers[0][1] == 200
    assert world.orders() == []  # the request itself only stores the event
    process(world)
    assert world.orders() == ["ana@example.org"]
    world.clock.advance(world.interval)
    world.read()
    assert len(world.orders()) == 1


def test_events_thrice_and_in_the_wrong_order_place_one_order(
    world: ApiWorld, harvest: FakeHarvest
) -> None:
    application = harvest.apply(OTHER_STAGE)
    harvest.storm(application, STAGE, OTHER_STAGE, STAGE, copies=3)
    assert {code for delivery in harvest.deliveries for _, code in delivery.answers} == {200}
    process(world)
    assert len(events(world)) == 1  # the others are about a record that is still to be read
    assert len(world.orders()) == 1


def test_present_state_counts_and_not_the_event(world: ApiWorld, harvest: FakeHarvest) -> None:
    application = harvest.apply(OTHER_STAGE)
    harvest.move(application, STAGE)
    harvest.enter(application, OTHER_STAGE)
    process(world)
    assert world.orders() == []
    assert events(world)[0].done_at


def test_rejected_application_is_not_ordered(world: ApiWorld, harvest: FakeHarvest) -> None:
    application = harvest.apply(OTHER_STAGE)
    harvest.change("applications", application, status="rejected")
    harvest.move(application, STAGE)
    process(world)
    assert world.arrivals() == []
    (event,) = events(world)
    assert (event.done_at is not None, event.last_error) == (True, "")


@pytest.mark.both
def test_bulk_move_stops_the_rules_until_staff_let_them_go_on(
    world: ApiWorld, harvest: FakeHarvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MAX_ORDERS_PER_ROUND", 2)
    for _ in range(5):
        harvest.move(harvest.apply(OTHER_STAGE), STAGE)
    lease = begin_round(world)
    process(world)
    assert len(world.orders()) == 2
    with world.services.db.writing() as session:
        assert find_leased(session, lease) is None  # the round that runs stops, too
    for source in ("stage_entries", EVENTS):
        assert world.cursor(source).stopped_reason == "2 orders were placed by events in one hour"
    request_count = len(harvest.request_log)
    world.read_next()
    process(world)
    assert len(harvest.request_log) == request_count
    assert len(world.orders()) == 2
    assert [event.done_at is None for event in events(world)] == [False] * 2 + [True] * 3
    resume(world)
    process(world)
    assert len(world.orders()) == 4
    resume(world)
    process(world)
    assert len(world.orders()) == 5
    assert all(event.done_at for event in events(world))


def test_orders_by_events_are_counted_for_an_hour(
    world: ApiWorld, harvest: FakeHarvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MAX_ORDERS_PER_ROUND", 1)
    harvest.move(harvest.apply(OTHER_STAGE), STAGE)
    process(world)
    harvest.move(harvest.apply(STAGE), OTHER_STAGE)
    process(world)  # an event that orders nothing stops nothing
    assert world.cursor(EVENTS).stopped_reason == ""
    world.clock.advance(BRAKE_INTERVAL)
    harvest.move(harvest.apply(OTHER_STAGE), STAGE)
    process(world)
    assert len(world.orders()) == 2
    assert world.cursor(EVENTS).stopped_reason == ""


@pytest.mark.parametrize("secret", ["WRONG", "SECRE"])
def test_forged_event_is_refused_and_not_stored(
    world: ApiWorld, harvest: FakeHarvest, secret: str
) -> None:
    application = harvest.apply(STAGE)
    delivery = harvest.notify(application, secret=secret)
    assert delivery.answers[0][1] == 401
    assert events(world) == []


def test_changed_bytes_and_missing_signature_are_refused(
    world: ApiWorld, harvest: FakeHarvest
) -> None:
    application = harvest.apply(STAGE)
    delivery = harvest.notify(application)
    headers = {"Signature": delivery.signature, "Greenhouse-Event-ID": "x"}
    for body, sent in ((delivery.body + b" ", headers), (delivery.body, {})):
        assert requests.post(harvest.webhook_url, body, headers=sent, timeout=5).status_code == 401


def test_replaced_secret_is_accepted_for_seven_days(world: ApiWorld, harvest: FakeHarvest) -> None:
    world.set_secret("webhook_secret", "NEW")
    application = harvest.apply(STAGE)
    assert harvest.notify(application).answers[0][1] == 200
    assert harvest.notify(application, secret="NEW").answers[0][1] == 200
    world.clock.advance(timedelta(days=8))
    assert harvest.notify(application).answers[0][1] == 401


def test_unknown_address_event_and_body_are_refused(
    app_server: LiveServer, world: ApiWorld, harvest: FakeHarvest, address: str
) -> None:
    for path in (f"{address[:-1]}x/candidate_stage_change", f"{address}/other", "x/y"):
        answer = requests.post(f"{app_server.url}/hooks/{path}", b"{}", timeout=5)
        assert answer.status_code == 404
    for body in (b"[]", b"{}", b"no json", b'{"action": "candidate_stage_change"}'):
        headers = {"Signature": harvest.sign(body), "Greenhouse-Event-ID": "x"}
        answer = requests.post(harvest.webhook_url, body, headers=headers, timeout=5)
        assert answer.status_code == 400
    answer = requests.post(harvest.webhook_url, b"x" * 1_000_001, timeout=5)
    assert answer.status_code == 413


def test_unknown_action_is_accepted_and_ignored(world: ApiWorld, harvest: FakeHarvest) -> None:
    delivery = harvest.event("candidate_hired", harvest.payload(harvest.apply(STAGE)))
    harvest.replay(delivery)
    assert delivery.answers[0][1] == 200
    assert events(world) == []


def test_record_that_appears_late_is_ordered(world: ApiWorld, harvest: FakeHarvest) -> None:
    application = harvest.apply(OTHER_STAGE)
    harvest.hidden.add(("applications", application))
    harvest.move(application, STAGE)
    process(world)
    assert events(world)[0].last_error == "The record of the event cannot be read"
    harvest.hidden.clear()
    world.clock.advance(RETRY_WAITS[0])
    process(world)
    assert world.orders() == ["ana@example.org"]


def test_record_that_never_appears_is_given_up(world: ApiWorld, harvest: FakeHarvest) -> None:
    application = harvest.apply(OTHER_STAGE)
    harvest.move(application, STAGE)
    harvest.delete("applications", application)
    for wait in (*RETRY_WAITS, RETRY_WAITS[-1]):
        process(world)
        world.clock.advance(wait)
    (event,) = events(world)
    assert event.done_at
    harvest.request_log.clear()
    process(world)
    assert harvest.request_log == []


def test_server_that_was_down_gets_the_event_again(world: ApiWorld, harvest: FakeHarvest) -> None:
    url, harvest.webhook_url = harvest.webhook_url, "http://127.0.0.1:1/down"
    application = harvest.apply(OTHER_STAGE)
    harvest.move(application, STAGE)
    harvest.webhook_url = url
    world.clock.advance(timedelta(minutes=1))
    harvest.retry_due()
    process(world)
    assert world.orders() == ["ana@example.org"]


def test_body_is_not_stored(world: ApiWorld, harvest: FakeHarvest) -> None:
    harvest.notify(harvest.apply(STAGE))
    (event,) = events(world)
    assert "ana@example.org" not in str(vars(event))
