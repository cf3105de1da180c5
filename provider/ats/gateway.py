"""Questions of console pages to an account's ATS. `delivery/ats_gateway.py` sends the requests."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from flask import current_app

from provider.ats.api import CheckLine, CheckReport, Choice
from provider.core.connections import Record
from provider.services import current_services

EXTENSION_KEY = "ats_gateway"  # of the app: a function from the services to a gateway


class AtsGateway(Protocol):
    """Calls of the ATS's API for people who wait for the answer; the errors are sentences."""

    def authorize_url(self, account_id: int, redirect_uri: str, state: str) -> str:
        """Return the consent page of the ATS; empty where none is needed."""

    def finish_consent(self, account_id: int, code: str, redirect_uri: str) -> CheckReport:
        """Store the tokens for a code, and return what the account may do now."""

    def disconnect(self, account_id: int) -> CheckLine:
        """End a person's consent: the ATS revokes the tokens, and they are forgotten here."""

    def check(self, account_id: int) -> CheckReport:
        """Look at what orders and results need: in this server, at the ATS, and in DNS."""

    def choices(self, account_id: int) -> Mapping[str, Sequence[Choice]]:
        """Return by fact what a rule can name, such as jobs and stages; Unavailable."""

    def setting_choices(self, account_id: int) -> Mapping[str, Sequence[Choice]]:
        """Return by setting what it can be, such as members; Unavailable."""

    def find_matches(self, account_id: int, match: Mapping[str, str]) -> Sequence[Record]:
        """Return the candidates who match a rule's condition at present; Unavailable."""


def current_gateway() -> AtsGateway:
    """Return the gateway of the Flask app that handles the current request."""
    gateway: AtsGateway = current_app.extensions[EXTENSION_KEY](current_services())
    return gateway
