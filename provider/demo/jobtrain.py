"""The demo's Jobtrain: a candidate awaits a check, and the server returns each of its statuses."""

import hmac
import json
import secrets
from typing import Any

from provider.demo.ats import PlacedOrder
from provider.demo.candidate import Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.demo.staff import StaffBrowser
from provider.demo.vendor import POLL_INTERVAL, DemoVendor, VendorAnswer, VendorRequest
from provider.errors import ProviderError

CHECK_TYPE = "Enhanced"
STATUSES = ["Requested", "In Progress", "Complete"]
APPLICATION_ID = 4711
LIST_PATH, APPLICATION_PATH = "/DBS/Awaiting", f"/DBS/{APPLICATION_ID}"


class DemoJobtrain(DemoVendor):
    """Jobtrain's API with one candidate. Each request needs the three credentials."""

    ats = "jobtrain"
    condition = f"check={CHECK_TYPE}"
    product_key = "employment-screening"
    backfills = True  # the candidate awaits the check already

    def __init__(self) -> None:
        super().__init__("Yusuf Demir", "yusuf.demir@candidate.test")
        self.statuses: list[str] = []
        self._client_id = secrets.token_hex(4)
        self._key, self._password = secrets.token_urlsafe(24), secrets.token_urlsafe(12)

    def settings(self) -> dict[str, str]:
        return {"base_url": self.url, "poll_every": POLL_INTERVAL}

    def secrets(self) -> dict[str, str]:
        return {
            "client_id": self._client_id,
            "api_key": self._key,
            "api_password": self._password,
        }

    def answer(self, request: VendorRequest) -> VendorAnswer:
        if not self._has_credentials(request):
            return _refusal(request, 401, "a credential is wrong")
        routes = {
            ("GET", LIST_PATH): self._list_awaiting,
            ("GET", APPLICATION_PATH): self._read_application,
            ("PUT", f"{APPLICATION_PATH}/Status"): self._take_status,
        }
        act = routes.get((request.method, request.path))
        return act(request) if act else _refusal(request, 404, "there is no such page")

    def _list_awaiting(self, request: VendorRequest) -> VendorAnswer:
        is_waiting = not self.statuses  # a returned status takes the candidate off the list
        is_listed = is_waiting and request.query["PageNo"] == "1"
        names = f"{self.candidate} ({CHECK_TYPE})" if is_listed else "nobody"
        entries = [self._application()] if is_listed else []
        document = {"total": int(is_waiting), "candidates": entries}
        return VendorAnswer(f"The server reads who awaits a check: {names}", document)

    def _read_application(self, request: VendorRequest) -> VendorAnswer:
        text = f"The server reads the application of {self.candidate}"
        return VendorAnswer(text, self._application())

    def _take_status(self, request: VendorRequest) -> VendorAnswer:
        document = json.loads(request.body)
        self.statuses.append(str(document["Status"]))
        text = f"The server returns the status of {self.candidate}: {self.statuses[-1]}"
        return VendorAnswer(text, document)

    def _application(self) -> dict[str, Any]:
        first_name, last_name = self.candidate.split()
        return {
            "ApplicationID": APPLICATION_ID,
            "CandidateID": APPLICATION_ID + 500,
            "FirstName": first_name,
            "Surname": last_name,
            "EmailAddress": self.email,
            "JobTitle": "Care Assistant",
            "CheckType": CHECK_TYPE,
            "Status": self.statuses[-1] if self.statuses else "Awaiting",
        }

    def _has_credentials(self, request: VendorRequest) -> bool:
        expected = {
            "ClientID": self._client_id,
            "APIKey": self._key,
            "APIPassword": self._password,
        }
        return all(
            hmac.compare_digest(value.encode(), request.header(name).encode())
            for name, value in expected.items()
        )


def run_automatically(
    jobtrain: DemoJobtrain,
    server: DemoServer,
    output: ConsoleOutput,
    order: PlacedOrder,
    staff: StaffBrowser,
) -> None:
    """Play the candidate and the staff; ProviderError unless each status is returned once."""
    _wait_for_statuses(jobtrain, server, output, 1)
    output.print_heading(f"{order.candidate} consents to the check")
    Candidate(order.link).consent(order.candidate)
    _wait_for_statuses(jobtrain, server, output, 2)
    output.print_heading("The staff enter the outcomes and complete the check")
    staff.enter_outcomes(order.id, consider="education")
    _wait_for_statuses(jobtrain, server, output, 3)
    jobtrain.require_no_refusals()
    output.print_heading("Jobtrain has each status once, and each request had the credentials")


def _wait_for_statuses(
    jobtrain: DemoJobtrain, server: DemoServer, output: ConsoleOutput, count: int
) -> None:
    error_message = f"The status “{STATUSES[count - 1]}” was not returned"
    jobtrain.wait_for(server, output, lambda: len(jobtrain.statuses) >= count, error_message)
    if jobtrain.statuses != STATUSES[:count]:
        raise ProviderError(f"The statuses are wrong: {jobtrain.statuses}")


def _refusal(request: VendorRequest, status_code: int, reason: str) -> VendorAnswer:
    document = {"error": status_code, "message": reason}
    text = f"Jobtrain refuses {request.method} {request.path}: {reason}"
    return VendorAnswer(text, document, status_code)
