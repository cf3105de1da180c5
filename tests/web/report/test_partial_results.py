"""Outcomes of a check before its completion: only where the account wants them, never sent."""

import json
import re

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.check import Check
from provider.services import Services
from tests import check_factories, factories
from tests.check_work_factories import RECORD_NOTE, RECORD_TEXT, add_found_record
from tests.web.console_client import ORDERS_PATH, ConsoleClient

WIRE = "https://groove-tech.workable.com/assessments/8823119"


def place(services: Services, *, partial: bool) -> tuple[str, str]:
    """Return a check with two outcomes and one record, and its account's token."""
    account_id, token = factories.create_account(services, options={"partial_results": partial})
    product = check_factories.create_package(services)
    check_id = factories.place_order(services, account_id, product, "check", callback_url=WIRE)
    check_factories.give_consent(services, check_id)
    add_found_record(services, check_id, "jobs")
    outcomes = {key: check_factories.OUTCOMES[key] for key in ("identity", "jobs")}
    check_factories.record_findings(services, check_id, outcomes)
    return check_id, token


def report_path(page: str) -> str:
    match = re.search(r'href="http://[^/"]+(/r/[^"]+)"', page)
    return match[1] if match else ""


@pytest.mark.parametrize("role", ["viewer", "adjudicator"])
def test_partial_results_are_on_the_orders_page_and_the_report(
    services: Services, client: FlaskClient, role: str
) -> None:
    check_id, _ = place(services, partial=True)
    console = ConsoleClient.signed_in(services, client, role)
    page = console.get_text(ORDERS_PATH + check_id)
    assert "Outcomes so far" in page
    assert RECORD_TEXT not in page
    report = client.get(report_path(page)).text
    assert "This check is not completed yet." in report
    assert "Employment history" in report
    assert RECORD_TEXT in report
    assert RECORD_NOTE not in report
    assert "Criminal record" not in report  # it has no outcome


def test_partial_results_without_the_switch_are_shown_nowhere(
    services: Services, client: FlaskClient
) -> None:
    check_id, _ = place(services, partial=False)
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + check_id)
    assert "Outcomes so far" not in page
    assert report_path(page) == ""


def test_partial_results_are_not_sent_to_the_ats(services: Services, client: FlaskClient) -> None:
    check_id, token = place(services, partial=True)
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(f"/checks/{check_id}", headers=headers).json == {"status": "consented"}
    check_factories.record_findings(services, check_id, {"record": "clear"})
    check_factories.complete_check(services, check_id)
    answer = client.get(f"/checks/{check_id}", headers=headers)
    assert json.loads(answer.text)["check"]["result"] == [
        {"name": "Identity", "status": "clear"},
        {"name": "Employment history", "status": "consider"},
        {"name": "Criminal record", "status": "clear"},
    ]
    for text in (RECORD_TEXT, RECORD_NOTE, check_factories.REPORT_TEXT.split()[0] + " employer"):
        assert text not in answer.text


def test_report_of_partial_results_is_gone_after_the_end(
    services: Services, client: FlaskClient
) -> None:
    check_id, _ = place(services, partial=True)
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + check_id)
    path = report_path(page)
    with services.db.writing() as session:
        Check.find(session, check_id).cancel(session, "ats", "", services.now())
    assert RECORD_TEXT not in client.get(path).text
