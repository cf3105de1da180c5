"""What every dialect can do: serve its endpoints, render news, address it, judge the answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
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

TRIES = 3  # for an answer that says no: a deploy over there is no reason to wake a person
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

    def judge(self, answer: Answer, attempts: int, at: datetime) -> Outcome:
        """Judge an answer after `attempts` earlier tries: done, again (when), or never."""
        code, rest = answer.code, rate_limit(answer.headers, at)
        seen: dict[str, Any] = {"code": code, "answer": answer.body, "rest": rest}
        if 200 <= code < 300:
            return Outcome("done", **seen)
        if code == 410:
            return Outcome("never", error="The ATS says that this order is gone", **seen)
        if code in (401, 403):
            # It is due at once: the account is held, until a new token or a try that succeeds.
            refused = f"The ATS refuses the account's callback token with {code}"
            return Outcome("again", after=timedelta(0), error=refused, blame="account", **seen)
        if code in (408, 425, 429) or code >= 500:
            wait = retry_after(answer.headers, at)
            if code == 429 and wait:
                seen["rest"] = max(min(wait, LONGEST_REST), rest or wait * 0)
            return Outcome("again", after=wait, blame="route", **seen)
        word = "never" if attempts + 1 >= TRIES else "again"
        return Outcome(word, error=f"The ATS refuses with {code}", **seen)


def retry_after(headers: Mapping[str, str], at: datetime) -> timedelta | None:
    """Read `Retry-After` (RFC 9110, 10.2.3): seconds or a date; None when absent or unreadable."""
    text = _header(headers, "retry-after")
    try:
        wait = (
            timedelta(seconds=int(text[:9])) if text.isascii() and text.isdigit()
            else parsedate_to_datetime(text) - at
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


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
