"""Rate limits, in one process and shared by all processes."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.app import create_app
from provider.core.accounts import Account
from provider.services import Services
from provider.storage import rate_limit
from provider.storage.rate_limit import RateLimiter
from provider.web import rate_limit as page_rate_limit
from tests import factories
from tests.factories import ManualClock
from tests.valkey_server import ValkeyServer, valkey

__all__ = ["valkey"]
SECOND = timedelta(seconds=1)
WARNING = "rate_limit_store_failed"


def hit(limiter: RateLimiter, clock: ManualClock, key: str = "key") -> int:
    """Count a request against three a second; return what remains."""
    return limiter.hit(key, 3, 1, clock.now()).remaining


# One process


def test_hit_counts_by_key_and_window(clock: ManualClock) -> None:
    limiter = RateLimiter()
    assert [hit(limiter, clock) for _ in range(4)] == [2, 1, 0, -1]
    assert hit(limiter, clock, "other") == 2
    clock.advance(SECOND)
    assert hit(limiter, clock) == 2


def test_windows_of_different_lengths_are_independent(clock: ManualClock) -> None:
    limiter = RateLimiter()
    assert limiter.hit("key", 3, 1, clock.now()).remaining == 2
    assert limiter.hit("key", 3, 60, clock.now()).remaining == 2
    clock.advance(SECOND)
    assert limiter.hit("key", 3, 60, clock.now()).remaining == 1


def test_hit_with_earlier_time_counts_in_newest_window(clock: ManualClock) -> None:
    limiter = RateLimiter()
    before = clock.now()
    clock.advance(SECOND)
    assert hit(limiter, clock) == 2
    assert limiter.hit("key", 3, 1, before).remaining == 1
    assert hit(limiter, clock) == 0


@pytest.mark.parametrize(("after", "wait"), [(0, 60), (0.5, 60), (59, 1), (59.9, 1)])
def test_seconds_until_reset_lead_to_next_window(
    clock: ManualClock, after: float, wait: int
) -> None:
    now = clock.now() + timedelta(seconds=after)
    state = RateLimiter().hit("key", 3, 60, now)
    assert state.resets_at == int(clock.now().timestamp()) + 60
    assert state.seconds_until_reset(now) == wait


# Many processes


def test_limiters_share_counters_in_valkey(valkey: ValkeyServer, clock: ManualClock) -> None:
    first, second = RateLimiter(valkey.url), RateLimiter(valkey.url)
    assert [hit(limiter, clock) for limiter in (first, second, first, second)] == [2, 1, 0, -1]
    clock.advance(SECOND)
    assert (hit(second, clock), hit(first, clock)) == (2, 1)


@pytest.mark.parametrize(
    ("url", "redis_url"),
    [
        ("valkeys://cache.test/1", "rediss://cache.test/1"),
        ("redis://valkey.test", "redis://valkey.test"),
    ],
)
def test_valkey_scheme_becomes_redis_scheme(url: str, redis_url: str) -> None:
    assert rate_limit._RedisCounter(url)._url == redis_url


def test_counter_in_valkey_expires(valkey: ValkeyServer, clock: ManualClock) -> None:
    limiter = RateLimiter(valkey.url)
    hit(limiter, clock)
    counter = limiter._redis_counter
    assert counter
    (key,) = counter._client.keys()
    assert 0 < counter._client.pttl(key) <= 2000


def test_concurrent_hits_are_counted_once_each(valkey: ValkeyServer, clock: ManualClock) -> None:
    limiters = [RateLimiter(valkey.url), RateLimiter(valkey.url)]
    with ThreadPoolExecutor(8) as pool:
        remaining = pool.map(
            lambda number: limiters[number % 2].hit("key", 100, 1, clock.now()).remaining,
            range(100),
        )
    assert sorted(remaining) == list(range(100))


class ManualTime:
    """Replaces the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def manual_time(monkeypatch: pytest.MonkeyPatch) -> ManualTime:
    manual_time = ManualTime()
    monkeypatch.setattr(rate_limit, "time", manual_time)
    return manual_time


def test_unreachable_valkey_means_local_counting_and_rare_warnings(
    valkey: ValkeyServer,
    clock: ManualClock,
    manual_time: ManualTime,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = RateLimiter(valkey.url), RateLimiter(valkey.url)
    assert (hit(first, clock), hit(second, clock)) == (2, 1)
    valkey.stop()
    assert [hit(first, clock) for _ in range(4)] == [2, 1, 0, -1]
    assert hit(second, clock) == 2
    assert capsys.readouterr().out.count(WARNING) == 2  # once by each limiter
    for _ in range(11):
        manual_time.now += rate_limit.REDIS_RETRY_SECONDS
        hit(first, clock)
    assert WARNING not in capsys.readouterr().out
    manual_time.now += rate_limit.REDIS_RETRY_SECONDS
    hit(first, clock)
    assert WARNING in capsys.readouterr().out


def test_returned_valkey_is_used_after_retry_interval(
    valkey: ValkeyServer, clock: ManualClock, manual_time: ManualTime
) -> None:
    first, second = RateLimiter(valkey.url), RateLimiter(valkey.url)
    hit(first, clock)
    valkey.stop()
    assert (hit(first, clock), hit(second, clock)) == (2, 2)
    valkey.start()
    assert (hit(first, clock), hit(second, clock)) == (1, 1)  # Redis is not retried yet
    manual_time.now += rate_limit.REDIS_RETRY_SECONDS
    assert (hit(first, clock), hit(second, clock)) == (2, 1)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


def test_silent_server_costs_one_short_timeout(silent_url: str, clock: ManualClock) -> None:
    limiter = RateLimiter(silent_url)
    started_at = time.perf_counter()
    assert hit(limiter, clock) == 2
    assert time.perf_counter() - started_at < 2  # 0.05 s, plus the delays of a busy machine
    called = threading.Event()
    assert limiter._redis_counter
    limiter._redis_counter._increment = lambda *_: called.set() or 1  # type: ignore[method-assign,func-returns-value]
    assert hit(limiter, clock) == 1
    assert not called.is_set()


# Requests of an ATS


@pytest.fixture
def token(services: Services) -> str:
    _, token = factories.create_account(services)
    with services.db.writing() as session:
        session.get_one(Account, 1).request_rate = 3
    return token


ListTests = Callable[[FlaskClient], TestResponse]


@pytest.fixture
def list_tests(token: str) -> ListTests:
    return lambda client: client.get("/tests", headers={"Authorization": f"Bearer {token}"})


def test_requests_beyond_rate_get_429_in_contract_format(
    client: FlaskClient, list_tests: ListTests, clock: ManualClock
) -> None:
    responses = [list_tests(client) for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    refused = responses[-1]
    assert json.loads(refused.text) == {
        "status": 429,
        "message": "Too many requests: at most 3 a second",
    }
    assert refused.headers["Retry-After"] == "1"
    clock.advance(SECOND)
    assert list_tests(client).status_code == 200


def test_responses_have_rate_limit_headers(
    client: FlaskClient, list_tests: ListTests, clock: ManualClock
) -> None:
    resets_at = str(int(clock.now().timestamp()) + 1)
    headers = [list_tests(client).headers for _ in range(5)]
    names = [f"X-Rate-Limit-{name}" for name in ("Limit", "Remaining", "Reset")]
    values = [[response_headers[name] for name in names] for response_headers in headers]
    assert values == [["3", remaining, resets_at] for remaining in ("2", "1", "0", "0", "0")]


def test_account_without_rate_is_never_refused(services: Services, client: FlaskClient) -> None:
    _, token = factories.create_account(services)
    for _ in range(50):
        response = client.get("/tests", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200
        assert not [name for name, _ in response.headers if name.startswith("X-Rate")]


def test_accounts_are_counted_separately(
    services: Services, client: FlaskClient, list_tests: ListTests
) -> None:
    _, other = factories.create_account(services, "Other")
    for _ in range(4):
        list_tests(client)
    response = client.get("/tests", headers={"Authorization": f"Bearer {other}"})
    assert response.status_code == 200


def test_servers_share_the_rate_of_an_account(
    services: Services, list_tests: ListTests, valkey: ValkeyServer
) -> None:
    clients = [
        create_app(replace(services, rate_limiter=RateLimiter(valkey.url))).test_client()
        for _ in range(2)
    ]
    codes = [list_tests(clients[number % 2]).status_code for number in range(6)]
    assert codes == [200, 200, 200, 429, 429, 429]


# People

REMOTE_ADDRESS = {"REMOTE_ADDR": "198.51.100.7", "HTTP_HOST": "provider.test"}


@pytest.mark.parametrize(
    "path",
    ["/c/x", "/r/x", "/r/x/report.pdf", "/s/x", "/s/x/report.pdf", "/console/sign-in"],
)
def test_too_many_page_requests_get_429_page(
    client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_rate_limit, "MAX_REQUESTS", 2)
    codes = [client.get(path, environ_overrides=REMOTE_ADDRESS).status_code for _ in range(3)]
    assert 429 not in codes[:2]
    refused = client.get(path, environ_overrides=REMOTE_ADDRESS)
    assert refused.status_code == 429
    assert refused.mimetype == "text/html"
    assert "Too many requests" in refused.text
    assert refused.headers["Retry-After"] == "60"
    other_address = client.get(
        path, environ_overrides=REMOTE_ADDRESS | {"REMOTE_ADDR": "198.51.100.8"}
    )
    assert other_address.status_code != 429


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_page_requests_are_counted_by_network(address: str, network: str) -> None:
    assert page_rate_limit._rate_limit_network(address) == network


def test_page_requests_behind_proxy_are_counted_by_client_address(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_rate_limit, "MAX_REQUESTS", 1)
    settings = replace(services.settings, trusted_proxies=1, base_url="http://localhost")
    secure = replace(services, settings=settings)
    client = create_app(secure).test_client()

    def status(address: str) -> int:
        headers = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
        return client.get("/r/x", headers=headers).status_code

    assert [status("198.51.100.7"), status("198.51.100.8")] == [404, 404]
    assert [status("198.51.100.7"), status("203.0.113.9, 198.51.100.8")] == [429, 429]
