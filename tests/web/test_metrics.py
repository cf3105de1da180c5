"""What machines watch: /metrics and the details of /ready."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from provider import outbox
from provider.app import create_app
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.policy import FAILURE_THRESHOLD
from provider.metrics import Ledger, Meter
from provider.metrics import database as gauges
from provider.metrics import recorder as meter_module
from provider.outbox import EMAIL, AttemptResult, Claim, Outcome
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts

TOKEN = {"Authorization": "Bearer m3tr1cs"}
Decline = Callable[..., None]
Scrape = Callable[[], dict[str, float]]


@pytest.fixture
def services(services: Services) -> Services:
    """The house, with a metrics token, and callbacks to this machine allowed."""
    told = replace(services.settings, private_callbacks=True, metrics_token="m3tr1cs")
    return replace(services, settings=told)


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(
        services, max_concurrent_sends=4
    )  # one by one to a host that nobody knows
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def scrape(client: FlaskClient) -> Scrape:
    """Return what /metrics tells, each figure by its name and labels."""

    def scraped() -> dict[str, float]:
        answer = client.get("/metrics", headers=TOKEN)
        assert answer.status_code == 200
        assert answer.content_type.startswith("text/plain; version=")
        found = {}
        for family in text_string_to_metric_families(answer.text):
            for one in family.samples:
                labels = ",".join(f"{key}={value}" for key, value in sorted(one.labels.items()))
                found[f"{one.name.removeprefix('provider_')}{{{labels}}}"] = one.value
        return found

    return scraped


@pytest.fixture
def decline(services: Services, ats: FakeAts) -> Decline:
    """Place so many orders whose candidates decline at once."""
    account, _ = factories.create_account(services)
    product = factories.create_test(services)

    numbers = itertools.count()

    def declined(count: int) -> None:
        for number in itertools.islice(numbers, count):
            order = factories.place_order(
                services, account, product, callback_url=f"{ats.url}/{number}"
            )
            with services.db.writing() as session:
                Order.find(session, order).decline(session, "", services.now())

    return declined


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer m3tr1c"}], ids=["none", "wrong"])
def test_without_the_token_nothing_is_told(client: FlaskClient, sent: dict[str, str]) -> None:
    answer = client.get("/metrics", headers=sent)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "PROVIDER_METRICS_TOKEN" in json.loads(answer.text)["message"]
    assert client.get("/ready", headers=sent).json == {"status": "ready"}


def test_a_server_without_a_metrics_token_tells_nobody(services: Services) -> None:
    untold = replace(services, settings=replace(services.settings, metrics_token=None))
    client = create_app(untold).test_client()
    for sent in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        assert client.get("/metrics", headers=sent).status_code == 401


def test_what_waits_is_told_by_topic_with_the_age_of_the_oldest(
    decline: Decline, scrape: Scrape, clock: ManualClock
) -> None:
    empty = scrape()
    assert empty["messages_waiting{topic=status}"] == empty["messages_parked{topic=status}"] == 0
    decline(1)
    clock.advance(timedelta(seconds=90))
    decline(2)
    clock.advance(timedelta(seconds=20))
    told = scrape()
    assert told["messages_waiting{topic=status}"] == 3
    assert told["messages_waiting{topic=invitation}"] == 3
    assert told["messages_oldest_seconds{topic=status}"] == 110
    assert told["messages_due_seconds{}"] == 110
    assert told["database_up{}"] == 1


def test_what_was_given_up_is_told_as_parked(
    decline: Decline, scrape: Scrape, dispatcher: Dispatcher, services: Services, ats: FakeAts
) -> None:
    decline(1)
    ats.responses.append(410)
    dispatcher.drain(*factories.queue_names(services))
    told = scrape()
    assert told["messages_parked{topic=status}"] == 1
    assert told["messages_waiting{topic=status}"] == 0


def test_a_topic_that_has_emptied_is_told_as_none(
    decline: Decline, scrape: Scrape, dispatcher: Dispatcher, services: Services, clock: ManualClock
) -> None:
    decline(1)
    assert scrape()["messages_waiting{topic=invitation}"] == 1
    dispatcher.drain(*factories.queue_names(services, channel=EMAIL))
    clock.advance(timedelta(seconds=10))
    assert scrape()["messages_waiting{topic=invitation}"] == 0


def test_tries_are_counted_by_host_and_outcome_and_arrivals_by_how_long_they_took(
    decline: Decline,
    scrape: Scrape,
    dispatcher: Dispatcher,
    services: Services,
    ats: FakeAts,
    clock: ManualClock,
) -> None:
    decline(2)
    clock.advance(timedelta(seconds=2))
    ats.responses.extend([503, 200])
    dispatcher.drain(*factories.queue_names(services))
    dispatcher.drain(*factories.queue_names(services, channel=EMAIL))
    told, host = scrape(), ats.url.removeprefix("http://")
    assert told[f"attempts_total{{host={host},outcome=again,to=callback}}"] == 1
    assert told[f"attempts_total{{host={host},outcome=done,to=callback}}"] == 1
    assert told["attempts_total{host=,outcome=done,to=mail}"] == 2
    assert told["arrival_seconds_count{topic=status}"] == 1
    assert told["arrival_seconds_sum{topic=status}"] == 2
    assert told["arrival_seconds_bucket{le=1.0,topic=status}"] == 0
    assert told["arrival_seconds_bucket{le=2.5,topic=status}"] == 1


@pytest.fixture
def claim(services: Services, decline: Decline) -> Claim:
    """A message in hand."""
    decline(1)
    (lane,) = factories.queue_names(services)
    with services.db.writing() as session:
        return outbox.claim(session, lane, services.now(), 1)[0]


def test_what_arrived_under_a_lost_lease_is_counted_as_that_alone(
    claim: Claim, clock: ManualClock
) -> None:
    counts = Meter()
    now = clock.now()
    counts.tried(
        [AttemptResult(claim, Outcome("delivered", status_code=200), now, now)], stood=set()
    )
    told = counts.written(counts.counted()).decode()
    assert 'outcome="lease lost",to="callback"} 1.0' in told
    assert "arrival_seconds_count" not in told


def test_hosts_beyond_the_first_thousand_are_counted_together(
    claim: Claim, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_module, "MOST_HOSTS", 2)
    counts = Meter()
    now = clock.now()
    for host in ("a.test", "b.test", "c.test", "d.test", "a.test"):
        sent = replace(claim, queue=f"1/callback/{host}")
        counts.tried([AttemptResult(sent, Outcome("retry"), now, now)], stood={claim.lease})
    text = counts.written(counts.counted()).decode()
    told = re.findall(r'host="([^"]+)",outcome="retry",to="callback"} (\d)', text)
    assert sorted(told) == [("a.test", "2"), ("b.test", "1"), ("others", "2")]


def test_requests_are_counted_by_endpoint_never_by_path(
    client: FlaskClient, scrape: Scrape
) -> None:
    client.get("/tests")
    client.get("/c/a-token-of-somebody/")
    client.get("/nowhere")
    text = client.get("/metrics", headers=TOKEN).text
    assert "a-token-of-somebody" not in text
    assert "nowhere" not in text
    told = scrape()
    assert told["requests_total{code=401,endpoint=workable.list_tests}"] == 1
    assert told["requests_total{code=404,endpoint=candidate.open_invitation}"] == 1
    assert told["requests_total{code=404,endpoint=none}"] == 1
    assert told["requests_total{code=200,endpoint=metrics.metrics}"] == 1


def test_two_servers_in_one_process_count_apart(services: Services) -> None:
    meter = Meter()
    apart = replace(services, metrics=meter, ledger=Ledger(services.db, meter))
    other = create_app(apart).test_client()
    create_app(services).test_client().get("/health")
    assert "health.health" not in other.get("/metrics", headers=TOKEN).text


def test_the_database_is_counted_at_most_each_ten_seconds(
    decline: Decline, scrape: Scrape, clock: ManualClock
) -> None:
    decline(1)
    assert scrape()["messages_waiting{topic=status}"] == 1
    decline(1)
    clock.advance(timedelta(seconds=9))
    told = scrape()
    assert told["messages_waiting{topic=status}"] == 1
    assert told["messages_oldest_seconds{topic=status}"] == 9  # it has grown older all the same
    clock.advance(timedelta(seconds=1))
    assert scrape()["messages_waiting{topic=status}"] == 2


def test_what_takes_long_to_count_is_counted_more_seldom(
    decline: Decline, scrape: Scrape, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    watch = SimpleNamespace(perf_counter=lambda: float(next(ticks)))  # each count takes a second
    monkeypatch.setattr("provider.metrics.database.time", watch)
    decline(1)
    assert scrape()["messages_waiting{topic=status}"] == 1
    decline(1)
    clock.advance(timedelta(seconds=19))
    assert scrape()["messages_waiting{topic=status}"] == 1
    clock.advance(timedelta(seconds=1))
    assert scrape()["messages_waiting{topic=status}"] == 2


def test_while_somebody_counts_others_are_told_what_was_counted_last(
    decline: Decline, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    census = gauges.DatabaseGauges()
    decline(1)
    before = census.current(services.db, services.now())
    clock.advance(timedelta(seconds=10))
    inner: list[gauges.DatabaseSnapshot] = []

    def slowly(*_: object) -> gauges.DatabaseSnapshot:
        with ThreadPoolExecutor(1) as pool:
            inner.append(pool.submit(census.current, services.db, services.now()).result(timeout=5))
        return replace(before, message_counts={})

    monkeypatch.setattr(gauges, "_take_snapshot", slowly)
    assert census.current(services.db, services.now()).message_counts == {}
    assert [each.message_counts for each in inner] == [before.message_counts]


def test_a_database_that_fails_does_not_hide_what_was_counted(
    client: FlaskClient, services: Services, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/health")

    def broken(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(services.db, "_transaction_guard", broken)
    told = scrape()
    assert told["database_up{}"] == 0
    assert told["requests_total{code=200,endpoint=health.health}"] == 1
    assert not [name for name in told if name.startswith("messages_")]


def test_a_dead_host_and_a_paused_account_are_told_with_since_and_next_try(
    client: FlaskClient,
    scrape: Scrape,
    decline: Decline,
    dispatcher: Dispatcher,
    services: Services,
    ats: FakeAts,
    clock: ManualClock,
) -> None:
    decline(FAILURE_THRESHOLD)
    ats.responses.extend([503] * FAILURE_THRESHOLD)
    dispatcher.drain(*factories.queue_names(services))
    with services.db.writing() as session:
        refused, until = "It is refused with 401", services.now() + timedelta(minutes=30)
        outbox.pause(session, "account/1/callback", refused, until, services.now())
        outbox.pause(session, "lane/1/callback/x.test", "It asks", until, services.now())
    since = services.now()
    clock.advance(timedelta(seconds=12))
    told, host = scrape(), ats.url.removeprefix("http://")
    assert told["hosts_held{}"] == told["accounts_held{}"] == told["lanes_held{}"] == 1
    assert told[f"host_held_seconds{{host={host}}}"] == 12
    assert told["account_held_seconds{account=Groove Tech,to=callback}"] == 12
    details = json.loads(client.get("/ready", headers=TOKEN).text)
    assert details["status"] == "ready"
    assert details["paused_accounts"] == [
        {
            "account": "Groove Tech",
            "channel": "callback",
            "reason": refused,
            "paused_at": since.isoformat(),
            "retry_at": until.isoformat(),
        }
    ]
    (paused_host,) = details["paused_hosts"]
    assert (paused_host["host"], paused_host["reason"]) == (host, "It answers 503")
    assert paused_host["paused_at"] == since.isoformat()
    wait = datetime.fromisoformat(paused_host["retry_at"]) - since
    assert timedelta(seconds=20) < wait < timedelta(seconds=40)


def test_a_server_is_not_ready_when_what_could_go_has_been_due_for_five_minutes(
    client: FlaskClient, decline: Decline, services: Services, clock: ManualClock
) -> None:
    decline(1)
    clock.advance(timedelta(minutes=5))
    assert client.get("/ready").status_code == 200
    clock.advance(timedelta(seconds=1))
    answer = client.get("/ready", headers=TOKEN)
    told = json.loads(answer.text)
    assert (answer.status_code, told["status"]) == (503, "unready")
    assert told["problems"] == ["A message has been due for too long"]
    lanes = [*factories.queue_names(services), *factories.queue_names(services, channel=EMAIL)]
    with services.db.writing() as session:
        for lane in lanes:
            outbox.pause(session, f"queue/{lane}", "It asks", services.now(), services.now())
    assert client.get("/ready").status_code == 200
    clock.advance(timedelta(minutes=5) - timedelta(seconds=1))
    assert client.get("/ready").status_code == 200
    clock.advance(timedelta(seconds=1))  # nobody has tried since the hold was over
    assert client.get("/ready").status_code == 503
