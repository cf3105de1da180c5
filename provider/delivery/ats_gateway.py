"""Calls of an ATS's API for people who wait for the answer: commands and console pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from provider.ats import ADAPTERS
from provider.ats.account_check import check_account
from provider.ats.api import (
    AtsApi,
    CheckLine,
    CheckReport,
    Choice,
    ChooserSteps,
    Connection,
    UnreadableAnswer,
)
from provider.core.accounts import Account
from provider.core.connections import Record, has_secrets, open_rules
from provider.delivery.api_client import ApiClient, open_api_client
from provider.delivery.api_errors import CallFailed
from provider.delivery.mail_domain import check_mail_domain
from provider.delivery.preview import find_matches
from provider.delivery.subscriptions import keep_subscriptions
from provider.errors import Invalid, Unavailable
from provider.services import Services

Choosers = Mapping[str, Callable[[Connection], ChooserSteps]]


class ApiGateway:
    """The gateway of one process. Each call has connections of its own."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def authorize_url(self, account_id: int, redirect_uri: str, state: str) -> str:
        """Return the consent page of the ATS; empty where none is needed."""
        with open_api_client(self._services) as client:
            api, connection = self._connect(client, account_id)
        flow = api.used_flow(connection.settings)
        return flow.authorize_url(connection, redirect_uri, state) if flow else ""

    def finish_consent(self, account_id: int, code: str, redirect_uri: str) -> CheckReport:
        """Store the tokens for a code, and return what the account may do now."""
        with open_api_client(self._services) as client:
            api, connection = self._connect(client, account_id)
            flow = api.used_flow(connection.settings)
            if flow is None:
                raise Invalid("The account's settings need no consent")
            try:
                client.tokens.exchange_code(flow, connection, code, redirect_uri)
            except CallFailed as error:
                return CheckReport([CheckLine(False, str(error))])
            learnt = client.try_steps(api, connection, api.learn)
            if learnt.is_other_account:
                line = _disconnection_line(client.tokens.disconnect(flow, connection))
                return replace(learnt, lines=[*learnt.lines, line])
            settings = {**connection.settings, **learnt.found_settings}
            checked = client.check(api, replace(connection, settings=settings))
            found_settings = {**learnt.found_settings, **checked.found_settings}
            return CheckReport([*learnt.lines, *checked.lines], found_settings)

    def disconnect(self, account_id: int) -> CheckLine:
        """End a person's consent: the ATS revokes the tokens, and they are forgotten here."""
        with open_api_client(self._services) as client:
            api, connection = self._connect(client, account_id)
            flow = api.used_flow(connection.settings)
            if flow is None or not flow.needs_consent(connection.settings):
                raise Invalid(
                    "The account's settings need no consent. `provider account secret NAME KEY "
                    "--remove` deletes its credentials"
                )
            return _disconnection_line(client.tokens.disconnect(flow, connection))

    def check(self, account_id: int) -> CheckReport:
        """Look at what orders and results need: in this server, at the ATS, and in DNS."""
        with self._services.db.reading() as session:
            account = session.get_one(Account, account_id)
            lines = check_account(session, self._services, account)
            has_credentials = has_secrets(session, account_id) or open_rules(session, account_id)
        adapter = ADAPTERS[account.ats]
        # An ATS that orders through our endpoints may need no credentials of its API.
        needs_api = adapter.api is not None and (has_credentials or not adapter.has_endpoints)
        report = self._try_credentials(account_id) if needs_api else CheckReport(())
        lines += [*report.lines, *check_mail_domain(self._services.settings)]
        return replace(report, lines=lines)

    def choices(self, account_id: int) -> Mapping[str, Sequence[Choice]]:
        """Return by fact what a rule can name, such as jobs and stages; Unavailable."""
        return self._choose(account_id, lambda api, _: api.choosers())

    def setting_choices(self, account_id: int) -> Mapping[str, Sequence[Choice]]:
        """Return by setting what it can be, such as members; Unavailable."""
        return self._choose(account_id, lambda api, settings: api.setting_choosers(settings))

    def find_matches(self, account_id: int, match: Mapping[str, str]) -> Sequence[Record]:
        """Return the candidates who match a rule's condition at present; Unavailable."""
        with open_api_client(self._services) as client:
            return find_matches(self._services, client, account_id, match)

    def _choose(
        self, account_id: int, list_choosers: Callable[[AtsApi, Mapping[str, Any]], Choosers]
    ) -> Mapping[str, Sequence[Choice]]:
        with open_api_client(self._services) as client:
            api, connection = self._connect(client, account_id)
            if missing := api.missing(connection):
                raise Unavailable(f"Not set yet: {', '.join(missing)}")
            try:
                return {
                    name: client.run(api, connection, choose(connection))
                    for name, choose in list_choosers(api, connection.settings).items()
                }
            except (CallFailed, UnreadableAnswer) as error:
                raise Unavailable(str(error)) from None

    def _try_credentials(self, account_id: int) -> CheckReport:
        """Try the credentials, and make the subscriptions to events right."""
        with open_api_client(self._services) as client:
            api, connection = self._connect(client, account_id)
            report = client.check(api, connection)
            lines = list(report.lines)
            try:
                created = keep_subscriptions(self._services, client, account_id)
                lines += [CheckLine(True, f"Subscribed to {event}") for event in created]
            except (CallFailed, UnreadableAnswer) as error:
                text = f"The events cannot be subscribed to: {error}"
                lines.append(CheckLine(False, text))
            return replace(report, lines=lines)

    def _connect(self, client: ApiClient, account_id: int) -> tuple[AtsApi, Connection]:
        with self._services.db.reading() as session:
            account = session.get_one(Account, account_id)
            api = ADAPTERS[account.ats].api
            if api is None:
                raise Invalid(f"{account.ats} has no API that this program calls")
            return api, client.connection(session, account)


def _disconnection_line(problem: str) -> CheckLine:
    if not problem:
        return CheckLine(True, "The ATS has revoked the tokens, and they are deleted here")
    text = (
        f"The tokens are deleted here, but the ATS has not revoked them: {problem}. End the access "
        "of this application there"
    )
    return CheckLine(False, text)
