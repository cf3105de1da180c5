"""The strictness of the fake Greenhouse, with answers and requests that are written by hand."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.factories import ManualClock
from tests.fake_greenhouse import FakeGreenhouse
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest

KEY = "prv_key"
AUTHORIZATION = "Basic cHJ2X2tleTo="  # Base64 of the key and a colon
PAGE = "https://tests.example.com/r/1"
PENDING: dict[str, Any] = {
    "partner_status": "pending",
    "partner_profile_url": None,
    "partner_score": None,
    "metadata": {},
}
COMPLETE: dict[str, Any] = {
    "partner_status": "complete",
    "partner_profile_url": PAGE,
    "partner_score": 78,
    "metadata": {"Grade": "passed", "Minutes": 12.5, "Proctored": True},
}


class Partner(FakeVendor):
    """A partner's server, whose answers are set by a test."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.answers: dict[str, Any] = {"send_test": {"partner_interview_id": "i1"}}

    def answer(self, request: VendorRequest) -> Reply:
        if request.headers.get("authorization") != AUTHORIZATION:
            return Reply(401, {"error": "wrong key"})
        return Reply(200, self.answers.get(request.path.split("/")[-1], {"status": 200}))

    def reports(self) -> list[dict[str, Any]]:
        """Return the bodies that `response_error` got."""
        return [request.json for request in self.requests("POST", "/greenhouse/response_error")]


@pytest.fixture
def partner(clock: ManualClock) -> Iterator[Partner]:
    with Partner(clock) as partner:
        yield partner


@pytest.fixture
def greenhouse(partner: Partner) -> Iterator[FakeGreenhouse]:
    with FakeGreenhouse(partner.url, KEY) as fake:
        yield fake


def patch(url: str, key: str = KEY, **arguments: Any) -> int:
    return requests.patch(url, auth=(key, ""), timeout=5, **arguments).status_code


def test_requests_carry_the_key_as_user_without_password(
    greenhouse: FakeGreenhouse, partner: Partner
) -> None:
    assert greenhouse.send_test("t1", 5) == "i1"
    (request,) = partner.requests("POST", "/greenhouse/send_test")
    assert request.headers["authorization"] == AUTHORIZATION
    assert request.json == {
        "partner_test_id": "t1",
        "candidate": {
            "first_name": "Lakita",
            "last_name": "Marrero",
            "preferred_name": None,
            "phone_number": "(785)991-6256",
            "resume_url": "https://prod-heroku.s3.amazonaws.com/resume.pdf?X-Amz-Signature=1",
            "email": "lakita@example.org",
            "greenhouse_profile_url": "https://app.greenhouse.io/people/17?application_id=26",
        },
        "sent_by": "recruiter@example.org",
        "url": f"{greenhouse.url}/integrations/testing_partners/take_home_tests/5",
    }


@pytest.mark.parametrize(
    ("tests", "is_right"),
    [
        ([], True),
        ([{"partner_test_id": "t1", "partner_test_name": "Reasoning"}], True),
        ([{"partner_test_id": 1, "partner_test_name": "Reasoning"}], False),
        ([{"partner_test_id": "t1"}], False),
        ([{"partner_test_id": "t1", "partner_test_name": "R", "kind": "x"}], False),
        ({"tests": []}, False),
    ],
)
def test_list_must_be_a_bare_array_of_two_strings(
    greenhouse: FakeGreenhouse, partner: Partner, tests: Any, is_right: bool
) -> None:
    partner.answers["list_tests"] = tests
    greenhouse.list_tests()
    assert (greenhouse.problems == []) is is_right
    assert (partner.reports() == []) is is_right
    assert {report["api_call"] for report in partner.reports()} <= {"list_tests"}


@pytest.mark.parametrize("order_id", [7, None])
def test_order_id_must_be_a_string(
    greenhouse: FakeGreenhouse, partner: Partner, order_id: Any
) -> None:
    partner.answers["send_test"] = {"partner_interview_id": order_id}
    greenhouse.send_test("t1", 5)
    assert greenhouse.problems == ["send_test: partner_interview_id is no string"]


@pytest.mark.parametrize(
    "status",
    [
        PENDING,
        COMPLETE,
        COMPLETE | {"partner_score": 78.5},
        COMPLETE | {"partner_score": None},
        COMPLETE | {"partner_profile_url": "https://8.8.8.8/r/1"},
        PENDING | {"partner_status": "declined"},
    ],
)
def test_status_as_documented_is_accepted(
    greenhouse: FakeGreenhouse, partner: Partner, status: dict[str, Any]
) -> None:
    partner.answers["test_status"] = status
    assert greenhouse.test_status("i1") == status
    assert greenhouse.problems == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"partner_profile_url": None}, "no public page: None"),
        ({"partner_profile_url": ""}, "no public page: "),
        ({"partner_profile_url": "/r/1"}, "no public page: /r/1"),
        ({"partner_profile_url": "http://tests.example.com/r/1"}, "no public page: http://"),
        ({"partner_profile_url": "https://localhost/r/1"}, "no public page: https://localhost"),
        ({"partner_profile_url": "https://127.0.0.1/r/1"}, "no public page: https://127."),
        ({"partner_profile_url": "https://10.0.0.1/r/1"}, "no public page: https://10."),
        ({"partner_profile_url": "https://[fd00::1]/r/1"}, "no public page: https://[fd00"),
        ({"partner_score": "78"}, "score is not a number: '78'"),
        ({"partner_score": True}, "score is not a number: True"),
        ({"metadata": {"Scale": {"from": 1}}}, "Scale is nested"),
        ({"metadata": {"Scale": [1]}}, "Scale is nested"),
        ({"metadata": {"Scale": None}}, "Scale is nested"),
        ({"partner_status": 3}, "partner_status is no text: 3"),
    ],
)
def test_status_that_greenhouse_would_not_show_is_reported(
    greenhouse: FakeGreenhouse, partner: Partner, changes: dict[str, Any], problem: str
) -> None:
    partner.answers["test_status"] = COMPLETE | changes
    greenhouse.test_status("i1")
    (text,) = greenhouse.problems
    assert text.startswith(f"test_status: {problem}")
    (report,) = partner.reports()
    assert report["api_call"] == "test_status"
    assert report["errors"] == [text.removeprefix("test_status: ")]
    assert report["partner_interview_id"] == "i1"


@pytest.mark.parametrize("name", COMPLETE)
def test_status_without_a_field_is_reported(
    greenhouse: FakeGreenhouse, partner: Partner, name: str
) -> None:
    partner.answers["test_status"] = {key: COMPLETE[key] for key in COMPLETE if key != name}
    greenhouse.test_status("i1")
    assert f"test_status: {name} is missing" in greenhouse.problems


def test_patch_is_answered_after_the_status_was_asked_for(
    greenhouse: FakeGreenhouse, partner: Partner
) -> None:
    partner.answers["test_status"] = COMPLETE
    greenhouse.send_test("t1", 5)
    assert patch(greenhouse.take_home_url(5)) == 200
    (arrived,) = greenhouse.wait_for_patches(1)
    assert arrived.status == COMPLETE
    assert arrived.has_right_key
    assert arrived.body == b""
    (request,) = partner.requests("GET", "/greenhouse/test_status")
    assert request.query == {"partner_interview_id": "i1"}


def test_patch_with_wrong_key_body_or_address_is_refused(
    greenhouse: FakeGreenhouse, partner: Partner
) -> None:
    partner.answers["test_status"] = COMPLETE
    greenhouse.send_test("t1", 5)
    url = greenhouse.take_home_url(5)
    assert patch(url, "another") == 401
    assert requests.patch(url, timeout=5).status_code == 401
    assert patch(url, data=b"{}") == 400
    assert patch(f"{url}?status=complete") == 404
    assert patch(greenhouse.take_home_url(6)) == 404
    greenhouse.hired.add(url.removeprefix(greenhouse.url))
    assert patch(url) == 404
