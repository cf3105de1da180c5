"""The interface by which an adapter calls its ATS's API: credentials, sources, writers, checks.

Every part is optional and does no I/O. `delivery/api_client.py` sends the requests.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, ClassVar

from provider.ats.api.connection import Connection
from provider.ats.api.http import ApiRequest, ApiResponse
from provider.ats.api.source import Source
from provider.ats.api.subscriptions import Subscriptions
from provider.ats.api.token_flow import TokenFlow
from provider.ats.api.webhook import Webhook
from provider.ats.api.writer import Writer
from provider.core.connections import Budget, BudgetReading

LATER_STATUS_CODES = (408, 425)
# An integer in a header of a rate limit: seconds from now, Unix seconds, or Unix milliseconds.
MIN_UNIX_SECONDS = 10**9
MIN_UNIX_MILLISECONDS = 10**12


class Verdict(Enum):
    """The next step after an answer: each value names who takes it."""

    ANSWER = "the source or the writer reads it"
    LATER = "the ATS has trouble: the same request again, later"
    TOO_MANY = "the budget is spent: wait"
    TOKEN_REFUSED = "a fresh token once; then the account waits for people"  # noqa: S105
    ACCOUNT_REFUSED = "the account waits for people"


@dataclass(frozen=True)
class CheckLine:
    """One sentence about a connection; without `is_ok` it says what somebody must do."""

    is_ok: bool
    text: str


@dataclass(frozen=True)
class CheckReport:
    """The sentences of a check, and the settings that it found to be right."""

    lines: Sequence[CheckLine]
    found_settings: Mapping[str, Any] = field(default_factory=dict)
    is_other_account: bool = False  # a person has consented for another account of the ATS


# A check may try other settings than the account's, and it reads every answer, also a 401. A
# redirect or a web page is raised at the yield, as UnreadableAnswer.
CheckSteps = Generator[tuple[Connection, ApiRequest], ApiResponse, CheckReport]


@dataclass(frozen=True)
class Choice:
    """Something at the ATS that a rule or a setting can name: a job, a stage, a member."""

    value: str
    label: str


ChooserSteps = Generator[ApiRequest, ApiResponse, Sequence[Choice]]


class AtsApi(ABC):
    """The part of an adapter that calls its ATS's API.

    `secrets` are the names of credentials that staff enter, with one sentence each. `rule_facts`
    are the facts that a rule may compare, `required_facts` those that it must.
    """

    secrets: ClassVar[Mapping[str, str]] = {}
    required_settings: ClassVar[tuple[str, ...]] = ()
    required_secrets: ClassVar[tuple[str, ...]] = ()
    # The wait after a 429 that names no time.
    default_wait: ClassVar[timedelta] = timedelta(seconds=30)
    rule_facts: ClassVar[Mapping[str, str]] = {}
    required_facts: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[Source, ...]] = ()
    writers: ClassVar[tuple[Writer, ...]] = ()
    token_flow: ClassVar[TokenFlow | None] = None
    webhook: ClassVar[Webhook | None] = None
    subscriptions: ClassVar[Subscriptions | None] = None

    @abstractmethod
    def base_url(self, settings: Mapping[str, Any]) -> str:
        """Return the address of the API; its host receives the writers' messages."""

    @abstractmethod
    def sign(self, request: ApiRequest, connection: Connection, now: datetime) -> ApiRequest:
        """Return the request with the credentials."""

    @abstractmethod
    def check(self, connection: Connection) -> CheckSteps:
        """Yield requests that try the credentials; return what works and what is missing."""

    def learn(self, connection: Connection) -> CheckSteps:
        """After a person's consent: yield requests that find settings of the account."""
        yield from ()
        return CheckReport(())

    def choosers(self) -> Mapping[str, Callable[[Connection], ChooserSteps]]:
        """Return, by fact, the generators that list what a rule can name."""
        return {}

    def fact_problem(self, name: str, value: str) -> str:
        """Return why no rule can compare a fact with this value; empty if one can."""
        return ""

    def setting_choosers(
        self, settings: Mapping[str, Any]
    ) -> Mapping[str, Callable[[Connection], ChooserSteps]]:
        """Return, by setting, the generators that list the values to choose from."""
        return {}

    def allowed_hosts(self, connection: Connection) -> frozenset[str]:
        """Return the hosts that may get the credentials."""
        return frozenset({ApiRequest("GET", self.base_url(connection.settings)).host})

    def missing(self, connection: Connection) -> list[str]:
        """Return the names of the settings and secrets that must be set first."""
        missing_settings = [
            name for name in self.required_settings if not connection.settings.get(name)
        ]
        return missing_settings + [
            name for name in self.required_secrets if not connection.secret(name)
        ]

    def budget(self, connection: Connection) -> Budget | None:
        """Return the client's budget of requests; None where there is no limit."""
        return None

    def read_budget(self, response: ApiResponse, now: datetime) -> BudgetReading:
        """Return what the headers say, in both common spellings."""
        limit, remaining, reset = (
            response.header(f"X-RateLimit-{name}") or response.header(f"X-Rate-Limit-{name}")
            for name in ("Limit", "Remaining", "Reset")
        )
        return BudgetReading(_whole(limit), _whole(remaining), parse_moment(reset, now))

    def verdict(self, response: ApiResponse) -> Verdict:
        """Return the next step after an answer."""
        code = response.status_code
        if code == 401:
            return Verdict.TOKEN_REFUSED
        if code == 429:
            return Verdict.TOO_MANY
        if code >= 500 or code in LATER_STATUS_CODES:
            return Verdict.LATER
        return Verdict.ANSWER

    def used_flow(self, settings: Mapping[str, Any]) -> TokenFlow | None:
        """Return the token flow that the account's settings choose."""
        flow = self.token_flow
        return flow if flow and flow.is_used(settings) else None

    def find_source(self, name: str) -> Source | None:
        return next((source for source in self.sources if source.name == name), None)

    def find_writer(self, name: str) -> Writer | None:
        return next((writer for writer in self.writers if writer.name == name), None)


def budget_of_rate(client: str, rate: float) -> Budget:
    """Return the budget of a client that may send `rate` requests in a second."""
    if rate < 1:
        return Budget(client, 1, timedelta(seconds=1 / rate))
    return Budget(client, int(rate), timedelta(seconds=1))


def parse_moment(text: str, now: datetime) -> datetime | None:
    """Return the time of a header: seconds from now, Unix seconds or milliseconds, or a date."""
    number = _whole(text)
    try:
        if number is None:
            return parsedate_to_datetime(text) if text else None
        if number >= MIN_UNIX_MILLISECONDS:
            return datetime.fromtimestamp(number / 1000, UTC)
        if number >= MIN_UNIX_SECONDS:
            return datetime.fromtimestamp(number, UTC)
        return now + timedelta(seconds=number)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _whole(text: str) -> int | None:
    return int(text[:15]) if text.isascii() and text.isdigit() else None
