"""Greenhouse: the Assessment Partner API, by which recruiters send tests from Greenhouse."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from provider.ats.base import (
    TOKEN_REJECTED_STATUS_CODES,
    AtsAdapter,
    CallbackRequest,
    CallbackResponse,
    StatusUpdate,
    is_rejection,
)
from provider.ats.greenhouse.harvest import HarvestApi
from provider.ats.greenhouse.listed_kinds import listed_kinds
from provider.ats.greenhouse.payload import CLOSED_STATUSES
from provider.ats.settings import Address, Choice, Duration, Text, YesNo
from provider.core.orders import COMPLETED
from provider.outbox import Outcome

if TYPE_CHECKING:  # a worker must not load Flask
    from flask import Flask

    from provider.ats.http_api import ContractApi

ENDPOINTS = ("list_tests", "send_test", "test_status", "response_error")


class Greenhouse(AtsAdapter):
    """Greenhouse's adapter. The `url` of `send_test` identifies an order and is its reply address.

    A callback is an empty PATCH: Greenhouse then asks `test_status` for the result. So the result
    is committed before the PATCH leaves.
    """

    name = "greenhouse"
    title = "Greenhouse"
    default_callback_hosts = ("*.greenhouse.io",)
    returns_token = True
    settings = (
        YesNo("interviews", "list interview templates beside the tests"),
        YesNo("checks", "list packages of background checks beside the tests"),
        YesNo("every_end", "send the PATCH for declined, expired and cancelled orders, too"),
        YesNo(
            "close_unfinished",
            "report declined, expired and cancelled orders as complete, so that the candidate's "
            "stage is not held up",
        ),
        Choice(
            "harvest_auth",
            "the kind of the Harvest credential: the customer's own, or a partner's",
            "client_credentials",
            ("client_credentials", "code"),
        ),
        Text(
            "harvest_user_id", "the id of the Greenhouse user who acts; none for the credential's"
        ),
        YesNo("notes", "write a note about the result of an order by a rule", default=True),
        Choice(
            "note_visibility",
            "who sees notes and files",
            "private",
            ("private", "public", "admin_only"),
        ),
        YesNo("attach_pdf", "attach the report to the application", default=True),
        Choice(
            "attachment_type",
            "the type of that file",
            "take_home_test",
            ("take_home_test", "other"),
        ),
        Duration("poll_every", "how often entries into stages are read", 300),
        Duration("refresh_lifetime", "how long an unused refresh token lives", 86_400),
        Address("api_base", "the address of Harvest", "https://harvest.greenhouse.io/v3"),
        Address("token_url", "the address for tokens", "https://auth.greenhouse.io/token"),
        Address("authorize_url", "the consent page", "https://auth.greenhouse.io/authorize"),
    )
    api = HarvestApi()

    def register_routes(self, app: "Flask", api: "ContractApi") -> None:
        """Register Greenhouse's four endpoints under /greenhouse/, and describe them."""
        from provider.ats.greenhouse import routes  # late: a worker must not load Flask

        api.register_blueprint(routes.build_blueprint(self.name))

    def urls(self, base_url: str) -> dict[str, str]:
        """Return the four addresses, which Greenhouse configures one by one."""
        return {name: f"{base_url}/greenhouse/{name}" for name in ENDPOINTS}

    def orderable_kinds(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the kinds on the list of tests."""
        return listed_kinds(options)

    def reports(self, status: str, options: Mapping[str, Any]) -> bool:
        """Return whether a PATCH is sent: at completion, and by a switch at the other ends."""
        if status == COMPLETED:
            return True
        tells_ends = options.get("every_end") or options.get("close_unfinished")
        return bool(tells_ends) and status in CLOSED_STATUSES

    def render(self, update: StatusUpdate) -> bytes:
        """Return no body: Greenhouse asks for the result itself."""
        return b""

    def build_request(self, reply_context: Mapping[str, Any], token: str | None) -> CallbackRequest:
        """Return the PATCH of the order's `url` with the key with which Greenhouse calls us."""
        headers = {}
        if token:
            headers["Authorization"] = f"Basic {b64encode(f'{token}:'.encode()).decode()}"
        return CallbackRequest("PATCH", reply_context["url"], headers)

    def classify_response(
        self, response: CallbackResponse, past_status_codes: Sequence[int | None], now: datetime
    ) -> Outcome:
        """Return the outcome. The first 4xx is final, unless it is about the key or the rate.

        Greenhouse takes the PATCH only for candidates who are active and not hired. For the
        others the message is no longer needed: nobody can do anything about them.
        """
        outcome = super().classify_response(response, past_status_codes, now)
        code = response.status_code
        if code < 400 or code in TOKEN_REJECTED_STATUS_CODES or not is_rejection(code):
            return outcome
        error = (
            f"Greenhouse answers {code} and takes no result: the candidate may be hired or no "
            "longer active"
        )
        return replace(outcome, decision="not_needed", retry_after=None, error=error)
