"""The declarations of adapters: headers of rate limits, verdicts, tokens, result tags."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provider.ats import ADAPTERS
from provider.ats.api import (
    ApiResponse,
    AtsApi,
    Connection,
    OrderSummary,
    TokenRefused,
    Verdict,
    form_request,
)
from provider.ats.api.result_tags import MAX_TAG_LENGTH, is_result_tag, result_tag
from provider.core.connections import BudgetReading

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
IN_A_MINUTE = NOW + timedelta(minutes=1)
SECONDS = int(IN_A_MINUTE.timestamp())


def api_of(name: str) -> AtsApi:
    api = ADAPTERS[name].api
    assert api
    return api


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        (str(SECONDS), IN_A_MINUTE),
        (str(SECONDS * 1000), IN_A_MINUTE),
        ("60", IN_A_MINUTE),
        ("Sun, 22 Nov 2026 09:01:00 GMT", IN_A_MINUTE),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("", None),
    ],
)
@pytest.mark.parametrize("prefix", ["X-RateLimit", "X-Rate-Limit", "x-ratelimit"])
def test_limit_is_read_in_every_spelling(
    prefix: str, reset: str, expected: datetime | None
) -> None:
    headers = {f"{prefix}-Limit": "50", f"{prefix}-Remaining": "3", f"{prefix}-Reset": reset}
    reading = api_of("workable").read_budget(ApiResponse(200, headers, b""), NOW)
    assert reading == BudgetReading(50, 3, expected)


def test_unreadable_limit_says_nothing() -> None:
    headers = {"X-RateLimit-Limit": "many", "X-RateLimit-Remaining": "½"}
    assert api_of("workable").read_budget(ApiResponse(200, headers, b""), NOW) == BudgetReading()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (200, Verdict.ANSWER),
        (404, Verdict.ANSWER),
        (401, Verdict.TOKEN_REFUSED),
        (429, Verdict.TOO_MANY),
        (408, Verdict.LATER),
        (502, Verdict.LATER),
    ],
)
def test_verdict_of_a_code(code: int, verdict: Verdict) -> None:
    assert api_of("pageup").verdict(ApiResponse(code, {}, b"")) is verdict


@pytest.mark.parametrize(
    ("document", "expires_at"),
    [
        (b'{"access_token": "a", "expires_in": 60}', IN_A_MINUTE),
        (b'{"access_token": "a", "expires_at": "2026-11-22T09:01:00Z"}', IN_A_MINUTE),
        (b'{"access_token": "a", "expires_at": "2026-11-22T09:01:00"}', IN_A_MINUTE),
        (b'{"access_token": "a"}', NOW + timedelta(hours=1)),
    ],
)
def test_end_of_a_token_is_read_in_both_forms(document: bytes, expires_at: datetime) -> None:
    api = api_of("greenhouse")
    assert api.token_flow
    connection = Connection(1, ADAPTERS["greenhouse"].setting_values({}))
    tokens = api.token_flow.parse(connection, ApiResponse(200, {}, document), NOW)
    assert (tokens.access, tokens.expires_at, tokens.refresh) == ("a", expires_at, "")
    assert "a" not in repr(tokens).replace("access", "").split("expires_at")[0]


@pytest.mark.parametrize(
    ("code", "body"), [(400, b"{}"), (200, b"{}"), (200, b"[]"), (200, b'{"access_token": 5}')]
)
def test_answer_without_a_token_is_refused(code: int, body: bytes) -> None:
    api = api_of("greenhouse")
    assert api.token_flow
    connection = Connection(1, ADAPTERS["greenhouse"].setting_values({}))
    with pytest.raises(TokenRefused):
        api.token_flow.parse(connection, ApiResponse(code, {}, body), NOW)


def test_client_in_a_basic_header_is_quoted() -> None:
    """RFC 6749, 2.3.1: the id and the secret are form-encoded before Base64."""
    request = form_request("https://a.test/token", {"a": "b c"}, basic=("id:1", "s/2"))
    assert request.headers["Authorization"] == "Basic aWQlM0ExOnMlMkYy"
    assert request.body == b"a=b+c"


def test_connection_shows_no_secret() -> None:
    connection = Connection(1, {}, {"key": "hidden-secret"}, "hidden-token")
    assert "hidden" not in repr(connection)
    assert connection.known_secrets() == ("hidden-secret", "hidden-token")


def summary(**fields: Any) -> OrderSummary:
    values: dict[str, Any] = {
        "public_id": "order1",
        "revision": 2,
        "kind": "assessment",
        "product": "Numeracy",
        "status": "completed",
        "score": 78.5,
        "grade": "passed",
        "outcome": "",
        "report_url": "https://p.test/r/1",
        "has_pdf": True,
        "is_correction": False,
    }
    return OrderSummary(**{**values, **fields})


def test_sentence_tells_the_result_the_report_and_the_marker() -> None:
    expected = "Numeracy: passed, 78.5 %. Report: https://p.test/r/1  [order order1, 2]"
    assert summary().sentence == expected
    declined = summary(status="declined", grade=None, score=None, report_url="")
    assert declined.sentence == "Numeracy: declined.  [order order1, 2]"
    assert summary(is_correction=True).sentence.startswith("Correction: Numeracy: ")


def test_result_tag_is_ours_and_names_the_outcome() -> None:
    assert result_tag(summary()) == "Numeracy: passed"
    assert result_tag(summary(), tells_outcome=False) == "Numeracy: completed"
    assert result_tag(summary(grade=None, outcome="consider")) == "Numeracy: consider"
    assert len(result_tag(summary(product="x" * 400))) == MAX_TAG_LENGTH
    assert is_result_tag("Numeracy: passed", "Numeracy")
    assert not is_result_tag("Numeracy: see Bo", "Numeracy")
    assert not is_result_tag("Numeracy II: passed", "Numeracy")
