"""What every dialect can do: serve its endpoints, render news, address it, judge the answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy.orm import Session

from provider.core.accounts import Caller
from provider.core.orders import COMPLETED, PDF, REPORT
from provider.core.orders.queries import ResultView, get_current_result, get_order_status
from provider.core.urls import UrlBuilder
from provider.outbox import Outcome
from provider.storage.compiled import RawConnection
from provider.storage.secrets import SecretBox

if TYPE_CHECKING:  # workers load no Flask
    from flask import Flask

    from provider.ats.http_api import ContractApi

TOKEN_REJECTED_STATUS_CODES = (401, 403)
REJECTION_THRESHOLD = (
    3  # for an answer that says no: a deploy over there is no reason to wake a person
)
DEFAULT_QUEUE_PAUSE = timedelta(
    seconds=30
)  # for a lane that is told that it is too much, and not for how long
MAX_RETRY_AFTER = timedelta(hours=24)  # that a Retry-After may ask for, for its message
MAX_QUEUE_PAUSE = timedelta(hours=1)  # that a whole lane is left alone when it asks for that


@dataclass(frozen=True)
class StatusUpdate:
    """What an ATS may learn of an order at one revision, in our words."""

    kind: str
    status: str
    reply_context: dict[str, Any]
    options: Mapping[str, Any]
    result: ResultView | None = None
    report_url: str | None = None
    pdf_url: str | None = None

    @classmethod
    def for_poll(
        cls,
        connection: Session | RawConnection,
        secret_box: SecretBox,
        links: UrlBuilder,
        kind: str,
        order_id: str,
        caller: Caller,
    ) -> "StatusUpdate":
        """Return the news of a caller's order as it stands, without a way to reply; NotFound."""
        status = get_order_status(connection, kind, order_id, caller.account_id)
        news = cls(kind, status, {}, caller.options)
        found = (
            get_current_result(connection, secret_box, order_id, caller.account_id)
            if status == COMPLETED
            else None
        )
        return news.with_result(*found, links) if found else news

    def with_result(
        self, result: ResultView, tokens: Mapping[str, str], links: UrlBuilder
    ) -> "StatusUpdate":
        """Return the same with a result, and the addresses for which there are tokens."""
        return replace(
            self,
            result=result,
            report_url=links.report(tokens[REPORT]) if REPORT in tokens else None,
            pdf_url=links.pdf(tokens[PDF]) if PDF in tokens else None,
        )


@dataclass(frozen=True)
class CallbackRequest:
    """What is to be sent; the token is added at sending and kept nowhere."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CallbackResponse:
    """What came back: the status code, headers, and the beginning of the body."""

    status_code: int
    headers: Mapping[str, str]
    body: str = ""


class AtsAdapter(ABC):
    """How one ATS speaks."""

    name: ClassVar[str]
    options: ClassVar[dict[str, str]] = {}  # per-account switches and what they do

    default_callback_hosts: ClassVar[
        tuple[str, ...]
    ] = ()  # where callbacks may go unless an account says else

    @abstractmethod
    def register_routes(self, app: "Flask", api: "ContractApi") -> None:
        """Add the endpoints that this ATS calls, and their description."""

    @abstractmethod
    def render(self, update: StatusUpdate) -> bytes:
        """Write the body of a callback."""

    @abstractmethod
    def build_request(self, reply_context: Mapping[str, Any], token: str | None) -> CallbackRequest:
        """Say where a callback goes, and with which credentials."""

    def classify_response(
        self, response: CallbackResponse, past_status_codes: Sequence[int | None], now: datetime
    ) -> Outcome:
        """Judge an answer: done, again (when), or never.

        `past` are the codes of earlier tries, the latest first, as far as they say something of
        this message: not those at which nothing else of its account went through either.
        """
        code, rest = response.status_code, parse_rate_limit_pause(response.headers, now)
        seen: dict[str, Any] = {"status_code": code, "response_excerpt": response.body}
        if 200 <= code < 300:
            return Outcome("delivered", pause_duration=rest, **seen)
        if code == 410:
            error = "The ATS says that this order is gone"
            return Outcome("rejected", error=error, pause_duration=rest, **seen)
        if code in TOKEN_REJECTED_STATUS_CODES and not (
            past_status_codes and past_status_codes[0] in TOKEN_REJECTED_STATUS_CODES
        ):
            # It is due at once: the account is held, until a new token or a try that succeeds.
            error = f"The ATS refuses the account's callback token with {code}"
            later = timedelta(0)
            return Outcome(
                "retry", later, error=error, failure_scope="account", pause_duration=rest, **seen
            )
        wait = parse_retry_after(response.headers, now)
        if code == 429:
            # The lane's matter, not the host's: other accounts may have more to say there.
            rest = max(min(wait or DEFAULT_QUEUE_PAUSE, MAX_QUEUE_PAUSE), rest or timedelta(0))
            return Outcome("retry", wait, pause_duration=rest, **seen)
        if not _is_rejection(code):
            return Outcome("retry", wait, failure_scope="destination", pause_duration=rest, **seen)
        said_no = 1 + sum(1 for _ in takewhile(_is_rejection, past_status_codes))
        word, error = (
            "rejected" if said_no >= REJECTION_THRESHOLD else "retry",
            f"The ATS refuses with {code}",
        )
        return Outcome(word, error=error, pause_duration=rest, **seen)


def _is_rejection(status_code: int | None) -> bool:
    """Say whether an answer says no to a message, rather than not now."""
    return status_code is not None and status_code < 500 and status_code not in (408, 425, 429)


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read `Retry-After` (RFC 9110, 10.2.3): seconds or a date; None when absent or unreadable.

    None too for no wait at all, e.g. where clocks differ: then the schedule knows better.
    """
    text = _get_header(headers, "retry-after")
    try:
        wait = (
            timedelta(seconds=int(text[:9]))
            if text.isascii() and text.isdigit()
            else parsedate_to_datetime(text) - now
        )
    except (TypeError, ValueError, OverflowError):
        return None
    return min(wait, MAX_RETRY_AFTER) if wait > timedelta(0) else None


def parse_rate_limit_pause(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read `X-Rate-Limit-Remaining` and `-Reset` (Unix seconds): how long to leave it alone.

    None while something remains, or where nothing sensible is said.
    """
    remaining, reset = (
        _get_header(headers, f"x-rate-limit-{name}") for name in ("remaining", "reset")
    )
    if not remaining.isascii() or not reset.isascii():
        return None
    if not remaining.isdigit() or not reset.isdigit() or int(remaining[:9]) > 0:
        return None
    wait = timedelta(seconds=int(reset[:12]) - now.timestamp())
    return min(wait, MAX_QUEUE_PAUSE) if wait > timedelta(0) else None


def _get_header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "").strip()
