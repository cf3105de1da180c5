"""Tests of the fake Greenhouse (Harvest v3 and webhooks), with requests written by hand."""

import base64
import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest, hang_up

Fake = TypeVar("Fake", bound=FakeVendor)
HTTP = requests.Session()
HTTP.trust_env = False
BASIC = "Basic " + base64.b64encode(b"gh-client-5520:gh-secret-a81f03").decode()
REDIRECT_URI = "https://provider.example.org/greenhouse/connected"
SCOPES = "harvest:jobs:list harvest:application_stages:list harvest:notes:create"
CLIENT_GRANT = {"grant_type": "client_credentials"}
PDF = base64.b64encode(b"%PDF-1.7").decode()
NOTE = {"candidate_id": 17, "body": "Numeracy", "visibility": "private", "note_type": "NOTE"}
ATTACHMENT = {
    "application_id": 26,
    "filename": "Numeracy-asmt_7f-1.pdf",
    "type": "take_home_test",
    "content": PDF,
    "visibility": "private",
}


class Receiver(FakeVendor):
    """The program that gets the webhooks: it answers with the codes of `codes`, then with 200."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.codes: list[int] = []

    def answer(self, request: VendorRequest) -> Reply:
        code = self.codes.pop(0) if self.codes else 200
        return Reply(code, headers={"Location": "/hook"})

    @property
    def events(self) -> list[VendorRequest]:
        return self.requests("POST", "/hook")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[FakeVendor]]:
    """Collect the started fakes, to stop all at once: one by one the waits would add up."""
    started: list[FakeVendor] = []
    yield started
    HTTP.close()
    with ThreadPoolExecutor(len(started)) as pool:
        list(pool.map(lambda fake: fake.__exit__(), started))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def harvest(clock: ManualClock, servers: list[FakeVendor]) -> FakeHarvest:
    fake = start(FakeHarvest(clock), servers)
    fill(fake)
    return fake


@pytest.fixture
def partner(clock: ManualClock, servers: list[FakeVendor]) -> FakeHarvest:
    return start(FakeHarvest(clock, "code"), servers)


@pytest.fixture(scope="module")
def refusing(servers: list[FakeVendor]) -> tuple[FakeHarvest, str]:
    """Return a Greenhouse and a token, for tests that change nothing there."""
    fake = start(FakeHarvest(ManualClock()), servers)
    fake.budget_limit = None
    fill(fake)
    return fake, token_of(fake)


@pytest.fixture(scope="module")
def refusing_partner(servers: list[FakeVendor]) -> FakeHarvest:
    return start(FakeHarvest(ManualClock(), "code"), servers)


@pytest.fixture(scope="module")
def shared_receiver(servers: list[FakeVendor]) -> Receiver:
    return start(Receiver(), servers)


@pytest.fixture
def receiver(harvest: FakeHarvest, shared_receiver: Receiver) -> Receiver:
    """Return the receiver of the webhooks, without what earlier tests sent."""
    for noted in (
        shared_receiver.codes,
        shared_receiver.request_log,
        shared_receiver.before_request,
    ):
        noted.clear()
    harvest.webhook_url = f"{shared_receiver.url}/hook"
    return shared_receiver


def start(fake: Fake, servers: list[FakeVendor]) -> Fake:
    servers.append(fake.__enter__())
    return fake


def fill(fake: FakeHarvest) -> None:
    """Add job 5 with the stages 87 and 88, and in stage 88 the application 26 of candidate 17."""
    fake.add("jobs", id=5, name="Accountant")
    fake.add("job_interview_stages", id=87, job_id=5, name="Application Review", sort_order=0)
    fake.add("job_interview_stages", id=88, job_id=5, name="Assessment")
    fake.add("candidates", id=17, first_name="Ana", last_name="Li")
    fake.apply(88, id=26, candidate_id=17)


def ask_token(
    fake: FakeHarvest, form: dict[str, str], authorization: str | None = BASIC
) -> requests.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return HTTP.post(f"{fake.url}/token", data=form, headers=headers)


def token_of(fake: FakeHarvest, **form: str) -> str:
    response = ask_token(fake, CLIENT_GRANT | form)
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


def get(fake: FakeHarvest, token: str, target: str) -> requests.Response:
    url = target if target.startswith("http") else fake.url + target
    return HTTP.get(url, headers={"Authorization": f"Bearer {token}"})


def post(fake: FakeHarvest, token: str, target: str, body: Any) -> requests.Response:
    return HTTP.post(fake.url + target, json=body, headers={"Authorization": f"Bearer {token}"})


def ids(fake: FakeHarvest, target: str, token: str | None = None) -> list[int]:
    response = get(fake, token or token_of(fake), target)
    assert response.status_code == 200, response.text
    return [record["id"] for record in response.json()]


def consent(fake: FakeHarvest, **changes: str | None) -> requests.Response:
    query = {"response_type": "code", "client_id": "gh-client-5520", "redirect_uri": REDIRECT_URI}
    query |= {"scope": SCOPES, "state": "s-1"}
    sent = {name: value for name, value in (query | changes).items() if value is not None}
    return HTTP.get(f"{fake.url}/authorize", params=sent, allow_redirects=False)


def sent_back(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    address, _, query = response.headers["Location"].partition("?")
    assert address == REDIRECT_URI
    return dict(parse_qsl(query))


def exchange(fake: FakeHarvest, code: str, redirect_uri: str = REDIRECT_URI) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return ask_token(fake, form)


def refresh(fake: FakeHarvest, token: str) -> requests.Response:
    return ask_token(fake, {"grant_type": "refresh_token", "refresh_token": token})


def connect(fake: FakeHarvest, **changes: str) -> dict[str, str]:
    response = exchange(fake, sent_back(consent(fake, **changes))["code"])
    assert response.status_code == 200, response.text
    tokens: dict[str, str] = response.json()
    return tokens


def assert_oauth_error(response: requests.Response, code: int, error: str) -> None:
    assert (response.status_code, response.json()["error"]) == (code, error), response.text


def assert_refused(response: requests.Response, code: int, message: str, *errors: Any) -> None:
    assert (response.status_code, response.json()["message"]) == (code, message), response.text
    if errors:
        assert response.json()["errors"] == list(errors)


# The worked exchange


def test_exchange_of_the_facts_is_answered(harvest: FakeHarvest) -> None:
    response = ask_token(harvest, {"grant_type": "client_credentials", "sub": "4080"})
    tokens = response.json()
    ends_at = harvest.clock.now() + timedelta(hours=1)
    assert tokens.keys() == {"access_token", "token_type", "expires_at"}
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_at"] == f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"
    token, now = tokens["access_token"], harvest.clock.now()
    window = f"gte|{now - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}|lte|{now:%Y-%m-%dT23:59:59Z}"
    target = f"/v3/application_stages?job_interview_stage_ids=88&updated_at={window}&per_page=500"
    (row,) = get(harvest, token, target).json()
    assert (row["application_id"], row["job_interview_stage_id"]) == (26, 88)
    assert (row["current"], row["exited_at"]) == (True, None)
    (application,) = get(harvest, token, "/v3/applications?ids=26,27").json()
    assert (application["candidate_id"], application["job_id"]) == (17, 5)
    (candidate,) = get(harvest, token, "/v3/candidates?ids=17,18").json()
    assert candidate["email_addresses"] == [{"value": "ana@example.org", "type": "personal"}]
    note = post(harvest, token, "/v3/notes", NOTE)
    assert (note.status_code, note.json()["user_id"], note.json()["type"]) == (201, 4080, "NOTE")
    attachment = post(harvest, token, "/v3/attachments", ATTACHMENT)
    assert (attachment.status_code, attachment.json()["candidate_id"]) == (201, 17)
    assert harvest.contents == {attachment.json()["id"]: b"%PDF-1.7"}
    assert harvest.writes == [("notes", NOTE), ("attachments", ATTACHMENT)]
    assert ids(harvest, "/v3/notes?candidate_ids=17", token) == [note.json()["id"]]
    listed = get(harvest, token, "/v3/attachments?application_ids=26").json()
    assert listed == [attachment.json()]


def test_chooser_lists_the_open_jobs_and_their_stages(harvest: FakeHarvest) -> None:
    harvest.add("jobs", id=6, status="closed")
    harvest.add("job_interview_stages", id=90, job_id=6, active=False)
    token = token_of(harvest)
    assert ids(harvest, "/v3/jobs?status=open", token) == [5]
    assert ids(harvest, "/v3/job_interview_stages?job_ids=5", token) == [88, 87]
    assert ids(harvest, "/v3/job_interview_stages?active=false", token) == [90]


# Tokens


@pytest.mark.parametrize(
    ("form", "authorization"),
    [
        (CLIENT_GRANT, None),
        (CLIENT_GRANT, "Basic " + base64.b64encode(b"gh-client-5520:wrong").decode()),
        (CLIENT_GRANT, "Bearer gh-secret-a81f03"),
        (CLIENT_GRANT | {"client_id": "gh-client-5520", "client_secret": "gh-secret-a81f03"}, None),
        (CLIENT_GRANT | {"client_id": "gh-client-5520"}, BASIC),
    ],
    ids=["nothing", "secret", "bearer", "body", "both"],
)
def test_token_other_credentials_than_basic_are_refused(
    refusing: tuple[FakeHarvest, str], form: dict[str, str], authorization: str | None
) -> None:
    response = ask_token(refusing[0], form, authorization)
    assert_oauth_error(response, 401, "invalid_client")
    assert response.headers["WWW-Authenticate"] == "Basic"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "unauthorized_client"),
        (CLIENT_GRANT | {"sub": "4999"}, "invalid_request"),
        (CLIENT_GRANT | {"sub": "kate"}, "invalid_request"),
        (CLIENT_GRANT | {"scope": "harvest:jobs:list"}, "invalid_request"),
    ],
)
def test_token_wrong_form_is_refused(
    refusing: tuple[FakeHarvest, str], form: dict[str, str], error: str
) -> None:
    assert_oauth_error(ask_token(refusing[0], form), 400, error)


def test_token_other_shapes_of_the_request_are_refused(refusing: tuple[FakeHarvest, str]) -> None:
    url, headers = f"{refusing[0].url}/token", {"Authorization": BASIC}
    response = HTTP.post(url, json=CLIENT_GRANT, headers=headers)
    assert_oauth_error(response, 400, "invalid_request")
    response = HTTP.post(url, data=[*CLIENT_GRANT.items()] * 2, headers=headers)
    assert_oauth_error(response, 400, "invalid_request")
    response = HTTP.post(url, params=CLIENT_GRANT, headers=headers)
    assert_oauth_error(response, 400, "unsupported_grant_type")
    assert HTTP.get(url, headers=headers).status_code == 404


def test_token_of_a_partner_by_client_credentials_is_refused(refusing_partner: FakeHarvest) -> None:
    response = ask_token(refusing_partner, CLIENT_GRANT)
    assert_oauth_error(response, 400, "unauthorized_client")


def test_token_expiry_field_is_switched(harvest: FakeHarvest) -> None:
    harvest.expiry_field = "expires_in"
    assert ask_token(harvest, CLIENT_GRANT).json()["expires_in"] == 3600


def test_token_above_its_own_limit_is_429(harvest: FakeHarvest, clock: ManualClock) -> None:
    harvest.token_limit = 2
    clock.advance(timedelta(seconds=-(clock.now().timestamp() % 60)))
    clock.advance(timedelta(seconds=45))
    answers = [ask_token(harvest, CLIENT_GRANT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "15"
    assert not any("X-RateLimit-Limit" in answer.headers for answer in answers)
    clock.advance(timedelta(seconds=15))
    assert ask_token(harvest, CLIENT_GRANT).status_code == 200


def test_access_token_lives_an_hour(harvest: FakeHarvest, clock: ManualClock) -> None:
    token = token_of(harvest)
    clock.advance(timedelta(minutes=59, seconds=59))
    assert get(harvest, token, "/v3/jobs").status_code == 200
    clock.advance(timedelta(seconds=1))
    assert_refused(get(harvest, token, "/v3/jobs"), 401, "Unauthorized")


def test_access_token_revoked_or_expired_is_401(harvest: FakeHarvest) -> None:
    for spoil in (harvest.revoke, harvest.expire):
        token = token_of(harvest)
        assert get(harvest, token, "/v3/jobs").status_code == 200
        spoil()
        assert get(harvest, token, "/v3/jobs").status_code == 401


def test_access_token_of_a_deactivated_user_is_401(harvest: FakeHarvest) -> None:
    token = token_of(harvest, sub="4080")
    harvest.change("users", 4080, deactivated=True)
    assert get(harvest, token, "/v3/jobs").status_code == 401
    assert_oauth_error(ask_token(harvest, CLIENT_GRANT | {"sub": "4080"}), 400, "invalid_request")


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer x", "Token {}", "Basic {}"])
def test_api_other_credentials_than_bearer_are_401(
    refusing: tuple[FakeHarvest, str], authorization: str | None
) -> None:
    headers = {"Authorization": authorization.format(refusing[1])} if authorization else {}
    response = HTTP.get(f"{refusing[0].url}/v3/jobs", headers=headers)
    assert_refused(response, 401, "Unauthorized")


# Authorisation by code


def test_code_is_exchanged_for_two_tokens(partner: FakeHarvest) -> None:
    back = sent_back(consent(partner))
    assert back == {"code": back["code"], "state": "s-1"}
    tokens = exchange(partner, back["code"]).json()
    names = {"access_token", "token_type", "expires_at", "refresh_token", "scope"}
    assert tokens.keys() == names
    assert get(partner, tokens["access_token"], "/v3/jobs").json() == []


def test_code_in_the_query_string_is_accepted(partner: FakeHarvest) -> None:
    code = sent_back(consent(partner))["code"]
    query = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    url, headers = f"{partner.url}/token", {"Authorization": BASIC}
    assert HTTP.post(url, params=query, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_request"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "harvest:read"}, "invalid_scope"),
        ({"state": None}, "invalid_request"),
        ({"state": ""}, "invalid_request"),
        ({"code_challenge": "x"}, "invalid_request"),
    ],
)
def test_authorize_wrong_query_is_sent_back(
    refusing_partner: FakeHarvest, changes: dict[str, str | None], error: str
) -> None:
    back = sent_back(consent(refusing_partner, **changes))
    assert back["error"] == error
    assert "code" not in back


def test_authorize_foreign_client_or_address_is_not_sent_back(
    refusing_partner: FakeHarvest, refusing: tuple[FakeHarvest, str]
) -> None:
    response = consent(refusing_partner, redirect_uri="https://attacker.example.org/")
    assert_oauth_error(response, 400, "invalid_request")
    assert_oauth_error(consent(refusing_partner, client_id="other"), 400, "invalid_client")
    assert_oauth_error(consent(refusing[0]), 400, "invalid_client")


def test_authorize_denied_consent_is_sent_back(partner: FakeHarvest) -> None:
    partner.denies_consent = True
    assert sent_back(consent(partner)) == {"error": "access_denied", "state": "s-1"}


def test_code_after_a_minute_is_refused(partner: FakeHarvest, clock: ManualClock) -> None:
    codes = [sent_back(consent(partner))["code"] for _ in range(2)]
    clock.advance(timedelta(seconds=59))
    assert exchange(partner, codes[0]).status_code == 200
    clock.advance(timedelta(seconds=1))
    assert_oauth_error(exchange(partner, codes[1]), 400, "invalid_grant")


def test_code_wrong_or_with_another_address_is_refused(partner: FakeHarvest) -> None:
    code = sent_back(consent(partner))["code"]
    assert_oauth_error(exchange(partner, "x"), 400, "invalid_grant")
    assert_oauth_error(exchange(partner, code, "https://x.example.org"), 400, "invalid_grant")
    form = {"grant_type": "authorization_code", "code": code}
    assert_oauth_error(ask_token(partner, form), 400, "invalid_request")


def test_code_used_twice_revokes_the_connection(partner: FakeHarvest) -> None:
    code = sent_back(consent(partner))["code"]
    tokens = exchange(partner, code).json()
    assert_oauth_error(exchange(partner, code), 400, "invalid_grant")
    assert get(partner, tokens["access_token"], "/v3/jobs").status_code == 401
    assert_oauth_error(refresh(partner, tokens["refresh_token"]), 400, "invalid_grant")


def test_refresh_rotates_both_tokens(partner: FakeHarvest) -> None:
    first = connect(partner)
    second = refresh(partner, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert get(partner, first["access_token"], "/v3/jobs").status_code == 401
    assert get(partner, second["access_token"], "/v3/jobs").status_code == 200


def test_refresh_token_used_twice_revokes_the_connection(partner: FakeHarvest) -> None:
    other, first = connect(partner), connect(partner)
    second = refresh(partner, first["refresh_token"]).json()
    assert_oauth_error(refresh(partner, first["refresh_token"]), 400, "invalid_grant")
    assert_oauth_error(refresh(partner, second["refresh_token"]), 400, "invalid_grant")
    assert get(partner, second["access_token"], "/v3/jobs").status_code == 401
    assert get(partner, other["access_token"], "/v3/jobs").status_code == 200


def test_refresh_token_dies_after_a_day(partner: FakeHarvest, clock: ManualClock) -> None:
    first = connect(partner)
    clock.advance(timedelta(hours=23, minutes=59))
    second = refresh(partner, first["refresh_token"]).json()
    clock.advance(timedelta(hours=24))
    assert_oauth_error(refresh(partner, second["refresh_token"]), 400, "invalid_grant")


def test_refresh_lifetime_is_switched(partner: FakeHarvest, clock: ManualClock) -> None:
    partner.refresh_lifetime_seconds = 14 * 24 * 3600
    tokens = connect(partner)
    clock.advance(timedelta(days=13))
    assert refresh(partner, tokens["refresh_token"]).status_code == 200


def test_refresh_after_expire_is_possible_unless_refresh_too(partner: FakeHarvest) -> None:
    tokens = connect(partner)
    partner.expire()
    assert get(partner, tokens["access_token"], "/v3/jobs").status_code == 401
    tokens = refresh(partner, tokens["refresh_token"]).json()
    partner.expire(refresh_too=True)
    assert_oauth_error(refresh(partner, tokens["refresh_token"]), 400, "invalid_grant")


def test_refresh_token_empty_or_of_the_code_grant_only_is_refused(partner: FakeHarvest) -> None:
    assert_oauth_error(refresh(partner, ""), 400, "invalid_request")
    assert_oauth_error(refresh(partner, "x"), 400, "invalid_grant")
    tokens = connect(partner)
    partner.revoke()
    assert_oauth_error(refresh(partner, tokens["refresh_token"]), 400, "invalid_grant")


def test_refresh_with_a_lost_answer_loses_the_connection(partner: FakeHarvest) -> None:
    tokens = connect(partner)
    partner.fail_next("POST", "/token", hang_up, after=True)
    with pytest.raises(requests.ConnectionError):
        refresh(partner, tokens["refresh_token"])
    assert_oauth_error(refresh(partner, tokens["refresh_token"]), 400, "invalid_grant")


# Rights


def test_scope_not_authorised_is_403(partner: FakeHarvest) -> None:
    token = connect(partner)["access_token"]
    assert get(partner, token, "/v3/application_stages").status_code == 200
    assert_refused(get(partner, token, "/v3/candidates"), 403, "Forbidden")
    assert_refused(post(partner, token, "/v3/attachments", ATTACHMENT), 403, "Forbidden")


def test_scope_removed_is_lost_at_once_and_added_needs_consent(partner: FakeHarvest) -> None:
    partner.scopes.remove("harvest:users:list")
    token = connect(partner)["access_token"]
    partner.scopes.remove("harvest:jobs:list")
    assert get(partner, token, "/v3/jobs").status_code == 403
    partner.scopes |= {"harvest:jobs:list", "harvest:users:list"}
    assert get(partner, token, "/v3/jobs").status_code == 200
    assert get(partner, token, "/v3/users").status_code == 403
    token = connect(partner, scope="harvest:users:list")["access_token"]
    assert get(partner, token, "/v3/users").status_code == 200


def test_lists_for_a_user_without_site_admin_are_403_or_empty(harvest: FakeHarvest) -> None:
    harvest.add("users", id=4081)
    token = token_of(harvest, sub="4081")
    assert_refused(get(harvest, token, "/v3/jobs"), 403, "Forbidden")
    assert post(harvest, token, "/v3/notes", NOTE).status_code == 201
    harvest.hides_lists = True
    assert get(harvest, token, "/v3/jobs").json() == []


# Lists


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("jobs?per_page=600", {"per_page": "`600` number is greater than: 500"}),
        ("jobs?per_page=0", None),
        ("jobs?per_page=many", None),
        ("jobs?page=2", None),
        ("jobs?status=active", None),
        ("jobs?job_ids=5", None),
        ("jobs?status=open&status=closed", None),
        ("jobs?cursor=forged", None),
        ("jobs?cursor=x&per_page=2", "When passing a cursor, do not include other query params."),
        ("jobs?fields=id,salary", None),
        ("jobs?fields=" + ",".join(["id"] * 51), None),
        ("applications?ids=" + ",".join(map(str, range(1, 52))), None),
        ("applications?ids=", None),
        ("applications?ids=1,x", None),
        ("applications?ids[]=1", None),
        ("applications?status=in_process", None),
        ("application_stages?current=yes", None),
        ("application_stages?updated_after=2026-11-22T08:55:00Z", None),
        ("application_stages?updated_at=2026-11-22T08:55:00Z", None),
        ("application_stages?updated_at[gte]=2026-11-22T08:55:00Z", None),
        ("application_stages?updated_at=gte|2026-11-22T08:55:00Z|lte", None),
        ("application_stages?updated_at=gte|2026-11-22T08:55:00", None),
        ("application_stages?updated_at=gte|2026-11-22T08:55:00+00:00", None),  # + is a space
        ("application_stages?updated_at=gte|2026-13-22T08:55:00Z", None),
        ("application_stages?updated_at=since|2026-11-22T08:55:00Z", None),
        ("application_stages?updated_at=gte|2026-11-22T08:55:00Z|gte|2026-11-22T08:56:00Z", None),
    ],
)
def test_list_wrong_parameter_is_422(
    refusing: tuple[FakeHarvest, str], target: str, error: Any
) -> None:
    response = get(*refusing, f"/v3/{target}")
    assert_refused(response, 422, "Unprocessable Content", *([error] if error else []))


def test_list_with_a_body_is_422(refusing: tuple[FakeHarvest, str]) -> None:
    headers = {"Authorization": f"Bearer {refusing[1]}"}
    response = HTTP.get(f"{refusing[0].url}/v3/jobs", data=b"{}", headers=headers)
    assert_refused(response, 422, "Unprocessable Content")


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "/v1/applications", 410),
        ("GET", "/v2/users", 410),
        ("GET", "/v3/scorecards", 404),
        ("GET", "/v3/applications/26", 404),
        ("GET", "/jobs", 404),
        ("POST", "/v3/jobs", 404),
        ("POST", "/v3/applications/26/move", 404),
        ("DELETE", "/v3/notes", 404),
    ],
)
def test_path_unknown_is_refused(
    refusing: tuple[FakeHarvest, str], method: str, target: str, code: int
) -> None:
    headers = {"Authorization": f"Bearer {refusing[1]}"}
    response = HTTP.request(method, refusing[0].url + target, headers=headers)
    assert_refused(response, code, {404: "Resource not found", 410: "Gone"}[code])


def test_path_of_a_removed_version_is_switched(harvest: FakeHarvest) -> None:
    harvest.removed_version_code = 404
    assert get(harvest, "", "/v1/jobs").status_code == 404


def test_list_pages_are_descending_and_linked(harvest: FakeHarvest) -> None:
    numbers = [harvest.add("jobs", status="draft") for _ in range(5)]
    token, pages = token_of(harvest), []
    url: str | None = "/v3/jobs?status=draft&per_page=2"
    while url:
        response = get(harvest, token, url)
        pages.append([job["id"] for job in response.json()])
        url = response.links.get("next", {}).get("url")
        assert url is None or (urlsplit(url).path, url.count("=")) == ("/v3/jobs", 1)
    numbers.reverse()
    assert pages == [numbers[:2], numbers[2:4], numbers[4:]]


def test_list_full_last_page_has_no_link(harvest: FakeHarvest) -> None:
    harvest.add("jobs")
    assert not get(harvest, token_of(harvest), "/v3/jobs?per_page=2").links


def test_list_default_page_has_100(harvest: FakeHarvest) -> None:
    harvest.backlog(101, 88)
    assert len(ids(harvest, "/v3/candidates")) == 100


def test_list_new_record_comes_before_the_pages_read(harvest: FakeHarvest) -> None:
    numbers = [harvest.add("jobs") for _ in range(3)]
    harvest.before_page["jobs", 2] = lambda: harvest.add("jobs")
    token = token_of(harvest)
    first = get(harvest, token, "/v3/jobs?per_page=2")
    second = get(harvest, token, first.links["next"]["url"])
    assert [job["id"] for job in first.json() + second.json()] == [*reversed(numbers), 5]
    assert ids(harvest, "/v3/jobs", token)[0] > numbers[-1]


def test_list_record_deleted_between_pages_is_missing(harvest: FakeHarvest) -> None:
    harvest.before_page["job_interview_stages", 2] = lambda: harvest.delete(
        "job_interview_stages", 87
    )
    token = token_of(harvest)
    first = get(harvest, token, "/v3/job_interview_stages?per_page=1")
    assert get(harvest, token, first.links["next"]["url"]).json() == []


def test_cursor_with_another_parameter_or_path_is_422(harvest: FakeHarvest) -> None:
    token = token_of(harvest)
    url = get(harvest, token, "/v3/job_interview_stages?per_page=1").links["next"]["url"]
    assert_refused(
        get(harvest, token, f"{url}&per_page=1"),
        422,
        "Unprocessable Content",
        "When passing a cursor, do not include other query params.",
    )
    other = get(harvest, token, url.replace("job_interview_stages", "jobs"))
    assert_refused(other, 422, "Unprocessable Content")
    assert get(harvest, token, url).json() == get(harvest, token, url).json() != []


def test_cursor_dead_is_refused(harvest: FakeHarvest, clock: ManualClock) -> None:
    harvest.cursor_lifetime_seconds = 600
    token = token_of(harvest)
    url = get(harvest, token, "/v3/job_interview_stages?per_page=1").links["next"]["url"]
    clock.advance(timedelta(seconds=599))
    assert get(harvest, token, url).status_code == 200
    clock.advance(timedelta(seconds=1))
    assert_refused(get(harvest, token, url), 422, "Unprocessable Content")
    harvest.dead_cursor_code = 404
    assert_refused(get(harvest, token, url), 404, "Resource not found")


def test_link_to_another_host_is_sent_on_request(harvest: FakeHarvest) -> None:
    harvest.link_base = "https://attacker.example.org/v3"
    response = get(harvest, token_of(harvest), "/v3/job_interview_stages?per_page=1")
    assert response.headers["Link"].startswith("<https://attacker.example.org/v3/job_interview_st")
    assert response.headers["Link"].endswith('>; rel="next"')


def test_list_fields_are_chosen(harvest: FakeHarvest) -> None:
    target = "/v3/applications?fields=id,stage_name"
    answer = get(harvest, token_of(harvest), target).json()
    assert answer == [{"id": 26, "stage_name": "Assessment"}]


def test_list_status_active_is_answered_as_in_process(harvest: FakeHarvest) -> None:
    harvest.apply(88, id=27)
    harvest.change("applications", 27, status="rejected")
    token = token_of(harvest)
    (application,) = get(harvest, token, "/v3/applications?status=active").json()
    assert (application["id"], application["status"]) == (26, "in_process")
    assert ids(harvest, "/v3/applications?status=rejected", token) == [27]


def test_list_time_window_has_its_operators(harvest: FakeHarvest, clock: ManualClock) -> None:
    clock.current_time = clock.now().replace(microsecond=0)
    moments = [f"{clock.now() + timedelta(seconds=n):%Y-%m-%dT%H:%M:%SZ}" for n in (0, 1, 2)]
    for number in (31, 32, 33):
        harvest.add("jobs", id=number)
        clock.advance(timedelta(seconds=1))
    harvest.change("jobs", 31, name="Auditor")  # at second 3
    token, first, last = token_of(harvest), moments[1], moments[2]
    target = "/v3/jobs?ids=31,32,33&"
    assert ids(harvest, f"{target}updated_at=gte|{first}|lte|{last}", token) == [33, 32]
    assert ids(harvest, f"{target}updated_at=gt|{first}", token) == [33, 31]
    assert ids(harvest, f"{target}created_at=lt|{first}", token) == [31]


def test_list_other_filters_are_applied(harvest: FakeHarvest) -> None:
    harvest.apply(None, id=27)
    token = token_of(harvest)
    harvest.move(26, 87)
    assert ids(harvest, "/v3/applications?prospect=true", token) == [27]
    assert len(ids(harvest, "/v3/application_stages?application_ids=26", token)) == 2
    assert len(ids(harvest, "/v3/application_stages?current=true", token)) == 1
    assert ids(harvest, "/v3/candidates?ids=17&email=ANA@example.org", token) == [17]
    assert ids(harvest, "/v3/candidates?email=bo@example.org", token) == []


def test_list_hidden_record_appears_later(harvest: FakeHarvest) -> None:
    harvest.hidden.add(("applications", 26))
    token = token_of(harvest)
    assert ids(harvest, "/v3/applications?ids=26", token) == []
    harvest.hidden.clear()
    assert ids(harvest, "/v3/applications?ids=26", token) == [26]


# Records


def test_move_adds_a_row_and_ends_the_earlier_one(harvest: FakeHarvest, clock: ManualClock) -> None:
    clock.advance(timedelta(hours=1))
    assert harvest.move(26, 87) is None  # no webhook
    token = token_of(harvest)
    new, old = get(harvest, token, "/v3/application_stages").json()
    assert (new["job_interview_stage_id"], new["current"]) == (87, True)
    assert (old["job_interview_stage_id"], old["current"]) == (88, False)
    assert old["exited_at"] == new["entered_at"] == old["updated_at"] > old["entered_at"]
    (application,) = get(harvest, token, "/v3/applications").json()
    assert (application["stage_id"], application["stage_name"]) == (new["id"], "Application Review")


@pytest.mark.parametrize(("adds_row", "count"), [(True, 3), (False, 2)])
def test_move_back_adds_a_row_or_uses_the_old(
    harvest: FakeHarvest, clock: ManualClock, adds_row: bool, count: int
) -> None:
    harvest.adds_row_at_reentry = adds_row
    clock.advance(timedelta(hours=1))
    harvest.move(26, 87)
    harvest.move(26, 88)
    rows = harvest.records("application_stages")
    assert len(rows) == count
    (current,) = [row for row in rows if row["current"]]
    assert (current["job_interview_stage_id"], current["exited_at"]) == (88, None)
    assert current["entered_at"] == clock.now()


def test_delete_of_a_candidate_takes_applications_and_stages(harvest: FakeHarvest) -> None:
    number = harvest.backlog(2, 88)[1]
    token = token_of(harvest)
    for candidate_id, application_id in ((17, 26), (number, number)):
        harvest.delete("candidates", candidate_id)
        assert ids(harvest, f"/v3/applications?ids={application_id}", token) == []
        target = f"/v3/application_stages?application_ids={application_id}"
        assert ids(harvest, target, token) == []


def test_records_taken_id_and_unknown_field_are_refused(harvest: FakeHarvest) -> None:
    with pytest.raises(ValueError, match="taken"):
        harvest.add("jobs", id=5)
    with pytest.raises(ValueError, match="no field"):
        harvest.add("jobs", title="Accountant")
    with pytest.raises(KeyError):
        harvest.change("jobs", 7, name="Auditor")


def test_backlog_of_100_000_costs_no_memory(harvest: FakeHarvest) -> None:
    token = token_of(harvest)
    tracemalloc.start()
    numbers = harvest.backlog(100_000, 88)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    target = "/v3/application_stages?job_interview_stage_ids=88&per_page=500"
    response = get(harvest, token, target)
    assert [row["application_id"] for row in response.json()] == list(numbers[:-501:-1])
    second = get(harvest, token, response.links["next"]["url"]).json()
    assert second[0]["id"] == numbers[-501]
    assert ids(harvest, f"/v3/applications?ids=26,{numbers[7]}", token) == [numbers[7], 26]
    (candidate,) = get(harvest, token, f"/v3/candidates?ids={numbers[7]}").json()
    email = f"candidate{numbers[7]}@example.org"
    assert candidate["email_addresses"] == [{"value": email, "type": "personal"}]


def test_backlog_outside_of_a_filter_is_not_listed(harvest: FakeHarvest) -> None:
    harvest.backlog(100_000, 88)
    token = token_of(harvest)
    window = f"gte|{harvest.clock.now() + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    assert ids(harvest, f"/v3/application_stages?updated_at={window}", token) == []
    assert ids(harvest, "/v3/application_stages?job_interview_stage_ids=87", token) == []


def test_backlog_moved_record_is_listed_once(harvest: FakeHarvest, clock: ManualClock) -> None:
    numbers, later = harvest.backlog(3, 88), harvest.backlog(2, 87)
    clock.advance(timedelta(hours=1))
    harvest.move(numbers[1], 87)
    token = token_of(harvest)
    assert ids(harvest, "/v3/applications", token) == [*later[::-1], *numbers[::-1], 26]
    target = "/v3/application_stages?job_interview_stage_ids=87&per_page=1"
    (row,) = get(harvest, token, target).json()
    assert (row["application_id"], row["id"] > later[-1]) == (numbers[1], True)
    assert ids(harvest, "/v3/application_stages?current=false", token) == [numbers[1]]
    target = f"/v3/applications?ids={later[0]},{numbers[0]},{numbers[1]}"
    assert ids(harvest, target, token) == [later[0], numbers[1], numbers[0]]


# Writes


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"candidate_id": None}, "candidate_id"),
        ({"candidate_id": "17"}, "candidate_id"),
        ({"candidate_id": True}, "candidate_id"),
        ({"body": None}, "body"),
        ({"body": ""}, "body"),
        ({"visibility": None}, "visibility"),
        ({"visibility": "secret"}, "visibility"),
        ({"note_type": "EMAIL"}, "note_type"),
        ({"user_id": "4080"}, "user_id"),
        ({"user_id": 4999}, "user_id"),
        ({"message": "x"}, "message"),
    ],
)
def test_note_wrong_field_is_422(
    refusing: tuple[FakeHarvest, str], changes: dict[str, Any], error: str
) -> None:
    sent = {name: value for name, value in (NOTE | changes).items() if value is not None}
    response = post(*refusing, "/v3/notes", sent)
    assert_refused(response, 422, "Unprocessable Content")
    assert [list(line) for line in response.json()["errors"]] == [[error]]
    assert refusing[0].writes == []


@pytest.mark.parametrize(
    "changes",
    [
        {"application_id": None},
        {"application_id": None, "candidate_id": 17},
        {"filename": None},
        {"type": "report"},
        {"visibility": "everybody"},
        {"content": None},
        {"content": ""},
        {"content": "JVBE\nRi0x"},
        {"url": "https://provider.example.org/r.pdf"},
        {"content_type": "application/pdf"},
    ],
)
def test_attachment_wrong_field_is_422(
    refusing: tuple[FakeHarvest, str], changes: dict[str, Any]
) -> None:
    sent = {name: value for name, value in (ATTACHMENT | changes).items() if value is not None}
    response = post(*refusing, "/v3/attachments", sent)
    assert_refused(response, 422, "Unprocessable Content")
    assert refusing[0].records("attachments") == []


def test_write_other_body_than_a_json_object_is_400(refusing: tuple[FakeHarvest, str]) -> None:
    fake, token = refusing
    assert_refused(post(fake, token, "/v3/notes", [NOTE]), 400, "Bad Request")
    assert_refused(post(fake, token, "/v3/notes?user_id=4080", NOTE), 400, "Bad Request")
    headers = {"Authorization": f"Bearer {token}"}
    form = HTTP.post(f"{fake.url}/v3/notes", data=NOTE, headers=headers)
    assert_refused(form, 400, "Bad Request")
    headers["Content-Type"] = "text/plain"
    text = HTTP.post(f"{fake.url}/v3/notes", data=json.dumps(NOTE), headers=headers)
    assert_refused(text, 400, "Bad Request")
    headers["Content-Type"] = "application/json"
    broken = HTTP.post(f"{fake.url}/v3/notes", data=b'{"body"', headers=headers)
    assert_refused(broken, 400, "Bad Request")


def test_write_for_a_missing_record_is_404(refusing: tuple[FakeHarvest, str]) -> None:
    note = post(*refusing, "/v3/notes", NOTE | {"candidate_id": 18})
    assert_refused(note, 404, "Resource not found")
    attachment = post(*refusing, "/v3/attachments", ATTACHMENT | {"application_id": 27})
    assert_refused(attachment, 404, "Resource not found")


def test_note_twice_is_there_twice(harvest: FakeHarvest) -> None:
    token = token_of(harvest)
    numbers = [post(harvest, token, "/v3/notes", NOTE).json()["id"] for _ in range(2)]
    assert ids(harvest, "/v3/notes?candidate_ids=17", token) == numbers[::-1]
    (note, _) = harvest.records("notes")
    assert (note["body"], note["user_id"]) == ("Numeracy", 4000)


def test_note_with_a_lost_answer_is_there(harvest: FakeHarvest) -> None:
    token = token_of(harvest)
    harvest.fail_next("POST", "/v3/notes", hang_up, after=True)
    with pytest.raises(requests.ConnectionError):
        post(harvest, token, "/v3/notes", NOTE)
    assert len(ids(harvest, "/v3/notes?candidate_ids=17", token)) == 1


def test_attachment_resume_replaces_and_take_home_test_does_not(harvest: FakeHarvest) -> None:
    token = token_of(harvest)
    for file_type in ("take_home_test", "resume", "take_home_test", "resume"):
        post(harvest, token, "/v3/attachments", ATTACHMENT | {"type": file_type})
    types = [row["type"] for row in harvest.records("attachments")]
    assert sorted(types) == ["resume", "take_home_test", "take_home_test"]


def test_attachment_with_an_address_has_no_content(harvest: FakeHarvest) -> None:
    sent = {name: value for name, value in ATTACHMENT.items() if name != "content"}
    sent["url"] = "https://provider.example.org/r.pdf"
    response = post(harvest, token_of(harvest), "/v3/attachments", sent)
    assert response.json()["url"] == "https://provider.example.org/r.pdf"
    assert harvest.contents == {response.json()["id"]: b""}


# Rate limit


def test_budget_is_told_and_above_it_is_429(harvest: FakeHarvest, clock: ManualClock) -> None:
    harvest.budget_limit = 3
    token, other = token_of(harvest), token_of(harvest)
    clock.advance(timedelta(seconds=30 - clock.now().timestamp() % 30))
    clock.advance(timedelta(seconds=10))
    answers = [get(harvest, text, "/v3/jobs") for text in (token, other, "bad", token)]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 429]
    limits = [(a.headers["X-RateLimit-Limit"], a.headers["X-RateLimit-Remaining"]) for a in answers]
    assert limits == [("3", "2"), ("3", "1"), ("3", "0"), ("3", "0")]
    assert not any("X-RateLimit-Reset" in answer.headers for answer in answers[:3])
    assert answers[3].json() == {"message": "Too Many Requests"}
    assert answers[3].headers["Retry-After"] == "20"
    resets_at = clock.now() + timedelta(seconds=20)
    assert answers[3].headers["X-RateLimit-Reset"] == str(int(resets_at.timestamp()))
    clock.advance(timedelta(seconds=20))
    assert get(harvest, token, "/v3/jobs").status_code == 200


def test_budget_retry_after_is_switched_off(harvest: FakeHarvest) -> None:
    harvest.budget_limit, harvest.sends_retry_after = 0, False
    response = get(harvest, token_of(harvest), "/v3/jobs")
    assert response.status_code == 429
    assert "Retry-After" not in response.headers


# Webhooks


def test_signature_has_the_value_of_the_facts(refusing: tuple[FakeHarvest, str]) -> None:
    expected = "sha256 81131b7009d0aa800993b49664a03f7383b0d686e64f4231fe5e33d71cd0ff09"
    assert refusing[0].sign(b'{"action":"ping"}', "SECRET") == expected
    assert refusing[0].sign(b'{"action": "ping"}', "SECRET") != expected


def test_ping_answered_with_200_enables_the_webhook(
    harvest: FakeHarvest, receiver: Receiver
) -> None:
    delivery = harvest.ping()
    assert harvest.webhook_enabled
    (event,) = receiver.events
    assert event.json["action"] == "ping"
    assert event.headers["content-type"] == "application/json"
    assert event.headers["signature"] == harvest.sign(event.body)
    assert event.headers["greenhouse-event-id"] == delivery.event_id
    assert delivery.answers == [(harvest.clock.now(), 200)]


@pytest.mark.parametrize("code", [201, 204, 302, 401, 500])
def test_ping_answered_otherwise_disables_the_webhook(
    harvest: FakeHarvest, receiver: Receiver, code: int
) -> None:
    harvest.webhook_enabled = True
    receiver.codes = [code]
    assert harvest.ping().answers[0][1] == code
    assert harvest.move(26, 87) is None
    assert len(receiver.events) == 1
    assert harvest.retry_due() == 0


def test_ping_without_a_server_disables_the_webhook(harvest: FakeHarvest) -> None:
    harvest.webhook_url = "http://127.0.0.1:9/hook"
    assert harvest.ping().answers[0][1] is None
    assert not harvest.webhook_enabled


def test_move_sends_the_event_of_the_facts(harvest: FakeHarvest, receiver: Receiver) -> None:
    harvest.webhook_enabled = True
    phone = [{"value": "330-281-8004", "type": "home"}]
    harvest.change("candidates", 17, last_name="Łi <b>", phone_numbers=phone)
    delivery = harvest.move(26, 87)
    assert delivery is not None
    assert delivery.answers[0][1] == 200
    (event,) = receiver.events
    assert event.body.isascii()
    assert rb"\u0141i \u003cb\u003e" in event.body
    assert event.json == {
        "action": "candidate_stage_change",
        "payload": {
            "application": {
                "id": 26,
                "status": "active",
                "prospect": False,
                "current_stage": {"id": 87, "name": "Application Review", "interviews": []},
                "candidate": {
                    "id": 17,
                    "first_name": "Ana",
                    "last_name": "Łi <b>",
                    "email_addresses": [{"value": "ana@example.org", "type": "personal"}],
                    "phone_numbers": phone,
                },
                "jobs": [{"id": 5, "name": "Accountant"}],
            }
        },
    }
    rewritten = json.dumps(event.json).encode()
    assert event.headers["signature"] == harvest.sign(event.body) != harvest.sign(rewritten)


def test_notify_of_a_prospect_has_no_stage(harvest: FakeHarvest, receiver: Receiver) -> None:
    harvest.notify(harvest.apply(None))
    application = receiver.events[0].json["payload"]["application"]
    assert (application["prospect"], application["current_stage"]) == (True, None)
    assert application["jobs"] == []


def test_notify_with_another_secret_is_forged(harvest: FakeHarvest, receiver: Receiver) -> None:
    harvest.notify(26, secret="OTHER")
    (event,) = receiver.events
    assert event.headers["signature"] == harvest.sign(event.body, "OTHER")
    assert event.headers["signature"] != harvest.sign(event.body)


def test_event_failing_always_has_seven_tries(
    harvest: FakeHarvest, receiver: Receiver, clock: ManualClock
) -> None:
    harvest.webhook_enabled = True
    receiver.codes = [500, 200, 201, 302, 404, 503, 429, 500]
    delivery = harvest.move(26, 87)
    assert harvest.replay(delivery) == 200  # it changes nothing in the waiting times
    for minutes in (1, 15, 60, 120, 240, 480):
        clock.advance(timedelta(minutes=minutes, seconds=-1))
        assert harvest.retry_due() == 0
        clock.advance(timedelta(seconds=1))
        assert harvest.retry_due() == 1
    clock.advance(timedelta(days=9))
    assert harvest.retry_due() == 0
    assert delivery is not None
    assert [code for _, code in delivery.answers] == [500, 200, 201, 302, 404, 503, 429, 500]
    assert len({(e.body, e.headers["greenhouse-event-id"]) for e in receiver.events}) == 1


def test_event_accepted_at_last_is_not_sent_again(
    harvest: FakeHarvest, receiver: Receiver, clock: ManualClock
) -> None:
    harvest.webhook_enabled = True
    receiver.fail_next("POST", "/hook", hang_up)
    delivery = harvest.move(26, 87)
    clock.advance(timedelta(minutes=1))
    assert [harvest.retry_due(), harvest.retry_due()] == [1, 0]
    clock.advance(timedelta(days=1))
    assert harvest.retry_due() == 0
    assert delivery is not None
    assert [code for _, code in delivery.answers] == [None, 200]


def test_replay_sends_the_same_event_again(harvest: FakeHarvest, receiver: Receiver) -> None:
    harvest.webhook_enabled = True
    first, second = harvest.move(26, 87), harvest.move(26, 88)
    assert harvest.replay() == 200
    assert harvest.replay(first) == 200
    assert first is not None
    assert second is not None
    event_ids = [event.headers["greenhouse-event-id"] for event in receiver.events]
    assert event_ids == [d.event_id for d in (first, second, second, first)]


def test_storm_sends_each_event_thrice_and_newest_first(
    harvest: FakeHarvest, receiver: Receiver
) -> None:
    deliveries = harvest.storm(26, 87, 88)
    stages = [
        event.json["payload"]["application"]["current_stage"]["id"] for event in receiver.events
    ]
    assert stages == [88, 88, 88, 87, 87, 87]
    assert [len(delivery.answers) for delivery in deliveries] == [3, 3]
    assert len({event.headers["greenhouse-event-id"] for event in receiver.events}) == 2


def test_event_any_is_sent_by_replay(harvest: FakeHarvest, receiver: Receiver) -> None:
    harvest.replay(harvest.event("hire_candidate", {"application": {"id": 26}}))
    assert receiver.events[0].json == {
        "action": "hire_candidate",
        "payload": {"application": {"id": 26}},
    }


def test_hook_receiver_can_read_during_the_event(harvest: FakeHarvest, receiver: Receiver) -> None:
    harvest.webhook_enabled = True
    token, seen = token_of(harvest), []
    receiver.before_request.append(
        lambda _: seen.append(get(harvest, token, "/v3/applications?ids=26").json())
    )
    harvest.move(26, 87)
    assert seen[0][0]["stage_name"] == "Application Review"
