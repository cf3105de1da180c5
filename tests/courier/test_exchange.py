import json
from collections.abc import Iterator

import pytest

from provider.ats import Request
from provider.courier.exchange import Exchange
from tests.fake_ats import FakeAts


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    made = Exchange(private=True)
    yield made
    made.close()


def put(url: str) -> Request:
    return Request("PUT", url, {"Authorization": "Bearer cb-token"})


def test_a_request_arrives_as_it_was_given(exchange: Exchange, ats: FakeAts) -> None:
    answer = exchange.send(put(f"{ats.url}/a/1?b=2"), b'{"a": 1}', {"X-One": "1"})
    assert (answer.code, json.loads(answer.body)) == (200, {})
    assert answer.headers["content-length"] == "2"
    (came,) = ats.received
    assert (came.method, came.path, came.json) == ("PUT", "/a/1?b=2", {"a": 1})
    assert came.headers == {
        "Host": ats.url.removeprefix("http://"),
        "Accept-Encoding": "identity",
        "Authorization": "Bearer cb-token",
        "X-One": "1",
        "Content-Length": "8",
    }
