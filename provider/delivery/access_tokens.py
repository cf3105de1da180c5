"""Access tokens of the ATSes' APIs: obtained, renewed by one process at a time, kept alive."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from provider.ats.api import (
    ApiRequest,
    ApiResponse,
    Connection,
    TokenFlow,
    TokenRefused,
    Tokens,
    UnreadableAnswer,
)
from provider.core.accounts import Account
from provider.core.connections.api_token import (
    ApiToken,
    ensure_token_row,
    find_leased_token,
    lease_token,
)
from provider.delivery.api_errors import CallDelayed, CallFailed, CredentialsRefused
from provider.logging_config import log_after_commit
from provider.services import Services

# Longer than one request to the token endpoint.
LEASE = timedelta(seconds=60)
# Another process is renewing the token.
RENEWAL_WAIT = timedelta(seconds=1)
# Codes by which a token endpoint says that the grant itself is gone.
GRANT_REFUSED_STATUS_CODES = (400, 401, 403)


@dataclass(frozen=True)
class StoredToken:
    """A row of tokens, as one request needs it."""

    generation: int
    access: str
    refresh: str
    renew_at: datetime | None
    expires_at: datetime | None
    reconnect_reason: str


class AccessTokens:
    """Gives connections their tokens. `send` sends a request without credentials of its own."""

    def __init__(
        self, services: Services, send: Callable[[ApiRequest, frozenset[str]], ApiResponse]
    ) -> None:
        self._services = services
        self._send = send

    def add_to(self, flow: TokenFlow, connection: Connection, *, refused: str = "") -> Connection:
        """Return the connection with a token that is good for a request.

        `refused` is the token that the ATS has just refused: another one is obtained, unless
        another process has done so since. Raises CredentialsRefused where people must act.
        """
        stored, now = self._read(connection.account_id), self._services.now()
        is_good = stored.access and stored.access != refused
        if is_good and stored.renew_at and now < stored.renew_at:
            return replace(connection, access_token=stored.access)
        lease = self._lease(connection.account_id, stored.generation)
        if lease is None:
            if is_good and stored.expires_at and now < stored.expires_at:
                return replace(connection, access_token=stored.access)
            raise CallDelayed(RENEWAL_WAIT)
        return replace(connection, access_token=self._renew(flow, connection, stored, lease))

    def renew(self, flow: TokenFlow, connection: Connection) -> None:
        """Use the refresh token now, so that it does not end."""
        stored = self._read(connection.account_id)
        if lease := self._lease(connection.account_id, stored.generation):
            self._renew(flow, connection, stored, lease)

    def exchange_code(
        self, flow: TokenFlow, connection: Connection, code: str, redirect_uri: str
    ) -> None:
        """Store the tokens for the code that a person's consent has given."""
        tokens = self._ask(flow, connection, flow.code_request(connection, code, redirect_uri))
        with self._services.db.writing() as session:
            row = ensure_token_row(session, connection.account_id)
            row.refresh_encrypted = None  # of an earlier consent
            row.lease = row.leased_until = None  # or a renewal on its way would win
            self._store(session, row, tokens)

    def disconnect(self, flow: TokenFlow, connection: Connection) -> str:
        """Let the ATS revoke the tokens of an account, and forget them in any case.

        Returns why the ATS has not revoked them; empty if it has.
        """
        stored = self._read(connection.account_id)
        is_known = stored.access or stored.refresh
        problem = "it has no address for this" if is_known else "no token is known here"
        for request in flow.revoke_requests(connection, stored.access, stored.refresh):
            try:
                response = self._send(request, flow.allowed_hosts(connection))
            except CallFailed as error:
                problem = str(error)
                continue
            if response.is_success:
                problem = ""
                break
            problem = f"it answers {response.status_code}"
        self._forget(connection.account_id)
        return problem

    def _forget(self, account_id: int) -> None:
        with self._services.db.writing() as session:
            row = ensure_token_row(session, account_id)
            row.access_encrypted = row.refresh_encrypted = None
            row.renew_at = row.expires_at = row.keep_alive_at = None
            row.reconnect_reason = ""  # it is not connected by intention
            row.lease = row.leased_until = None  # or a renewal on its way would store its tokens

    def _renew(
        self, flow: TokenFlow, connection: Connection, stored: StoredToken, lease: str
    ) -> str:
        try:
            request = self._renewal_request(flow, connection, stored)
            tokens = self._ask(flow, connection, request)
        except CredentialsRefused as error:
            # A grant that a person gave is gone; one by a client's secret may work again.
            self._release(lease, str(error) if stored.refresh else "")
            raise
        except BaseException:
            self._release(lease, "")
            raise
        with self._services.db.writing() as session:
            row = find_leased_token(session, lease)
            if row is None:  # another process took over after the lease
                raise CallDelayed(RENEWAL_WAIT)
            row.lease = row.leased_until = None
            self._store(session, row, tokens)
            log_after_commit(session, "api_token_renewed", account_id=connection.account_id)
        return tokens.access

    def _renewal_request(
        self, flow: TokenFlow, connection: Connection, stored: StoredToken
    ) -> ApiRequest:
        if stored.reconnect_reason:
            raise CredentialsRefused(f"Connect the account again: {stored.reconnect_reason}")
        request = flow.grant_request(connection)
        if request is None and stored.refresh:
            request = flow.refresh_request(connection, stored.refresh)
        if request is None:
            raise CredentialsRefused("The account is not connected yet")
        return request

    def _ask(self, flow: TokenFlow, connection: Connection, request: ApiRequest) -> Tokens:
        response = self._send(request, flow.allowed_hosts(connection))
        try:
            return flow.parse(connection, response, self._services.now())
        except TokenRefused as error:
            if response.status_code in GRANT_REFUSED_STATUS_CODES:
                raise CredentialsRefused(str(error), response.status_code) from None
            raise CallFailed(str(error), response.status_code) from None
        except (UnreadableAnswer, TypeError, ValueError, OverflowError):
            raise CallFailed("The answer with the token cannot be read") from None

    def _read(self, account_id: int) -> StoredToken:
        with self._services.db.reading() as session:
            row = session.get(ApiToken, account_id)
            if row is None:
                return StoredToken(0, "", "", None, None, "")
            account = session.get_one(Account, account_id)
            secret_box = self._services.secret_box
            return StoredToken(
                row.generation,
                row.access_token(secret_box, account),
                row.refresh_token(secret_box, account),
                row.renew_at,
                row.expires_at,
                row.reconnect_reason,
            )

    def _lease(self, account_id: int, generation: int) -> str | None:
        with self._services.db.writing() as session:
            ensure_token_row(session, account_id)
            return lease_token(session, account_id, generation, self._services.now(), LEASE)

    def _release(self, lease: str, reconnect_reason: str) -> None:
        with self._services.db.writing() as session:
            row = find_leased_token(session, lease)
            if row is not None:
                row.lease = row.leased_until = None
                row.reconnect_reason = row.reconnect_reason or reconnect_reason

    def _store(self, session: Session, row: ApiToken, tokens: Tokens) -> None:
        row.store(
            self._services.secret_box,
            session.get_one(Account, row.account_id),
            access=tokens.access,
            refresh=tokens.refresh,
            expires_at=tokens.expires_at,
            refresh_expires_at=tokens.refresh_expires_at,
            now=self._services.now(),
        )
