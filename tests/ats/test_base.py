"""The parts that all adapters share: classification of responses, and error responses."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import TooManyRequests, default_exceptions

from provider.ats import ADAPTERS, CallbackResponse
from provider.ats.base import (
    DEFAULT_QUEUE_PAUSE,
    MAX_QUEUE_PAUSE,
    MAX_RETRY_AFTER,
    StatusUpdate,
    parse_rate_limit_pause,
    parse_retry_after,
)
from provider.ats.http_api import ERROR_DESCRIPTIONS, ContractApi
from provider.core.orders import PDF, REPORT
from provider.core.orders.queries import ResultView
from provider.core.urls import UrlBuilder

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
WORKABLE = ADAPTERS["workable"]


def test_adapters_are_registered_by_name() -> None:
    assert all(adapter.name == name for name, adapter in ADAPTERS.items())


@pytest.mark.parametrize(
    ("tokens", "report", "pdf"),
    [({}, False, False), ({REPORT: "r"}, True, False), ({PDF: "p"}, False, True)],
)
def test_with_result_sets_urls_only_for_tokens(
    tokens: dict[str, str], report: bool, pdf: bool
) -> None:
    update = StatusUpdate("test", "completed", {}, {}).with_result(
        ResultView(), tokens, UrlBuilder("https://a.test")
    )
    assert (bool(update.report_url), bool(update.pdf_url)) == (report, pdf)


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(code: int) -> None:
    outcome = WORKABLE.classify_response(CallbackResponse(code, {}, "ok"), (), NOW)
    assert (outcome.decision, outcome.status_code, outcome.response_excerpt) == (
        "delivered",
        code,
        "ok",
    )


@pytest.mark.parametrize("code", [401, 403, 408, 425, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("past", [(), (404, 404), (None,) * 1000])
def test_temporary_failure_is_always_retried(code: int, past: tuple[int | None, ...]) -> None:
    assert WORKABLE.classify_response(CallbackResponse(code, {}), past, NOW).decision == "retry"


@pytest.mark.parametrize("code", [199, 300, 302, 307, 308, 400, 404, 405, 409, 413, 415, 422, 499])
def test_third_rejection_in_row_is_final(code: int) -> None:
    decisions = [
        WORKABLE.classify_response(CallbackResponse(code, {}), (code,) * past, NOW).decision
        for past in range(4)
    ]
    assert decisions == ["retry", "retry", "rejected", "rejected"]
    assert str(code) in WORKABLE.classify_response(CallbackResponse(code, {}), (), NOW).error


@pytest.mark.parametrize("between", [None, 500, 503, 408, 425, 429])
def test_temporary_failure_resets_count_of_rejections(between: int | None) -> None:
    assert (
        WORKABLE.classify_response(CallbackResponse(404, {}), (between, 404, 404), NOW).decision
        == "retry"
    )
    assert (
        WORKABLE.classify_response(CallbackResponse(404, {}), (404, between, 404), NOW).decision
        == "retry"
    )
    assert (
        WORKABLE.classify_response(CallbackResponse(404, {}), (404, 302, between), NOW).decision
        == "rejected"
    )


@pytest.mark.parametrize("code", [401, 403])
def test_repeated_401_counts_as_rejection_of_message(code: int) -> None:
    first, second, third = (
        WORKABLE.classify_response(CallbackResponse(code, {}), (code,) * n, NOW) for n in range(3)
    )
    assert (first.decision, first.failure_scope, first.retry_after) == (
        "retry",
        "account",
        timedelta(0),
    )
    assert (second.decision, second.failure_scope, second.retry_after) == ("retry", "", None)
    assert (third.decision, third.error) == ("rejected", f"The ATS refuses with {code}")
    assert (
        WORKABLE.classify_response(CallbackResponse(code, {}), (code, 500), NOW).failure_scope == ""
    )
    assert (
        WORKABLE.classify_response(CallbackResponse(code, {}), (500, code), NOW).failure_scope
        == "account"
    )


def test_410_is_rejected_at_once() -> None:
    assert WORKABLE.classify_response(CallbackResponse(410, {}), (), NOW).decision == "rejected"


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_sets_wait(code: int) -> None:
    answer = CallbackResponse(code, {"retry-after": "120"})
    assert WORKABLE.classify_response(answer, (), NOW).retry_after == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("1", timedelta(seconds=1)),
        (" 90 ", timedelta(seconds=90)),
        ("86400", timedelta(days=1)),
        ("86401", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        (format_datetime(NOW + timedelta(hours=1), usegmt=True), timedelta(hours=1)),
        ("Mon, 23 Nov 2026 11:00:00 +0100", timedelta(hours=1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
    ],
)
def test_parse_retry_after_accepts_seconds_and_dates_up_to_a_day(
    value: str, wait: timedelta
) -> None:
    assert parse_retry_after({"Retry-After": value}, NOW) == wait


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        format_datetime(NOW),
        format_datetime(NOW - timedelta(hours=1)),
        "soon",
        "-5",
        "1.5",
        "1e3",
        "²",
        "\u0663",
        "Mon, 23 Nov 2026 09:00:00",
        "Mon, 99 Nov 2026",
        f"Mon, 1 Jan {'9' * 20} 00:00:00 GMT",
    ],
)
def test_parse_retry_after_of_past_or_unreadable_value_is_none(value: str) -> None:
    assert parse_retry_after({"Retry-After": value}, NOW) is None


def test_parse_retry_after_without_header_is_none() -> None:
    assert parse_retry_after({}, NOW) is None


@given(st.text())
def test_parse_retry_after_accepts_any_text(value: str) -> None:
    wait = parse_retry_after({"Retry-After": value}, NOW)
    assert wait is None or timedelta(0) < wait <= MAX_RETRY_AFTER


def limited(remaining: str, reset: str) -> dict[str, str]:
    return {"X-Rate-Limit-Remaining": remaining, "x-rate-limit-reset": reset}


def stamp(wait: timedelta) -> str:
    return str(int((NOW + wait).timestamp()))


@pytest.mark.parametrize(
    ("remaining", "wait", "pause"),
    [
        ("0", timedelta(seconds=1), timedelta(seconds=1)),
        (" 0 ", timedelta(minutes=5), timedelta(minutes=5)),
        ("0", MAX_QUEUE_PAUSE, MAX_QUEUE_PAUSE),
        ("0", MAX_QUEUE_PAUSE + timedelta(seconds=1), MAX_QUEUE_PAUSE),
        ("0", timedelta(days=9999), MAX_QUEUE_PAUSE),
        ("0", timedelta(0), None),
        ("0", timedelta(seconds=-5), None),
        ("1", timedelta(seconds=5), None),
        ("9" * 5000, timedelta(seconds=5), None),
    ],
)
def test_exhausted_rate_limit_pauses_until_reset(
    remaining: str, wait: timedelta, pause: timedelta | None
) -> None:
    assert parse_rate_limit_pause(limited(remaining, stamp(wait)), NOW) == pause
    assert (
        WORKABLE.classify_response(
            CallbackResponse(200, limited(remaining, stamp(wait))), (), NOW
        ).pause_duration
        == pause
    )


@pytest.mark.parametrize(("remaining", "reset"), [("0", ""), ("", "1"), ("²", "1"), ("-1", "1")])
def test_unreadable_rate_limit_is_none(remaining: str, reset: str) -> None:
    later = reset and stamp(timedelta(minutes=1))
    assert parse_rate_limit_pause(limited(remaining, later), NOW) is None
    assert parse_rate_limit_pause(limited("0", "²"), NOW) is None
    assert parse_rate_limit_pause(limited("0", "9" * 5000), NOW) == MAX_QUEUE_PAUSE


@pytest.mark.parametrize(
    ("code", "failure_scope", "retry_after"),
    [
        (401, "account", timedelta(0)),
        (403, "account", timedelta(0)),
        (408, "destination", None),
        (425, "destination", None),
        (500, "destination", None),
        (404, "", None),
        (410, "", None),
        (204, "", None),
    ],
)
def test_failure_scope_depends_on_status_code(
    code: int, failure_scope: str, retry_after: timedelta | None
) -> None:
    outcome = WORKABLE.classify_response(CallbackResponse(code, {}, "text"), (), NOW)
    assert (outcome.failure_scope, outcome.retry_after, outcome.pause_duration) == (
        failure_scope,
        retry_after,
        None,
    )
    assert (outcome.status_code, outcome.response_excerpt) == (code, "text")


@pytest.mark.parametrize(
    ("code", "headers", "pause"),
    [
        (429, {"retry-after": "40"}, timedelta(seconds=40)),
        (429, {"retry-after": "7200"}, MAX_QUEUE_PAUSE),
        (
            429,
            {"retry-after": "40"} | limited("0", stamp(timedelta(minutes=2))),
            timedelta(minutes=2),
        ),
        (
            429,
            {"retry-after": "120"} | limited("0", stamp(timedelta(minutes=1))),
            timedelta(minutes=2),
        ),
        (429, limited("0", stamp(timedelta(minutes=1))), timedelta(minutes=1)),
        (429, {}, DEFAULT_QUEUE_PAUSE),
        (503, {"retry-after": "40"}, None),
    ],
)
def test_429_pauses_queue_for_longest_requested_time(
    code: int, headers: dict[str, str], pause: timedelta | None
) -> None:
    assert (
        WORKABLE.classify_response(CallbackResponse(code, headers), (), NOW).pause_duration == pause
    )


@pytest.fixture
def bare() -> Flask:
    """An app with only the contract's error handler."""
    app = Flask("bare")
    app.config.update(API_TITLE="bare", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    ContractApi(app)
    return app


@pytest.mark.parametrize("code", [*sorted(ERROR_DESCRIPTIONS), 405, 429, 503])
def test_error_response_has_status_and_message(bare: Flask, code: int) -> None:
    @bare.get("/")
    def _fail() -> str:
        raise default_exceptions[code]

    answer = bare.test_client().get("/")
    assert answer.status_code == code
    assert answer.mimetype == "application/json"
    body = json.loads(answer.data)
    assert list(body) == ["status", "message"]
    assert body["status"] == code
    assert "\n" not in body["message"]
    assert 0 < len(body["message"]) < 50, "the status's name, not werkzeug's long description"


def test_429_error_has_retry_after(bare: Flask) -> None:
    @bare.get("/")
    def _fail() -> str:
        raise TooManyRequests("Try again in a minute", retry_after=60)

    answer = bare.test_client().get("/")
    assert answer.headers["Retry-After"] == "60"
    assert answer.get_json() == {"status": 429, "message": "Try again in a minute"}


def test_401_error_has_www_authenticate(bare: Flask) -> None:
    @bare.get("/")
    def _fail() -> str:
        raise default_exceptions[401]("Missing Token")

    assert bare.test_client().get("/").headers["WWW-Authenticate"] == "Bearer"
