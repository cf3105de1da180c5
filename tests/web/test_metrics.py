"""/metrics, and the details of /ready."""

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
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from provider import outbox
from provider.app import create_app
from provider.core.accounts import Account
from provider.core.connections.api_token import ensure_token_row
from provider.core.connections.source_cursor import ensure_cursor
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.circuit_breaker import FAILURE_THRESHOLD
from provider.metrics import DatabaseGauges, MetricsRecorder, recorder
from provider.metrics import database as gauges
from provider.outbox import EMAIL, AttemptResult, Claim, Outcome
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts

METRICS_HEADERS = {"Authorization": "Bearer m3tr1cs-m3tr1cs-0"}
Decline = Callable[..., None]
Scrape = Callable[[], dict[str, float]]


@pytest.fixture(autouse=True)
def _instant_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a read of the gauges take no time: a slow machine would cache it longer."""
    manual_time = SimpleNamespace(perf_counter=lambda: 0.0)
    monkeypatch.setattr("provider.metrics.database.time", manual_time)


@pytest.fixture
def services(services: Services) -> Services:
    """Services with a metrics token, and with callbacks to private addresses."""
    settings = replace(services.settings, private_callbacks=True, metrics_token="m3tr1cs-m3tr1cs-0")
    return replace(services, settings=settings)


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    # With four sends, an unknown host gets one message at a time.
    dispatcher = Dispatcher(services, max_concurrent_sends=4)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def scrape(client: FlaskClient) -> Scrape:
    """Return a function that returns the samples of /metrics by `name{label=value}`.

    The names are without the prefix `provider_`.
    """

    def scrape() -> dict[str, float]:
        response = client.get("/metrics", headers=METRICS_HEADERS)
        assert response.status_code == 200
        assert response.content_type.startswith("text/plain; version=")
        samples = {}
        for family in text_string_to_metric_families(response.text):
            for sample in family.samples:
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                samples[f"{sample.name.removeprefix('provider_')}{{{labels}}}"] = sample.value
        return samples

    return scrape


@pytest.fixture
def decline(services: Services, ats: FakeAts) -> Decline:
    """Return a function that places orders whose candidates decline at once."""
    account, _ = factories.create_account(services)
    product = factories.create_test(services)

    numbers = itertools.count()

    def decline(count: int) -> None:
        for number in itertools.islice(numbers, count):
            order = factories.place_order(
                services, account, product, callback_url=f"{ats.url}/{number}"
            )
            with services.db.writing() as session:
                Order.find(session, order).decline(session, "", services.now())

    return decline


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer m3tr1c"}, {"Authorization": "m3tr1cs-m3tr1cs-0"}],
    ids=["none", "wrong", "without Bearer"],
)
def test_metrics_without_token_is_401(client: FlaskClient, headers: dict[str, str]) -> None:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "PROVIDER_METRICS_TOKEN" in json.loads(response.text)["message"]
    assert client.get("/ready", headers=headers).json == {"status": "ready"}


def test_metrics_of_server_without_token_is_401(services: Services) -> None:
    without_token = replace(services, settings=replace(services.settings, metrics_token=None))
    client = create_app(without_token).test_client()
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
        assert client.get("/metrics", headers=headers).status_code == 401


def test_waiting_messages_are_counted_by_topic_with_oldest_age(
    decline: Decline, scrape: Scrape, clock: ManualClock
) -> None:
    empty = scrape()
    assert empty["messages_waiting{topic=status}"] == empty["messages_parked{topic=status}"] == 0
    decline(1)
    clock.advance(timedelta(seconds=90))
    decline(2)
    clock.advance(timedelta(seconds=20))
    samples = scrape()
    assert samples["messages_waiting{topic=status}"] == 3
    assert samples["messages_waiting{topic=invitation}"] == 3
    assert samples["messages_oldest_seconds{topic=status}"] == 110
    assert samples["messages_due_seconds{}"] == 110
    assert samples["database_up{}"] == 1


def test_rejected_message_is_counted_as_parked(
    decline: Decline, scrape: Scrape, dispatcher: Dispatcher, services: Services, ats: FakeAts
) -> None:
    decline(1)
    ats.responses.append(410)
    dispatcher.drain(*factories.queue_names(services))
    samples = scrape()
    assert samples["messages_parked{topic=status}"] == 1
    assert samples["messages_waiting{topic=status}"] == 0


def test_topic_without_messages_becomes_zero(
    decline: Decline, scrape: Scrape, dispatcher: Dispatcher, services: Services, clock: ManualClock
) -> None:
    decline(1)
    assert scrape()["messages_waiting{topic=invitation}"] == 1
    dispatcher.drain(*factories.queue_names(services, channel=EMAIL))
    clock.advance(timedelta(seconds=10))
    assert scrape()["messages_waiting{topic=invitation}"] == 0


def test_attempts_and_latency_are_counted_by_labels(
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
    samples, host = scrape(), ats.url.removeprefix("http://")
    assert samples[f"delivery_attempts_total{{channel=callback,host={host},outcome=retry}}"] == 1
    assert (
        samples[f"delivery_attempts_total{{channel=callback,host={host},outcome=delivered}}"] == 1
    )
    # Each candidate gets the invitation, and a confirmation of declining.
    assert samples["delivery_attempts_total{channel=email,host=,outcome=delivered}"] == 4
    assert samples["delivery_latency_seconds_count{topic=status}"] == 1
    assert samples["delivery_latency_seconds_sum{topic=status}"] == 2
    assert samples["delivery_latency_seconds_bucket{le=1.0,topic=status}"] == 0
    assert samples["delivery_latency_seconds_bucket{le=2.5,topic=status}"] == 1


@pytest.fixture
def claim(services: Services, decline: Decline) -> Claim:
    """A claimed message."""
    decline(1)
    (queue,) = factories.queue_names(services)
    with services.db.writing() as session:
        return outbox.claim(session, queue, services.now(), 1)[0]


def test_attempt_with_lost_lease_has_its_own_outcome(claim: Claim, clock: ManualClock) -> None:
    metrics, now = MetricsRecorder(), clock.now()
    result = AttemptResult(claim, Outcome("delivered", status_code=200), now, now)
    metrics.record_attempts([result], valid_leases=set())
    text = generate_latest(metrics.registry).decode()
    assert re.search(r'channel="callback",host="[^"]+",outcome="lease_lost"} 1\.0', text)
    assert "delivery_latency_seconds_count" not in text


def test_hosts_beyond_the_limit_are_counted_as_others(
    claim: Claim, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_HOSTS", 2)
    metrics, now = MetricsRecorder(), clock.now()
    for host in ("a.test", "b.test", "c.test", "d.test", "a.test"):
        sent_claim = replace(claim, queue=f"1/callback/{host}")
        result = AttemptResult(sent_claim, Outcome("retry"), now, now)
        metrics.record_attempts([result], valid_leases={claim.lease})
    text = generate_latest(metrics.registry).decode()
    counts = re.findall(r'host="([^"]+)",outcome="retry"} (\d)', text)
    assert sorted(counts) == [("a.test", "2"), ("b.test", "1"), ("others", "2")]


def test_requests_are_counted_by_endpoint(client: FlaskClient, scrape: Scrape) -> None:
    client.get("/tests")
    client.get("/c/a-token-of-somebody/")
    client.get("/nowhere")
    text = client.get("/metrics", headers=METRICS_HEADERS).text
    assert "a-token-of-somebody" not in text
    assert "nowhere" not in text
    samples = scrape()
    assert samples["requests_total{code=401,endpoint=workable.list_tests}"] == 1
    assert samples["requests_total{code=404,endpoint=candidate.open_invitation}"] == 1
    assert samples["requests_total{code=404,endpoint=none}"] == 1
    assert samples["requests_total{code=200,endpoint=metrics.metrics}"] == 1


def test_servers_in_one_process_count_separately(services: Services) -> None:
    other = create_app(replace(services, metrics=MetricsRecorder())).test_client()
    create_app(services).test_client().get("/health")
    assert "health.health" not in other.get("/metrics", headers=METRICS_HEADERS).text


def test_database_gauges_are_cached_for_ten_seconds(
    decline: Decline, scrape: Scrape, clock: ManualClock
) -> None:
    decline(1)
    assert scrape()["messages_waiting{topic=status}"] == 1
    decline(1)
    clock.advance(timedelta(seconds=9))
    samples = scrape()
    assert samples["messages_waiting{topic=status}"] == 1
    assert (
        samples["messages_oldest_seconds{topic=status}"] == 9
    )  # the age is that of now, also from the cache
    clock.advance(timedelta(seconds=1))
    assert scrape()["messages_waiting{topic=status}"] == 2


def test_slow_database_gauges_are_cached_longer(
    decline: Decline, scrape: Scrape, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    # Each read takes a second.
    manual_time = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr("provider.metrics.database.time", manual_time)
    decline(1)
    assert scrape()["messages_waiting{topic=status}"] == 1
    decline(1)
    clock.advance(timedelta(seconds=19))
    assert scrape()["messages_waiting{topic=status}"] == 1
    clock.advance(timedelta(seconds=1))
    assert scrape()["messages_waiting{topic=status}"] == 2


def test_database_gauges_during_refresh_return_cached_snapshot(
    decline: Decline, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    database_gauges = DatabaseGauges(services.db, clock)
    decline(1)
    cached = database_gauges.current()
    clock.advance(timedelta(seconds=10))
    seen_by_others: list[gauges.DatabaseSnapshot] = []

    def take_slow_snapshot(*_: object) -> gauges.DatabaseSnapshot:
        with ThreadPoolExecutor(1) as pool:
            seen_by_others.append(pool.submit(database_gauges.current).result(timeout=5))
        return replace(cached, message_counts={})

    monkeypatch.setattr(gauges, "_take_snapshot", take_slow_snapshot)
    assert database_gauges.current().message_counts == {}
    assert [snapshot.message_counts for snapshot in seen_by_others] == [cached.message_counts]


def test_failing_database_leaves_the_counters(
    client: FlaskClient, services: Services, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/health")

    def broken(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(services.db, "_transaction_guard", broken)
    samples = scrape()
    assert samples["database_up{}"] == 0
    assert samples["requests_total{code=200,endpoint=health.health}"] == 1
    assert not [name for name in samples if name.startswith("messages_")]


@pytest.mark.both
def test_stopped_sources_and_lost_consents_are_counted_by_ats(
    scrape: Scrape, services: Services, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        for number, (ats, stopped, error, reconnect) in enumerate(
            [
                ("workable", "very many orders", "an old error", "revoked"),
                ("workable", "", "a list without an end", ""),
                ("workable", "", "", "revoked"),
                ("pageup", "", "", ""),
            ]
        ):
            account = Account.create(session, f"Account {number}", ats, clock.now())
            session.flush()
            cursor = ensure_cursor(session, account.id, "candidates", clock.now())
            cursor.stopped_reason, cursor.last_error = stopped, error
            ensure_token_row(session, account.id).reconnect_reason = reconnect
    samples = scrape()
    assert samples["sources_stopped{ats=workable}"] == 1
    assert samples["sources_failing{ats=workable}"] == 1
    assert samples["accounts_to_connect{ats=workable}"] == 2
    assert samples["sources_stopped{ats=pageup}"] == 0
    assert samples["sources_failing{ats=pageup}"] == 0
    assert samples["accounts_to_connect{ats=pageup}"] == 0


def test_pauses_are_in_metrics_and_ready(
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
        reason, retry_at = "It is refused with 401", services.now() + timedelta(minutes=30)
        outbox.pause(session, "account/1/callback", reason, retry_at, services.now())
        outbox.pause(session, "queue/1/callback/x.test", "It asks", retry_at, services.now())
    paused_at = services.now()
    clock.advance(timedelta(seconds=12))
    samples, host = scrape(), ats.url.removeprefix("http://")
    assert (
        samples["paused_hosts{}"] == samples["paused_accounts{}"] == samples["paused_queues{}"] == 1
    )
    assert samples[f"host_paused_seconds{{host={host}}}"] == 12
    assert samples["account_paused_seconds{account=Groove Tech,channel=callback}"] == 12
    details = json.loads(client.get("/ready", headers=METRICS_HEADERS).text)
    assert details["status"] == "ready"
    assert details["paused_accounts"] == [
        {
            "account": "Groove Tech",
            "channel": "callback",
            "reason": reason,
            "paused_at": paused_at.isoformat(),
            "retry_at": retry_at.isoformat(),
        }
    ]
    (pause,) = details["paused_hosts"]
    assert (pause["host"], pause["reason"]) == (host, "It answers 503")
    assert pause["paused_at"] == paused_at.isoformat()
    wait = datetime.fromisoformat(pause["retry_at"]) - paused_at
    assert timedelta(seconds=20) < wait < timedelta(seconds=40)


def test_ready_is_503_after_message_was_due_for_five_minutes(
    client: FlaskClient, decline: Decline, services: Services, clock: ManualClock
) -> None:
    decline(1)
    clock.advance(timedelta(minutes=5))
    assert client.get("/ready").status_code == 200
    clock.advance(timedelta(seconds=1))
    response = client.get("/ready", headers=METRICS_HEADERS)
    details = json.loads(response.text)
    assert (response.status_code, details["status"]) == (503, "unready")
    assert details["problems"] == ["A message has been due for too long"]
    queues = [*factories.queue_names(services), *factories.queue_names(services, channel=EMAIL)]
    with services.db.writing() as session:
        for queue in queues:
            outbox.pause(session, f"queue/{queue}", "It asks", services.now(), services.now())
    assert client.get("/ready").status_code == 200
    clock.advance(timedelta(minutes=5) - timedelta(seconds=1))
    assert client.get("/ready").status_code == 200
    clock.advance(timedelta(seconds=1))  # no attempt since the pause ended
    assert client.get("/ready").status_code == 503
