"""Harvest's tokens: a customer's own client, or a partner's client that the customer lets in."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from provider.ats.api import ApiRequest, Connection, TokenFlow, form_request

# Rules and writers need these scopes; each names one endpoint.
SCOPES = (
    "harvest:jobs:list",
    "harvest:job_interview_stages:list",
    "harvest:application_stages:list",
    "harvest:applications:list",
    "harvest:candidates:list",
    "harvest:notes:list",
    "harvest:notes:create",
    "harvest:attachments:list",
    "harvest:attachments:create",
)


class HarvestTokens(TokenFlow):
    """`client_credentials` needs no person. With `code` each refresh replaces both tokens."""

    has_consent = True

    def needs_consent(self, options: Mapping[str, Any]) -> bool:
        return options.get("harvest_auth") == "code"

    def allowed_hosts(self, connection: Connection) -> frozenset[str]:
        return frozenset({ApiRequest("POST", connection.settings["token_url"]).host})

    def grant_request(self, connection: Connection) -> ApiRequest | None:
        """Return the request by the client's own credentials; `sub` is the acting user."""
        if connection.settings["harvest_auth"] != "client_credentials":
            return None
        fields = {"grant_type": "client_credentials"}
        if user_id := connection.settings["harvest_user_id"]:
            fields["sub"] = str(user_id)
        return self._token_request(connection, fields)

    def refresh_request(self, connection: Connection, refresh_token: str) -> ApiRequest:
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._token_request(connection, fields)

    def authorize_url(self, connection: Connection, redirect_uri: str, state: str) -> str:
        """Return the consent page; empty for a customer's own client, which needs none."""
        if connection.settings["harvest_auth"] != "code":
            return ""
        query = {
            "response_type": "code",
            "client_id": connection.secret("harvest_client_id"),
            "redirect_uri": redirect_uri,
            "scope": " ".join(SCOPES),
            "state": state,
        }
        return f"{connection.settings['authorize_url']}?{urlencode(query)}"

    def code_request(self, connection: Connection, code: str, redirect_uri: str) -> ApiRequest:
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return self._token_request(connection, fields)

    def refresh_lifetime(self, settings: Mapping[str, Any]) -> timedelta | None:
        if settings["harvest_auth"] != "code":
            return None
        return timedelta(seconds=settings["refresh_lifetime"])

    def _token_request(self, connection: Connection, fields: Mapping[str, str]) -> ApiRequest:
        client = connection.secret("harvest_client_id"), connection.secret("harvest_client_secret")
        return form_request(connection.settings["token_url"], fields, basic=client)
