"""Signals, retakes and the candidate's own report, from the landing page to the report."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import func, select

from provider import outbox
from provider.core.emails.sent_email import SentEmail
from provider.core.kinds.assessment.integrity_signals import IntegritySignal
from provider.core.orders import PDF, Order
from provider.core.orders.given_time import to_milliseconds
from provider.core.orders.reminders import unwanted_reason
from provider.maintenance import erase_order
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.maintenance.test_person_export import export
from tests.web.candidate.test_assessment import post_answer, post_as_script, start_test
from tests.web.candidate.test_pages import open_invitation, submit_form
from tests.web.console_client import ORDERS_PATH, ConsoleClient
from tests.web.report.test_pages import report_path, shared_path

ANNOUNCEMENT = "During the test we note when you leave its page"
IPHONE = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1"}


def place(services: Services, number: int = 1, product: str = "", **content: Any) -> str:
    account_id, _ = factories.create_account(services, name=f"Groove {number}")
    product = product or factories.create_test(services, **content)
    url = f"https://groove-tech.workable.com/assessments/{number}"
    return factories.place_order(services, account_id, product, callback_url=url)


def take_test(client: FlaskClient, services: Services, order_id: str, *events: str) -> None:
    """Start the test, report `events` of TYPE:LENGTH, answer from another device, and submit."""
    page = start_test(client, services, order_id)
    number = to_milliseconds(services.now())
    path = f"/c/o/{order_id}/signals"
    texts = [
        f"{kind}:{number + index}:{length}"
        for index, (kind, length) in enumerate(event.split(":") for event in events)
    ]
    assert post_as_script(client, page, path, event=texts).status_code == 204
    client.environ_base["HTTP_USER_AGENT"] = IPHONE["User-Agent"]
    post_answer(client, order_id, 1, "b")
    token = factories.csrf_token(client.get(f"/c/o/{order_id}/overview").text)
    data = {"csrf_token": token, "blank": "3"}
    assert client.post(f"/c/o/{order_id}/submit", data=data).status_code == 303


def count_signals(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count()).select_from(IntegritySignal)) or 0


def test_signals_are_announced_and_shown_with_the_result(
    client: FlaskClient, services: Services
) -> None:
    order_id = place(services, integrity={"record": True})
    assert ANNOUNCEMENT in open_invitation(client, services, order_id).text
    take_test(client, services, order_id, "left:65000", "left:4000", "pasted:300", "typed:3")
    page = client.get(report_path(services, order_id)).text
    for text in ("Some signals", "2 times, 1 minute 9 seconds in total", "Safari on iPhone"):
        assert text in page
    assert "These are signals, not proof" in page
    pdf = client.get(report_path(services, order_id, PDF)).data
    text = "".join(part.extract_text() for part in PdfReader(io.BytesIO(pdf)).pages)
    assert "Some signals" in text
    assert "at most 300 characters at once" in " ".join(text.split())
    shared = shared_path(services, order_id)
    assert "Some signals" not in client.get(shared).text
    shared_pdf = client.get(f"{shared}/report.pdf").data
    assert "Some signals" not in PdfReader(io.BytesIO(shared_pdf)).pages[0].extract_text()
    console = ConsoleClient.signed_in(services, client)
    order_page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert "Some signals" in order_page
    assert "Each signal with its time" in order_page


def test_signals_in_shared_links_appear_where_the_test_says_so(
    client: FlaskClient, services: Services
) -> None:
    order_id = place(services, integrity={"record": True, "shared": True})
    take_test(client, services, order_id, "left:5000")
    assert "Some signals" in client.get(shared_path(services, order_id)).text


def test_signals_without_the_switch_are_neither_announced_nor_stored(
    client: FlaskClient, services: Services
) -> None:
    order_id = place(services)
    assert ANNOUNCEMENT not in open_invitation(client, services, order_id).text
    take_test(client, services, order_id, "left:65000")
    assert count_signals(services) == 0
    assert "Integrity" not in client.get(report_path(services, order_id)).text


def test_signals_change_neither_score_nor_details(client: FlaskClient, services: Services) -> None:
    order_id = place(services, integrity={"record": True})
    take_test(client, services, order_id, *["left:65000"] * 20)
    report = client.get(report_path(services, order_id)).text
    assert "Many signals" in report
    assert "25%" in report


@pytest.mark.parametrize("is_closed", [True, False])
def test_signals_from_strangers_and_after_the_end_are_dropped(
    client: FlaskClient, services: Services, clock: ManualClock, is_closed: bool
) -> None:
    order_id = place(services, integrity={"record": True})
    page = start_test(client, services, order_id)
    stored = count_signals(services)
    event = f"left:{to_milliseconds(clock.now())}:5000"
    path = f"/c/o/{order_id}/signals"
    if is_closed:
        clock.advance(timedelta(hours=1))  # the attempt had 20 minutes
        assert post_as_script(client, page, path, event=event).status_code == 204
    else:
        client.delete_cookie(f"c-{order_id}")
        assert post_as_script(client, page, path, event=event).status_code == 403
    assert count_signals(services) == stored


def test_signals_are_exported_and_erased_with_the_person(
    client: FlaskClient, services: Services, tmp_path: Path
) -> None:
    order_id = place(services, integrity={"record": True})
    take_test(client, services, order_id, "left:65000")
    export(services, tmp_path / "export", "lakita_marrero@gmail.com")
    data = json.loads((tmp_path / "export" / "data.json").read_text("utf-8"))
    rows = data["orders"][0]["tables"]["integrity_signals"]
    assert [row["length"] for row in rows if row["type"] == "left"] == [65000]
    assert not any("digest" in name for row in rows for name in row)
    erasure = erase_order(
        services.db,
        services.media,
        services.secret_box,
        order_id,
        actor="sam@provider.test",
        now=services.now(),
        give_up_deliveries=True,
    )
    assert erasure.rows["integrity_signals"] == len(rows)
    assert count_signals(services) == 0


def test_question_page_tells_the_reading_time_of_a_new_question(
    client: FlaskClient, services: Services
) -> None:
    order_id = place(services, integrity={"record": True})
    assert 'data-reading-ms="1000"' in start_test(client, services, order_id)
    post_answer(client, order_id, 1, "b")
    assert "data-reading-ms" not in client.get(f"/c/o/{order_id}/items/1").text


def test_retake_page_says_from_when_and_refuses_the_start(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services, retakes={"after_days": 3})
    factories.finish_test(services, factories.place_order(services, account_id, product))
    url = "https://groove-tech.workable.com/assessments/2"
    order_id = factories.place_order(services, account_id, product, callback_url=url)
    page = open_invitation(client, services, order_id).text
    assert "You can take it again from" in page
    assert f"/c/o/{order_id}/start" not in page
    assert submit_form(client, page, f"/c/o/{order_id}/start").status_code == 409
    console = ConsoleClient.signed_in(services, client)
    assert "and can take it again from" in console.get_text(f"{ORDERS_PATH}{order_id}")
    path = f"{ORDERS_PATH}{order_id}/allow-retake"
    assert "in spite of the rule on retakes" in console.get_text(path)
    seen = console.read_field(path, "seen")
    console.submit(path, page=path, reason="Another job", seen=seen)
    assert "Retake allowed" in console.get_text(f"{ORDERS_PATH}{order_id}")
    assert f"/c/o/{order_id}/start" in open_invitation(client, services, order_id).text


def test_retake_reminder_is_not_sent_before_the_candidate_may_start(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services, retakes={"allowed": False})
    factories.finish_test(services, factories.place_order(services, account_id, product))
    url = "https://groove-tech.workable.com/assessments/2"
    order_id = factories.place_order(services, account_id, product, callback_url=url)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        reason = unwanted_reason(order, services.secret_box, services.now())
    assert "does not let the candidate start" in reason


@pytest.mark.parametrize("grade", [True, False])
def test_feedback_shows_parts_without_answers_and_cut_scores(
    client: FlaskClient, services: Services, grade: bool
) -> None:
    order_id = place(services, feedback=True, feedback_grade=grade)
    take_test(client, services, order_id)
    page = client.get(f"/c/o/{order_id}/").text
    assert "Your own report" in page
    assert "Numbers" in page
    assert "50%" in page
    assert ("Did not pass" in page) is grade
    assert "What is 17" not in page
    assert "from 50%" not in page


def test_feedback_is_off_by_default(client: FlaskClient, services: Services) -> None:
    order_id = place(services)
    take_test(client, services, order_id)
    assert "Your own report" not in client.get(f"/c/o/{order_id}/").text


@pytest.mark.parametrize("has_feedback", [True, False])
def test_receipt_names_the_own_report_if_there_is_one(
    services: Services, has_feedback: bool
) -> None:
    order_id = place(services, feedback=has_feedback)
    factories.finish_test(services, order_id)
    factories.deliver_emails(services)
    with services.db.reading() as session:
        messages = outbox.history(session, order_id)
        bodies = [message.get_body(services.secret_box) for message in messages]
        texts = [SentEmail.parse(body).text for body in bodies if body]
    receipt = next(text for text in texts if "your test has arrived" in text)
    assert ("Your own report" in " ".join(receipt.split())) is has_feedback
