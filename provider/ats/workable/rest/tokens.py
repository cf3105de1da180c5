"""Workable's OAuth 2.0: the client's id and secret are in the body, and each refresh rotates."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from provider.ats.api import ApiRequest, Connection, TokenFlow, form_request

SCOPES = ("r_jobs", "r_candidates", "w_candidates")


class WorkableTokens(TokenFlow):
    """The authorization code flow; a token lives for two hours."""

    has_consent = True

    def is_used(self, settings: Mapping[str, Any]) -> bool:
        return bool(settings["auth"] == "oauth")

    def needs_consent(self, options: Mapping[str, Any]) -> bool:
        return True

    def allowed_hosts(self, connection: Connection) -> frozenset[str]:
        urls = connection.settings["token_url"], connection.settings["revoke_url"]
        return frozenset(ApiRequest("POST", url).host for url in urls)

    def refresh_request(self, connection: Connection, refresh_token: str) -> ApiRequest:
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._token_request(connection, fields)

    def authorize_url(self, connection: Connection, redirect_uri: str, state: str) -> str:
        """Return the consent page. Workable needs `resource=user`."""
        query = {
            "client_id": connection.secret("oauth_client_id"),
            "redirect_uri": redirect_uri,
            "resource": "user",
            "response_type": "code",
            "scope": " ".join(SCOPES),
            "state": state,
        }
        return f"{connection.settings['authorize_url']}?{urlencode(query)}"

    def code_request(self, connection: Connection, code: str, redirect_uri: str) -> ApiRequest:
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return self._token_request(connection, fields)

    def revoke_requests(
        self, connection: Connection, access_token: str, refresh_token: str
    ) -> Sequence[ApiRequest]:
        """Name the refresh token, as the document's example does, then the access token."""
        url = connection.settings["revoke_url"]
        tokens = filter(None, (refresh_token, access_token))
        return [form_request(url, {**_client(connection), "token": token}) for token in tokens]

    def _token_request(self, connection: Connection, fields: Mapping[str, str]) -> ApiRequest:
        return form_request(connection.settings["token_url"], {**fields, **_client(connection)})


def _client(connection: Connection) -> dict[str, str]:
    names = {"client_id": "oauth_client_id", "client_secret": "oauth_client_secret"}
    return {field: connection.secret(name) for field, name in names.items()}
