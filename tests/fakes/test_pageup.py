"""Tests of the fake PageUp, with requests written by hand."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from tests.factories import ManualClock
from tests.fakes.pageup import FIRST_BACKLOG_ID, Candidate, FakePageUp, Refusal
from tests.fakes.vendor import hang_up, status

HTTP = requests.Session()
HTTP.trust_env = False
JSON_API = "application/vnd.api+json"
KEY, SECRET = "pu-key-3fa1", "pu-secret-77c05e"
CONTENT_HASHES = {
    "md5": ("Content-MD5", hashlib.md5),
    "sha256": ("X-Authorization-Content-SHA256", hashlib.sha256),
}
EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
VECTOR_BODY = b'{"data":{"type":"tag","attributes":{"name":"numeracy: passed"}}}'
WINDOW = "filter%5Bupdated_at%5D%5B{}%5D=2026-11-22T{}"


@contextmanager
def serving(clock: ManualClock) -> Iterator[FakePageUp]:
    """Serve a fake; close the connections, or a later server on its port would miss requests."""
    with FakePageUp(clock) as fake:
        yield fake
    HTTP.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def pageup(clock: ManualClock) -> Iterator[FakePageUp]:
    with serving(clock) as fake:
        yield fake


@pytest.fixture(scope="module")
def refusing_pageup() -> Iterator[FakePageUp]:
    """Return a PageUp with candidate 42, for tests that change no record there."""
    with serving(ManualClock(NOON)) as fake:
        fake.add(42, tags=["needs numeracy"])
        yield fake


def send(
    fake: FakePageUp,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    key: str = KEY,
    secret: str = SECRET,
    with_method: bool = True,
    content_hash: str = "md5",
    sent_hash: str | None = None,
    digest: str = "sha1",
    scheme: str = "APIAuth",
    date: str | None = None,
    date_header: str = "X-HMAC-DATE",
    signed_target: str | None = None,
    **headers: str,
) -> requests.Response:
    """Send a signed request; in the names of `headers` `_` stands for `-`."""
    sent = {"Accept": JSON_API} | ({"Content-Type": JSON_API} if body else {})
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    hashed = ""
    if body and content_hash in CONTENT_HASHES:
        header, algorithm = CONTENT_HASHES[content_hash]
        hashed = sent_hash or base64.b64encode(algorithm(body).digest()).decode()
        sent[header] = hashed
    date = format_datetime(fake.clock.now(), usegmt=True) if date is None else date
    parts = [sent.get("Content-Type", ""), hashed, signed_target or target, date]
    text = ",".join([method, *parts] if with_method else parts)
    signature = base64.b64encode(hmac.digest(secret.encode(), text.encode(), digest)).decode()
    sent |= {date_header: date, "Authorization": f"{scheme} {key}:{signature}"}
    return HTTP.request(method, fake.url + target, data=body, headers=sent)


def get(fake: FakePageUp, target: str, **options: Any) -> Any:
    response = send(fake, "GET", target, **options)
    assert response.status_code == 200, response.text
    return response.json()


def post(fake: FakePageUp, target: str, resource_type: str, **attributes: str) -> requests.Response:
    body = {"data": {"type": resource_type, "attributes": attributes}}
    return send(fake, "POST", target, json.dumps(body).encode())


def ids(fake: FakePageUp, query: str = "page=1") -> list[int]:
    return [int(record["id"]) for record in get(fake, f"/v2/candidates?{query}")["data"]]


def tag_names(candidate: Candidate) -> list[str]:
    return list(candidate.tags.values())


def assert_refused(response: requests.Response, code: int) -> None:
    assert response.status_code == code, response.text
    assert response.headers["Content-Type"] == JSON_API
    (error,) = response.json()["errors"]
    assert error["status"] == str(code)
    assert error["detail"]


def assert_rejected(fake: FakePageUp, response: requests.Response, reason: str) -> None:
    assert_refused(response, 401)
    assert fake.rejection_reasons[-1] == reason


# The vectors and the exchange of the facts


GET_VECTORS = [
    ("/v1/resource", {}, "EHNG02udhgDYSPMHqCxiN1jYi0A="),
    ("/v1/resource", {"Content-Type": JSON_API}, "QEfL7Z15d6qv98JegiLfTsifyOM="),
    (
        "/v2/candidates?filter%5Bupdated_at%5D%5Bgte%5D=2026-11-01T00%3A00%3A00"
        "&page=1&per_page=100",
        {},
        "dBBiThGDfP2rLA3UtS2bypFIMg8=",
    ),
]


@pytest.fixture
def vector_pageup() -> Iterator[FakePageUp]:
    with serving(ManualClock(datetime(1970, 1, 1, tzinfo=UTC))) as fake:
        fake.key, fake.secret = "YOUR-KEY", "YOUR-SECRET"
        fake.serves_v1 = True
        fake.add(42)
        yield fake


def send_vector(
    fake: FakePageUp, target: str, signature: str, headers: dict[str, str], body: bytes = b""
) -> int:
    sent = {"Accept": JSON_API, "X-HMAC-DATE": EPOCH} | headers
    sent["Authorization"] = f"APIAuth YOUR-KEY:{signature}"
    method = "POST" if body else "GET"
    return HTTP.request(method, fake.url + target, data=body, headers=sent).status_code


@pytest.mark.parametrize(("target", "headers", "signature"), GET_VECTORS)
def test_signature_of_a_get_vector_is_accepted(
    vector_pageup: FakePageUp, target: str, headers: dict[str, str], signature: str
) -> None:
    accepted = 200 if target.startswith("/v2") else 404  # there is no /v1/resource
    assert send_vector(vector_pageup, target, signature, headers) == accepted
    assert vector_pageup.rejection_reasons == []
    assert send_vector(vector_pageup, target, "A" + signature[1:], headers) == 401
    assert send_vector(vector_pageup, target + "x", signature, headers) == 401
    vector_pageup.canonical = "without"
    assert send_vector(vector_pageup, target, signature, headers) == 401


def test_signature_of_the_vector_without_method_is_accepted(vector_pageup: FakePageUp) -> None:
    signature = "8SIVQDCMltzKc16AvB3/UivbqNU="
    assert send_vector(vector_pageup, "/v1/resource", signature, {}) == 401
    vector_pageup.canonical = "without"
    assert send_vector(vector_pageup, "/v1/resource", signature, {}) == 404


@pytest.mark.parametrize(
    ("content_hash", "header", "value", "signature"),
    [
        ("md5", "Content-MD5", "mMAPl8v5B0RoWJcEHz0N4A==", "VNOXlPYmOjwv/alNtCQUKZopm6k="),
        (
            "sha256",
            "X-Authorization-Content-SHA256",
            "VXe04L+fh43bMs/9doutGW/tmpVrje7eaMNm3C5jios=",
            "IhKaSGKhuASMmKU18vfOot8q2j8=",
        ),
    ],
)
def test_signature_of_a_post_vector_is_accepted(
    vector_pageup: FakePageUp, content_hash: Any, header: str, value: str, signature: str
) -> None:
    assert len(VECTOR_BODY) == 64
    target, headers = "/v2/candidates/42/tags", {"Content-Type": JSON_API, header: value}
    vector_pageup.content_hash = content_hash
    assert send_vector(vector_pageup, target, signature, headers, VECTOR_BODY + b" ") == 401
    assert vector_pageup.rejection_reasons == ["hash"]
    assert send_vector(vector_pageup, target, signature, headers, VECTOR_BODY) == 200
    assert vector_pageup.writes == [("tag", 42, "numeracy: passed")]
    vector_pageup.content_hash = "none"
    assert send_vector(vector_pageup, target, signature, headers, VECTOR_BODY) == 401


def test_exchange_of_the_facts_is_answered(pageup: FakePageUp, clock: ManualClock) -> None:
    updated_at = datetime(2026, 11, 22, 8, 58, tzinfo=UTC)
    pageup.add(42, tags=["needs numeracy"], updated_at=updated_at)
    clock.current_time = datetime(2026, 11, 22, 9, tzinfo=UTC)
    query = f"{WINDOW.format('gte', '08:55:00')}&{WINDOW.format('lt', '09:00:00')}"
    date = "Sun, 22 Nov 2026 09:00:00 GMT"
    answer = get(pageup, f"/v2/candidates?{query}&page=1&per_page=100", date=date)
    assert answer.keys() == {"data"}
    (record,) = answer["data"]
    attributes = record.pop("attributes")
    assert attributes.pop("uid").isalnum()
    assert attributes == {
        "first_name": "Ana",
        "last_name": "Li",
        "name": "Ana Li",
        "email": "ana@example.org",
        "phone_number": "+1-202-555-0169",
        "tags": ["needs numeracy"],
        "updated_at": {"utc": "2026-11-22T08:58:00Z", "epoch": 1795337880},
        "latest_ats_status": None,
        "custom_data": {},
        "internal_candidate": False,
    }
    assert (record["id"], record["type"]) == ("42", "candidates")
    assert set(record["relationships"]) == {"resumes", "jobs", "job_applications", "notes"}
    (tag,) = get(pageup, "/v2/candidates/42/tags")["data"]
    assert tag["attributes"] == {"name": "needs numeracy"}
    response = send(pageup, "POST", "/v2/candidates/42/tags", VECTOR_BODY)
    assert response.status_code == 200
    assert response.json()["data"]["attributes"] == {"name": "numeracy: passed"}
    assert pageup.writes == [("tag", 42, "numeracy: passed")]


# Signatures


@pytest.mark.parametrize("content_hash", ["md5", "sha256", "none"])
@pytest.mark.parametrize("canonical", ["with_method", "without"])
def test_signature_needs_the_canonical_text_and_hash_of_the_mode(
    refusing_pageup: FakePageUp, monkeypatch: pytest.MonkeyPatch, canonical: str, content_hash: str
) -> None:
    monkeypatch.setattr(refusing_pageup, "canonical", canonical)
    monkeypatch.setattr(refusing_pageup, "content_hash", content_hash)
    accepted = []
    for with_method in (True, False):
        for sent in ("md5", "sha256", "none"):
            options: dict[str, Any] = {"with_method": with_method, "content_hash": sent}
            response = send(refusing_pageup, "POST", "/v2/candidates/42/tags", b"{}", **options)
            if response.status_code == 422:  # the body is refused, so the signature was not
                accepted.append((with_method, sent))
            else:
                assert_rejected(refusing_pageup, response, "signature")
    hashes = [content_hash] if content_hash == "none" else [content_hash, "none"]
    assert accepted == [(canonical == "with_method", sent) for sent in hashes]


def test_signature_with_digest_sha256_needs_the_mode(
    refusing_pageup: FakePageUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, target = refusing_pageup, "/v2/candidates"
    options: dict[str, Any] = {"digest": "sha256", "scheme": "APIAuth-HMAC-SHA256"}
    assert_rejected(fake, send(fake, "GET", target, **options), "scheme")
    monkeypatch.setattr(fake, "digest", "sha256")
    get(fake, target, **options)
    assert_rejected(fake, send(fake, "GET", target), "scheme")
    options["digest"] = "sha1"
    assert_rejected(fake, send(fake, "GET", target, **options), "signature")


@pytest.mark.parametrize("date_header", ["X-HMAC-DATE", "Date"])
def test_request_within_900_seconds_is_accepted(
    refusing_pageup: FakePageUp, date_header: str
) -> None:
    for seconds in (-901, -900, 900, 901):
        date = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
        options: dict[str, Any] = {"date": date, "date_header": date_header}
        response = send(refusing_pageup, "GET", "/v2/candidates", **options)
        if abs(seconds) > 900:
            assert_rejected(refusing_pageup, response, "date")
        else:
            assert response.status_code == 200


@pytest.mark.parametrize(
    "date",
    [
        "",
        "now",
        "2026-11-22T12:00:00Z",
        "Sun, 22 Nov 2026 12:00:00",
        "Sun, 22 Nov 2026 12:00:00 +0000",
        "Mon, 22 Nov 2026 12:00:00 GMT",
        "Sunday, 22-Nov-26 12:00:00 GMT",
        "Sun, 22 Nov 2026 14:00:00 +0200",
    ],
)
def test_date_not_rfc_1123_in_gmt_is_refused(refusing_pageup: FakePageUp, date: str) -> None:
    assert_rejected(
        refusing_pageup, send(refusing_pageup, "GET", "/v2/candidates", date=date), "date"
    )


def test_x_hmac_date_is_read_before_date(refusing_pageup: FakePageUp) -> None:
    get(refusing_pageup, "/v2/candidates", Date=EPOCH)
    response = send(refusing_pageup, "GET", "/v2/candidates", date_header="Date", X_HMAC_DATE=EPOCH)
    assert_rejected(refusing_pageup, response, "date")


def test_date_rewritten_by_a_proxy_breaks_the_signature(
    refusing_pageup: FakePageUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusing_pageup, "rewrites_date", True)
    response = send(refusing_pageup, "GET", "/v2/candidates", date_header="Date")
    assert_rejected(refusing_pageup, response, "signature")
    get(refusing_pageup, "/v2/candidates")


def test_request_without_authorization_is_refused(refusing_pageup: FakePageUp) -> None:
    url = f"{refusing_pageup.base_url}/candidates/42/tags"
    headers = {"Accept": JSON_API, "Content-Type": JSON_API}
    response = HTTP.post(url, data=VECTOR_BODY, headers=headers)
    assert_rejected(refusing_pageup, response, "scheme")
    response = HTTP.get(url, auth=(KEY, SECRET), headers=headers)
    assert_rejected(refusing_pageup, response, "scheme")
    assert refusing_pageup.writes == []


def test_key_of_another_region_is_refused(pageup: FakePageUp, clock: ManualClock) -> None:
    with serving(clock) as other:
        other.key, other.secret = "pu-key-au", "pu-secret-au"
        options: dict[str, Any] = {"key": "pu-key-au", "secret": "pu-secret-au"}
        get(other, "/v2/candidates", **options)
        assert_rejected(pageup, send(pageup, "GET", "/v2/candidates", **options), "key")
        assert_rejected(other, send(other, "GET", "/v2/candidates"), "key")


def test_secret_wrong_is_refused(refusing_pageup: FakePageUp) -> None:
    response = send(refusing_pageup, "GET", "/v2/candidates", secret="wrong")
    assert_rejected(refusing_pageup, response, "signature")


def test_key_revoked_is_replaced_by_the_new_one(pageup: FakePageUp) -> None:
    get(pageup, "/v2/candidates")
    pageup.revoke()
    assert_rejected(pageup, send(pageup, "GET", "/v2/candidates"), "key")
    get(pageup, "/v2/candidates", key=pageup.key, secret=pageup.secret)


@pytest.mark.parametrize("content_hash", ["md5", "sha256"])
def test_content_hash_wrong_is_refused(
    refusing_pageup: FakePageUp, monkeypatch: pytest.MonkeyPatch, content_hash: str
) -> None:
    monkeypatch.setattr(refusing_pageup, "content_hash", content_hash)
    wrong = "mMAPl8v5B0RoWJcEHz0N4B=="
    options: dict[str, Any] = {"content_hash": content_hash, "sent_hash": wrong}
    response = send(refusing_pageup, "POST", "/v2/candidates/42/tags", VECTOR_BODY, **options)
    assert_rejected(refusing_pageup, response, "hash")
    assert not refusing_pageup.writes


def test_signature_of_the_decoded_target_is_refused(refusing_pageup: FakePageUp) -> None:
    decoded = "/v2/candidates?filter[email][eq]=ana@example.org"
    target = "/v2/candidates?filter%5Bemail%5D%5Beq%5D=ana%40example.org"
    response = send(refusing_pageup, "GET", target, signed_target=decoded)
    assert_rejected(refusing_pageup, response, "signature")
    assert len(get(refusing_pageup, target)["data"]) == 1


def test_signature_of_brackets_on_the_wire_is_accepted(refusing_pageup: FakePageUp) -> None:
    target = "/v2/candidates?filter[email][eq]=ana@example.org"
    date = format_datetime(refusing_pageup.clock.now(), usegmt=True)
    digest = hmac.digest(SECRET.encode(), f"GET,,,{target},{date}".encode(), "sha1")
    authorization = f"APIAuth {KEY}:{base64.b64encode(digest).decode()}"
    headers = {"Accept": JSON_API, "Date": date, "Authorization": authorization}
    connection = HTTPConnection("127.0.0.1", int(refusing_pageup.url.rpartition(":")[2]))
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    assert response.status == 200
    assert len(json.loads(response.read())["data"]) == 1
    connection.close()


# Addresses, types and bodies


def test_base_path_v1_answers_only_with_the_switch(pageup: FakePageUp) -> None:
    assert_refused(send(pageup, "GET", "/v1/candidates"), 404)
    assert_refused(send(pageup, "GET", "/v1/candidates", secret="wrong"), 404)
    assert_refused(send(pageup, "GET", "/candidates"), 404)
    assert pageup.base_url == pageup.url + "/v2"
    pageup.serves_v1 = True
    assert get(pageup, "/v1/candidates") == get(pageup, "/v2/candidates") == {"data": []}
    assert_rejected(pageup, send(pageup, "GET", "/v1/candidates", secret="wrong"), "signature")
    pageup.base_path, pageup.serves_v1 = "/v1", False
    get(pageup, "/v1/candidates")
    assert_refused(send(pageup, "GET", "/v2/candidates"), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/jobs"),
        ("GET", "/candidates/"),
        ("GET", "/candidates/abc"),
        ("GET", "/candidates/043"),
        ("GET", "/candidates/43"),
        ("GET", "/candidates/43/tags"),
        ("PUT", "/candidates/42/tags"),
        ("PATCH", "/candidates/42"),
        ("DELETE", "/candidates/42"),
        ("DELETE", "/candidates/42/tags/needs numeracy"),
        ("DELETE", "/candidates/42/tags/e3b0c442-98fc-4c14-9af1-000000000000"),
    ],
)
def test_address_without_a_record_or_route_is_not_found(
    refusing_pageup: FakePageUp, method: str, path: str
) -> None:
    target = "/v2" + path.replace(" ", "%20")
    assert_refused(send(refusing_pageup, method, target), 404)
    assert not refusing_pageup.writes


@pytest.mark.parametrize("accept", ["*/*", "application/json", f"{JSON_API}; charset=utf-8"])
def test_accept_other_than_json_api_is_refused(refusing_pageup: FakePageUp, accept: str) -> None:
    assert_refused(send(refusing_pageup, "GET", "/v2/candidates", Accept=accept), 406)
    get(refusing_pageup, "/v2/candidates", Accept=f"{accept}, {JSON_API}")


@pytest.mark.parametrize("content_type", ["", "application/json", f"{JSON_API}; charset=utf-8"])
def test_content_type_other_than_json_api_is_refused(
    refusing_pageup: FakePageUp, content_type: str
) -> None:
    target = "/v2/candidates/42/tags"
    response = send(refusing_pageup, "POST", target, VECTOR_BODY, Content_Type=content_type)
    assert_refused(response, 415)
    assert not refusing_pageup.writes


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_body_without_a_post_is_refused(refusing_pageup: FakePageUp, method: str) -> None:
    (tag_id,) = refusing_pageup.candidate(42).tags
    target = "/v2/candidates" if method == "GET" else f"/v2/candidates/42/tags/{tag_id}"
    assert_refused(send(refusing_pageup, method, target, b"{}"), 400)


@pytest.mark.parametrize(
    "target",
    [
        "/candidates?tag=x",
        "/candidates?filter%5Btags%5D%5Beq%5D=x",
        "/candidates?filter%5Bupdated_at%5D%5Bgt%5D=2026-11-22T00:00:00",
        "/candidates?page=1&page=2",
        "/candidates?include=files",
        "/candidates?include=resumes,files",
        "/candidates/42?page=1",
        "/candidates/42/tags?page=1",
    ],
)
def test_parameter_unknown_or_repeated_is_refused(refusing_pageup: FakePageUp, target: str) -> None:
    assert_refused(send(refusing_pageup, "GET", "/v2" + target), 400)


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=x",
        "page=",
        "per_page=0",
        "per_page=101",
        "per_page=1.5",
        WINDOW.format("gte", "09:00:00Z"),
        WINDOW.format("gte", "09:00:00%2B00:00"),
        WINDOW.format("lt", "09:00:00.5"),
        WINDOW.format("lt", "25:00:00"),
        WINDOW.format("lt", "09:00"),
        "filter%5Bupdated_at%5D%5Blt%5D=2026-11-22",
        "filter%5Bupdated_at%5D%5Blt%5D=2026-11-22%2009:00:00",
        "filter%5Bupdated_at%5D%5Blt%5D=",
    ],
)
def test_list_with_a_wrong_value_is_refused(refusing_pageup: FakePageUp, query: str) -> None:
    assert_refused(send(refusing_pageup, "GET", f"/v2/candidates?{query}"), 422)


TAG = {"type": "tag", "attributes": {"name": "x"}}
FILE = {"type": "candidate_files", "attributes": {"filename": "a.pdf", "content": "JVBERi0="}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("tags", "{"),
        ("tags", "\udcff"),
        ("tags", "[]"),
        ("tags", "null"),
        ("tags", json.dumps(TAG)),
        ("tags", json.dumps({"data": [TAG]})),
        ("tags", json.dumps({"data": TAG, "meta": {}})),
        ("tags", json.dumps({"data": TAG | {"id": "1"}})),
        ("tags", json.dumps({"data": TAG | {"type": "tags"}})),
        ("tags", json.dumps({"data": TAG | {"attributes": {}}})),
        ("tags", json.dumps({"data": TAG | {"attributes": {"name": " "}}})),
        ("tags", json.dumps({"data": TAG | {"attributes": {"name": 1}}})),
        ("tags", json.dumps({"data": TAG | {"attributes": {"name": "x", "colour": "red"}}})),
        ("candidate_files", json.dumps({"data": TAG})),
        ("candidate_files", json.dumps({"data": FILE | {"type": "candidate_file"}})),
        ("candidate_files", json.dumps({"data": FILE | {"attributes": {"filename": "a.pdf"}}})),
        ("candidate_files", json.dumps({"data": FILE}).replace("JVBERi0=", "JVBERi0")),
        ("candidate_files", json.dumps({"data": FILE}).replace("JVBERi0=", "JVBE Ri0=")),
        ("candidate_files", json.dumps({"data": FILE}).replace("JVBERi0=", "")),
        ("candidate_files", json.dumps({"data": FILE}).replace("a.pdf", "")),
    ],
)
def test_body_with_a_wrong_form_is_refused(
    refusing_pageup: FakePageUp, path: str, body: str
) -> None:
    target = f"/v2/candidates/42/{path}"
    sent = body.encode(errors="surrogateescape")
    assert_refused(send(refusing_pageup, "POST", target, sent), 422)
    assert not refusing_pageup.writes
    assert not refusing_pageup.files


# Lists


def test_list_without_sizes_has_5_candidates(pageup: FakePageUp) -> None:
    for _ in range(7):
        pageup.add()
    assert len(get(pageup, "/v2/candidates")["data"]) == 5
    assert ids(pageup) == [1, 2, 3, 4, 5]
    assert ids(pageup, "page=2") == [6, 7]
    assert ids(pageup, "page=3") == []
    assert ids(pageup, "page=2&per_page=3") == [4, 5, 6]


def test_list_above_max_per_page_is_refused(
    refusing_pageup: FakePageUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusing_pageup, "max_per_page", 25)
    assert_refused(send(refusing_pageup, "GET", "/v2/candidates?per_page=26"), 422)
    get(refusing_pageup, "/v2/candidates?per_page=25")


def test_filter_of_updated_at_is_half_open(pageup: FakePageUp, clock: ManualClock) -> None:
    for minute in range(4):
        pageup.add(minute + 1, updated_at=datetime(2026, 11, 22, 9, minute, tzinfo=UTC))
    start, end = WINDOW.format("gte", "09:01:00"), WINDOW.format("lt", "09:03:00")
    assert ids(pageup, f"{start}&{end}") == [2, 3]
    assert ids(pageup, start) == [2, 3, 4]
    assert ids(pageup, end) == [1, 2, 3]
    clock.advance(timedelta(minutes=1))
    pageup.change(2, first_name="Bo")
    assert ids(pageup, f"{start}&{end}") == [3]
    assert ids(pageup, WINDOW.format("gte", "12:01:00")) == [2]


def test_filter_of_updated_at_is_in_the_clock_zone(pageup: FakePageUp) -> None:
    pageup.add(42, updated_at=datetime(2026, 11, 22, 9, tzinfo=UTC))
    pageup.clock_zone = "Australia/Sydney"  # 11 hours before UTC
    assert ids(pageup, WINDOW.format("gte", "20:00:00")) == [42]
    assert ids(pageup, WINDOW.format("gte", "20:00:01")) == []


def test_filter_of_email_finds_the_candidate(pageup: FakePageUp) -> None:
    pageup.add(1)
    pageup.add(2, email="li%ana@example.org")
    pageup.add(3, email=None)
    pageup.backlog(3)
    query = "filter%5Bemail%5D%5Beq%5D="
    assert ids(pageup, f"{query}li%25ana%40example.org") == [2]
    assert ids(pageup, f"{query}candidate1000001@example.org") == [FIRST_BACKLOG_ID + 1]
    pageup.change(FIRST_BACKLOG_ID + 1, email="new@example.org")
    assert ids(pageup, f"{query}candidate1000001@example.org") == []
    assert ids(pageup, f"{query}new@example.org") == [FIRST_BACKLOG_ID + 1]
    pageup.delete(FIRST_BACKLOG_ID + 2)
    assert ids(pageup, f"{query}candidate1000002@example.org") == []


def test_pages_when_shuffled_lose_and_repeat_candidates(pageup: FakePageUp) -> None:
    for _ in range(20):
        pageup.add()
    pageup.shuffles_pages = True
    read = [number for page in range(1, 5) for number in ids(pageup, f"page={page}")]
    assert len(read) == 20
    assert len(set(read)) < 20
    orders = [ids(pageup, "per_page=100") for _ in range(3)]
    assert len({tuple(order) for order in orders}) > 1
    assert all(sorted(order) == list(range(1, 21)) for order in orders)
    assert ids(pageup, "page=3&per_page=10") == []


def test_page_after_a_change_before_it_loses_a_candidate(
    pageup: FakePageUp, clock: ManualClock
) -> None:
    for _ in range(4):
        pageup.add(updated_at=NOON - timedelta(minutes=1))
    pageup.before_page[2] = lambda: pageup.change(1, first_name="Bo")
    query = f"{WINDOW.format('lt', '12:00:00')}&per_page=2&page="
    assert ids(pageup, f"{query}1") + ids(pageup, f"{query}2") == [1, 2, 4]
    assert ids(pageup, f"{query}1") == [2, 3]
    assert pageup.before_page == {}


def test_next_link_is_sent_only_with_the_switch(pageup: FakePageUp) -> None:
    for _ in range(4):
        pageup.add(updated_at=NOON)
    query = f"{WINDOW.format('gte', '12:00:00')}&per_page=2"
    assert "links" not in get(pageup, f"/v2/candidates?{query}")
    pageup.next_link_origin = pageup.url
    link = get(pageup, f"/v2/candidates?{query}")["links"]["next"]
    last = get(pageup, link.removeprefix(pageup.url))
    assert [record["id"] for record in last["data"]] == ["3", "4"]
    assert "links" not in last
    pageup.next_link_origin = "http://other.example.org"
    link = get(pageup, f"/v2/candidates?{query}")["links"]["next"]
    assert link.startswith("http://other.example.org/v2/candidates?")


def test_include_of_resumes_adds_the_files(pageup: FakePageUp) -> None:
    pageup.add(1, resumes=["cv.pdf"])
    pageup.add(2)
    for target in ("/v2/candidates?include=resumes,notes", "/v2/candidates/1?include=resumes"):
        answer = get(pageup, target)
        (file,) = answer["included"]
        assert file["type"] == "candidate_files"
        assert file["attributes"] == {"filename": "cv.pdf"}
        first = answer["data"] if isinstance(answer["data"], dict) else answer["data"][0]
        linked = first["relationships"]["resumes"]["data"]
        assert linked == [{"id": file["id"], "type": "candidate_files"}]
    assert get(pageup, "/v2/candidates/1?include=notes")["included"] == []
    assert "included" not in get(pageup, "/v2/candidates/1")


# The backlog


def test_backlog_of_100000_is_computed_from_its_index(pageup: FakePageUp) -> None:
    pageup.add(1)
    pageup.backlog(100_000, timedelta(seconds=1), first_name="Bo")
    assert ids(pageup, "page=1001&per_page=100") == [FIRST_BACKLOG_ID + 99_999]
    assert ids(pageup, "page=1002&per_page=100") == []
    newest = ids(pageup, WINDOW.format("gte", "11:59:58"))
    assert newest == [1, *range(FIRST_BACKLOG_ID + 99_997, FIRST_BACKLOG_ID + 100_000)]
    record = get(pageup, "/v2/candidates/1000007")["data"]
    assert record["attributes"]["email"] == "candidate1000007@example.org"
    assert record["attributes"]["first_name"] == "Bo"
    assert record["attributes"]["tags"] == ["needs numeracy"]
    tags = [get(pageup, "/v2/candidates/1000007/tags")["data"] for _ in range(2)]
    assert tags[0] == tags[1]
    assert_refused(send(pageup, "GET", "/v2/candidates/1100000"), 404)


def test_backlog_with_changed_records_keeps_its_order(
    pageup: FakePageUp, clock: ManualClock
) -> None:
    pageup.backlog(6)
    clock.advance(timedelta(minutes=1))
    pageup.tag_bumps_updated_at = False
    window = WINDOW.format("lt", "12:01:00")
    for number in (FIRST_BACKLOG_ID + 1, FIRST_BACKLOG_ID + 4):
        assert post(pageup, f"/v2/candidates/{number}/tags", "tag", name="x").status_code == 200
    assert ids(pageup, f"{window}&per_page=9") == list(pageup_ids(0, 1, 2, 3, 4, 5))
    pageup.change(FIRST_BACKLOG_ID + 2, last_name="Bo")
    pageup.delete(FIRST_BACKLOG_ID + 3)
    assert ids(pageup, f"{window}&per_page=9") == list(pageup_ids(0, 1, 4, 5))
    assert ids(pageup, "per_page=9") == list(pageup_ids(0, 1, 2, 4, 5))
    assert ids(pageup, WINDOW.format("gte", "12:01:00")) == list(pageup_ids(2))
    assert_refused(send(pageup, "GET", f"/v2/candidates/{FIRST_BACKLOG_ID + 3}"), 404)


def pageup_ids(*indexes: int) -> Iterator[int]:
    return (FIRST_BACKLOG_ID + index for index in indexes)


# Tags


def test_tag_deleted_by_its_id_is_gone(pageup: FakePageUp, clock: ManualClock) -> None:
    pageup.add(42, tags=["a", "b"])
    tags = get(pageup, "/v2/candidates/42/tags")["data"]
    assert [tag["attributes"]["name"] for tag in tags] == ["a", "b"]
    assert all(tag["id"].count("-") == 4 for tag in tags)
    clock.advance(timedelta(minutes=1))
    target = f"/v2/candidates/42/tags/{tags[0]['id']}"
    assert send(pageup, "DELETE", target).status_code == 200
    assert_refused(send(pageup, "DELETE", target), 404)
    assert tag_names(pageup.candidate(42)) == ["b"]
    assert pageup.candidate(42).updated_at == clock.now()
    assert pageup.writes == [("untag", 42, "a")]


def test_tag_of_another_candidate_is_not_found(pageup: FakePageUp) -> None:
    pageup.add(1, tags=["a"])
    pageup.add(2, tags=["a"])
    (tag_id,) = pageup.candidate(1).tags
    assert_refused(send(pageup, "DELETE", f"/v2/candidates/2/tags/{tag_id}"), 404)


@pytest.mark.parametrize(
    ("code", "stores", "count"), [(200, False, 1), (200, True, 2), (422, False, 1)]
)
def test_tag_sent_twice_is_answered_as_the_mode_says(
    pageup: FakePageUp, code: Any, stores: bool, count: int
) -> None:
    pageup.add(42)
    pageup.duplicate_tag_status, pageup.stores_duplicate_tags = code, stores
    target = "/v2/candidates/42/tags"
    assert post(pageup, target, "tag", name="x").status_code == 200
    assert post(pageup, target, "tag", name="x").status_code == code
    assert tag_names(pageup.candidate(42)) == ["x"] * count
    assert pageup.writes == [("tag", 42, "x")] * count
    assert len(get(pageup, target)["data"]) == count


def test_tag_without_email_needs_the_switch_off(pageup: FakePageUp) -> None:
    pageup.add(42)
    target = "/v2/candidates/42/tags"
    assert post(pageup, target, "tag", name="x", email="ana@example.org").status_code == 200
    pageup.tag_needs_email = True
    assert_refused(post(pageup, target, "tag", name="y"), 422)
    assert post(pageup, target, "tag", name="z", email="ana@example.org").status_code == 200
    assert tag_names(pageup.candidate(42)) == ["x", "z"]


@pytest.mark.parametrize("bumps", [True, False])
def test_tag_changes_updated_at_as_the_mode_says(
    pageup: FakePageUp, clock: ManualClock, bumps: bool
) -> None:
    pageup.add(1)
    pageup.add(2)
    pageup.tag_bumps_updated_at = bumps
    clock.advance(timedelta(minutes=1))
    post(pageup, "/v2/candidates/1/tags", "tag", name="x")
    pageup.change(2, tags=["needs numeracy"])
    assert ids(pageup, WINDOW.format("gte", "12:01:00")) == ([1, 2] if bumps else [])
    tags = [record["attributes"]["tags"] for record in get(pageup, "/v2/candidates")["data"]]
    assert tags == [["x"], ["needs numeracy"]]


def test_candidate_deleted_after_the_list_is_not_found(pageup: FakePageUp) -> None:
    pageup.add(42)
    assert ids(pageup) == [42]
    pageup.delete(42)
    assert_refused(post(pageup, "/v2/candidates/42/tags", "tag", name="x"), 404)
    assert_refused(post(pageup, "/v2/candidates/42/candidate_files", "candidate_files"), 404)
    assert_refused(send(pageup, "GET", "/v2/candidates/42"), 404)
    assert ids(pageup) == []
    with pytest.raises(Refusal):
        pageup.candidate(42)
    with pytest.raises(ValueError, match="taken"):
        pageup.add(42)


# Files


@pytest.mark.parametrize(
    ("replaces", "names"), [(True, ["result.pdf"]), (False, ["cv.pdf", "result.pdf"])]
)
def test_file_becomes_a_resume_as_the_mode_says(
    pageup: FakePageUp, clock: ManualClock, replaces: bool, names: list[str]
) -> None:
    pageup.add(42, resumes=["cv.pdf"])
    pageup.file_replaces_resume = replaces
    clock.advance(timedelta(minutes=1))
    target = "/v2/candidates/42/candidate_files"
    response = post(
        pageup, target, "candidate_files", filename="result.pdf", content="JVBERi0xLjQ="
    )
    assert response.status_code == 201
    file_id = response.json()["data"]["id"]
    assert pageup.files == {file_id: b"%PDF-1.4"}
    assert pageup.writes == [("file", 42, "result.pdf")]
    included = get(pageup, "/v2/candidates/42?include=resumes")["included"]
    assert [file["attributes"]["filename"] for file in included] == names
    assert pageup.candidate(42).updated_at == clock.now()


# Budget and faults


def test_budget_counts_by_key_and_sends_no_header(pageup: FakePageUp) -> None:
    pageup.budget_limit = 2
    codes = [send(pageup, "GET", f"/v2/candidates?page={page}") for page in (1, 2, 3)]
    assert [response.status_code for response in codes] == [200, 200, 429]
    assert "Retry-After" not in codes[2].headers
    assert not [name for response in codes for name in response.headers if "rate" in name.lower()]


def test_fault_after_a_write_leaves_the_tag(pageup: FakePageUp) -> None:
    pageup.add(42)
    pageup.fail_next("POST", "/tags", hang_up, after=True)
    pageup.fail_next("GET", "/candidates", status(429, Retry_After="3"))
    with pytest.raises(requests.ConnectionError):
        post(pageup, "/v2/candidates/42/tags", "tag", name="x")
    assert tag_names(pageup.candidate(42)) == ["x"]
    assert send(pageup, "GET", "/v2/candidates").headers["Retry-After"] == "3"
    assert pageup.request_log[0].status_code is None
