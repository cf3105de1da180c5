"""Tests of the fake Workable, with requests written by hand."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests

from tests.factories import ManualClock
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest, hang_up
from tests.fakes.workable_api import FakeWorkableApi
from tests.fakes.workable_webhooks import sign

HTTP = requests.Session()
HTTP.trust_env = False
UID = {"X-WORKABLE-CLIENT-ID": "partner-uid-5"}
CLIENT = {"client_id": "oauth-client-31", "client_secret": "oauth-secret-7d20c4"}
REDIRECT_URI = "https://provider.example/connect/callback"
CONSENT = {
    "client_id": "oauth-client-31",
    "redirect_uri": REDIRECT_URI,
    "resource": "user",
    "response_type": "code",
    "scope": "r_jobs r_candidates w_candidates",
    "state": "s/1",
}
MEMBER = {"member_id": "13e0eb0e"}
COMMENT = MEMBER | {
    "comment": {
        "body": "Numeracy: passed, 78 %. [order asmt_7f, 1]",
        "policy": ["simple", "recruiter"],
        "attachment": {"name": "Numeracy-asmt_7f-1.pdf", "data": "JVBERi0="},
    }
}
ANY = {"account_id": "groove-tech", "job_shortcode": "", "stage_slug": ""}


class Receiver(FakeVendor):
    """The target of webhooks: it answers the codes of a list, then 200."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.codes: list[int] = []

    def answer(self, request: VendorRequest) -> Reply:
        return Reply(self.codes.pop(0) if self.codes else 200)

    @property
    def events(self) -> list[Any]:
        return [line.request.json for line in self.request_log]


@pytest.fixture(scope="module")
def closer() -> Iterator[ThreadPoolExecutor]:
    """Return threads that close servers: each takes 20 ms, in which the next test can run."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limited_workable(clock: ManualClock, closer: ThreadPoolExecutor) -> Iterator[FakeWorkableApi]:
    """Return a Workable with its budgets, at the start of an interval."""
    clock.advance(timedelta(seconds=-int(clock.now().timestamp()) % 10))
    fake = FakeWorkableApi(clock).__enter__()
    yield fake
    HTTP.close()  # or a new server on the same port would not get the requests
    closer.submit(fake.__exit__)


@pytest.fixture
def workable(limited_workable: FakeWorkableApi) -> FakeWorkableApi:
    """Return a Workable without a budget."""
    limited_workable.budgets = {"account": None, "partner": None, "oauth": None}
    return limited_workable


@pytest.fixture(scope="module")
def refusing_workable() -> Iterator[FakeWorkableApi]:
    """Return a Workable with candidate 3fc9a80f, for tests that change nothing there."""
    with FakeWorkableApi(ManualClock()) as fake:
        fake.budgets = {"account": None, "partner": None, "oauth": None}
        fake.add()
        yield fake


@pytest.fixture
def receiver(clock: ManualClock, closer: ThreadPoolExecutor) -> Iterator[Receiver]:
    fake = Receiver(clock).__enter__()
    yield fake
    closer.submit(fake.__exit__)


def call(
    fake: FakeWorkableApi,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    **headers: str,
) -> requests.Response:
    sent = {"Authorization": f"Bearer {token or fake.account_token}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.request(method, fake.api_url + path, json=body, headers=sent)


def get(fake: FakeWorkableApi, path: str) -> Any:
    response = call(fake, "GET", path)
    assert response.status_code == 200, response.text
    return response.json()


def code_of(fake: FakeWorkableApi, token: str, path: str = "/jobs", **headers: str) -> int:
    return call(fake, "GET", path, token=token, **headers).status_code


def ids(answer: Any) -> list[str]:
    return [candidate["id"] for candidate in answer["candidates"]]


def assert_invalid(response: requests.Response, field: str) -> None:
    assert response.status_code == 422, response.text
    assert response.json()["error"].startswith("Validation failed: ")
    assert list(response.json()["validation_errors"]) == [field]


def authorize(fake: FakeWorkableApi, **changes: str | None) -> requests.Response:
    url = f"{fake.url}/oauth/authorize"
    params: dict[str, str | None] = {**CONSENT, **changes}
    return HTTP.get(url, params=params, allow_redirects=False)


def redirected(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    assert response.headers["Location"].startswith(f"{REDIRECT_URI}?")
    return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


def code_form(fake: FakeWorkableApi) -> dict[str, str]:
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI}
    return CLIENT | form | {"code": redirected(authorize(fake))["code"]}


def ask_token(fake: FakeWorkableApi, form: Any) -> requests.Response:
    return HTTP.post(f"{fake.url}/oauth/token", data=form)


def refresh(fake: FakeWorkableApi, token: str, **more: str) -> requests.Response:
    form = CLIENT | {"grant_type": "refresh_token", "refresh_token": token}
    return ask_token(fake, form | more)


def subscribe(
    fake: FakeWorkableApi,
    target: str,
    event: str = "candidate_moved",
    token: str | None = None,
    **args: str,
) -> int:
    body = {"target": target, "event": event, "args": ANY | args}
    response = call(fake, "POST", "/subscriptions", body, token=token)
    assert response.status_code == 201, response.text
    return int(response.json()["id"])


# Credentials


def test_token_of_an_account_opens_the_api(workable: FakeWorkableApi) -> None:
    assert code_of(workable, workable.account_token) == 200
    assert code_of(workable, workable.account_token, "/members") == 200


@pytest.mark.parametrize("authorization", [None, "", "Basic {}", "bearer {}", "{}", "Bearer {}x"])
def test_authorization_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, authorization: str | None
) -> None:
    value = authorization and authorization.format(refusing_workable.account_token)
    headers = {"Authorization": value} if value is not None else {}
    response = HTTP.get(f"{refusing_workable.api_url}/jobs", headers=headers)
    assert (response.status_code, response.json()) == (401, {"error": "Not authorized"})


def test_partner_token_needs_the_client_id(workable: FakeWorkableApi) -> None:
    token = workable.partner_token
    assert code_of(workable, token) == 401
    assert code_of(workable, token, **{"X-WORKABLE-CLIENT-ID": "partner-uid-6"}) == 401
    assert code_of(workable, token, **UID) == 200
    assert code_of(workable, workable.account_token, **UID) == 200  # a legacy partner
    assert code_of(workable, workable.account_token, X_WORKABLE_CLIENT_ID="other") == 401


def test_members_with_a_partner_token_are_refused(workable: FakeWorkableApi) -> None:
    response = call(workable, "GET", "/members", token=workable.partner_token, **UID)
    assert (response.status_code, response.json()) == (401, {"error": "Not authorized"})
    assert code_of(workable, workable.connect()["access_token"], "/members") == 200


def test_token_after_its_lifetime_is_refused(workable: FakeWorkableApi, clock: ManualClock) -> None:
    token = workable.issue_token("account", "groove-tech", lifetime=timedelta(days=30))
    clock.advance(timedelta(days=30, seconds=-1))
    assert code_of(workable, token) == 200
    clock.advance(timedelta(seconds=1))
    assert code_of(workable, token) == 401
    assert code_of(workable, workable.account_token) == 200


@pytest.mark.parametrize("end", [FakeWorkableApi.revoke, FakeWorkableApi.expire])
def test_token_revoked_or_expired_is_refused(
    workable: FakeWorkableApi, end: Callable[..., None]
) -> None:
    other = workable.issue_token("account", "groove-tech")
    end(workable, workable.account_token)
    assert code_of(workable, workable.account_token) == 401
    assert code_of(workable, other) == 200
    end(workable)
    assert code_of(workable, other) == 401


def test_token_rotated_is_replaced(workable: FakeWorkableApi) -> None:
    token = workable.rotate(workable.account_token)
    assert code_of(workable, token) == 200
    assert code_of(workable, workable.account_token) == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/accounts", "r_jobs"),
        ("GET", "/members", "r_jobs"),
        ("GET", "/stages", "r_jobs"),
        ("GET", "/jobs", "r_jobs"),
        ("GET", "/jobs/GROOV005", "r_jobs"),
        ("GET", "/jobs/GROOV005/stages", "r_jobs"),
        ("GET", "/candidates", "r_candidates"),
        ("GET", "/candidates/3fc9a80f", "r_candidates"),
        ("GET", "/candidates/3fc9a80f/activities", "r_candidates"),
        ("POST", "/candidates/3fc9a80f/comments", "w_comments"),
        ("POST", "/candidates/3fc9a80f/comments", "w_candidates"),
        ("PUT", "/candidates/3fc9a80f/ratings", "w_candidates"),
        ("POST", "/candidates/3fc9a80f/ratings", "w_candidates"),
        ("PUT", "/candidates/3fc9a80f/tags", "w_candidates"),
        ("POST", "/candidates/3fc9a80f/move", "w_candidates"),
        ("POST", "/candidates/3fc9a80f/disqualify", "w_candidates"),
        ("GET", "/subscriptions", "r_candidates"),
        ("POST", "/subscriptions", "r_candidates"),
        ("DELETE", "/subscriptions/1", "r_candidates"),
    ],
)
def test_call_without_its_scope_is_refused(
    refusing_workable: FakeWorkableApi, method: str, path: str, scope: str
) -> None:
    fake = refusing_workable
    others = ("r_jobs", "r_candidates", "w_candidates", "w_comments")
    allowed = ("w_candidates", "w_comments") if path.endswith("comments") else (scope,)
    poor = fake.issue_token("account", "groove-tech", tuple(set(others) - set(allowed)))
    response = call(fake, method, path, {} if method != "GET" else None, token=poor)
    assert response.status_code == 403
    assert response.json()["error"].startswith("Missing scope: ")
    right = fake.issue_token("account", "groove-tech", (scope,))
    body: dict[str, str] | None = {} if method in ("POST", "PUT") else None
    assert call(fake, method, path, body, token=right).status_code not in (401, 403)


# Accounts and hosts


def test_accounts_are_those_of_the_token(workable: FakeWorkableApi) -> None:
    other = workable.add_account("acme-co")
    assert [account["subdomain"] for account in get(workable, "/accounts")["accounts"]] == [
        "groove-tech"
    ]
    token = workable.connect()["access_token"]
    both = call(workable, "GET", "/accounts/", token=token).json()["accounts"]
    assert [account["subdomain"] for account in both] == ["groove-tech", "acme-co"]
    assert get(workable, "/accounts/groove-tech")["name"] == "Groove Tech"
    response = call(workable, "GET", "/accounts/groove-tech", token=other)
    assert (response.status_code, response.json()) == (404, {"error": "Not found"})


def test_account_comes_from_the_path_or_the_host(workable: FakeWorkableApi) -> None:
    workable.add_account("acme-co")
    workable.add_job("ACME001", subdomain="acme-co")
    token = workable.connect()["access_token"]

    def shortcodes(path: str, host: str = "127.0.0.1") -> Any:
        answer = call(workable, "GET", path, token=token, Host=host)
        return answer.status_code, [job["shortcode"] for job in answer.json().get("jobs", [])]

    groove_tech = (200, ["GROOV003", "GROOV005"])
    assert shortcodes("/jobs") == groove_tech  # the first account of the token
    assert shortcodes("/accounts/acme-co/jobs") == (200, ["ACME001"])
    assert shortcodes("/accounts/groove-tech/jobs", "www.workable.com") == groove_tech
    assert shortcodes("/jobs", "acme-co.workable.com:443") == (200, ["ACME001"])
    assert shortcodes("/jobs", "www.workable.com") == (404, [])
    assert shortcodes("/accounts/nobody/jobs") == (404, [])


def test_account_of_another_token_is_refused(workable: FakeWorkableApi) -> None:
    other = workable.add_account("acme-co")
    workable.add()
    assert code_of(workable, other, "/accounts/groove-tech/jobs") == 401
    assert code_of(workable, other, Host="groove-tech.workable.com") == 401
    assert code_of(workable, other, "/candidates/3fc9a80f") == 404
    assert code_of(workable, other, "/jobs/GROOV005") == 404
    assert code_of(workable, other, "/candidates?shortcode=GROOV005") == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/recruiters"),
        ("POST", "/jobs"),
        ("DELETE", "/candidates/3fc9a80f"),
        ("PATCH", "/candidates/3fc9a80f"),
        ("PUT", "/candidates/3fc9a80f/comments"),
        ("GET", "/candidates/3fc9a810"),
        ("GET", "/candidates/3fc9a810/activities"),
        ("POST", "/candidates/3fc9a810/comments"),
        ("GET", "/jobs/GROOV009"),
        ("GET", "/jobs/GROOV009/stages"),
        ("GET", "/../v2/jobs"),
    ],
)
def test_path_that_is_not_known_is_not_found(
    refusing_workable: FakeWorkableApi, method: str, path: str
) -> None:
    response = call(refusing_workable, method, path)
    assert (response.status_code, response.json()) == (404, {"error": "Not found"})


# The budget


def test_budget_of_an_account_is_10_in_10_seconds(
    limited_workable: FakeWorkableApi, clock: ManualClock
) -> None:
    fake = limited_workable
    resets_at = int(clock.now().timestamp()) + 10
    for remaining in range(9, -1, -1):
        response = call(fake, "GET", "/stages")
        assert (response.status_code, response.headers["X-Rate-Limit-Limit"]) == (200, "10")
        assert response.headers["X-Rate-Limit-Remaining"] == str(remaining)
        assert response.headers["X-Rate-Limit-Reset"] == str(resets_at)
    response = call(fake, "GET", "/stages")
    assert response.status_code == 429
    assert response.headers["X-Rate-Limit-Remaining"] == "0"
    assert "Retry-After" not in response.headers
    assert code_of(fake, fake.issue_token("account", "groove-tech")) == 429  # the same client
    clock.advance(timedelta(seconds=10))
    assert call(fake, "GET", "/stages").status_code == 200


def test_budget_is_told_on_refusals_too(limited_workable: FakeWorkableApi) -> None:
    response = HTTP.get(f"{limited_workable.api_url}/jobs")
    assert (response.status_code, response.headers["X-Rate-Limit-Remaining"]) == (401, "9")
    response = call(limited_workable, "GET", "/recruiters")
    assert (response.status_code, response.headers["X-Rate-Limit-Remaining"]) == (404, "9")


@pytest.mark.parametrize("kind", ["oauth", "partner", "legacy"])
def test_budget_of_a_client_is_shared_by_accounts(
    limited_workable: FakeWorkableApi, kind: str
) -> None:
    fake = limited_workable
    other = fake.add_account("acme-co")
    if kind == "oauth":
        tokens = [fake.connect(name)["access_token"] for name in ("groove-tech", "acme-co")]
    elif kind == "partner":
        tokens = [fake.partner_token, fake.issue_token("partner", "acme-co")]
    else:
        tokens = [fake.account_token, other]
    headers = UID if kind != "oauth" else {}
    response = call(fake, "GET", "/stages", token=tokens[0], **headers)
    assert response.headers["X-Rate-Limit-Limit"] == "50"
    response = call(fake, "GET", "/stages", token=tokens[1], **headers)
    assert response.headers["X-Rate-Limit-Remaining"] == "48"
    fake.budget_scope = "account"
    response = call(fake, "GET", "/stages", token=tokens[1], **headers)
    assert response.headers["X-Rate-Limit-Remaining"] == "49"


def test_budget_can_be_changed_and_told_in_each_unit(
    limited_workable: FakeWorkableApi, clock: ManualClock
) -> None:
    fake = limited_workable
    clock.advance(timedelta(seconds=4))
    fake.reset_unit = "seconds"
    assert call(fake, "GET", "/stages").headers["X-Rate-Limit-Reset"] == "6"
    fake.reset_unit = "milliseconds"
    reset = (int(clock.now().timestamp()) + 6) * 1000
    assert call(fake, "GET", "/stages").headers["X-Rate-Limit-Reset"] == str(reset)
    fake.budgets["account"], fake.sends_retry_after = 2, True
    response = call(fake, "GET", "/stages")
    assert (response.status_code, response.headers["Retry-After"]) == (429, "6")
    fake.budgets["account"] = None
    assert "X-Rate-Limit-Limit" not in call(fake, "GET", "/stages").headers


def test_budget_does_not_count_oauth(limited_workable: FakeWorkableApi) -> None:
    limited_workable.budgets["account"] = 0
    response = authorize(limited_workable)
    assert response.status_code == 302
    assert "X-Rate-Limit-Limit" not in response.headers


# OAuth


def test_consent_comes_back_with_code_and_state(workable: FakeWorkableApi) -> None:
    answer = redirected(authorize(workable))
    assert answer == {"code": answer["code"], "state": "s/1"}
    assert "state" not in redirected(authorize(workable, state=None))
    workable.returns_state = False
    assert "state" not in redirected(authorize(workable))


def test_consent_denied_comes_back_with_an_error(workable: FakeWorkableApi) -> None:
    workable.deny = True
    assert redirected(authorize(workable)) == {"error": "access_denied", "state": "s/1"}


@pytest.mark.parametrize("scope", [None, "r_jobs r_everything", "r_jobs,r_candidates"])
def test_consent_with_a_wrong_scope_is_refused(
    refusing_workable: FakeWorkableApi, scope: str | None
) -> None:
    answer = redirected(authorize(refusing_workable, scope=scope))
    assert answer == {"error": "invalid_scope", "state": "s/1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://attacker.example/"},
        {"resource": None},
        {"resource": "account"},
        {"response_type": "token"},
        {"code_challenge": "x", "code_challenge_method": "S256"},
    ],
)
def test_consent_with_a_wrong_parameter_shows_an_error(
    refusing_workable: FakeWorkableApi, changes: dict[str, str | None]
) -> None:
    response = authorize(refusing_workable, **changes)
    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize("is_multipart", [False, True])
def test_code_is_exchanged_once(
    workable: FakeWorkableApi, clock: ManualClock, is_multipart: bool
) -> None:
    form = code_form(workable)
    arguments: dict[str, Any] = {"data": form}
    if is_multipart:
        arguments = {"files": {name: (None, value) for name, value in form.items()}}
    response = HTTP.post(f"{workable.url}/oauth/token", **arguments)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer == {
        "access_token": answer["access_token"],
        "token_type": "bearer",
        "expires_in": 7200,
        "refresh_token": answer["refresh_token"],
        "scope": "r_jobs r_candidates w_candidates",
        "created_at": int(clock.now().timestamp()),
    }
    assert code_of(workable, answer["access_token"]) == 200
    response = HTTP.post(f"{workable.url}/oauth/token", **arguments)
    assert (response.status_code, response.json()) == (401, {"error": "invalid_grant"})


def test_code_after_ten_minutes_is_refused(workable: FakeWorkableApi, clock: ManualClock) -> None:
    form = code_form(workable)
    clock.advance(timedelta(minutes=10))
    assert ask_token(workable, form).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({}, 401, "invalid_grant"),
        ({"redirect_uri": "https://provider.example/"}, 401, "invalid_grant"),
        ({"redirect_uri": None}, 400, "invalid_request"),
        ({"code": None}, 400, "invalid_request"),
        ({"code_verifier": "x"}, 400, "invalid_request"),
        ({"scope": "r_jobs"}, 400, "invalid_request"),
        ({"client_id": ["oauth-client-31", "oauth-client-31"]}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "unsupported_grant_type"),
    ],
)
def test_token_request_with_an_error_is_refused(
    refusing_workable: FakeWorkableApi, changes: dict[str, Any], code: int, error: str
) -> None:
    form: dict[str, Any] = CLIENT | {"grant_type": "authorization_code", "code": "no code"}
    if "redirect_uri" in changes:  # all else is right
        form = code_form(refusing_workable)
    response = ask_token(refusing_workable, {"redirect_uri": REDIRECT_URI} | form | changes)
    assert (response.status_code, response.json()) == (code, {"error": error})


def test_token_request_in_another_form_is_refused(refusing_workable: FakeWorkableApi) -> None:
    form, url = code_form(refusing_workable), f"{refusing_workable.url}/oauth/token"
    answers = [
        HTTP.post(url, json=form),
        HTTP.post(url, params=form),
        HTTP.post(url, data=form, auth=("oauth-client-31", "oauth-secret-7d20c4")),
        HTTP.post(url, data="x", headers={"Content-Type": "multipart/form-data; boundary=y"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 401]
    assert HTTP.get(url, params=form).status_code == 404
    assert ask_token(refusing_workable, form).status_code == 200


def test_access_token_after_two_hours_is_refused(
    workable: FakeWorkableApi, clock: ManualClock
) -> None:
    token = workable.connect()["access_token"]
    clock.advance(timedelta(seconds=7199))
    assert code_of(workable, token) == 200
    clock.advance(timedelta(seconds=1))
    assert code_of(workable, token) == 401


def test_access_token_has_the_scopes_of_the_consent(workable: FakeWorkableApi) -> None:
    form = code_form(workable) | {"code": redirected(authorize(workable, scope="r_jobs"))["code"]}
    token = ask_token(workable, form).json()["access_token"]
    assert code_of(workable, token) == 200
    assert code_of(workable, token, "/candidates") == 403


def test_access_token_opens_the_accounts_of_the_user(workable: FakeWorkableApi) -> None:
    workable.add_account("acme-co")
    workable.user_subdomains = ("acme-co",)
    token = ask_token(workable, code_form(workable)).json()["access_token"]
    accounts = call(workable, "GET", "/accounts", token=token).json()["accounts"]
    assert [account["subdomain"] for account in accounts] == ["acme-co"]
    assert code_of(workable, token, "/accounts/groove-tech/jobs") == 401


def test_refresh_returns_a_new_pair(workable: FakeWorkableApi) -> None:
    old = workable.connect()
    new = refresh(workable, old["refresh_token"], scope="r_jobs").json()
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] != old["refresh_token"]
    assert code_of(workable, new["access_token"]) == 200
    assert code_of(workable, old["access_token"]) == 401
    assert refresh(workable, new["refresh_token"], scope="w_comments").status_code == 400


def test_refresh_that_keeps_the_old_access_token(workable: FakeWorkableApi) -> None:
    workable.refresh_revokes_access = False
    old = workable.connect()
    assert refresh(workable, old["refresh_token"]).status_code == 200
    assert code_of(workable, old["access_token"]) == 200


def test_refresh_with_a_replaced_token_ends_the_grant(workable: FakeWorkableApi) -> None:
    old, other = workable.connect(), workable.connect()
    new = refresh(workable, old["refresh_token"]).json()
    response = refresh(workable, old["refresh_token"])
    assert (response.status_code, response.json()) == (401, {"error": "invalid_grant"})
    assert refresh(workable, new["refresh_token"]).status_code == 401
    assert code_of(workable, new["access_token"]) == 401
    assert code_of(workable, other["access_token"]) == 200


def test_refresh_with_a_replaced_token_in_the_grace_time(
    workable: FakeWorkableApi, clock: ManualClock
) -> None:
    workable.refresh_grace_seconds = 30
    old = workable.connect()["refresh_token"]
    workable.fail_next("POST", "/oauth/token", hang_up, after=True)
    with pytest.raises(requests.ConnectionError):
        refresh(workable, old)
    clock.advance(timedelta(seconds=29))
    assert refresh(workable, old).status_code == 200
    clock.advance(timedelta(seconds=1))
    assert refresh(workable, old).status_code == 401


@pytest.mark.parametrize("token", ["nobody's", ""])
def test_refresh_with_an_unknown_token_is_refused(
    refusing_workable: FakeWorkableApi, token: str
) -> None:
    assert refresh(refusing_workable, token).json() == {"error": "invalid_grant"}


def test_refresh_after_revoke_or_expire(workable: FakeWorkableApi) -> None:
    answer = workable.connect()
    workable.expire(answer["access_token"])
    answer = refresh(workable, answer["refresh_token"]).json()
    assert code_of(workable, answer["access_token"]) == 200
    workable.revoke(answer["access_token"])
    assert code_of(workable, answer["access_token"]) == 401
    assert refresh(workable, answer["refresh_token"]).status_code == 401


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
def test_revoke_with_either_token_ends_the_grant(workable: FakeWorkableApi, kind: str) -> None:
    answer, url = workable.connect(), f"{workable.url}/oauth/revoke"
    form = {"token": answer[kind]} | CLIENT
    assert HTTP.post(url, data=form | {"client_secret": "wrong"}).status_code == 401
    assert HTTP.post(url, data=CLIENT).status_code == 400
    workable.revocable = ()
    assert HTTP.post(url, data=form).status_code == 400
    assert code_of(workable, answer["access_token"]) == 200
    workable.revocable = (kind,)
    assert HTTP.post(url, data=form).status_code == 200
    assert code_of(workable, answer["access_token"]) == 401
    assert refresh(workable, answer["refresh_token"]).status_code == 401


# Lists


def test_candidates_have_the_documented_fields(
    workable: FakeWorkableApi, clock: ManualClock
) -> None:
    workable.add("ce4da98", stage="interview", headline="Operations Manager", domain="twitter.com")
    now = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    assert get(workable, "/candidates") == {
        "candidates": [
            {
                "id": "ce4da98",
                "name": "Lakita Marrero",
                "firstname": "Lakita",
                "lastname": "Marrero",
                "headline": "Operations Manager",
                "account": {"subdomain": "groove-tech", "name": "Groove Tech"},
                "job": {"shortcode": "GROOV005", "title": "Office Manager"},
                "stage": "Interview",
                "disqualified": False,
                "disqualification_reason": None,
                "sourced": False,
                "profile_url": (
                    "https://groove-tech.workable.com/backend/jobs/102270179/candidates/ce4da98"
                ),
                "email": "lakita@example.org",
                "domain": "twitter.com",
                "created_at": now,
                "updated_at": now,
                "hired_at": None,
                "address": None,
                "phone": "1-859-557-6573",
            }
        ]
    }


def test_candidate_itself_has_tags_and_resume(workable: FakeWorkableApi) -> None:
    workable.add(tags=["globetrotter"], firstname=None, lastname=None, email=None)
    candidate = get(workable, "/candidates/3fc9a80f")["candidate"]
    assert (candidate["tags"], candidate["resume_url"]) == (["globetrotter"], None)
    assert (candidate["name"], candidate["firstname"]) == ("Lakita Marrero", None)
    assert (candidate["stage"], candidate["email"]) == ("Applied", None)


def test_stage_in_the_list_can_be_a_slug(workable: FakeWorkableApi) -> None:
    workable.stages.append({"slug": "t-1", "name": "Skills", "kind": "assessment", "position": 8})
    workable.add(stage="t-1")
    assert get(workable, "/candidates")["candidates"][0]["stage"] == "Skills"
    workable.sends_stage = "slug"
    assert get(workable, "/candidates")["candidates"][0]["stage"] == "t-1"
    assert get(workable, "/candidates/3fc9a80f")["candidate"]["stage"] == "Skills"
    assert ids(get(workable, "/candidates?stage=t-1")) == ["3fc9a80f"]
    assert_invalid(call(workable, "GET", "/candidates?stage=Skills"), "stage")


def test_pages_overlap_by_a_record(workable: FakeWorkableApi) -> None:
    for _ in range(5):
        workable.add()
    page = get(workable, "/candidates?limit=3&shortcode=GROOV005")
    assert ids(page) == ["3fc9a80f", "3fc9a810", "3fc9a811"]
    url = urlsplit(page["paging"]["next"])
    assert f"{url.scheme}://{url.netloc}" == workable.url
    assert url.path == "/spi/v3/accounts/groove-tech/candidates"
    query = {"limit": ["3"], "shortcode": ["GROOV005"], "since_id": ["3fc9a811"]}
    assert parse_qs(url.query) == query
    headers = {"Authorization": f"Bearer {workable.account_token}"}
    last = HTTP.get(page["paging"]["next"], headers=headers).json()
    assert ids(last) == ["3fc9a811", "3fc9a812", "3fc9a813"]
    assert "paging" not in last
    assert ids(get(workable, "/candidates?since_id=3fc9a810&max_id=3fc9a812")) == [
        "3fc9a810",
        "3fc9a811",
        "3fc9a812",
    ]


def test_pages_without_overlap_begin_with_a_new_record(workable: FakeWorkableApi) -> None:
    for _ in range(3):
        workable.add()
    workable.pages_overlap = False
    assert get(workable, "/candidates?limit=2")["paging"]["next"].endswith("since_id=3fc9a811")
    workable.pages_overlap = True
    assert get(workable, "/candidates?limit=1")["paging"]["next"].endswith("since_id=3fc9a810")


def test_next_page_can_be_on_a_foreign_host(workable: FakeWorkableApi) -> None:
    workable.backlog(3)
    workable.next_host, workable.next_scheme = "www.workable.com", "https"
    page = get(workable, "/candidates?limit=2")
    assert page["paging"]["next"] == (
        "https://www.workable.com/spi/v3/accounts/groove-tech/candidates?limit=2&since_id=b0000001"
    )


def test_page_has_50_records_and_at_most_100(workable: FakeWorkableApi) -> None:
    workable.backlog(101)
    assert len(get(workable, "/candidates")["candidates"]) == 50
    assert len(get(workable, "/candidates?limit=100")["candidates"]) == 100
    for limit in ("101", "0", "-1", "ten"):
        assert_invalid(call(workable, "GET", f"/candidates?limit={limit}"), "limit")


def test_backlog_of_100000_is_computed(workable: FakeWorkableApi) -> None:
    workable.add()
    workable.backlog(100_000, stage="assessment")
    page = get(workable, "/candidates?limit=100&since_id=b001869e")
    assert ids(page) == ["b001869e", "b001869f", "3fc9a80f"]
    assert page["candidates"][0]["email"] == "candidate99998@example.org"
    workable.change("b001869f", stage="offer")
    workable.delete("b001869e")
    page = get(workable, "/candidates?since_id=b001869e&stage=offer")
    assert ids(page) == ["b001869f"]
    assert call(workable, "GET", "/candidates/b00186a0").status_code == 404


def test_page_after_a_change_by_the_test(workable: FakeWorkableApi) -> None:
    workable.backlog(3)

    def change() -> None:
        workable.delete("b0000001")
        workable.add("a1")

    workable.before_page["candidates", 2] = change
    page = get(workable, "/candidates?limit=2")
    assert ids(page) == ["b0000000", "b0000001"]
    headers = {"Authorization": f"Bearer {workable.account_token}"}
    assert ids(HTTP.get(page["paging"]["next"], headers=headers).json()) == ["b0000002", "a1"]


def test_candidates_are_filtered_by_job_and_stage(workable: FakeWorkableApi) -> None:
    workable.add("a1", job="GROOV003")
    workable.add("a2", stage="assessment")
    workable.add("a3")
    workable.add_account("acme-co")
    workable.add_job("ACME001", subdomain="acme-co")
    workable.add("a4", job="ACME001")
    assert ids(get(workable, "/candidates")) == ["a1", "a2", "a3"]
    assert ids(get(workable, "/candidates?shortcode=GROOV005")) == ["a2", "a3"]
    assert ids(get(workable, "/candidates?shortcode=GROOV005&stage=assessment")) == ["a2"]


def test_candidates_are_filtered_by_time(workable: FakeWorkableApi, clock: ManualClock) -> None:
    start = clock.now()
    workable.add("a1")
    clock.advance(timedelta(seconds=2))
    workable.add("a2")
    second = start + timedelta(seconds=1)
    for text in (
        second.strftime("%Y-%m-%dT%H:%M:%SZ"),
        second.strftime("%Y%m%dT%H%M%SZ"),
        second.strftime("%Y-%m-%dT%H:%M:%S%%2B00:00"),
        str(int(second.timestamp())),
    ):
        assert ids(get(workable, f"/candidates?created_after={text}")) == ["a2"]
        assert ids(get(workable, f"/candidates?updated_after={text}")) == ["a2"]
    workable.change("a1", phone=None)
    assert ids(get(workable, f"/candidates?updated_after={text}")) == ["a1", "a2"]
    assert ids(get(workable, f"/candidates?created_after={text}")) == ["a2"]


def test_move_sets_updated_at_unless_switched_off(
    workable: FakeWorkableApi, clock: ManualClock
) -> None:
    workable.add("a1")
    after = f"/candidates?updated_after={int(clock.now().timestamp())}"
    clock.advance(timedelta(seconds=1))
    workable.moves_update = False
    workable.move("a1", "assessment")
    assert ids(get(workable, after)) == []
    workable.moves_update = True
    workable.move("a1", "interview")
    assert ids(get(workable, after)) == ["a1"]


def test_candidate_hidden_or_deleted_is_not_found(workable: FakeWorkableApi) -> None:
    workable.add("a1")
    workable.hidden_ids.add("a1")
    assert ids(get(workable, "/candidates")) == []
    assert call(workable, "GET", "/candidates/a1").status_code == 404
    workable.hidden_ids.clear()
    assert ids(get(workable, "/candidates")) == ["a1"]
    workable.delete("a1")
    assert ids(get(workable, "/candidates")) == []
    assert call(workable, "POST", "/candidates/a1/comments", COMMENT).status_code == 404


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/candidates?since_id=ffff", "since_id"),
        ("/candidates?stage=nowhere", "stage"),
        ("/candidates?state=published", "state"),
        ("/candidates?page=2", "page"),
        ("/candidates?shortcode=", "shortcode"),
        ("/candidates?limit=5&limit=5", "limit"),
        ("/candidates?updated_after=yesterday", "updated_after"),
        ("/candidates?updated_after=2026-11-22T08:55:00", "updated_after"),
        ("/candidates?updated_after=2026-11-22T08:55:00+00:00", "updated_after"),
        ("/candidates?created_after=12", "created_after"),
        ("/candidates/3fc9a80f?limit=1", "limit"),
        ("/candidates/3fc9a80f/activities?page=1", "page"),
        ("/candidates/3fc9a80f/activities?limit=101", "limit"),
        ("/jobs?state=open", "state"),
        ("/jobs?limit=1000", "limit"),
        ("/members?role=boss", "role"),
        ("/stages?limit=5", "limit"),
        ("/accounts?limit=5", "limit"),
        ("/subscriptions?limit=5", "limit"),
    ],
)
def test_parameter_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, target: str, field: str
) -> None:
    assert_invalid(call(refusing_workable, "GET", target), field)


def test_stages_are_those_of_the_account_or_job(workable: FakeWorkableApi) -> None:
    stages = get(workable, "/stages")["stages"]
    assert stages[4] == {
        "slug": "phone-screen",
        "name": "Phone Screen",
        "kind": "phone-screen",
        "position": 4,
    }
    only = [{"slug": "hired", "name": "Hired", "kind": "hired", "position": 0}]
    workable.add_job("GROOV007", stages=only)
    assert get(workable, "/jobs/GROOV007/stages") == {"stages": only}
    assert get(workable, "/jobs/GROOV005/stages") == {"stages": stages}


def test_jobs_are_filtered_and_paged(workable: FakeWorkableApi) -> None:
    published = get(workable, "/jobs?state=published&limit=100")
    assert [job["shortcode"] for job in published["jobs"]] == ["GROOV005"]
    job = get(workable, "/jobs/GROOV005")
    assert published["jobs"] == [job]
    assert (job["title"], job["full_title"], job["state"], job["id"]) == (
        "Office Manager",
        "Office Manager",
        "published",
        "61884e3",
    )
    assert "subdomain" not in job
    assert get(workable, "/jobs?limit=1")["paging"]["next"].endswith(
        "/spi/v3/accounts/groove-tech/jobs?limit=1&since_id=61884e3"
    )


def test_members_have_a_role_or_roles(workable: FakeWorkableApi) -> None:
    member: dict[str, Any] = {
        "id": "13e0eb0e",
        "name": "Eduardo Vallente",
        "headline": None,
        "email": "member-13e0eb0e@example.org",
        "role": "admin",
        "active": True,
    }
    assert get(workable, "/members?role=admin&limit=100") == {"members": [member]}
    workable.sends_role_list = True
    del member["role"]
    member["roles"] = ["admin"]
    assert get(workable, "/members?limit=1")["members"] == [member]


# Writes


def test_comment_of_the_facts_is_accepted(workable: FakeWorkableApi, clock: ManualClock) -> None:
    workable.add()
    response = call(workable, "POST", "/candidates/3fc9a80f/comments", COMMENT)
    assert (response.status_code, response.content) == (201, b"")
    assert response.headers["Content-Type"] == "text/plain"
    assert workable.written("3fc9a80f", "comments") == [COMMENT]
    activities = get(workable, "/candidates/3fc9a80f/activities?limit=100")["activities"]
    assert [activity["action"] for activity in activities] == ["applied", "comment"]
    assert activities[1] == {
        "action": "comment",
        "stage_name": None,
        "body": "Numeracy: passed, 78 %. [order asmt_7f, 1]",
        "created_at": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "member": {"id": "13e0eb0e", "name": "Eduardo Vallente"},
    }


def test_comment_sent_twice_is_there_twice(workable: FakeWorkableApi) -> None:
    workable.add()
    workable.fail_next("POST", "/comments", hang_up, after=True)
    with pytest.raises(requests.ConnectionError):
        call(workable, "POST", "/candidates/3fc9a80f/comments", COMMENT)
    call(workable, "POST", "/candidates/3fc9a80f/comments", COMMENT)
    assert len(workable.written("3fc9a80f", "comments")) == 2


def test_comment_with_each_policy_is_accepted(workable: FakeWorkableApi) -> None:
    workable.add()
    policies: list[list[str]] = [[], ["simple"], ["simple", "recruiter", "reviewer"]]
    for policy in policies:
        body = MEMBER | {"comment": {"body": "He is really good", "policy": policy}}
        assert call(workable, "POST", "/candidates/3fc9a80f/comments", body).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"comment": {"body": "x"}}, "member_id"),
        ({"member_id": None, "comment": {"body": "x"}}, "member_id"),
        ({"member_id": "nobody", "comment": {"body": "x"}}, "member_id"),
        (MEMBER, "comment"),
        (MEMBER | {"comment": "x"}, "comment"),
        (MEMBER | {"comment": {"body": "x", "attachments": []}}, "comment"),
        (MEMBER | {"comment": {}}, "body"),
        (MEMBER | {"comment": {"body": " "}}, "body"),
        (MEMBER | {"comment": {"body": "x"}, "policy": []}, "policy"),
        (MEMBER | {"comment": {"body": "x", "policy": "simple"}}, "policy"),
        (MEMBER | {"comment": {"body": "x", "policy": ["admin"]}}, "policy"),
        (MEMBER | {"comment": {"body": "x", "attachment": []}}, "attachment"),
        (
            MEMBER | {"comment": {"body": "x", "attachment": [{"name": "a", "data": "eA=="}] * 2}},
            "attachment",
        ),
        (MEMBER | {"comment": {"body": "x", "attachment": {"name": "a"}}}, "attachment"),
        (
            MEMBER | {"comment": {"body": "x", "attachment": {"name": "a", "data": "%PDF"}}},
            "attachment",
        ),
        (
            MEMBER | {"comment": {"body": "x", "attachment": {"name": "", "data": "eA=="}}},
            "attachment",
        ),
        (["x"], "body"),
    ],
)
def test_comment_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, body: Any, field: str
) -> None:
    path = "/candidates/3fc9a80f/comments"
    assert_invalid(call(refusing_workable, "POST", path, body), field)
    assert refusing_workable.writes == []


def test_write_that_is_not_json_is_refused(refusing_workable: FakeWorkableApi) -> None:
    url = f"{refusing_workable.api_url}/candidates/3fc9a80f/comments"
    headers = {"Authorization": f"Bearer {refusing_workable.account_token}"}
    assert_invalid(HTTP.post(url, data=json.dumps(COMMENT), headers=headers), "body")
    headers["Content-Type"] = "application/json; charset=utf-8"
    assert_invalid(HTTP.post(url, data="{", headers=headers), "body")
    assert_invalid(HTTP.post(f"{url}?x=1", json=COMMENT, headers=headers), "x")


def test_member_who_is_not_active_cannot_write(workable: FakeWorkableApi) -> None:
    workable.add()
    workable.add_member("3c00c3ac", name="David Bodello", role="simple", active=False)
    body = {"member_id": "3c00c3ac", "comment": {"body": "x"}}
    assert_invalid(call(workable, "POST", "/candidates/3fc9a80f/comments", body), "member_id")


def test_rating_by_put_replaces_the_one_of_the_stage(workable: FakeWorkableApi) -> None:
    workable.add()
    path = "/candidates/3fc9a80f/ratings"
    body = MEMBER | {"comment": "Numeracy: 78 %", "scale": "thumbs", "grade": 1}
    changes: list[dict[str, Any]] = [
        {},
        {"grade": 2},
        {"member_id": "3247e8c7"},
        {"stage_id": "interview"},
    ]
    for change in changes:
        assert call(workable, "PUT", path, body | change).status_code == 200
    shown = [
        (rating["member_id"], rating["stage"], rating["scale"], rating["grade"])
        for rating in workable.ratings["3fc9a80f"]
    ]
    assert shown == [
        ("13e0eb0e", "applied", "thumbs", 2),
        ("3247e8c7", "applied", "thumbs", 1),
        ("13e0eb0e", "interview", "thumbs", 1),
    ]
    activities = get(workable, "/candidates/3fc9a80f/activities")["activities"]
    assert [activity["action"] for activity in activities] == ["applied"] + ["rating"] * 3


def test_rating_by_post_is_added_and_score_wins(workable: FakeWorkableApi) -> None:
    workable.add()
    path = "/candidates/3fc9a80f/ratings"
    bodies: list[dict[str, Any]] = [
        {"score": "positive"},
        {"score": "definite", "comment": "Good, I guess"},
        {"score": "negative", "scale": "stars", "grade": 4},
        {"scale": "numbers", "grade": 9},
    ]
    for body in bodies:
        assert call(workable, "POST", path, MEMBER | body).status_code == 201
    shown = [(rating["scale"], rating["grade"]) for rating in workable.ratings["3fc9a80f"]]
    assert shown == [("thumbs", 1), ("thumbs", 2), ("thumbs", 0), ("numbers", 9)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"member_id": ""}, "member_id"),
        ({"comment": None}, "comment"),
        ({"comment": ""}, "comment"),
        ({"scale": "points"}, "scale"),
        ({"scale": None}, "scale"),
        ({"grade": 3}, "grade"),
        ({"grade": -1}, "grade"),
        ({"grade": True}, "grade"),
        ({"grade": "1"}, "grade"),
        ({"scale": "stars", "grade": 5}, "grade"),
        ({"scale": "numbers", "grade": 10}, "grade"),
        ({"score": "maybe"}, "score"),
        ({"stage_id": "nowhere"}, "stage_id"),
        ({"stage_id": ["applied"]}, "stage_id"),
        ({"stars": 3}, "stars"),
    ],
)
def test_rating_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, changes: dict[str, Any], field: str
) -> None:
    body = MEMBER | {"comment": "x", "scale": "thumbs", "grade": 1} | changes
    assert_invalid(call(refusing_workable, "PUT", "/candidates/3fc9a80f/ratings", body), field)


def test_rating_without_a_comment_needs_post(refusing_workable: FakeWorkableApi) -> None:
    body = MEMBER | {"scale": "thumbs", "grade": 1}
    path = "/candidates/3fc9a80f/ratings"
    assert_invalid(call(refusing_workable, "PUT", path, body), "comment")


def test_rating_of_an_old_account_has_only_a_score(workable: FakeWorkableApi) -> None:
    workable.add()
    workable.rating_methods, workable.knows_grades = ("POST",), False
    path = "/candidates/3fc9a80f/ratings"
    score = MEMBER | {"comment": "x", "score": "positive"}
    assert call(workable, "PUT", path, score).status_code == 404
    grade = MEMBER | {"comment": "x", "scale": "thumbs", "grade": 1}
    assert_invalid(call(workable, "POST", path, grade), "scale")
    assert_invalid(call(workable, "POST", path, MEMBER), "score")
    assert call(workable, "POST", path, score).status_code == 201


def test_tags_replace_all_tags(workable: FakeWorkableApi) -> None:
    workable.add(tags=["globetrotter"])
    body = {"tags": ["globetrotter", "Numeracy: passed"]}
    response = call(workable, "PUT", "/candidates/3fc9a80f/tags", body)
    assert (response.status_code, response.json()) == (202, body)
    assert get(workable, "/candidates/3fc9a80f")["candidate"]["tags"] == body["tags"]
    assert call(workable, "PUT", "/candidates/3fc9a80f/tags", {"tags": []}).json() == {"tags": []}
    assert get(workable, "/candidates/3fc9a80f")["candidate"]["tags"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tags"),
        ({"tags": "x"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": [], "member_id": "13e0eb0e"}, "member_id"),
    ],
)
def test_tags_that_are_not_right_are_refused(
    refusing_workable: FakeWorkableApi, body: Any, field: str
) -> None:
    assert_invalid(call(refusing_workable, "PUT", "/candidates/3fc9a80f/tags", body), field)


def test_move_by_the_api_changes_the_stage(workable: FakeWorkableApi) -> None:
    workable.add()
    body = MEMBER | {"target_stage": "hired"}
    response = call(workable, "POST", "/candidates/3fc9a80f/move", body)
    assert (response.status_code, response.content) == (202, b"")
    candidate = get(workable, "/candidates/3fc9a80f")["candidate"]
    assert (candidate["stage"], candidate["hired_at"]) == ("Hired", candidate["updated_at"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"target_stage": "hired"}, "member_id"),
        (MEMBER, "target_stage"),
        (MEMBER | {"target_stage": "Hired"}, "target_stage"),
        (MEMBER | {"target_stage": ["hired"]}, "target_stage"),
        (MEMBER | {"stage": "hired"}, "stage"),
    ],
)
def test_move_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, body: Any, field: str
) -> None:
    assert_invalid(call(refusing_workable, "POST", "/candidates/3fc9a80f/move", body), field)


@pytest.mark.parametrize(
    "fields",
    [
        {"disqualification_reason": "Very tardy"},
        {"withdrew": False, "disqualify_reason_id": "7", "disqualify_note": "Very tardy"},
    ],
)
def test_disqualify_by_the_api_sets_the_reason(
    workable: FakeWorkableApi, fields: dict[str, Any]
) -> None:
    workable.add()
    response = call(workable, "POST", "/candidates/3fc9a80f/disqualify", MEMBER | fields)
    assert (response.status_code, response.content) == (200, b"")
    candidate = get(workable, "/candidates/3fc9a80f")["candidate"]
    assert (candidate["disqualified"], candidate["disqualification_reason"]) == (True, "Very tardy")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"disqualification_reason": "x"}, "member_id"),
        (
            MEMBER | {"disqualification_reason": "x", "withdrew": True},
            "disqualification_reason",
        ),
        (MEMBER | {"disqualification_reason": None}, "disqualification_reason"),
        (MEMBER | {"withdrew": "no"}, "withdrew"),
        (MEMBER | {"disqualify_reason_id": 7}, "disqualify_reason_id"),
        (MEMBER | {"disqualify_note": "x" * 257}, "disqualify_note"),
        (MEMBER | {"reason": "x"}, "reason"),
    ],
)
def test_disqualify_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, body: Any, field: str
) -> None:
    path = "/candidates/3fc9a80f/disqualify"
    assert_invalid(call(refusing_workable, "POST", path, body), field)


# Subscriptions


def test_subscriptions_are_listed_and_deleted(
    workable: FakeWorkableApi, clock: ManualClock
) -> None:
    response = call(workable, "GET", "/subscriptions")
    assert (response.status_code, response.json()) == (404, {})
    target = "https://provider.example/hooks/x/candidate_moved"
    assert subscribe(workable, target, stage_slug="applied", job_shortcode="GROOV005") == 42
    assert subscribe(workable, f"{target}2") == 43
    rows = get(workable, "/subscriptions")["subscriptions"]
    form = "%Y-%m-%dT%H:%M:%S.000Z"
    assert rows[0] == {
        "id": 42,
        "target": target,
        "valid_until": (clock.now() + timedelta(days=365)).strftime(form),
        "created_at": clock.now().strftime(form),
        "stage_slug": "applied",
        "job_shortcode": "GROOV005",
    }
    assert (rows[1]["stage_slug"], rows[1]["job_shortcode"]) == (None, None)
    workable.wraps_subscriptions = False
    assert get(workable, "/subscriptions") == rows
    response = call(workable, "DELETE", "/subscriptions/42")
    assert (response.status_code, response.json()) == (200, {})
    for number in ("42", "44", "x"):
        response = call(workable, "DELETE", f"/subscriptions/{number}")
        assert (response.status_code, response.json()) == (404, {})
    assert subscribe(workable, target) == 44


def test_subscription_with_a_known_target_is_a_conflict(
    workable: FakeWorkableApi, clock: ManualClock
) -> None:
    target = "https://provider.example/hooks/x"
    subscribe(workable, target)
    clock.advance(timedelta(days=366))  # it stays registered after its time
    body = {"target": target, "event": "candidate_created"}
    response = call(workable, "POST", "/subscriptions", body)
    assert (response.status_code, response.json()) == (409, {})


def test_subscription_of_another_account_is_not_there(workable: FakeWorkableApi) -> None:
    other = workable.add_account("acme-co")
    number = subscribe(workable, "https://provider.example/hooks/x")
    assert code_of(workable, other, "/subscriptions") == 404
    assert call(workable, "DELETE", f"/subscriptions/{number}", token=other).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {"target": None},
        {"target": "provider.example/hooks"},
        {"event": "candidate_deleted"},
        {"event": None},
        {"args": None},
        {"args": {"account_id": "groove-tech"}},
        {"args": {"account_id": "groove-tech", "job_shortcode": ""}},
        {"args": ANY | {"event": "candidate_moved"}},
        {"args": ANY | {"stage_slug": None}},
        {"args": ANY | {"stage_slug": "Hired"}},
        {"args": ANY | {"job_shortcode": "GROOV009"}},
        {"args": ANY | {"account_id": "acme-co"}},
        {"args": ANY | {"account_id": ""}},
        {"secret": "x"},
    ],
)
def test_subscription_that_is_not_right_is_refused(
    refusing_workable: FakeWorkableApi, changes: dict[str, Any]
) -> None:
    body = {"target": "https://provider.example/x", "event": "candidate_moved", "args": ANY}
    response = call(refusing_workable, "POST", "/subscriptions", body | changes)
    assert (response.status_code, response.json()) == (400, {})
    assert refusing_workable.subscriptions == {}


# Events


def test_signature_of_the_facts_is_right() -> None:
    body = b'{"id":"e1","event_type":"candidate_moved"}'
    expected = "cdb462a436e49aaf7aee7943372d99f4c186a494897e7f547000132aa5237e61"
    assert sign("TOKEN", body) == expected
    assert hmac.new(b"TOKEN", body, hashlib.sha256).hexdigest() == expected


def signed_with(receiver: Receiver) -> list[tuple[str, bytes]]:
    requests_ = [line.request for line in receiver.request_log]
    return [(request.headers["x-workable-signature"], request.body) for request in requests_]


def assert_signed(receiver: Receiver, *keys: str) -> None:
    for (signature, body), key in zip(signed_with(receiver), keys, strict=True):
        assert signature == hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def test_move_sends_a_signed_event(
    workable: FakeWorkableApi, receiver: Receiver, clock: ManualClock
) -> None:
    subscribe(workable, f"{receiver.url}/hooks/x/candidate_moved")
    workable.add()
    (delivery,) = workable.move("3fc9a80f", "hired")
    assert delivery.answers == [200]
    assert delivery.bodies == [receiver.request_log[0].request.body]
    assert receiver.request_log[0].request.target == "/hooks/x/candidate_moved"
    (event,) = receiver.events
    data = event.pop("data")
    assert event == {
        "id": delivery.event_id,
        "event_type": "candidate_moved",
        "fired_at": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "resource_type": "candidate",
    }
    assert (data["id"], data["stage"], data["disqualified"]) == ("3fc9a80f", "Hired", False)
    assert data["account"] == {"subdomain": "groove-tech", "name": "Groove Tech"}
    assert data["job"] == {"shortcode": "GROOV005", "title": "Office Manager"}
    assert_signed(receiver, workable.account_token)


def test_create_and_disqualify_send_their_events(
    workable: FakeWorkableApi, receiver: Receiver
) -> None:
    subscribe(workable, f"{receiver.url}/created", "candidate_created")
    subscribe(workable, f"{receiver.url}/moved")
    candidate_id = workable.create(name="Ana Li")
    workable.disqualify(candidate_id, "Very tardy")
    shown = [(event["event_type"], event["data"]["disqualified"]) for event in receiver.events]
    assert shown == [("candidate_created", False), ("candidate_moved", True)]
    assert [line.request.path for line in receiver.request_log] == ["/created", "/moved"]


def test_event_goes_only_to_subscriptions_that_want_it(
    workable: FakeWorkableApi, receiver: Receiver
) -> None:
    workable.add_account("acme-co")
    workable.add_job("ACME001", subdomain="acme-co")
    workable.add("a1")
    workable.add("a2", job="ACME001")
    subscribe(workable, f"{receiver.url}/any")
    subscribe(workable, f"{receiver.url}/offer", stage_slug="offer")
    subscribe(workable, f"{receiver.url}/draft", job_shortcode="GROOV003")
    workable.move("a1", "interview")
    workable.move("a2", "offer")
    assert [line.request.path for line in receiver.request_log] == ["/any"]
    workable.move("a1", "offer")
    assert [line.request.path for line in receiver.request_log] == ["/any", "/any", "/offer"]
    assert receiver.events[1]["id"] == receiver.events[2]["id"]


def test_event_of_an_ended_subscription_is_not_sent(
    workable: FakeWorkableApi, receiver: Receiver, clock: ManualClock
) -> None:
    number = subscribe(workable, f"{receiver.url}/x")
    workable.add()
    receiver.codes = [500]
    workable.move("3fc9a80f", "interview")
    clock.advance(timedelta(days=365, seconds=-1))
    assert len(workable.move("3fc9a80f", "offer")) == 1
    clock.advance(timedelta(seconds=1))
    assert workable.move("3fc9a80f", "hired") == []
    assert [delivery.answers for delivery in workable.replay()] == [[500]]
    call(workable, "DELETE", f"/subscriptions/{number}")
    assert workable.move("3fc9a80f", "interview") == []
    assert len(receiver.request_log) == 2


@pytest.mark.parametrize("code", [201, 204, 302, 500])
def test_event_not_answered_with_200_is_replayed(
    workable: FakeWorkableApi, receiver: Receiver, code: int
) -> None:
    subscribe(workable, f"{receiver.url}/x")
    workable.add()
    receiver.codes = [code, code]
    (delivery,) = workable.move("3fc9a80f", "interview")
    assert workable.replay() == [delivery]
    assert workable.replay() == [delivery]
    assert workable.replay() == []
    assert delivery.answers == [code, code, 200]
    assert [event["id"] for event in receiver.events] == [delivery.event_id] * 3


def test_event_without_an_answer_is_replayed(workable: FakeWorkableApi, receiver: Receiver) -> None:
    subscribe(workable, f"{receiver.url}/x")
    workable.add()
    receiver.fail_next("POST", "/x", hang_up)
    (delivery,) = workable.move("3fc9a80f", "interview")
    workable.replay()
    assert delivery.answers == [None, 200]


def test_event_has_the_state_when_it_is_sent(workable: FakeWorkableApi, receiver: Receiver) -> None:
    subscribe(workable, f"{receiver.url}/x")
    workable.add("a1")
    workable.add("a2")
    workable.holds_events = True
    (first,) = workable.move("a1", "interview")
    (second,) = workable.move("a1", "offer")
    workable.move("a2", "offer")
    workable.delete("a2")
    assert receiver.request_log == []
    workable.send_held(newest_first=True)
    assert [event["data"]["stage"] for event in receiver.events] == ["Offer", "Offer"]
    assert [event["id"] for event in receiver.events] == [second.event_id, first.event_id]


def test_event_of_a_move_by_the_api_is_held(workable: FakeWorkableApi, receiver: Receiver) -> None:
    subscribe(workable, f"{receiver.url}/x")
    workable.add()
    body = MEMBER | {"target_stage": "offer"}
    call(workable, "POST", "/candidates/3fc9a80f/move", body)
    call(workable, "POST", "/candidates/3fc9a80f/disqualify", MEMBER)
    assert receiver.request_log == []
    assert [delivery.answers for delivery in workable.send_held()] == [[200], [200]]
    assert workable.send_held() == []


def test_storm_sends_copies_in_the_wrong_order(
    workable: FakeWorkableApi, receiver: Receiver
) -> None:
    subscribe(workable, f"{receiver.url}/x")
    workable.add("a1")
    with pytest.raises(ValueError, match="no event"):
        workable.storm("a1", 3)
    (first,) = workable.move("a1", "interview")
    (second,) = workable.move("a1", "offer")
    assert workable.storm("a1", 3) == [first, second]
    assert [event["id"] for event in receiver.events] == (
        [first.event_id, second.event_id] + [second.event_id] * 3 + [first.event_id] * 3
    )


def test_signature_has_the_key_of_the_credential(
    workable: FakeWorkableApi, receiver: Receiver
) -> None:
    fake = workable
    fake.add()
    subscribe(fake, f"{receiver.url}/account")
    subscribe(fake, f"{receiver.url}/oauth", token=fake.connect()["access_token"])
    body = {"target": f"{receiver.url}/partner", "event": "candidate_moved", "args": ANY}
    call(fake, "POST", "/subscriptions", body, token=fake.partner_token, **UID)
    fake.move("3fc9a80f", "interview")
    assert_signed(receiver, fake.account_token, "oauth-secret-7d20c4", fake.partner_token)
    fake.partner_webhook_secret = "partner-secret"
    new_token = fake.rotate(fake.account_token)
    receiver.request_log.clear()
    fake.move("3fc9a80f", "offer")
    assert_signed(receiver, new_token, "oauth-secret-7d20c4", "partner-secret")
    fake.signing_key = fake.account_token  # the previous one
    receiver.request_log.clear()
    fake.move("3fc9a80f", "hired")
    assert_signed(receiver, *[fake.account_token] * 3)


def test_event_of_an_unknown_type_or_account_is_sent(
    workable: FakeWorkableApi, receiver: Receiver
) -> None:
    subscribe(workable, f"{receiver.url}/created", "candidate_created")
    subscribe(workable, f"{receiver.url}/moved")
    workable.add()
    workable.fire("employee_created", "3fc9a80f")
    workable.fire("candidate_moved", "3fc9a80f", subdomain="acme-co")
    shown = [
        (event["event_type"], event["data"]["account"]["subdomain"]) for event in receiver.events
    ]
    assert shown == [
        ("employee_created", "groove-tech"),
        ("employee_created", "groove-tech"),
        ("candidate_moved", "acme-co"),
    ]
    with pytest.raises(KeyError):
        workable.fire("candidate_moved", "ffff")


# Controls of a test


def test_add_with_a_taken_id_is_an_error(workable: FakeWorkableApi) -> None:
    workable.backlog(2)
    workable.add("a1")
    for candidate_id in ("a1", "b0000001"):
        with pytest.raises(ValueError, match="is taken"):
            workable.add(candidate_id)


@pytest.mark.parametrize("act", ["change", "delete", "set_stage", "move"])
def test_change_of_an_unknown_candidate_is_an_error(workable: FakeWorkableApi, act: str) -> None:
    arguments = ("offer",) if act in ("set_stage", "move") else ()
    with pytest.raises(KeyError):
        getattr(workable, act)("ffff", *arguments)


def test_move_to_an_unknown_stage_is_an_error(workable: FakeWorkableApi) -> None:
    workable.add("a1")
    with pytest.raises(KeyError):
        workable.move("a1", "Offer")


def test_request_log_has_the_tries_of_a_refresh(workable: FakeWorkableApi) -> None:
    refresh(workable, workable.connect()["refresh_token"])
    (request,) = workable.requests("POST", "/oauth/token")
    assert request.form["grant_type"] == "refresh_token"
