"""How often somebody may come: in one process, and in all together."""

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
from provider.web import rate_limit as pace
from tests import factories
from tests.factories import ManualClock
from tests.valkey_server import ValkeyServer, valkey

__all__ = ["valkey"]
SECOND = timedelta(seconds=1)
SAID = "does not answer; this process counts for itself"


def left(counting: RateLimiter, clock: ManualClock, who: str = "who") -> int:
    return counting.hit(who, 3, 1, clock.now()).remaining


# One process


def test_so_many_may_come_in_a_second_and_the_next_begins_anew(clock: ManualClock) -> None:
    counting = RateLimiter()
    assert [left(counting, clock) for _ in range(4)] == [2, 1, 0, -1]
    assert left(counting, clock, "another") == 2
    clock.advance(SECOND)
    assert left(counting, clock) == 2


def test_windows_of_other_lengths_are_others(clock: ManualClock) -> None:
    counting = RateLimiter()
    assert counting.hit("who", 3, 1, clock.now()).remaining == 2
    assert counting.hit("who", 3, 60, clock.now()).remaining == 2
    clock.advance(SECOND)
    assert counting.hit("who", 3, 60, clock.now()).remaining == 1


def test_who_is_late_for_a_window_does_not_begin_it_anew(clock: ManualClock) -> None:
    counting = RateLimiter()
    before = clock.now()
    clock.advance(SECOND)
    assert left(counting, clock) == 2
    assert counting.hit("who", 3, 1, before).remaining == 1
    assert left(counting, clock) == 0


@pytest.mark.parametrize(("after", "wait"), [(0, 60), (0.5, 60), (59, 1), (59.9, 1)])
def test_the_wait_ends_when_the_next_window_has_begun(
    clock: ManualClock, after: float, wait: int
) -> None:
    at = clock.now() + timedelta(seconds=after)
    room = RateLimiter().hit("who", 3, 60, at)
    assert room.resets_at == int(clock.now().timestamp()) + 60
    assert room.seconds_until_reset(at) == wait


# Many processes


def test_two_processes_count_together(valkey: ValkeyServer, clock: ManualClock) -> None:
    one, two = RateLimiter(valkey.url), RateLimiter(valkey.url)
    assert [left(each, clock) for each in (one, two, one, two)] == [2, 1, 0, -1]
    clock.advance(SECOND)
    assert (left(two, clock), left(one, clock)) == (2, 1)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("valkeys://cache.test/1", "rediss://cache.test/1"),
        ("redis://valkey.test", "redis://valkey.test"),
    ],
)
def test_the_scheme_alone_says_which_of_the_two_it_is(told: str, asked: str) -> None:
    assert rate_limit._RedisCounter(told)._url == asked


def test_what_is_counted_is_not_kept(valkey: ValkeyServer, clock: ManualClock) -> None:
    counting = RateLimiter(valkey.url)
    left(counting, clock)
    shared = counting._redis_counter
    assert shared
    (key,) = shared._client.keys()
    assert 0 < shared._client.pttl(key) <= 2000


def test_many_at_once_are_each_counted_once(valkey: ValkeyServer, clock: ManualClock) -> None:
    both = [RateLimiter(valkey.url), RateLimiter(valkey.url)]
    with ThreadPoolExecutor(8) as pool:
        rooms = pool.map(
            lambda n: both[n % 2].hit("who", 100, 1, clock.now()).remaining, range(100)
        )
    assert sorted(rooms) == list(range(100))


class Watch:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(rate_limit, "time", watch)
    return watch


def test_while_it_does_not_answer_each_counts_for_itself_and_says_so_seldom(
    valkey: ValkeyServer, clock: ManualClock, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = RateLimiter(valkey.url), RateLimiter(valkey.url)
    assert (left(one, clock), left(two, clock)) == (2, 1)
    valkey.stop()
    assert [left(one, clock) for _ in range(4)] == [2, 1, 0, -1]
    assert left(two, clock) == 2
    assert capsys.readouterr().out.count(SAID) == 2  # once each
    for _ in range(11):
        watch.now += rate_limit.REDIS_RETRY_SECONDS
        left(one, clock)
    assert SAID not in capsys.readouterr().out
    watch.now += rate_limit.REDIS_RETRY_SECONDS
    left(one, clock)
    assert SAID in capsys.readouterr().out


def test_they_count_together_again_when_it_is_back(
    valkey: ValkeyServer, clock: ManualClock, watch: Watch
) -> None:
    one, two = RateLimiter(valkey.url), RateLimiter(valkey.url)
    left(one, clock)
    valkey.stop()
    assert (left(one, clock), left(two, clock)) == (2, 2)
    valkey.start()
    assert (left(one, clock), left(two, clock)) == (1, 1)  # it is left alone for a while
    watch.now += rate_limit.REDIS_RETRY_SECONDS
    assert (left(one, clock), left(two, clock)) == (2, 1)


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


def test_one_that_says_nothing_keeps_nobody_waiting(mute: str, clock: ManualClock) -> None:
    counting = RateLimiter(mute)
    began = time.perf_counter()
    assert left(counting, clock) == 2
    assert time.perf_counter() - began < 2  # of a machine that is busy; 0.05 s are waited
    asked = threading.Event()
    assert counting._redis_counter
    counting._redis_counter._increment = lambda *_: asked.set() or 1  # type: ignore[method-assign,func-returns-value]
    assert left(counting, clock) == 1
    assert not asked.is_set()


# The ATS's calls


@pytest.fixture
def token(services: Services) -> str:
    _, token = factories.create_account(services)
    with services.db.writing() as session:
        session.get_one(Account, 1).request_rate = 3
    return token


Call = Callable[[FlaskClient], TestResponse]


@pytest.fixture
def call(token: str) -> Call:
    return lambda client: client.get("/tests", headers={"Authorization": f"Bearer {token}"})


def test_calls_beyond_the_rate_are_refused_in_the_contracts_words(
    client: FlaskClient, call: Call, clock: ManualClock
) -> None:
    answers = [call(client) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert json.loads(refused.text) == {
        "status": 429,
        "message": "Too many requests: at most 3 a second",
    }
    assert refused.headers["Retry-After"] == "1"
    clock.advance(SECOND)
    assert call(client).status_code == 200


def test_every_answer_says_what_is_left(
    client: FlaskClient, call: Call, clock: ManualClock
) -> None:
    soon = str(int(clock.now().timestamp()) + 1)
    headers = [call(client).headers for _ in range(5)]
    names = [f"X-Rate-Limit-{name}" for name in ("Limit", "Remaining", "Reset")]
    said = [[each[name] for name in names] for each in headers]
    assert said == [["3", left, soon] for left in ("2", "1", "0", "0", "0")]


def test_an_account_without_a_rate_is_never_refused(
    services: Services, client: FlaskClient
) -> None:
    _, token = factories.create_account(services)
    for _ in range(50):
        answer = client.get("/tests", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert not [name for name, _ in answer.headers if name.startswith("X-Rate")]


def test_accounts_are_counted_apart(services: Services, client: FlaskClient, call: Call) -> None:
    _, other = factories.create_account(services, "Other")
    for _ in range(4):
        call(client)
    answer = client.get("/tests", headers={"Authorization": f"Bearer {other}"})
    assert answer.status_code == 200


def test_two_servers_refuse_what_is_too_much_of_both(
    services: Services, call: Call, valkey: ValkeyServer
) -> None:
    clients = [
        create_app(replace(services, rate_limiter=RateLimiter(valkey.url))).test_client()
        for _ in range(2)
    ]
    codes = [call(clients[number % 2]).status_code for number in range(6)]
    assert codes == [200, 200, 200, 429, 429, 429]


# People

FROM = {"REMOTE_ADDR": "198.51.100.7"}


@pytest.mark.parametrize(
    "path",
    ["/c/x", "/r/x", "/r/x/report.pdf", "/s/x", "/s/x/report.pdf", "/console/sign-in"],
)
def test_whoever_knocks_without_end_reads_that_it_was_too_often(
    client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MAX_REQUESTS", 2)
    codes = [client.get(path, environ_overrides=FROM).status_code for _ in range(3)]
    assert 429 not in codes[:2]
    refused = client.get(path, environ_overrides=FROM)
    assert refused.status_code == 429
    assert refused.mimetype == "text/html"
    assert "Too many requests" in refused.text
    assert refused.headers["Retry-After"] == "60"
    elsewhere = client.get(path, environ_overrides={"REMOTE_ADDR": "198.51.100.8"})
    assert elsewhere.status_code != 429


@pytest.mark.parametrize(
    ("address", "counted"),
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
def test_an_address_is_whoever_may_use_it(address: str, counted: str) -> None:
    assert pace._rate_limit_network(address) == counted


def test_behind_a_proxy_each_visitor_is_counted(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MAX_REQUESTS", 1)
    secure = replace(
        services, settings=replace(services.settings, base_url="https://provider.test")
    )
    client = create_app(secure).test_client()

    def code(address: str) -> int:
        told = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
        return client.get("/r/x", headers=told).status_code

    assert [code("198.51.100.7"), code("198.51.100.8")] == [404, 404]
    assert [code("198.51.100.7"), code("203.0.113.9, 198.51.100.8")] == [429, 429]
