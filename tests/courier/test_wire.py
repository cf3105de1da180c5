"""Answers as bytes: however they are cut up, and whatever they are."""

from itertools import chain, pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.courier.wire import MOST_READ, HungUp, NotHttp, Reader, Reply

ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\no\r\n1\r\nk\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.1 200\nX: a\n b\nContent-Length: 2\n\nok",
    b"HTTP/1.1 103 Early\r\nX: 1\r\n\r\nHTTP/1.1 100 \r\n\r\nHTTP/1.0 200 OK\r\n\r\nok",
]


def read(pieces: list[bytes]) -> Reply:
    """Read an answer that comes in pieces."""
    left = iter(pieces)
    return Reader(lambda: next(left, b"")).reply()


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_comes_byte_by_byte_is_the_same(answer: bytes) -> None:
    whole = read([answer])
    assert (whole.code, whole.body) == (200, b"ok")
    assert read([answer[at : at + 1] for at in range(len(answer))]) == whole


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(ANSWERS), st.sets(st.integers(1, 60)))
def test_an_answer_is_the_same_wherever_it_is_cut(answer: bytes, cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(answer)), len(answer)]
    pieces = [answer[a:b] for a, b in pairwise(edges)]
    assert read(pieces) == read([answer])


@settings(deadline=None)  # the machine may be busy
@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", *(answer[:-3] for answer in ANSWERS)]),
    st.sampled_from([b"", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n\r\n"]),
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
)
def test_no_bytes_do_harm(beginning: bytes, middle: bytes, rest: list[bytes]) -> None:
    try:
        reply = read([part for part in (beginning, middle, *rest) if part])
    except (NotHttp, HungUp):
        return
    assert 100 <= reply.code <= 999


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"X: 1"])
def test_no_more_is_read_than_the_cap(length: bytes) -> None:
    pieces = chain([b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length], repeat(b"x" * 1000))
    reader = Reader(lambda: next(pieces))
    reply = reader.reply()
    assert (reply.code, reply.again) == (200, False)
    assert MOST_READ <= reader.total < MOST_READ + 1000


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 204 Fine", True), (b"HTTP/1.1 204 Fine\r\nConnection: keep-alive", True),
        (b"HTTP/1.1 204 Fine\r\nConnection: Close", False), (b"HTTP/1.0 204 Fine", False),
        (b"HTTP/1.1 200 Fine", False),
    ],
)  # fmt: skip
def test_a_connection_is_used_again_only_where_both_sides_say_so(first: bytes, again: bool) -> None:
    assert read([first + b"\r\n\r\n"]).again is again
