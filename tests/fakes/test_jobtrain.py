"""Tests of the fake Jobtrain, with requests written by hand."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from tests.factories import ManualClock
from tests.fakes.jobtrain import FIRST_BACKLOG_ID, FakeJobtrain, JobtrainNames
from tests.fakes.vendor import hang_up

HTTP = requests.Session()
HTTP.trust_env = False
CREDENTIALS = {
    "ClientID": "jt-client-4711",
    "APIKey": "jt-key-9c41e07b",
    "APIPassword": "jt-password-58d2f6",
}
CLIENT = {"client_id": "jt-client-4711", "client_secret": "jt-key-9c41e07b"}
USER = {"username": "api.user@example.org", "password": "jt-password-58d2f6"}
BASIC = "Basic " + base64.b64encode(b"jt-client-4711:jt-key-9c41e07b").decode()
CODES = {
    400: "Invalid Format",
    401: "Access Denied",
    403: "Authentication Failure",
    404: "Job or Application data does not exist",
    408: "Request Timeout",
    409: "Duplicate Data",
    410: "Job Closed",
    413: "Files are too large",
    418: "I’m a Teapot",
    422: "Mandatory field missing",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
RENAMED = JobtrainNames(
    base_path="/customer/api",
    awaiting_path="/checks",
    check_path="/checks/{application_id}",
    status_path="/checks/{application_id}",
    status_method="POST",
    token_path="/oauth/access",
    client_id_header="X-Client",
    api_key_header="X-Key",
    api_password_header="X-Password",
    page_no="page",
    page_size="limit",
    list_key="items",
    total_key="count",
    results_key="shown",
    fields={
        "application_id": "id",
        "candidate_id": "person",
        "first_name": "given",
        "last_name": "family",
        "email": "mail",
        "phone": "mobile",
        "job_title": "role",
        "job_reference": "vacancy",
        "check": "level",
    },
    status_field="stage",
    result_field="outcome",
    labels={"started": "S", "completed": "C"},
    outcomes=("ok",),
    initial_status="new",
)


@pytest.fixture(autouse=True)
def _closed_connections() -> Iterator[None]:
    """Close the connections, or a new server on the same port would not get the requests."""
    yield
    HTTP.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def jobtrain(clock: ManualClock) -> Iterator[FakeJobtrain]:
    with FakeJobtrain(clock) as fake:
        yield fake


@pytest.fixture
def oauth_jobtrain(clock: ManualClock) -> Iterator[FakeJobtrain]:
    with FakeJobtrain(clock, auth="oauth") as fake:
        yield fake


@pytest.fixture(scope="module")
def refusing_jobtrain() -> Iterator[FakeJobtrain]:
    """Return a Jobtrain with application 9, for tests that change nothing there."""
    with FakeJobtrain(ManualClock()) as fake:
        fake.add(9)
        yield fake


@pytest.fixture(scope="module")
def refusing_oauth_jobtrain() -> Iterator[FakeJobtrain]:
    with FakeJobtrain(ManualClock(), auth="oauth") as fake:
        yield fake


def get(fake: FakeJobtrain, target: str, **headers: str) -> requests.Response:
    return HTTP.get(fake.base_url + target, headers=CREDENTIALS | headers)


def awaiting(fake: FakeJobtrain, page: int = 1, size: int = 100) -> Any:
    response = get(fake, f"/DBS/Awaiting?PageNo={page}&PageSize={size}")
    assert response.status_code == 200, response.text
    return response.json()


def ids(answer: Any) -> list[int]:
    return [record["ApplicationID"] for record in answer["candidates"]]


def put(fake: FakeJobtrain, target: str, body: Any, **headers: str) -> requests.Response:
    url = fake.base_url + target
    return HTTP.put(url, json=body, headers=CREDENTIALS | headers)


def ask_token(fake: FakeJobtrain, form: Any, authorization: str | None = BASIC) -> Any:
    headers = {"Authorization": authorization} if authorization else {}
    return HTTP.post(fake.base_url + "/token", data=form, headers=headers)


def with_token(fake: FakeJobtrain, token: str, scheme: str = "Bearer") -> int:
    headers = {"Authorization": f"{scheme} {token}"}
    return HTTP.get(f"{fake.url}/DBS/Awaiting", headers=headers).status_code


def assert_refused(response: requests.Response, code: int) -> None:
    assert response.status_code == code, response.text
    assert response.json()["error"] == CODES[code]


# The worked exchange


def test_exchange_of_the_facts_is_answered(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9, first_name="Ana", last_name="Li", email="ana@example.org", check="Enhanced")
    assert awaiting(jobtrain) == {
        "total": 1,
        "results": 1,
        "candidates": [
            {
                "ApplicationID": 9,
                "CandidateID": 509,
                "FirstName": "Ana",
                "Surname": "Li",
                "EmailAddress": "ana@example.org",
                "MobileNumber": "+447700900123",
                "JobTitle": "Nurse",
                "JobReference": "JT-5",
                "CheckType": "Enhanced",
            }
        ],
    }
    assert put(jobtrain, "/DBS/9/Status", {"Status": "In Progress"}).status_code == 200
    assert jobtrain.writes == [(9, {"Status": "In Progress"})]
    assert awaiting(jobtrain) == {"total": 0, "results": 0, "candidates": []}


def test_names_all_renamed_are_used(clock: ManualClock) -> None:
    headers = {
        "X-Client": "jt-client-4711",
        "X-Key": "jt-key-9c41e07b",
        "X-Password": "jt-password-58d2f6",
    }
    with FakeJobtrain(clock, RENAMED) as fake, requests.Session() as session:
        session.trust_env = False
        session.headers.update(headers)
        fake.add(9)
        url = f"{fake.url}/customer/api/checks"
        answer = session.get(url, params={"page": 1, "limit": 5}).json()
        assert (answer["count"], answer["shown"]) == (1, 1)
        assert answer["items"] == [
            {
                "id": 9,
                "person": 509,
                "given": "Ana",
                "family": "Li",
                "mail": "ana@example.org",
                "mobile": "+447700900123",
                "role": "Nurse",
                "vacancy": "JT-5",
                "level": "Enhanced",
            }
        ]
        body = {"stage": "C", "outcome": "ok"}
        assert session.post(f"{url}/9", json=body).status_code == 200
        check = session.get(f"{url}/9").json()
        assert (check["stage"], check["outcome"]) == ("C", "ok")
        assert session.put(f"{url}/9", json=body).status_code == 405
        assert session.get(url, params={"PageNo": 1}).status_code == 400
        assert session.get(f"{fake.url}/DBS/Awaiting").status_code == 404
        fake.auth = "oauth"
        token = session.post(
            f"{fake.url}/customer/api/oauth/access",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": BASIC},
        )
        assert token.status_code == 200


# Credentials in headers


@pytest.mark.parametrize(
    ("header", "code"), [("ClientID", 401), ("APIKey", 401), ("APIPassword", 403)]
)
def test_header_wrong_or_missing_is_refused(
    refusing_jobtrain: FakeJobtrain, header: str, code: int
) -> None:
    assert_refused(get(refusing_jobtrain, "/DBS/Awaiting", **{header: "wrong"}), code)
    headers = {name: value for name, value in CREDENTIALS.items() if name != header}
    url = f"{refusing_jobtrain.url}/DBS/Awaiting"
    assert_refused(HTTP.get(url, headers=headers), code)


def test_headers_without_credentials_are_refused(refusing_jobtrain: FakeJobtrain) -> None:
    url = f"{refusing_jobtrain.url}/DBS/9/Status"
    assert_refused(HTTP.put(url, json={"Status": "Complete"}), 401)
    assert refusing_jobtrain.writes == []


def test_token_path_with_header_auth_does_not_exist(refusing_jobtrain: FakeJobtrain) -> None:
    response = HTTP.post(f"{refusing_jobtrain.url}/token", headers=CREDENTIALS)
    assert_refused(response, 404)


# OAuth


@pytest.mark.parametrize("form", [{"grant_type": "client_credentials"}, {"grant_type": "password"}])
def test_token_of_each_grant_opens_the_list(
    refusing_oauth_jobtrain: FakeJobtrain, form: dict[str, str]
) -> None:
    response = ask_token(refusing_oauth_jobtrain, form | USER)
    assert response.status_code == 200
    token = response.json().pop("access_token")
    assert response.json() == {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
    assert with_token(refusing_oauth_jobtrain, token) == 200
    assert with_token(refusing_oauth_jobtrain, token, "Token") == 401
    assert with_token(refusing_oauth_jobtrain, token + "x") == 401


def test_token_after_3600_seconds_is_refused(
    oauth_jobtrain: FakeJobtrain, clock: ManualClock
) -> None:
    form = {"grant_type": "client_credentials"}
    token = ask_token(oauth_jobtrain, form).json()["access_token"]
    clock.advance(timedelta(seconds=3599))
    assert with_token(oauth_jobtrain, token) == 200
    clock.advance(timedelta(seconds=1))
    assert with_token(oauth_jobtrain, token) == 401


@pytest.mark.parametrize("end", [FakeJobtrain.revoke, FakeJobtrain.expire])
def test_token_revoked_or_expired_is_refused(
    oauth_jobtrain: FakeJobtrain, end: Callable[[FakeJobtrain], None]
) -> None:
    form = {"grant_type": "client_credentials"}
    token = ask_token(oauth_jobtrain, form).json()["access_token"]
    end(oauth_jobtrain)
    headers = {"Authorization": f"Bearer {token}"}
    response = HTTP.get(f"{oauth_jobtrain.url}/DBS/Awaiting", headers=headers)
    assert_refused(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert with_token(oauth_jobtrain, ask_token(oauth_jobtrain, form).json()["access_token"]) == 200


def test_token_of_another_system_is_refused(
    oauth_jobtrain: FakeJobtrain, clock: ManualClock
) -> None:
    with FakeJobtrain(clock, auth="oauth") as live:
        form = {"grant_type": "client_credentials"}
        token = ask_token(live, form).json()["access_token"]
        ask_token(oauth_jobtrain, form)
        assert with_token(oauth_jobtrain, token) == 401


def test_headers_in_oauth_mode_are_refused(refusing_oauth_jobtrain: FakeJobtrain) -> None:
    assert_refused(get(refusing_oauth_jobtrain, "/DBS/Awaiting"), 401)


def test_client_in_the_body_needs_the_setting(oauth_jobtrain: FakeJobtrain) -> None:
    form = {"grant_type": "client_credentials"} | CLIENT
    assert ask_token(oauth_jobtrain, form, None).status_code == 401
    oauth_jobtrain.client_auth = "body"
    assert ask_token(oauth_jobtrain, form, None).status_code == 200
    assert ask_token(oauth_jobtrain, form).status_code == 401  # both ways at once
    assert ask_token(oauth_jobtrain, {"grant_type": "client_credentials"}).status_code == 401


@pytest.mark.parametrize(
    ("form", "authorization", "code", "error"),
    [
        ({"grant_type": "client_credentials"}, None, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, BASIC + "eA==", 401, "invalid_client"),
        ({"grant_type": "client_credentials"} | CLIENT, BASIC, 401, "invalid_client"),
        ({}, BASIC, 400, "invalid_request"),  # without a field there is no Content-Type
        ({"scope": "all"}, BASIC, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, BASIC, 400, "unsupported_grant_type"),
        ({"grant_type": "password"}, BASIC, 400, "invalid_grant"),
        ({"grant_type": "password"} | USER | {"password": "x"}, BASIC, 400, "invalid_grant"),
        ({"grant_type": "password"} | USER | {"username": "x"}, BASIC, 400, "invalid_grant"),
        ({"grant_type": ["password", "password"]} | USER, BASIC, 400, "invalid_request"),
        ('{"grant_type": "client_credentials"}', BASIC, 400, "invalid_request"),
    ],
)
def test_token_request_with_an_error_is_refused(
    refusing_oauth_jobtrain: FakeJobtrain,
    form: Any,
    authorization: str | None,
    code: int,
    error: str,
) -> None:
    response = ask_token(refusing_oauth_jobtrain, form, authorization)
    assert (response.status_code, response.json()["error"]) == (code, error)


def test_token_request_by_get_or_query_is_refused(refusing_oauth_jobtrain: FakeJobtrain) -> None:
    url = f"{refusing_oauth_jobtrain.url}/token?grant_type=client_credentials"
    headers = {"Authorization": BASIC, "Content-Type": "application/x-www-form-urlencoded"}
    for method in ("GET", "POST"):
        response = HTTP.request(method, url, headers=headers)
        assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_grant_not_enabled_is_refused(oauth_jobtrain: FakeJobtrain) -> None:
    oauth_jobtrain.grants = ("password",)
    response = ask_token(oauth_jobtrain, {"grant_type": "client_credentials"})
    assert response.json()["error"] == "unsupported_grant_type"


# The Security Role


def test_role_half_hides_every_other_application(jobtrain: FakeJobtrain) -> None:
    for number in (1, 2, 3, 4):
        jobtrain.add(number)
    jobtrain.backlog(4)
    jobtrain.role = "half"
    jobtrain.return_status(FIRST_BACKLOG_ID, "In Progress")
    jobtrain.return_status(FIRST_BACKLOG_ID + 1, "In Progress")  # not visible
    answer = awaiting(jobtrain)
    assert (answer["total"], ids(answer)) == (3, [FIRST_BACKLOG_ID + 2, 2, 4])
    assert get(jobtrain, "/DBS/2").status_code == 200
    assert_refused(get(jobtrain, "/DBS/1"), 403)
    assert_refused(put(jobtrain, "/DBS/1/Status", {"Status": "Complete"}), 403)
    jobtrain.role = "all"
    assert len(ids(awaiting(jobtrain))) == 6


def test_role_none_is_refused_everywhere(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.role = "none"
    assert_refused(get(jobtrain, "/DBS/Awaiting"), 403)
    assert_refused(put(jobtrain, "/DBS/9/Status", {"Status": "Complete"}), 403)


# The list


def test_list_without_parameters_has_20_records(jobtrain: FakeJobtrain) -> None:
    jobtrain.backlog(300)
    answer = get(jobtrain, "/DBS/Awaiting").json()
    assert (answer["total"], answer["results"], len(ids(answer))) == (300, 20, 20)
    assert list(answer) == ["total", "results", "candidates"]


def test_list_pages_cover_each_record_once(jobtrain: FakeJobtrain) -> None:
    jobtrain.backlog(150)
    jobtrain.add(7)
    pages = [awaiting(jobtrain, page) for page in (1, 2, 3)]
    assert [page["results"] for page in pages] == [100, 51, 0]
    assert {page["total"] for page in pages} == {151}
    expected = [*range(FIRST_BACKLOG_ID, FIRST_BACKLOG_ID + 150), 7]
    assert [number for page in pages for number in ids(page)] == expected


def test_list_without_totals_has_the_array_only(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.sends_totals = False
    assert list(awaiting(jobtrain)) == ["candidates"]


def test_list_without_a_key_is_a_bare_array(clock: ManualClock) -> None:
    with FakeJobtrain(clock, JobtrainNames(list_key="")) as fake:
        fake.add(9)
        assert awaiting(fake)[0]["ApplicationID"] == 9


@pytest.mark.parametrize(
    "query",
    [
        "PageSize=101",
        "PageSize=0",
        "PageSize=many",
        "PageSize=",
        "PageNo=0",
        "PageNo=-1",
        "PageNo=1.5",
        "pageno=1",
        "limit=20",
        "PageNo=1&PageNo=2",
    ],
)
def test_list_with_a_wrong_parameter_is_refused(
    refusing_jobtrain: FakeJobtrain, query: str
) -> None:
    assert_refused(get(refusing_jobtrain, f"/DBS/Awaiting?{query}"), 400)


def test_list_with_a_body_is_refused(refusing_jobtrain: FakeJobtrain) -> None:
    url = f"{refusing_jobtrain.url}/DBS/Awaiting"
    assert_refused(HTTP.get(url, json={}, headers=CREDENTIALS), 400)


def test_list_page_above_the_limit_is_refused(jobtrain: FakeJobtrain) -> None:
    jobtrain.backlog(100)
    jobtrain.size_limit_bytes = 15_000
    assert_refused(get(jobtrain, "/DBS/Awaiting?PageSize=100"), 413)
    assert awaiting(jobtrain, size=50)["results"] == 50


def test_list_that_shifts_between_pages_loses_a_record(jobtrain: FakeJobtrain) -> None:
    for number in (1, 2, 3, 4, 5):
        jobtrain.add(number)
    jobtrain.before_page[2] = lambda: jobtrain.return_status(1, "In Progress")
    seen = [ids(awaiting(jobtrain, page, size=2)) for page in (1, 2, 3)]
    assert seen == [[1, 2], [4, 5], []]  # 3 moved to the page that was read already
    assert ids(awaiting(jobtrain, 2, size=2)) == [4, 5]
    assert ids(awaiting(jobtrain, 1, size=2)) == [2, 3]


def test_list_that_keeps_answered_records_has_them(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.leaves_queue = False
    assert put(jobtrain, "/DBS/9/Status", {"Status": "In Progress"}).status_code == 200
    assert ids(awaiting(jobtrain)) == [9]


def test_list_has_an_application_that_awaits_again(jobtrain: FakeJobtrain) -> None:
    jobtrain.backlog(1)
    jobtrain.add(9)
    jobtrain.return_status(FIRST_BACKLOG_ID, "Complete", "Clear")
    assert ids(awaiting(jobtrain)) == [9]
    jobtrain.await_again(FIRST_BACKLOG_ID, check="Basic")
    answer = awaiting(jobtrain)
    assert ids(answer) == [9, FIRST_BACKLOG_ID]
    assert answer["candidates"][1]["CheckType"] == "Basic"
    check = get(jobtrain, f"/DBS/{FIRST_BACKLOG_ID}").json()
    assert (check["Status"], check["Result"]) == ("Awaiting", None)


def test_list_sends_empty_and_broken_values_as_set(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9, email=None, first_name=["broken"])
    jobtrain.change(9, last_name="Lee")
    (record,) = awaiting(jobtrain)["candidates"]
    values = record["EmailAddress"], record["FirstName"], record["Surname"]
    assert values == (None, ["broken"], "Lee")


def test_list_of_a_big_backlog_is_not_stored(jobtrain: FakeJobtrain) -> None:
    jobtrain.backlog(100_000)
    answer = awaiting(jobtrain, 1000)
    assert (answer["total"], ids(answer)[-1]) == (100_000, FIRST_BACKLOG_ID + 99_999)
    jobtrain.return_status(FIRST_BACKLOG_ID + 5, "In Progress")
    jobtrain.delete(FIRST_BACKLOG_ID + 6)
    answer = awaiting(jobtrain)
    assert answer["total"] == 99_998
    assert ids(answer)[4:6] == [FIRST_BACKLOG_ID + 4, FIRST_BACKLOG_ID + 7]
    assert len(jobtrain._applications) == 2


def test_add_with_a_taken_id_raises(jobtrain: FakeJobtrain) -> None:
    assert [jobtrain.add().application_id, jobtrain.add().application_id] == [1, 2]
    for number in (2, FIRST_BACKLOG_ID):
        with pytest.raises(ValueError, match="taken"):
            jobtrain.add(number)


# One check


def test_check_read_alone_has_its_type_and_status(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9, check="Standard")
    jobtrain.sends_check_in_list = False
    (record,) = awaiting(jobtrain)["candidates"]
    assert "CheckType" not in record
    check = get(jobtrain, "/DBS/9").json()
    assert check == record | {"CheckType": "Standard", "Status": "Awaiting", "Result": None}


def test_check_without_its_path_does_not_exist(clock: ManualClock) -> None:
    with FakeJobtrain(clock, JobtrainNames(check_path="")) as fake:
        fake.add(9)
        assert_refused(get(fake, "/DBS/9"), 404)


def test_check_deleted_or_unknown_does_not_exist(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.delete(9)
    assert ids(awaiting(jobtrain)) == []
    for number in (9, 10):
        assert_refused(get(jobtrain, f"/DBS/{number}"), 404)
        assert_refused(put(jobtrain, f"/DBS/{number}/Status", {"Status": "Complete"}), 404)


def test_check_of_a_closed_job_is_refused(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9, job_reference="JT-7")
    jobtrain.closed_jobs.add("JT-7")
    assert ids(awaiting(jobtrain)) == [9]
    assert_refused(get(jobtrain, "/DBS/9"), 410)
    assert_refused(put(jobtrain, "/DBS/9/Status", {"Status": "Complete"}), 410)


@pytest.mark.parametrize("target", ["/DBS/nine", "/DBS/9?PageNo=1", "/DBS/-9"])
def test_check_with_a_wrong_address_is_refused(
    refusing_jobtrain: FakeJobtrain, target: str
) -> None:
    assert_refused(get(refusing_jobtrain, target), 400)


def test_address_unknown_or_with_other_method_is_refused(refusing_jobtrain: FakeJobtrain) -> None:
    assert_refused(get(refusing_jobtrain, "/DBS/9/Other"), 404)
    assert_refused(get(refusing_jobtrain, "/DBS/9/"), 404)
    assert get(refusing_jobtrain, "/DBS/9/Status").status_code == 405
    assert put(refusing_jobtrain, "/DBS/Awaiting", {}).status_code == 405


# A status


def test_status_of_the_facts_is_accepted_once(jobtrain: FakeJobtrain) -> None:
    bodies = [
        {"Status": "Requested"},
        {"Status": "In Progress"},
        {"Status": "Complete"},
        {"Status": "Complete", "Result": "Clear"},
        {"Status": "Complete", "Result": "Consider"},
        {"Status": "Withdrawn"},
        {"Status": "Expired"},
        {"Status": "Cancelled"},
    ]
    jobtrain.add(9)
    for body in bodies:
        response = put(jobtrain, "/DBS/9/Status", body)
        assert (response.status_code, response.json()) == (200, body)
        application = jobtrain.application(9)
        assert application is not None
        assert (application.status, application.result) == (body["Status"], body.get("Result"))
        assert_refused(put(jobtrain, "/DBS/9/Status", body), 409)
    assert jobtrain.writes == [(9, body) for body in bodies]


def test_status_sent_twice_in_lenient_mode_is_accepted(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.refuses_duplicates = False
    for _ in range(2):
        assert put(jobtrain, "/DBS/9/Status", {"Status": "Complete"}).status_code == 200
    assert len(jobtrain.writes) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], 400),
        ("Complete", 400),
        ({"Status": 3}, 400),
        ({"Status": None}, 400),
        ({"Status": "Complete", "Score": "78"}, 400),
        ({"status": "Complete"}, 400),
        ({}, 422),
        ({"Status": ""}, 422),
        ({"Status": "completed"}, 422),
        ({"Result": "Clear"}, 422),
        ({"Status": "Complete", "Result": " "}, 422),
        ({"Status": "Complete", "Result": "Passed"}, 422),
        ({"Status": "Expired", "Result": "Clear"}, 422),
    ],
)
def test_status_with_a_wrong_body_is_refused(
    refusing_jobtrain: FakeJobtrain, body: Any, code: int
) -> None:
    assert_refused(put(refusing_jobtrain, "/DBS/9/Status", body), code)
    assert refusing_jobtrain.writes == []
    assert ids(awaiting(refusing_jobtrain)) == [9]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"Status": "Complete"}', "text/plain"),
        (b"Status=Complete", "application/x-www-form-urlencoded"),
        (b'{"Status": "Comp', "application/json"),
        (b'{"Status": "\xff"}', "application/json"),
        (b"", "application/json"),
    ],
)
def test_status_not_in_json_is_refused(
    refusing_jobtrain: FakeJobtrain, body: bytes, content_type: str
) -> None:
    headers = CREDENTIALS | {"Content-Type": content_type}
    url = f"{refusing_jobtrain.url}/DBS/9/Status"
    assert_refused(HTTP.put(url, data=body, headers=headers), 400)


def test_status_above_1000000_bytes_is_refused(clock: ManualClock) -> None:
    with FakeJobtrain(clock, JobtrainNames(optional_fields=("Report",))) as fake:
        fake.add(9)
        body = {"Status": "Complete", "Report": ""}
        body["Report"] = "x" * (1_000_000 - len(json.dumps(body)))
        assert put(fake, "/DBS/9/Status", body).status_code == 200
        body["Report"] += "x"
        assert_refused(put(fake, "/DBS/9/Status", body), 413)


def test_status_with_a_blank_optional_field_is_refused(clock: ManualClock) -> None:
    with FakeJobtrain(clock, JobtrainNames(optional_fields=("Report",))) as fake:
        fake.add(9)
        assert_refused(put(fake, "/DBS/9/Status", {"Status": "Complete", "Report": " "}), 422)


def test_stage_of_a_status_must_be_known_and_is_stored(clock: ManualClock) -> None:
    stages = ("DBS requested", "DBS done")
    with FakeJobtrain(clock, JobtrainNames(stages=stages)) as fake:
        fake.add(9)
        body = {"Status": "Complete", "Stage": "DBS ended"}
        assert_refused(put(fake, "/DBS/9/Status", body), 422)
        assert get(fake, "/DBS/9").json()["Stage"] is None
        for stage in stages:
            body = {"Status": "Complete", "Stage": stage}
            assert put(fake, "/DBS/9/Status", body).status_code == 200
            assert get(fake, "/DBS/9").json()["Stage"] == stage
            assert_refused(put(fake, "/DBS/9/Status", body), 409)


def test_stage_is_refused_where_there_are_none(refusing_jobtrain: FakeJobtrain) -> None:
    body = {"Status": "Complete", "Stage": "DBS done"}
    assert_refused(put(refusing_jobtrain, "/DBS/9/Status", body), 400)


# Faults and the budget


@pytest.mark.parametrize("code", CODES)
def test_refusal_of_each_code_has_its_title(refusing_jobtrain: FakeJobtrain, code: int) -> None:
    refusing_jobtrain.refuse_next("GET", "/DBS/Awaiting", code, Retry_After="7")
    response = get(refusing_jobtrain, "/DBS/Awaiting")
    assert_refused(response, code)
    assert response.headers["Retry-After"] == "7"
    assert get(refusing_jobtrain, "/DBS/Awaiting").status_code == 200


def test_status_with_408_after_commit_is_stored(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.refuse_next("PUT", "/Status", 408, after=True)
    assert_refused(put(jobtrain, "/DBS/9/Status", {"Status": "Complete"}), 408)
    assert get(jobtrain, "/DBS/9").json()["Status"] == "Complete"
    assert_refused(put(jobtrain, "/DBS/9/Status", {"Status": "Complete"}), 409)
    assert len(jobtrain.writes) == 1


def test_status_with_hang_up_after_commit_is_stored(jobtrain: FakeJobtrain) -> None:
    jobtrain.add(9)
    jobtrain.fail_next("PUT", "/Status", hang_up, after=True)
    with pytest.raises(requests.ConnectionError):
        put(jobtrain, "/DBS/9/Status", {"Status": "Complete"})
    assert len(jobtrain.writes) == 1


def test_budget_is_shared_by_tokens_of_a_client(
    oauth_jobtrain: FakeJobtrain, clock: ManualClock
) -> None:
    oauth_jobtrain.budget_limit = 4
    form = {"grant_type": "client_credentials"}
    tokens = [ask_token(oauth_jobtrain, form).json()["access_token"] for _ in range(2)]
    codes = [with_token(oauth_jobtrain, token) for token in (*tokens, tokens[0])]
    assert codes == [200, 200, 429]
    clock.advance(timedelta(seconds=10))
    assert with_token(oauth_jobtrain, tokens[0]) == 200
