"""The answer of `test_status`, and the outcome of each answer to a PATCH."""

from datetime import UTC, datetime
from typing import Any

import pytest

from provider.ats import ADAPTERS, CallbackResponse, StatusUpdate
from provider.ats.greenhouse.payload import build_status
from provider.core.orders.queries import ResultView

HOME = "https://provider.test/"
REPORT = "https://provider.test/r/token"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GREENHOUSE = ADAPTERS["greenhouse"]


def update(status: str = "completed", **fields: Any) -> StatusUpdate:
    return StatusUpdate("assessment", status, {}, fields.pop("options", {}), **fields)


def test_metadata_is_flat_and_has_only_what_is_known() -> None:
    details = {
        "Skills": {"Numbers": 82, "Words": 91.5},
        "Language": "en",
        "Empty": "",
        "None": None,
    }
    result = ResultView(77.777, "passed", "Good.", details, {}, 760)
    assert build_status(update(result=result, report_url=REPORT), HOME) == {
        "partner_status": "complete",
        "partner_profile_url": REPORT,
        "partner_score": 77.78,
        "metadata": {
            "Grade": "passed",
            "Duration": "00:12:40",
            "Summary": "Good.",
            "Skills: Numbers": 82,
            "Skills: Words": 91.5,
            "Language": "en",
        },
    }


def test_check_has_the_outcome_of_each_screening() -> None:
    findings = [{"name": "Identity", "status": "clear"}, {"name": "Jobs", "status": "consider"}]
    result = ResultView(figures={"overall_status": "consider", "findings": findings})
    status = build_status(update(result=result, report_url=REPORT), HOME)
    assert status["partner_score"] is None
    assert status["metadata"] == {"Outcome": "consider", "Identity": "clear", "Jobs": "consider"}


def test_authors_name_does_not_replace_a_figure_of_ours() -> None:
    findings = [{"name": "Outcome", "status": "clear"}, {"name": "Grade", "status": "clear"}]
    result = ResultView(figures={"overall_status": "consider", "findings": findings})
    metadata = build_status(update(result=result), HOME)["metadata"]
    assert metadata == {"Outcome": "consider", "Grade": "clear"}


def test_result_without_a_report_has_a_page_that_opens() -> None:
    assert build_status(update(result=ResultView(50.0)), HOME)["partner_profile_url"] == HOME


@pytest.mark.parametrize("score", [0.0, 100.0])
def test_whole_score_has_no_decimals(score: float) -> None:
    value = build_status(update(result=ResultView(score)), HOME)["partner_score"]
    assert (value, type(value)) == (score, int)


@pytest.mark.parametrize("status", ["declined", "expired", "cancelled"])
def test_closed_order_is_complete_only_by_the_switch(status: str) -> None:
    assert build_status(update(status), HOME)["partner_status"] == status
    closed = build_status(update(status, options={"close_unfinished": True}), HOME)
    assert closed == {
        "partner_status": "complete",
        "partner_profile_url": HOME,
        "partner_score": None,
        "metadata": {"Outcome": status},
    }


@pytest.mark.parametrize("status", ["pending", "consented"])
@pytest.mark.parametrize("options", [{}, {"every_end": True, "close_unfinished": True}])
def test_open_order_is_neither_complete_nor_reported(status: str, options: dict[str, bool]) -> None:
    open_order = build_status(update(status, options=options), HOME)
    assert (open_order["partner_status"], open_order["partner_profile_url"]) == (status, None)
    assert not GREENHOUSE.reports(status, options)


@pytest.mark.parametrize(
    ("code", "decision", "failure_scope"),
    [
        (200, "delivered", ""),
        (204, "delivered", ""),
        (400, "not_needed", ""),
        (404, "not_needed", ""),
        (410, "not_needed", ""),
        (422, "not_needed", ""),
        (302, "retry", ""),
        (401, "retry", "account"),
        (403, "retry", "account"),
        (408, "retry", "destination"),
        (429, "retry", ""),
        (500, "retry", "destination"),
    ],
)
def test_first_refusal_is_final_and_a_failure_is_not(
    code: int, decision: str, failure_scope: str
) -> None:
    outcome = GREENHOUSE.classify_response(CallbackResponse(code, {}), (), NOW)
    assert (outcome.decision, outcome.failure_scope) == (decision, failure_scope)
    is_refusal = decision == "not_needed"
    assert (f"answers {code} and takes no result" in outcome.error) == is_refusal


def test_patch_has_the_key_as_user_without_password() -> None:
    request = GREENHOUSE.build_request({"url": "https://app.greenhouse.io/1"}, "prv_key")
    assert (request.method, request.url) == ("PATCH", "https://app.greenhouse.io/1")
    assert request.headers == {"Authorization": "Basic cHJ2X2tleTo="}
    assert GREENHOUSE.build_request({"url": "https://a.test/"}, None).headers == {}
