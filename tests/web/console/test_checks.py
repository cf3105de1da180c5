"""The console's pages of checks: permissions, outcomes, completion."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.services import Services
from provider.web.console import checks
from tests import check_factories, factories
from tests.factories import ManualClock
from tests.web.console_client import ORDERS_PATH, ConsoleClient

KEYS = ("identity", "jobs", "record")


@pytest.fixture
def order_id(services: Services) -> str:
    """A check with the candidate's consent."""
    check_id = check_factories.place_check(services)
    check_factories.give_consent(services, check_id)
    return check_id


def check_path(order_id: str, path: str = "") -> str:
    return f"/console/checks/{order_id}/{path}"


def submit_form(
    console: ConsoleClient, order_id: str, path: str, page: str = "", **form: Any
) -> TestResponse:
    """Submit a form of the check's page with the page's hidden fields."""
    fields = hidden_fields(console.get_text(check_path(order_id, page)))
    return console.submit(
        check_path(order_id, path), page=check_path(order_id, page), **(fields | form)
    )


def hidden_fields(page: str) -> dict[str, str]:
    """Return the fields that detect changes of colleagues."""
    fields = dict(re.findall(r'name="(edit_token|revision|seen-\w+)" value="(\w+)"', page))
    assert fields, "the page has no form"
    return fields


def outcome_form(note: str = check_factories.FINDING_NOTE, **fields: str) -> dict[str, str]:
    statuses = {f"status-{key}": status for key, status in check_factories.OUTCOMES.items()}
    texts = {"text-jobs": check_factories.REPORT_TEXT, "note-jobs": note}
    return {**statuses, **texts, **fields}


def order_events(services: Services, order_id: str) -> list[tuple[str, str, str]]:
    with services.db.reading() as session:
        return [
            (event.type, event.actor, event.note) for event in Order.find(session, order_id).events
        ]


def saved_findings(services: Services, order_id: str) -> dict[str, tuple[str, str]]:
    with services.db.reading() as session:
        check = Check.find(session, order_id)
        return {
            finding.screening: (finding.status, check.decrypt_note(services.secret_box, finding))
            for finding in check.findings
        }


def test_order_page_links_to_screenings(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    assert "Work on the screenings" in page
    assert check_path(order_id) in page


def test_evidence_of_the_consent_is_a_pdf_for_those_who_decide(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    path = check_path(order_id, "consent.pdf")
    response = console.submit(path, page=check_path(order_id))
    assert (response.status_code, response.data[:5]) == (200, b"%PDF-")


def test_evidence_before_the_consent_is_refused(services: Services, client: FlaskClient) -> None:
    check_id = check_factories.place_check(services)
    console = ConsoleClient.signed_in(services, client)
    response = console.submit(check_path(check_id, "consent.pdf"), page=ORDERS_PATH + check_id)
    assert response.status_code == 409


def test_viewer_sees_outcomes_without_details_and_notes(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id)
    console = ConsoleClient.signed_in(services, client, "viewer")
    page = console.get_text(check_path(order_id))
    assert "To consider" in page
    for secret in (
        *check_factories.SECRET_WORDS,
        check_factories.SIGNED_NAME,
        "192.0.2.7",
        "Show details…",
        "<textarea",
    ):
        assert secret not in page
    for path in ("details", "outcomes", "complete"):
        assert (
            console.submit(check_path(order_id, path), page=check_path(order_id)).status_code == 403
        )
    assert client.get(check_path(order_id, "complete")).status_code == 403
    assert "details shown" not in [
        event_type for event_type, _, _ in order_events(services, order_id)
    ]
    assert factories.order_status(services, order_id) == "consented"


def test_save_outcomes_stores_and_replaces_findings(
    services: Services, client: FlaskClient, order_id: str, clock: ManualClock
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = submit_form(
        console, order_id, "outcomes", **{"status-jobs": "consider", "note-jobs": "Hm"}
    )
    assert (response.status_code, response.location) == (302, check_path(order_id))
    assert saved_findings(services, order_id) == {"jobs": ("consider", "Hm")}
    clock.advance(timedelta(minutes=1))
    submit_form(console, order_id, "outcomes", **outcome_form("Line one\r\nline two"))
    assert saved_findings(services, order_id) == {
        "identity": ("clear", ""),
        "jobs": ("consider", "Line one\nline two"),
        "record": ("clear", ""),
    }
    page = console.get_text(check_path(order_id))
    assert "Line one\nline two</textarea>" in page
    assert page.count(" checked") == 3


def saved_report_texts(services: Services, order_id: str) -> dict[str, str]:
    with services.db.reading() as session:
        check = Check.find(session, order_id)
        return {
            finding.screening: check.decrypt_report_text(services.secret_box, finding)
            for finding in check.findings
        }


@pytest.mark.both
def test_save_outcomes_stores_the_text_beside_the_private_note(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    form = {"status-jobs": "consider", "text-jobs": "Gap\r\nin 2019", "note-jobs": "Angry call"}
    assert submit_form(console, order_id, "outcomes", **form).status_code == 302
    assert saved_report_texts(services, order_id) == {"jobs": "Gap\nin 2019"}
    assert saved_findings(services, order_id) == {"jobs": ("consider", "Angry call")}
    page = console.get_text(check_path(order_id))
    assert 'name="text-jobs" rows="2" maxlength="2000" aria-describedby="text-help">Gap' in page
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Text in the report the customer reads it" in text
    assert "Private note only the staff read it" in text
    # A change of the text alone is a change.
    form = {"status-jobs": "consider", "text-jobs": "No gap", "note-jobs": "Angry call"}
    submit_form(console, order_id, "outcomes", **form)
    assert saved_report_texts(services, order_id) == {"jobs": "No gap"}
    events = [event_type for event_type, _, _ in order_events(services, order_id)]
    assert events.count("outcome entered") == 2


def test_save_outcomes_detects_a_change_of_the_text_alone(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    check_factories.record_findings(services, order_id, {"jobs": "consider"})
    stale = hidden_fields(console.get_text(check_path(order_id)))
    submit_form(console, order_id, "outcomes", **outcome_form(**{"text-jobs": "Theirs"}))
    response = submit_form(
        console, order_id, "outcomes", **stale, **outcome_form(**{"text-jobs": "Mine"})
    )
    assert response.status_code == 409
    assert saved_report_texts(services, order_id)["jobs"] == "Theirs"


def test_complete_with_unexplained_finding_is_refused(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    form = outcome_form(**{"text-jobs": "  "})
    submit_form(console, order_id, "outcomes", **form)
    page = console.get_text(check_path(order_id, "complete"))
    assert "no text in the report" in page
    assert "learn the reason: Employment history." in page
    with services.db.reading() as session:
        token = checks.edit_token(Check.find(session, order_id))
    response = console.submit(
        check_path(order_id, "complete"), page=check_path(order_id), edit_token=token
    )
    assert response.status_code == 409
    assert "There is no text in the report yet for: Employment history" in response.text
    assert factories.order_status(services, order_id) == "consented"


def test_viewer_of_results_reads_the_text_but_not_the_note(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id)
    page = ConsoleClient.signed_in(services, client, "viewer").get_text(check_path(order_id))
    assert check_factories.REPORT_TEXT in page
    assert check_factories.FINDING_NOTE not in page


def test_save_outcomes_with_note_but_no_outcome_saves_nothing(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    form = {"status-identity": "clear", "note-jobs": "Half a thought", "go": "complete"}
    response = submit_form(console, order_id, "outcomes", **form)
    assert response.status_code == 400
    assert "Employment history: choose an outcome for your text" in response.text
    assert 'id="problem-jobs"' in response.text
    assert "Half a thought</textarea>" in response.text
    assert response.text.count(" checked") == 1
    assert saved_findings(services, order_id) == {}


def test_save_outcomes_with_unknown_status_is_refused(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = submit_form(
        console, order_id, "outcomes", **outcome_form(**{"status-record": "hired"})
    )
    assert response.status_code == 400
    assert saved_findings(services, order_id) == {}


def test_save_outcomes_with_outdated_form_changes_nothing(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    stale = hidden_fields(console.get_text(check_path(order_id)))
    check_factories.record_findings(services, order_id, {"jobs": "consider"})
    form = {"status-jobs": "clear", "note-jobs": "Mine", "status-record": "clear"}
    response = submit_form(console, order_id, "outcomes", **stale, **form)
    page = unescape(response.text)
    assert response.status_code == 409
    assert "A colleague changed this check" in page
    note = check_factories.FINDING_NOTE
    texts = f"the text in the report “{check_factories.REPORT_TEXT}” and the note “{note}”"
    assert f"entered “To consider” for Employment history with {texts}, on" in page
    assert ">Mine</textarea>" in page
    assert 'name="status-jobs" value="clear" checked' in page
    assert 'name="status-record" value="clear" checked' in page
    assert saved_findings(services, order_id) == {"jobs": ("consider", note)}
    again = console.submit(
        check_path(order_id, "outcomes"),
        page=check_path(order_id),
        **hidden_fields(page),
        **form,
    )
    assert again.status_code == 302
    assert saved_findings(services, order_id) == {
        "jobs": ("clear", "Mine"),
        "record": ("clear", ""),
    }


def test_save_outcomes_keeps_what_only_a_colleague_changed(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    stale = hidden_fields(console.get_text(check_path(order_id)))
    check_factories.record_findings(services, order_id, {"jobs": "consider"})
    response = submit_form(console, order_id, "outcomes", **stale, **{"status-record": "clear"})
    assert response.status_code == 302
    assert saved_findings(services, order_id) == {
        "jobs": ("consider", check_factories.FINDING_NOTE),
        "record": ("clear", ""),
    }


def test_save_outcomes_invalid_form_still_detects_a_change(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    stale = hidden_fields(console.get_text(check_path(order_id)))
    check_factories.record_findings(services, order_id, {"jobs": "consider"})
    invalid = submit_form(console, order_id, "outcomes", **stale, **{"note-jobs": "Mine"})
    assert invalid.status_code == 400
    assert hidden_fields(invalid.text) == stale


def test_save_outcomes_after_reopening_is_refused(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = submit_form(console, order_id, "outcomes", **outcome_form(), revision="0")
    assert response.status_code == 409
    assert saved_findings(services, order_id) == {}


def test_completion_page_shows_what_the_ats_receives(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = submit_form(console, order_id, "outcomes", go="complete", **outcome_form())
    assert response.location == check_path(order_id, "complete")
    page = console.get_text(check_path(order_id, "complete"))
    text = re.sub(r"<[^>]+>|\s+", " ", page)
    assert re.search(
        "Identity +Clear +Employment history +To consider +Criminal record +Clear +"
        "Overall result +To consider",
        text,
    )
    assert "and these texts" in text
    assert f">{check_factories.REPORT_TEXT}</dd>" in page
    for secret in check_factories.SECRET_WORDS:
        assert secret not in page
    assert factories.order_status(services, order_id) == "consented"
    response = submit_form(console, order_id, "complete", "complete")
    assert (response.status_code, response.location) == (302, ORDERS_PATH + order_id)
    assert factories.order_status(services, order_id) == "completed"
    assert order_events(services, order_id)[-1][:2] == ("completed", "operator@provider.test")


def test_complete_with_missing_outcome_is_refused(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id, {"identity": "clear"})
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(check_path(order_id, "complete"))
    assert "These screenings have no outcome yet: Employment history, Criminal record" in page
    response = submit_form(console, order_id, "outcomes")
    assert response.status_code == 302
    with services.db.reading() as session:
        token = checks.edit_token(Check.find(session, order_id))
    response = console.submit(
        check_path(order_id, "complete"), page=check_path(order_id), edit_token=token
    )
    assert response.status_code == 409
    assert factories.order_status(services, order_id) == "consented"


def test_complete_with_outdated_confirmation_is_refused(
    services: Services, client: FlaskClient, order_id: str, clock: ManualClock
) -> None:
    check_factories.record_findings(services, order_id)
    console = ConsoleClient.signed_in(services, client)
    stale = re.search(
        r'name="edit_token" value="(\w+)"', console.get_text(check_path(order_id, "complete"))
    )
    assert stale
    clock.advance(timedelta(seconds=1))
    check_factories.record_findings(services, order_id, {"jobs": "clear"})
    response = submit_form(console, order_id, "complete", "complete", edit_token=stale[1])
    assert response.status_code == 409
    assert "A colleague changed this check" in response.text
    assert factories.order_status(services, order_id) == "consented"


def test_complete_twice_creates_one_result(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(check_path(order_id, "complete"))
    match = re.search(r'name="edit_token" value="(\w+)"', page)
    assert match
    submit_form(console, order_id, "complete", "complete")
    response = console.submit(check_path(order_id, "complete"), edit_token=match[1])
    assert response.status_code in (409, 400)
    with services.db.reading() as session:
        assert len(Order.find(session, order_id).results) == 1


def test_completed_check_is_read_only(services: Services, client: FlaskClient) -> None:
    check_id = check_factories.completed_check(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(check_path(check_id))
    assert "<textarea" not in page
    assert check_factories.FINDING_NOTE in page
    assert "Open the report" in page
    assert "Only an open check" in console.get_text(check_path(check_id, "complete"))


def test_reopen_asks_for_consent_again(services: Services, client: FlaskClient) -> None:
    check_id = check_factories.completed_check(services)
    console = ConsoleClient.signed_in(services, client)
    assert "is asked to consent again" in console.get_text(f"{ORDERS_PATH}{check_id}/reopen")
    with services.db.writing() as session:
        Order.find(session, check_id).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )
    page = console.get_text(check_path(check_id))
    assert "given before the order was reopened" in page
    assert "Name typed" in page
    assert "Full legal name" not in page


def test_cancel_of_consented_check_succeeds(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/cancel"
    seen = console.read_field(path, "seen")
    console.submit(path, page=path, reason="Consent withdrawn", seen=seen)
    assert factories.order_status(services, order_id) == "cancelled"
    assert "<textarea" not in console.get_text(check_path(order_id))


def test_check_page_of_another_kind_is_not_found(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    test_id = factories.place_order(services, account_id, factories.create_test(services))
    ConsoleClient.signed_in(services, client).get_text(check_path(test_id), 404)


def test_check_page_marks_sample_disclosure(services: Services, client: FlaskClient) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    account_id, _ = factories.create_account(services, sandbox=True)
    product = check_factories.create_package(services, disclosure=sample)
    check_id = factories.place_order(services, account_id, product, "check")
    assert "A sample, not for real use" in ConsoleClient.signed_in(services, client).get_text(
        check_path(check_id)
    )


def test_product_pages_warn_about_sample_disclosure(
    services: Services, client: FlaskClient
) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    warning = "only sandbox accounts see it"
    console = ConsoleClient.signed_in(services, client)
    real_id, sample_id = (
        check_factories.create_package(services),
        check_factories.create_package(services, "trial", disclosure=sample),
    )
    for product_id, has_warning in ((real_id, False), (sample_id, True)):
        page = console.get_text(f"/console/products/{product_id}")
        assert (warning in page) == has_warning
        assert "Asks for: Full legal name, Date of birth" in page
        page = console.get_text(f"/console/products/{product_id}/publish")
        assert (warning in page) == has_warning
