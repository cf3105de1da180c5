"""Jobtrain: a candidate who awaits a check is ordered, and each status is returned."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from provider.ats.api import (
    ApiRequest,
    ApiResponse,
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Choice,
    ChooserSteps,
    Connection,
    TokenFlow,
    Verdict,
    budget_of_rate,
    form_request,
)
from provider.ats.base import AtsAdapter
from provider.ats.jobtrain.defaults import SETTINGS
from provider.ats.jobtrain.source import AwaitingChecks, list_entries, refusal_text
from provider.ats.jobtrain.writer import StatusWriter
from provider.core.connections import Budget

AWAITING_CHECKS = AwaitingChecks()
AUTH_SECRETS = ("client_id", "api_key", "api_password")


class JobtrainTokens(TokenFlow):
    """A token by the client's credentials, or by those of a system user as well."""

    def is_used(self, settings: Mapping[str, Any]) -> bool:
        return bool(settings["auth"] == "oauth")

    def allowed_hosts(self, connection: Connection) -> frozenset[str]:
        return frozenset({ApiRequest("GET", connection.settings["base_url"]).host})

    def grant_request(self, connection: Connection) -> ApiRequest:
        settings = connection.settings
        client = connection.secret("client_id"), connection.secret("api_key")
        fields = {"grant_type": settings["grant"]}
        if settings["grant"] == "password":
            fields |= {
                "username": settings["username"] or "",
                "password": connection.secret("api_password"),
            }
        url = f"{settings['base_url']}{settings['token_path']}"
        if settings["client_auth"] == "basic":
            return form_request(url, fields, basic=client)
        return form_request(url, {**fields, "client_id": client[0], "client_secret": client[1]})


class JobtrainApi(AtsApi):
    """Jobtrain's API; its names are settings of the account."""

    secrets = {  # noqa: RUF012
        "client_id": "the Client ID, from Jobtrain",
        "api_key": "the API Key, from Jobtrain",
        "api_password": "the API Password of the system user",
    }
    required_settings = ("base_url",)
    default_wait = timedelta(seconds=60)
    required_secrets = ("client_id", "api_key")
    rule_facts = {"check": "the type of check that the candidate awaits"}  # noqa: RUF012
    required_facts = ("check",)
    sources = (AWAITING_CHECKS,)
    writers = (StatusWriter(),)
    token_flow = JobtrainTokens()

    def base_url(self, settings: Mapping[str, Any]) -> str:
        return str(settings["base_url"] or "")

    def sign(self, request: ApiRequest, connection: Connection, now: datetime) -> ApiRequest:
        """Add the token, or the three credentials as headers."""
        if connection.access_token:
            return request.with_headers({"Authorization": f"Bearer {connection.access_token}"})
        names = connection.settings["auth_headers"]
        return request.with_headers(
            {names[secret]: connection.secret(secret) for secret in AUTH_SECRETS}
        )

    def missing(self, connection: Connection) -> list[str]:
        """Return what is lacking. A token by the client's credentials needs no password."""
        settings = connection.settings
        needs_password = settings["auth"] == "headers" or settings["grant"] == "password"
        lacking = super().missing(connection)
        if needs_password and not connection.secret("api_password"):
            lacking.append("api_password")
        return lacking

    def budget(self, connection: Connection) -> Budget | None:
        """Return the setting `rate`, if there is one."""
        rate = connection.settings["rate"]
        if not rate:
            return None
        client = connection.client_digest(
            "jobtrain", connection.settings["base_url"], connection.secret("client_id")
        )
        return budget_of_rate(client, rate)

    def verdict(self, response: ApiResponse) -> Verdict:
        """Return the next step after an answer: 403 is about the password or the user's role."""
        if response.status_code == 403:
            return Verdict.ACCOUNT_REFUSED
        return super().verdict(response)

    def check(self, connection: Connection) -> CheckSteps:
        """Ask for the list of those who await a check."""
        response = yield connection, _list_request(connection)
        if response.is_success:
            return CheckReport([CheckLine(True, "Jobtrain accepts the credentials")])
        texts = {
            401: "Jobtrain refuses the Client ID or the API Key",
            403: "Jobtrain refuses the API Password, or the user's Security Role sees no checks",
        }
        text = texts.get(response.status_code) or refusal_text("the list", response)
        return CheckReport([CheckLine(False, text)])

    def choosers(self) -> Mapping[str, Callable[[Connection], ChooserSteps]]:
        """Return the types of checks that candidates await at present."""
        return {"check": _choose_check}


class Jobtrain(AtsAdapter):
    """Jobtrain's adapter."""

    name = "jobtrain"
    title = "Jobtrain"
    has_endpoints = False
    api = JobtrainApi()
    settings = SETTINGS


def _list_request(connection: Connection) -> ApiRequest:
    names, settings = connection.settings["parameters"], connection.settings
    url = f"{settings['base_url']}{settings['awaiting_path']}"
    return ApiRequest("GET", f"{url}?{names['page']}=1&{names['size']}=100")


def _choose_check(connection: Connection) -> ChooserSteps:
    response = yield _list_request(connection)
    document = response.json()
    entries = list_entries(document, connection.settings["list_key"])
    field = connection.settings["fields"]["check"]
    labels = sorted({str(entry[field]) for entry in entries if entry.get(field)})
    return [Choice(label, label) for label in labels]
