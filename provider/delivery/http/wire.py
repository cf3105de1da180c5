"""HTTP/1.1 as bytes: one request out, the beginning of one answer in.

Written out, for the standard library parses headers as e-mail, which alone costs several times as
much as all of this, and its timeouts are for one read, not for an answer.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MOST_READ = 64 * 1024  # bytes of an answer that are read, headers and all

STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: |\r|\n|$)")
HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\s*(?:;.*)?\r?\n")
NO_BODY = (204, 304)
INTERIM = (100, *range(102, 200))  # 101 would be the last word, though nobody asked for it
TO_THE_END = 10**12  # bytes: more than is ever read, so that such a body has no seen end


class NotHttp(Exception):
    """What came is not an answer; the message is safe to show."""


class HungUp(Exception):
    """The other side closed before it had said all."""


class _Enough(Exception):
    """All was read that is read of an answer."""


@dataclass(frozen=True)
class Reply:
    """An answer; `again` says that its connection can be used for another request."""

    code: int
    headers: dict[str, str]
    body: bytes
    again: bool


def request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of a request; ValueError where a header would break out of its line."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}",
    ]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise ValueError("A header holds a line break")
    return head.encode("latin-1") + b"\r\n\r\n" + body


class Reader:
    """Reads one answer from `receive`, which returns what has come, b"" at the end, or raises."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._came = b""  # and was not used yet
        self.total = 0

    def reply(self) -> Reply:
        """Read an answer; once its headers are there it counts, however its body ends.

        Raises NotHttp, HungUp, and what `receive` raises, before that.
        """
        code, newer, headers = self._head()
        while code in INTERIM:
            code, newer, headers = self._head()
        body = bytearray()
        try:
            whole = self._body(code, headers, body)
        except (_Enough, HungUp, OSError):
            whole = False
        stays = newer and "close" not in headers.get("connection", "").lower()
        return Reply(code, headers, bytes(body), again=whole and stays and not self._came)

    def _head(self) -> tuple[int, bool, dict[str, str]]:
        looked = 0
        while not (end := HEAD_ENDS.search(self._came, max(0, looked - 3))):
            looked = len(self._came)
            try:
                self._more()
            except _Enough:
                raise NotHttp("The receiver's answer has too many headers") from None
            if self._came[:5] != b"HTTP/"[: len(self._came)]:
                break
        status = STATUS.match(self._came)
        if not end or not status:
            raise NotHttp("The receiver's answer is not HTTP")
        lines = self._came[: end.start()].decode("latin-1").split("\n")[1:]
        self._came = self._came[end.end() :]
        return int(status[2]), status[1] == b"1", _headers(lines)

    def _body(self, code: int, headers: dict[str, str], body: bytearray) -> bool:
        """Read a body into `body`; say whether its end was seen."""
        if code in NO_BODY:
            return True
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunks(body)
        length = headers.get("content-length", "")
        known = length.isascii() and length.isdigit()
        return self._take(int(length[:9]) if known else TO_THE_END, body)

    def _take(self, count: int, body: bytearray) -> bool:
        while True:
            part = self._came[:count]
            body += part
            count -= len(part)
            self._came = self._came[len(part) :]
            if not count:
                return True
            self._more()

    def _chunks(self, body: bytearray) -> bool:
        while size := CHUNK.fullmatch(self._line()):
            if not int(size[1], 16):
                while self._line().strip():
                    """A trailer says nothing to us."""
                return True
            self._take(int(size[1], 16), body)
            self._line()
        return False

    def _line(self) -> bytes:
        while (end := self._came.find(b"\n") + 1) == 0:
            self._more()
        line, self._came = self._came[:end], self._came[end:]
        return line

    def _more(self) -> None:
        if self.total >= MOST_READ:
            raise _Enough
        came = self._receive()
        if not came:
            raise HungUp
        self.total += len(came)
        self._came += came


def _headers(lines: list[str]) -> dict[str, str]:
    """Return headers by their lower-case names; one that cannot be read is left out."""
    headers: dict[str, str] = {}
    last = ""
    for line in lines:
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and last:  # a folded line goes on with the one before
            headers[last] += f" {line.strip()}"
        elif colon:
            last, value = name.strip().lower(), value.strip()
            headers[last] = f"{headers[last]}, {value}" if last in headers else value
    return headers
