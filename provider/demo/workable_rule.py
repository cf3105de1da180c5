"""The demo's Workable API: a stage orders a test, and the result is an evaluation and a comment."""

import hmac
import json
import secrets
from base64 import b64decode
from typing import Any

from provider.clock import Clock
from provider.demo.candidate import KNOWN_ANSWERS, Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.demo.vendor import POLL_INTERVAL, DemoVendor, VendorAnswer, VendorRequest
from provider.errors import ProviderError

FIRST_STAGE, STAGE = "Applied", "Assessment"
RESULT = "Numerical Reasoning: excelled"
MEMBER_ID = "13e0eb0e"
THUMBS_UP = {"scale": "thumbs", "grade": 1}
STAGES_PATH = "/spi/v3/stages"
LIST_PATH = "/spi/v3/candidates"
CANDIDATE_PATH = f"{LIST_PATH}/5f21"


class DemoWorkableApi(DemoVendor):
    """Workable's API with one candidate. Each request needs the account's token."""

    ats = "workable"
    condition = f"stage={STAGE}"
    product_key = "numerical-reasoning"

    def __init__(self) -> None:
        super().__init__("Nadia Petrova", "nadia.petrova@candidate.test")
        self.stage = FIRST_STAGE
        self.comments: list[dict[str, Any]] = []
        self.ratings: list[dict[str, Any]] = []
        self._clock = Clock()
        self._updated_at = self._clock.now()
        self._token = secrets.token_urlsafe(24)

    def settings(self) -> dict[str, str]:
        return {
            "subdomain": "groove-tech",
            "api_base": f"{self.url}/spi/v3",
            "accounts_base": f"{self.url}/spi/v3",
            "member_id": MEMBER_ID,
            "poll_every": POLL_INTERVAL,
        }

    def secrets(self) -> dict[str, str]:
        return {"api_token": self._token}

    def move(self, stage: str) -> None:
        with self.lock:
            self.stage, self._updated_at = stage, self._clock.now()

    def answer(self, request: VendorRequest) -> VendorAnswer:
        expected = f"Bearer {self._token}"
        if not hmac.compare_digest(expected.encode(), request.header("Authorization").encode()):
            return _refusal(request, 401, "the token is wrong")
        routes = {
            ("GET", STAGES_PATH): self._list_stages,
            ("GET", LIST_PATH): self._list_candidates,
            ("GET", f"{CANDIDATE_PATH}/activities"): self._list_activities,
            ("POST", f"{CANDIDATE_PATH}/comments"): self._take_comment,
            ("PUT", f"{CANDIDATE_PATH}/ratings"): self._take_rating,
        }
        act = routes.get((request.method, request.path))
        return act(request) if act else _refusal(request, 404, "there is no such page")

    def play_rule(self, server: DemoServer, output: ConsoleOutput, account: str, kind: str) -> None:
        """Play a rule from the candidate's move to the result; ProviderError if that is wrong."""
        order = self.wait_for_order(server, output, account, kind)
        output.print_heading(f"{order.candidate} takes the test, in a browser without JavaScript")
        Candidate(order.link).take_test(KNOWN_ANSWERS)
        self.wait_for(
            server,
            output,
            lambda: self.comments and self.ratings,
            "No comment and evaluation were written",
        )
        self.require_no_refusals()
        _require_result(self)
        output.print_heading("The comment with the report, and the evaluation, are in Workable")

    def _list_candidates(self, request: VendorRequest) -> VendorAnswer:
        query = request.query
        if "stage" in query:
            is_listed = query["stage"] == self.stage.lower()
            description = f"who is in the stage {query['stage']}"
        else:
            is_listed = query["updated_after"] <= f"{self._updated_at:%Y-%m-%dT%H:%M:%SZ}"
            description = "who has changed"
        names = f"{self.candidate} ({self.stage})" if is_listed else "nobody"
        document = {"candidates": [self._candidate_entry()] if is_listed else []}
        return VendorAnswer(f"The server reads {description}: {names}", document)

    def _list_stages(self, request: VendorRequest) -> VendorAnswer:
        stages = [
            {"slug": name.lower(), "name": name, "kind": name.lower(), "position": position}
            for position, name in enumerate((FIRST_STAGE, STAGE))
        ]
        return VendorAnswer("The server reads the stages", {"stages": stages})

    def _list_activities(self, request: VendorRequest) -> VendorAnswer:
        entries = [{"body": comment["comment"]["body"]} for comment in self.comments]
        text = f"The server looks for its comment about {self.candidate}"
        return VendorAnswer(text, {"activities": entries})

    def _take_comment(self, request: VendorRequest) -> VendorAnswer:
        self.comments.append(json.loads(request.body))
        body = self.comments[-1]["comment"]["body"]
        return VendorAnswer(f"The server comments on {self.candidate}: {body}", status_code=201)

    def _take_rating(self, request: VendorRequest) -> VendorAnswer:
        self.ratings.append(json.loads(request.body))
        return VendorAnswer(f"The server gives {self.candidate} a thumbs up or down", {})

    def _candidate_entry(self) -> dict[str, Any]:
        first_name, last_name = self.candidate.split()
        return {
            "id": CANDIDATE_PATH.rpartition("/")[2],
            "name": self.candidate,
            "firstname": first_name,
            "lastname": last_name,
            "email": self.email,
            "job": {"shortcode": "GROOV005", "title": "Analyst"},
            "stage": self.stage,
            "updated_at": self._updated_at.isoformat(),
        }


def _require_result(workable: DemoWorkableApi) -> None:
    """Raise ProviderError unless there is one comment with a PDF and one thumbs up."""
    comments = [comment["comment"] for comment in workable.comments]
    is_right = len(comments) == 1 and comments[0]["body"].startswith(RESULT)
    if not is_right or not b64decode(comments[0]["attachment"]["data"]).startswith(b"%PDF"):
        raise ProviderError(f"The comments are wrong: {[item['body'] for item in comments]}")
    ratings = workable.ratings
    if len(ratings) != 1 or not ratings[0].items() >= THUMBS_UP.items():
        raise ProviderError(f"The evaluations are wrong: {ratings}")


def _refusal(request: VendorRequest, status_code: int, reason: str) -> VendorAnswer:
    text = f"Workable refuses {request.method} {request.path}: {reason}"
    return VendorAnswer(text, {"error": reason}, status_code)
