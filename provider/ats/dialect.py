"""What every dialect can do: serve its endpoints, render news, address it, judge the answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import takewhile
from typing import Any, ClassVar

from flask import Flask
from sqlalchemy.orm import Session

from provider.accounts import Caller
from provider.ats.api import ContractApi
from provider.links import Links
from provider.orders import COMPLETED, PDF, REPORT
from provider.orders.glance import Shown, result_of, status_of
from provider.outbox import Outcome
from provider.statements import Glance
from provider.vault import Vault

TOKEN_REFUSED = (401, 403)
TRIES = 3  # for an answer that says no: a deploy over there is no reason to wake a person
QUIET = timedelta(seconds=30)  # for a lane that is told that it is too much, and not for how long
LONGEST_WAIT = timedelta(hours=24)  # that a Retry-After may ask for, for its message
LONGEST_REST = timedelta(hours=1)  # that a whole lane is left alone when it asks for that


@dataclass(frozen=True)
class News:
    """What an ATS may learn of an order at one revision, in our words."""

    kind: str
    status: str
    reply: dict[str, Any]
    switches: Mapping[str, Any]
    result: Shown | None = None
    report_url: str | None = None
    pdf_url: str | None = None

    @classmethod
    def standing(
        cls,
        door: Session | Glance,
        keeper: Vault,
        links: Links,
        kind: str,
        order_id: str,
        caller: Caller,
    ) -> "News":
        """Return the news of a caller's order as it stands, without a way to reply; NotFound."""
        status = status_of(door, kind, order_id, caller.account_id)
        news = cls(kind, status, {}, caller.switches)
        found = (
            result_of(door, keeper, order_id, caller.account_id) if status == COMPLETED else None
        )
        return news.completed(*found, links) if found else news

    def completed(self, result: Shown, tokens: Mapping[str, str], links: Links) -> "News":
        """Return the same with a result, and the addresses for which there are tokens."""
        return replace(
            self,
            result=result,
            report_url=links.report(tokens[REPORT]) if REPORT in tokens else None,
            pdf_url=links.pdf(tokens[PDF]) if PDF in tokens else None,
        )


@dataclass(frozen=True)
class Request:
    """What is to be sent; the token is added at sending and kept nowhere."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back: the status code, headers, and the beginning of the body."""

    code: int
    headers: Mapping[str, str]
    body: str = ""


class Dialect(ABC):
    """How one ATS speaks."""

    name: ClassVar[str]
    switches: ClassVar[dict[str, str]] = {}  # per-account switches and what they do

    hosts: ClassVar[tuple[str, ...]] = ()  # where callbacks may go unless an account says else

    @abstractmethod
    def serve(self, app: Flask, api: ContractApi) -> None:
        """Add the endpoints that this ATS calls, and their description."""

    @abstractmethod
    def render(self, news: News) -> bytes:
        """Write the body of a callback."""

    @abstractmethod
    def address(self, reply: Mapping[str, Any], token: str | None) -> Request:
        """Say where a callback goes, and with which credentials."""

    def judge(self, answer: Answer, past: Sequence[int | None], at: datetime) -> Outcome:
        """Judge an answer: done, again (when), or never.

        `past` are the codes of earlier tries, the latest first, as far as they say something of
        this message: not those at which nothing else of its account went through either.
        """
        code, rest = answer.code, rate_limit(answer.headers, at)
        seen: dict[str, Any] = {"code": code, "answer": answer.body}
        if 200 <= code < 300:
            return Outcome("done", rest=rest, **seen)
        if code == 410:
            error = "The ATS says that this order is gone"
            return Outcome("never", error=error, rest=rest, **seen)
        if code in TOKEN_REFUSED and not (past and past[0] in TOKEN_REFUSED):
            # It is due at once: the account is held, until a new token or a try that succeeds.
            error = f"The ATS refuses the account's callback token with {code}"
            later = timedelta(0)
            return Outcome("again", later, error=error, blame="account", rest=rest, **seen)
        wait = retry_after(answer.headers, at)
        if code == 429:
            # The lane's matter, not the host's: other accounts may have more to say there.
            rest = max(min(wait or QUIET, LONGEST_REST), rest or timedelta(0))
            return Outcome("again", wait, rest=rest, **seen)
        if not _refuses(code):
            return Outcome("again", wait, blame="route", rest=rest, **seen)
        said_no = 1 + sum(1 for _ in takewhile(_refuses, past))
        word, error = "never" if said_no >= TRIES else "again", f"The ATS refuses with {code}"
        return Outcome(word, error=error, rest=rest, **seen)


def _refuses(code: int | None) -> bool:
    """Say whether an answer says no to a message, rather than not now."""
    return code is not None and code < 500 and code not in (408, 425, 429)


def retry_after(headers: Mapping[str, str], at: datetime) -> timedelta | None:
    """Read `Retry-After` (RFC 9110, 10.2.3): seconds or a date; None when absent or unreadable.

    None too for no wait at all, e.g. where clocks differ: then the schedule knows better.
    """
    text = _header(headers, "retry-after")
    try:
        wait = (
            timedelta(seconds=int(text[:9])) if text.isascii() and text.isdigit()
            else parsedate_to_datetime(text) - at
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError):
        return None
    return min(wait, LONGEST_WAIT) if wait > timedelta(0) else None


def rate_limit(headers: Mapping[str, str], at: datetime) -> timedelta | None:
    """Read `X-Rate-Limit-Remaining` and `-Reset` (Unix seconds): how long to leave it alone.

    None while something remains, or where nothing sensible is said.
    """
    remaining, reset = (_header(headers, f"x-rate-limit-{name}") for name in ("remaining", "reset"))
    if not remaining.isascii() or not reset.isascii():
        return None
    if not remaining.isdigit() or not reset.isdigit() or int(remaining[:9]) > 0:
        return None
    wait = timedelta(seconds=int(reset[:12]) - at.timestamp())
    return min(wait, LONGEST_REST) if wait > timedelta(0) else None


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "").strip()
