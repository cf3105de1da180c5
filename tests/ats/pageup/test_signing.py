"""PageUp's signatures, by vectors that were calculated with OpenSSL from the gem's description."""

import json
from datetime import UTC, datetime

import pytest

from provider.ats.api import ApiRequest
from provider.ats.pageup.signing import SignatureForm, sign

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOST = "https://api.clinchtalent.com"
JSON_API = "application/vnd.api+json"
RESOURCE = ApiRequest("GET", f"{HOST}/v1/resource")
LIST = ApiRequest(
    "GET",
    f"{HOST}/v2/candidates?filter%5Bupdated_at%5D%5Bgte%5D=2026-11-01T00%3A00%3A00"
    "&page=1&per_page=100",
)
TAG = ApiRequest(
    "POST",
    f"{HOST}/v2/candidates/42/tags",
    {"Content-Type": JSON_API},
    json.dumps(
        {"data": {"type": "tag", "attributes": {"name": "numeracy: passed"}}},
        separators=(",", ":"),
    ).encode(),
)


def signed(request: ApiRequest, **form: str) -> ApiRequest:
    return sign(request, "YOUR-KEY", "YOUR-SECRET", SignatureForm(**form), EPOCH)


@pytest.mark.parametrize(
    ("request_", "form", "signature"),
    [
        (RESOURCE, {}, "EHNG02udhgDYSPMHqCxiN1jYi0A="),
        (RESOURCE, {"canonical": "without"}, "8SIVQDCMltzKc16AvB3/UivbqNU="),
        (RESOURCE.with_headers({"Content-Type": JSON_API}), {}, "QEfL7Z15d6qv98JegiLfTsifyOM="),
        (LIST, {}, "dBBiThGDfP2rLA3UtS2bypFIMg8="),
        (TAG, {}, "VNOXlPYmOjwv/alNtCQUKZopm6k="),
        (TAG, {"content_hash": "sha256"}, "IhKaSGKhuASMmKU18vfOot8q2j8="),
    ],
)
def test_signature_equals_the_vector(
    request_: ApiRequest, form: dict[str, str], signature: str
) -> None:
    headers = signed(request_, **form).headers
    assert headers["Authorization"] == f"APIAuth YOUR-KEY:{signature}"
    assert headers["X-HMAC-DATE"] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_digest_of_the_body_is_sent_in_its_header() -> None:
    assert len(TAG.body or b"") == 64
    assert signed(TAG).headers["Content-MD5"] == "mMAPl8v5B0RoWJcEHz0N4A=="
    by_sha256 = signed(TAG, content_hash="sha256").headers
    expected = "VXe04L+fh43bMs/9doutGW/tmpVrje7eaMNm3C5jios="
    assert by_sha256["X-Authorization-Content-SHA256"] == expected
    assert "Content-MD5" not in signed(TAG, content_hash="none").headers
    assert "Content-MD5" not in signed(RESOURCE).headers


def test_other_digest_and_date_header_are_named() -> None:
    headers = signed(RESOURCE, digest="sha256", date_header="date").headers
    assert headers["Authorization"].startswith("APIAuth-HMAC-SHA256 YOUR-KEY:")
    assert headers["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert "X-HMAC-DATE" not in headers
