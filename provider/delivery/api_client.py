"""The client of an ATS's API: budget, credentials and verdicts around each request."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import (
    ApiRequest,
    ApiResponse,
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Connection,
    UnreadableAnswer,
    Verdict,
)
from provider.ats.base import MAX_QUEUE_PAUSE, parse_retry_after
from provider.core.accounts import Account
from provider.core.connections import BudgetReading, get_secrets, learn, reserve
from provider.delivery.access_tokens import AccessTokens
from provider.delivery.api_errors import CallDelayed, CallFailed, CredentialsRefused, WrongHost
from provider.delivery.http.addresses import AddressNotAllowed, parse_endpoint
from provider.delivery.http.client import HttpClient, RequestFailed
from provider.delivery.http.requests_adapter import MAX_LIST_RESPONSE_BYTES
from provider.delivery.user_agent import USER_AGENT
from provider.errors import Unavailable
from provider.services import Services

# Shorter than the leases of rounds and writers, which send several requests.
REQUEST_TIMEOUT_SECONDS = 20.0
IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE"})  # RFC 9110, 9.2.2
# A person waits for a check, and a thread of the server with her.
MAX_CHECK_WAIT = timedelta(seconds=60)

T = TypeVar("T")


class ApiClient:
    """Sends the requests of adapters to their ATSes, from any number of threads."""

    def __init__(self, services: Services, http_client: HttpClient) -> None:
        self._services = services
        self._http_client = http_client
        self.tokens = AccessTokens(services, self._send_token_request)

    def connection(self, session: Session, account: Account) -> Connection:
        """Return what an adapter knows about an account; Unavailable without the secret key."""
        settings = ADAPTERS[account.ats].setting_values(account.options)
        secrets = get_secrets(session, self._services.secret_box, account)
        return Connection(account.id, settings, secrets)

    def call(
        self,
        api: AtsApi,
        connection: Connection,
        request: ApiRequest,
        *,
        is_round: bool = False,
        is_reserved: bool = False,
    ) -> ApiResponse:
        """Send one request within the budget and return an answer that the caller must read.

        `is_reserved` says that the budget was asked before. Raises CallDelayed,
        CredentialsRefused, or CallFailed for any other reason to wait.
        """
        response = self._ask(api, connection, request, is_round=is_round, is_reserved=is_reserved)
        _require_answer(api, response, self._services.now())
        return response

    def run(
        self,
        api: AtsApi,
        connection: Connection,
        steps: Generator[ApiRequest, ApiResponse, T],
        *,
        is_round: bool = False,
        request_count: int = 1,
    ) -> T:
        """Send each request of a generator, give it the answers, and return its result.

        The budget of `request_count` requests is reserved at the beginning: a generator that is
        interrupted between two of them would have to begin again.
        """
        credit = self._reserve(api, connection, is_round=is_round, count=request_count)
        response = None
        while True:
            try:
                request = steps.send(response) if response else next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            response = self.call(
                api, connection, request, is_round=is_round, is_reserved=credit > 0
            )
            credit -= 1

    def wait(self, delayed: CallDelayed, end: datetime) -> None:
        """Wait until a delayed call may be sent; raise the delay if that is after `end`."""
        if self._services.now() + delayed.wait > end:
            raise delayed
        self._services.clock.sleep(delayed.wait)

    def check(self, api: AtsApi, connection: Connection) -> CheckReport:
        """Try the credentials as the adapter says, and return what works and what is missing."""
        if missing := api.missing(connection):
            return CheckReport([CheckLine(False, f"Not set yet: {', '.join(missing)}")])
        return self.try_steps(api, connection, api.check)

    def try_steps(
        self, api: AtsApi, connection: Connection, check: Callable[[Connection], CheckSteps]
    ) -> CheckReport:
        """Send the requests of a check, which reads every answer; a failure is a sentence.

        A redirect and a web page are no answers: the check may catch UnreadableAnswer. Where the
        budget is spent, this waits for more, `MAX_CHECK_WAIT` in all.
        """
        end = self._services.now() + MAX_CHECK_WAIT
        steps = check(connection)
        try:
            trial, request = next(steps)
            while True:
                try:
                    response = self._try(api, trial, request, end)
                except UnreadableAnswer as error:
                    trial, request = steps.throw(error)
                else:
                    trial, request = steps.send(response)
        except StopIteration as stop:
            report: CheckReport = stop.value
            return report
        except CallDelayed as error:
            return CheckReport([CheckLine(False, error.advice)])
        except (CallFailed, UnreadableAnswer) as error:
            return CheckReport([CheckLine(False, str(error))])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            text = f"The ATS's answer has another form than documented ({type(error).__name__})"
            return CheckReport([CheckLine(False, text)])

    def _try(
        self, api: AtsApi, connection: Connection, request: ApiRequest, end: datetime
    ) -> ApiResponse:
        """Send one request of a check, and wait for the budget until `end`."""
        while True:
            try:
                response = self._ask(api, connection, request)
                _require_budget(api, response, self._services.now())
            except CallDelayed as error:
                self.wait(error, end)
            else:
                if problem := _page_problem(response):
                    raise UnreadableAnswer(problem)
                return response

    def _ask(
        self,
        api: AtsApi,
        connection: Connection,
        request: ApiRequest,
        *,
        is_round: bool = False,
        is_reserved: bool = False,
    ) -> ApiResponse:
        """Send one request, and once more with a new token where the token is refused."""
        flow = api.used_flow(connection.settings)
        if flow is not None:
            connection = self.tokens.add_to(flow, connection)
        if not is_reserved:
            self._reserve(api, connection, is_round=is_round)
        response = self._exchange(api, connection, request)
        if flow is not None and api.verdict(response) is Verdict.TOKEN_REFUSED:
            refused = connection.access_token
            connection = self.tokens.add_to(flow, connection, refused=refused)
            self._reserve(api, connection, is_round=is_round)
            response = self._exchange(api, connection, request)
        return response

    def _exchange(self, api: AtsApi, connection: Connection, request: ApiRequest) -> ApiResponse:
        _require_host(request, api.allowed_hosts(connection))
        response = self._send(api.sign(request, connection, self._services.now()))
        self._learn(api, connection, response)
        return response

    def _send_token_request(
        self, request: ApiRequest, allowed_hosts: frozenset[str]
    ) -> ApiResponse:
        """Send a request to a token endpoint, which has a limit of its own."""
        _require_host(request, allowed_hosts)
        response, now = self._send(request), self._services.now()
        if response.status_code == 429:
            wait = _wait_of(response, BudgetReading(), now, AtsApi.default_wait)
            raise CallDelayed(wait, is_answer=True)
        return response

    def _send(self, request: ApiRequest) -> ApiResponse:
        try:
            response = self._http_client.send(
                request.method,
                request.url,
                {"User-Agent": USER_AGENT, **request.headers},
                request.body,
                max_response_bytes=MAX_LIST_RESPONSE_BYTES,
                timeout_seconds=REQUEST_TIMEOUT_SECONDS,
                may_repeat=request.method in IDEMPOTENT_METHODS,
            )
        except RequestFailed as error:
            raise CallFailed(str(error)) from None
        if not response.is_complete:
            raise CallFailed("The ATS's answer broke off or is too long", response.status_code)
        return ApiResponse(response.status_code, response.headers, response.body)

    def _reserve(
        self, api: AtsApi, connection: Connection, *, is_round: bool = False, count: int = 1
    ) -> int:
        """Reserve requests of the budget and return their number; CallDelayed if none is left."""
        budget, now = api.budget(connection), self._services.now()
        if budget is None:
            return count
        try:
            with self._services.db.writing() as session:
                reservation = reserve(session, budget, now, is_round=is_round, count=count)
        except Unavailable as error:
            raise CallFailed(str(error)) from None
        if not reservation.count:
            raise CallDelayed(reservation.wait)
        return reservation.count

    def _learn(self, api: AtsApi, connection: Connection, response: ApiResponse) -> None:
        budget, now = api.budget(connection), self._services.now()
        if budget is None:
            return
        reading = api.read_budget(response, now)
        if api.verdict(response) is Verdict.TOO_MANY:
            resets_at = now + _wait_of(response, reading, now, api.default_wait)
            reading = replace(reading, remaining=0, resets_at=resets_at)
        if reading != BudgetReading():
            with self._services.db.writing() as session:
                learn(session, budget, reading, now)


@contextmanager
def open_api_client(services: Services) -> Iterator[ApiClient]:
    """Yield a client of its own connections, which are closed at the end."""
    with closing(HttpClient(allow_private=services.settings.private_callbacks)) as http_client:
        yield ApiClient(services, http_client)


def _require_host(request: ApiRequest, allowed_hosts: frozenset[str]) -> None:
    """Raise WrongHost unless the request leads to an allowed host.

    The parser is the one that the HTTP client connects by. Another one may read another host.
    """
    try:
        host = parse_endpoint(request.url)[0].host
    except AddressNotAllowed as error:
        raise WrongHost(str(error)) from None
    if host not in allowed_hosts:
        raise WrongHost(f"The address of a request leads to another host: {host}")


def _require_answer(api: AtsApi, response: ApiResponse, now: datetime) -> None:
    code, verdict = response.status_code, api.verdict(response)
    _require_budget(api, response, now)
    if verdict in (Verdict.TOKEN_REFUSED, Verdict.ACCOUNT_REFUSED):
        raise CredentialsRefused(f"The ATS refuses the account's credentials with {code}", code)
    if verdict is Verdict.LATER:
        raise CallFailed(f"The ATS has trouble: it answers {code}", code)
    if problem := _page_problem(response):
        raise CallFailed(problem, code)


def _require_budget(api: AtsApi, response: ApiResponse, now: datetime) -> None:
    if api.verdict(response) is Verdict.TOO_MANY:
        wait = _wait_of(response, api.read_budget(response, now), now, api.default_wait)
        raise CallDelayed(wait, is_answer=True)


def _page_problem(response: ApiResponse) -> str:
    """Return what is wrong with a redirect, or a web page that looks like success; else ""."""
    if 300 <= response.status_code < 400:
        return f"The ATS redirects with {response.status_code}: the address in the settings is old"
    if response.is_success and "text/html" in response.header("Content-Type").lower():
        # A proxy's sign-in page, which must not be taken for success.
        return "A web page came in place of the ATS's answer"
    return ""


def _wait_of(
    response: ApiResponse, reading: BudgetReading, now: datetime, default: timedelta
) -> timedelta:
    """Return how long a 429 asks us to wait."""
    wait = parse_retry_after(response.headers, now)
    if wait is None and reading.resets_at is not None and reading.resets_at > now:
        wait = reading.resets_at - now
    return min(wait or default, MAX_QUEUE_PAUSE)
