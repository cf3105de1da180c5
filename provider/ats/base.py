"""The interface of every adapter.

An adapter registers endpoints, renders status updates, builds requests and classifies responses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy.orm import Session

from provider.ats.api import AtsApi
from provider.ats.settings import Setting
from provider.core.accounts import Caller
from provider.core.kinds import KINDS
from provider.core.orders import COMPLETED, PDF, REPORT
from provider.core.orders.queries import ResultView, get_current_result, get_order_status
from provider.core.urls import UrlBuilder
from provider.outbox import Outcome
from provider.storage.compiled import RawConnection
from provider.storage.secrets import SecretBox

if TYPE_CHECKING:  # a worker must not load Flask
    from flask import Flask

    from provider.ats.http_api import ContractApi

TOKEN_REJECTED_STATUS_CODES = (401, 403)
# Rejections in a row that make a message fail: one or two may come from a deployment at the ATS.
REJECTION_THRESHOLD = 3
DEFAULT_QUEUE_PAUSE = timedelta(seconds=30)  # after a 429 without a usable Retry-After
MAX_RETRY_AFTER = timedelta(hours=24)  # the longest wait that Retry-After sets for one message
MAX_QUEUE_PAUSE = timedelta(hours=1)  # the longest pause that an ATS sets for a whole queue


@dataclass(frozen=True)
class StatusUpdate:
    """An order's status and result at one revision, before an adapter renders them."""

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
        urls: UrlBuilder,
        kind: str,
        order_id: str,
        caller: Caller,
    ) -> "StatusUpdate":
        """Return the current update of a caller's order, without reply context; NotFound."""
        status = get_order_status(connection, kind, order_id, caller.account_id)
        update = cls(kind, status, {}, caller.options)
        result_and_tokens = (
            get_current_result(connection, secret_box, order_id, caller.account_id)
            if status == COMPLETED
            else None
        )
        return update.with_result(*result_and_tokens, urls) if result_and_tokens else update

    def with_result(
        self, result: ResultView, tokens: Mapping[str, str], urls: UrlBuilder
    ) -> "StatusUpdate":
        """Return a copy with a result and a URL for each purpose in `tokens`."""
        return replace(
            self,
            result=result,
            report_url=urls.report(tokens[REPORT]) if REPORT in tokens else None,
            pdf_url=urls.pdf(tokens[PDF]) if PDF in tokens else None,
        )


@dataclass(frozen=True)
class CallbackRequest:
    """A callback's method, URL and headers; built at sending, so that no token is stored."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CallbackResponse:
    """The ATS's response: status code, headers and the beginning of the body.

    The body has no secrets. The headers are as received, so that no outcome may quote them.
    """

    status_code: int
    headers: Mapping[str, str]
    body: str = ""


class AtsAdapter:
    """The adapter of one ATS: its endpoints and callbacks, its API, or both.

    An adapter with endpoints overrides `register_routes`, `render` and `build_request`. An adapter
    that calls the ATS's API has `api`.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""  # as people write it
    settings: ClassVar[tuple[Setting, ...]] = ()  # of an account, besides those of every account

    # True if the ATS calls our endpoints: then its accounts have a token.
    has_endpoints: ClassVar[bool] = True
    api: ClassVar[AtsApi | None] = None

    # True if callbacks carry the token with which the ATS called last.
    returns_token: ClassVar[bool] = False
    # Hosts for the callbacks of an account that is created without a list of its own.
    default_callback_hosts: ClassVar[tuple[str, ...]] = ()

    def find_setting(self, name: str) -> Setting | None:
        """Return the setting of this ATS with a name."""
        return next((setting for setting in self.settings if setting.name == name), None)

    def setting_values(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return every setting of this ATS; `options` is the account's, which has the changed."""
        return {
            setting.name: setting.effective(options.get(setting.name, setting.default))
            for setting in self.settings
        }

    def register_routes(self, app: "Flask", api: "ContractApi") -> None:
        """Register the endpoints that this ATS calls, and their OpenAPI description."""
        return

    def urls(self, base_url: str) -> dict[str, str]:
        """Return the addresses to give to the ATS, by the name that they have there."""
        return {"Base URL": base_url} if self.has_endpoints else {}

    def orderable_kinds(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the kinds of products that the ATS may order; `options` is the account's."""
        return tuple(KINDS)

    def reports(self, status: str, options: Mapping[str, Any]) -> bool:
        """Return whether a callback tells the ATS this new status; `options` is the account's."""
        return True

    def render(self, update: StatusUpdate) -> bytes:
        """Return the body of a callback."""
        raise NotImplementedError

    def build_request(self, reply_context: Mapping[str, Any], token: str | None) -> CallbackRequest:
        """Return a callback's address and credentials; `reply_context` is the order's."""
        raise NotImplementedError

    def classify_response(
        self, response: CallbackResponse, past_status_codes: Sequence[int | None], now: datetime
    ) -> Outcome:
        """Return the outcome of an attempt: delivered, retry (when) or rejected.

        `past_status_codes` are those of earlier attempts, the latest first. The caller leaves out
        codes that say nothing about this message, such as a 401 that every callback got.
        """
        code, pause = response.status_code, parse_rate_limit_pause(response.headers, now)
        details: dict[str, Any] = {"status_code": code, "response_excerpt": response.body}
        if 200 <= code < 300:
            return Outcome("delivered", pause_duration=pause, **details)
        if code == 410:
            error = "The ATS says that this order is gone"
            return Outcome("rejected", error=error, pause_duration=pause, **details)
        if code in TOKEN_REJECTED_STATUS_CODES and not (
            past_status_codes and past_status_codes[0] in TOKEN_REJECTED_STATUS_CODES
        ):
            # No wait for the message itself: the pause of the account delays it.
            error = f"The ATS refuses the account's callback token with {code}"
            return Outcome(
                "retry",
                timedelta(0),
                error=error,
                failure_scope="account",
                pause_duration=pause,
                **details,
            )
        wait = parse_retry_after(response.headers, now)
        if code == 429:
            # Pause the queue and not the host: the limit is one account's.
            pause = max(min(wait or DEFAULT_QUEUE_PAUSE, MAX_QUEUE_PAUSE), pause or timedelta(0))
            return Outcome("retry", wait, pause_duration=pause, **details)
        if not is_rejection(code):
            return Outcome(
                "retry", wait, failure_scope="destination", pause_duration=pause, **details
            )
        rejections_in_row = 1 + sum(1 for _ in takewhile(is_rejection, past_status_codes))
        decision = "rejected" if rejections_in_row >= REJECTION_THRESHOLD else "retry"
        error = f"The ATS refuses with {code}"
        return Outcome(decision, error=error, pause_duration=pause, **details)


def is_rejection(status_code: int | None) -> bool:
    """Return whether a code rejects the message itself, rather than asks for a later attempt."""
    return status_code is not None and status_code < 500 and status_code not in (408, 425, 429)


def format_duration(seconds: int) -> str:
    """Return a duration as HH:MM:SS; the hours may have more than two digits."""
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Parse `Retry-After` (RFC 9110, 10.2.3): seconds or a date; None when absent or unreadable.

    A wait of zero or less, e.g. from clocks that differ, is None: the retry schedule decides.
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
    """Return the time until `X-Rate-Limit-Reset` (Unix seconds) when no call remains.

    The result is None while `X-Rate-Limit-Remaining` is positive or a header is unreadable.
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
