"""Answers as bytes: however they are cut up, and whatever they are."""

from itertools import chain, pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.delivery.http.wire import MOST_READ, HungUp, NotHttp, Reader, Reply, request

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


@pytest.mark.parametrize(
    "length", [b"Content-Length: 1000000000", b"Content-Length: " + b"9" * 5000, b"X: 1"]
)
def test_no_more_is_read_than_the_cap(length: bytes) -> None:
    pieces = chain([b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % length], repeat(b"x" * 1000))
    reader = Reader(lambda: next(pieces))
    reply = reader.reply()
    assert (reply.code, reply.again) == (200, False)
    assert MOST_READ <= reader.total < MOST_READ + 1000


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 204 Fine", True),
        (b"HTTP/1.1 204 Fine\r\nConnection: keep-alive", True),
        (b"HTTP/1.1 204 Fine\r\nConnection: Close", False),
        (b"HTTP/1.0 204 Fine", False),
        (b"HTTP/1.1 200 Fine", False),
    ],
)
def test_a_connection_is_used_again_only_where_both_sides_say_so(first: bytes, again: bool) -> None:
    assert read([first + b"\r\n\r\n"]).again is again


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("came", "body", "again"),
    [
        (b"1A\r\n%b\r\nf;x=1\r\n%b\r\n00\r\n\r\n" % (b"x" * 26, b"x" * 15), b"x" * 41, True),
        (b"2\r\nok\r\n0\r\n\r\nmore", b"ok", False),
        (b"2\r\nok\r\nsoon\r\n", b"ok", False),
        (b"2\r\nok\r\n0\r\nA: 1\r\nB: 2\r\n", b"ok", False),
        (b"5\r\nok", b"ok", False),
    ],
)
def test_chunks_are_counted_in_hexadecimal_and_end_with_an_empty_one(
    came: bytes, body: bytes, again: bool
) -> None:
    reply = read([CHUNKED, came])
    assert (reply.code, reply.body, reply.again) == (200, body, again)


@pytest.mark.parametrize(
    ("came", "body", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", b"ok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", b"ok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.1 304 As it was\r\nContent-Length: 2\r\n\r\n", b"", True),
    ],
)
def test_a_body_is_as_long_as_it_says_and_nothing_may_follow(
    came: bytes, body: bytes, again: bool
) -> None:
    reply = read([came])
    assert (reply.body, reply.again) == (body, again)


@pytest.mark.parametrize(("first", "told"), [(100, 204), (101, 101), (102, 204), (199, 204)])
def test_what_is_said_ahead_of_an_answer_is_not_it(first: int, told: int) -> None:
    reply = read([b"HTTP/1.1 %d Soon\r\n\r\nHTTP/1.1 204 Done\r\n\r\n" % first])
    assert (reply.code, reply.again) == (told, told == 204)


def test_headers_of_one_name_are_one_and_folded_lines_go_on() -> None:
    head = (
        b"HTTP/1.1 204 Fine: yes\r\n lost\r\nA: 1\r\na:2\r\nB : x\r\n\ty\r\nnothing\r\n: 3\r\n\r\n"
    )
    assert read([head]).headers == {"a": "1, 2", "b": "x y", "": "3"}


@pytest.mark.parametrize(
    "came",
    [b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 099 No\r\n\r\n", b"HTTP/1.1 2000\r\n\r\n", b"HTTQ"],
)
def test_what_is_not_http_is_known_by_its_first_line(came: bytes) -> None:
    with pytest.raises(NotHttp, match=r"^The receiver's answer is not HTTP$"):
        read([came])


@pytest.mark.parametrize("sign", ["\n", "\r", "\r\n", "\0"])
@pytest.mark.parametrize("where", ["target", "host", "name", "value"])
def test_no_part_of_a_request_breaks_out_of_its_line(where: str, sign: str) -> None:
    said = {"target": "/", "host": "a.test", "name": "A", "value": "1"}
    said[where] += f"{sign}B: 2"
    with pytest.raises(ValueError, match="line break"):
        request("PUT", said["target"], said["host"], {said["name"]: said["value"]}, b"")


def test_a_request_is_its_head_and_its_body() -> None:
    assert request("PUT", "/x?y", "a.test", {"A": "\xe9"}, b"{}") == (
        b"PUT /x?y HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: identity\r\nA: \xe9\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
