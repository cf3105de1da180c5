"""Checks at the console: who sees what, outcomes, and completing with what the ATS is told."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.services import Services
from tests import check_factories, factories
from tests.factories import ManualClock
from tests.web.console_client import ORDERS_PATH, ConsoleClient

KEYS = ("identity", "jobs", "record")


@pytest.fixture
def order_id(services: Services) -> str:
    """A check whose candidate has agreed."""
    placed = check_factories.place_check(services)
    check_factories.give_consent(services, placed)
    return placed


def at(order_id: str, path: str = "") -> str:
    return f"/console/checks/{order_id}/{path}"


def post(
    desk: ConsoleClient, order_id: str, path: str, page: str = "", **form: Any
) -> TestResponse:
    """Fill in a form of the check's page, with the sign of what it showed."""
    shown = re.search(r'name="stand" value="(\w+)"', desk.get_text(at(order_id, page)))
    assert shown, "the page offers no form"
    return desk.submit(at(order_id, path), page=at(order_id, page), **({"stand": shown[1]} | form))


def outcomes(note: str = check_factories.FINDING_NOTE, **more: str) -> dict[str, str]:
    chosen = {f"status-{key}": status for key, status in check_factories.OUTCOMES.items()}
    return {**chosen, "note-jobs": note, **more}


def stories(services: Services, order_id: str) -> list[tuple[str, str, str]]:
    with services.db.reading() as session:
        return [(e.type, e.actor, e.note) for e in Order.find(session, order_id).events]


def found(services: Services, order_id: str) -> dict[str, tuple[str, str]]:
    with services.db.reading() as session:
        check = Check.find(session, order_id)
        return {
            e.screening: (e.status, check.decrypt_note(services.secret_box, e))
            for e in check.findings
        }


def test_the_order_leads_to_its_screenings(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    page = ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH + order_id)
    assert "Work on the screenings" in page
    assert at(order_id) in page


def test_particulars_are_shown_on_demand_and_that_is_on_record(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(at(order_id))
    for secret in (*check_factories.SECRET_WORDS, check_factories.SIGNED_NAME, "192.0.2.7"):
        assert secret not in page
    answer = desk.submit(at(order_id, "particulars"), page=at(order_id))
    assert answer.status_code == 200
    shown = check_factories.STORED_DETAILS | {"date_of_birth": "28 February 1990"}
    for value in (*shown.values(), check_factories.SIGNED_NAME, "192.0.2.7", "A browser/1.0"):
        assert value in answer.text
    assert stories(services, order_id)[-1] == ("particulars shown", "operator@provider.test", "")
    assert "Particulars shown" in desk.get_text(ORDERS_PATH + order_id)


def test_there_is_nothing_to_show_before_the_consent(
    services: Services, client: FlaskClient
) -> None:
    placed = check_factories.place_check(services)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(at(placed))
    assert "has not agreed yet" in page
    assert "once the candidate has agreed" in page
    assert desk.submit(at(placed, "particulars"), page=ORDERS_PATH + placed).status_code == 409
    assert "particulars shown" not in [word for word, _, _ in stories(services, placed)]


def test_a_viewer_sees_outcomes_but_neither_particulars_nor_notes(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id)
    desk = ConsoleClient.signed_in(services, client, "viewer")
    page = desk.get_text(at(order_id))
    assert "To consider" in page
    for secret in (
        *check_factories.SECRET_WORDS,
        check_factories.SIGNED_NAME,
        "192.0.2.7",
        "Show it",
        "<textarea",
    ):
        assert secret not in page
    for path in ("particulars", "outcomes", "complete"):
        assert desk.submit(at(order_id, path), page=at(order_id)).status_code == 403
    assert client.get(at(order_id, "complete")).status_code == 403
    assert "particulars shown" not in [word for word, _, _ in stories(services, order_id)]
    assert factories.order_status(services, order_id) == "consented"


def test_outcomes_are_entered_and_changed(
    services: Services, client: FlaskClient, order_id: str, clock: ManualClock
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    answer = post(desk, order_id, "outcomes", **{"status-jobs": "consider", "note-jobs": "Hm"})
    assert (answer.status_code, answer.location) == (302, at(order_id))
    assert found(services, order_id) == {"jobs": ("consider", "Hm")}
    clock.advance(timedelta(minutes=1))
    post(desk, order_id, "outcomes", **outcomes("Line one\r\nline two"))
    assert found(services, order_id) == {
        "identity": ("clear", ""),
        "jobs": ("consider", "Line one\nline two"),
        "record": ("clear", ""),
    }
    page = desk.get_text(at(order_id))
    assert "Line one\nline two</textarea>" in page
    assert page.count(" checked") == 3


def test_a_note_without_an_outcome_is_given_back_and_nothing_is_saved(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    form = {"status-identity": "clear", "note-jobs": "Half a thought", "go": "complete"}
    answer = post(desk, order_id, "outcomes", **form)
    assert answer.status_code == 400
    assert "Employment history: choose an outcome for what you noted" in answer.text
    assert 'id="problem-jobs"' in answer.text
    assert "Half a thought</textarea>" in answer.text
    assert answer.text.count(" checked") == 1
    assert found(services, order_id) == {}


def test_an_outcome_that_is_none_is_refused(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    answer = post(desk, order_id, "outcomes", **outcomes(**{"status-record": "hired"}))
    assert answer.status_code == 400
    assert found(services, order_id) == {}


def test_a_colleague_s_change_is_not_overwritten(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    stale = re.search(r'name="stand" value="(\w+)"', desk.get_text(at(order_id)))
    assert stale
    check_factories.record_findings(services, order_id, {"jobs": "consider"})
    answer = post(desk, order_id, "outcomes", **outcomes("Mine", stand=stale[1]))
    assert answer.status_code == 409
    assert "A colleague changed this check" in answer.text
    assert found(services, order_id) == {"jobs": ("consider", check_factories.FINDING_NOTE)}


def test_completing_says_what_the_ats_is_told_and_asks(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    answer = post(desk, order_id, "outcomes", go="complete", **outcomes())
    assert answer.location == at(order_id, "complete")
    page = desk.get_text(at(order_id, "complete"))
    told = re.sub(r"<[^>]+>|\s+", " ", page)
    assert re.search(
        "Identity +Clear +Employment history +To consider +Criminal record +Clear +"
        "The check as a whole +To consider",
        told,
    )
    for secret in check_factories.SECRET_WORDS:
        assert secret not in page
    assert factories.order_status(services, order_id) == "consented"
    answer = post(desk, order_id, "complete", "complete")
    assert (answer.status_code, answer.location) == (302, ORDERS_PATH + order_id)
    assert factories.order_status(services, order_id) == "completed"
    assert stories(services, order_id)[-1][:2] == ("completed", "operator@provider.test")


def test_completing_is_refused_while_an_outcome_is_missing(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id, {"identity": "clear"})
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(at(order_id, "complete"))
    assert "There is no outcome yet for: Employment history, Criminal record" in page
    answer = post(desk, order_id, "outcomes")
    assert answer.status_code == 302
    stand = re.search(r'name="stand" value="(\w+)"', desk.get_text(at(order_id)))
    assert stand
    answer = desk.submit(at(order_id, "complete"), page=at(order_id), stand=stand[1])
    assert answer.status_code == 409
    assert factories.order_status(services, order_id) == "consented"


def test_what_changed_since_it_was_asked_is_not_told(
    services: Services, client: FlaskClient, order_id: str, clock: ManualClock
) -> None:
    check_factories.record_findings(services, order_id)
    desk = ConsoleClient.signed_in(services, client)
    stale = re.search(r'name="stand" value="(\w+)"', desk.get_text(at(order_id, "complete")))
    assert stale
    clock.advance(timedelta(seconds=1))
    check_factories.record_findings(services, order_id, {"jobs": "clear"})
    answer = post(desk, order_id, "complete", "complete", stand=stale[1])
    assert answer.status_code == 409
    assert "A colleague changed this check" in answer.text
    assert factories.order_status(services, order_id) == "consented"


def test_completing_twice_completes_once(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    check_factories.record_findings(services, order_id)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(at(order_id, "complete"))
    stand = re.search(r'name="stand" value="(\w+)"', page)
    assert stand
    post(desk, order_id, "complete", "complete")
    answer = desk.submit(at(order_id, "complete"), stand=stand[1])
    assert answer.status_code in (409, 400)
    with services.db.reading() as session:
        assert len(Order.find(session, order_id).results) == 1


def test_a_completed_check_is_to_be_read_alone(services: Services, client: FlaskClient) -> None:
    done = check_factories.completed_check(services)
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(at(done))
    assert "<textarea" not in page
    assert check_factories.FINDING_NOTE in page
    assert "Open the report" in page
    assert "Only a check that the candidate has agreed to" in desk.get_text(at(done, "complete"))


def test_reopening_says_that_consent_is_asked_for_anew(
    services: Services, client: FlaskClient
) -> None:
    done = check_factories.completed_check(services)
    desk = ConsoleClient.signed_in(services, client)
    assert "Consent is asked for anew" in desk.get_text(f"{ORDERS_PATH}{done}/reopen")
    with services.db.writing() as session:
        Order.find(session, done).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )
    page = desk.get_text(at(done))
    assert "It was given before the order was reopened" in page
    assert "None are kept" in desk.submit(at(done, "particulars"), page=at(done)).text


def test_a_consented_check_is_cancelled(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/cancel"
    shown = re.search(r'name="revision" value="(\d+)"', desk.get_text(path))
    assert shown
    desk.submit(path, page=path, reason="Consent withdrawn", revision=shown[1])
    assert factories.order_status(services, order_id) == "cancelled"
    assert "<textarea" not in desk.get_text(at(order_id))


def test_another_kind_has_no_screenings(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    test = factories.place_order(services, account_id, factories.create_test(services))
    ConsoleClient.signed_in(services, client).get_text(at(test), 404)


def test_a_sample_is_marked_for_the_staff(services: Services, client: FlaskClient) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    account_id, _ = factories.create_account(services, sandbox=True)
    product = check_factories.create_package(services, disclosure=sample)
    placed = factories.place_order(services, account_id, product, "check")
    assert "A sample, not for real use" in ConsoleClient.signed_in(services, client).get_text(
        at(placed)
    )


def test_publishing_a_sample_says_who_will_see_it(services: Services, client: FlaskClient) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    said = "only sandbox accounts see it"
    desk = ConsoleClient.signed_in(services, client)
    real, trial = (
        check_factories.create_package(services),
        check_factories.create_package(services, "trial", disclosure=sample),
    )
    for product_id, told in ((real, False), (trial, True)):
        page = desk.get_text(f"/console/products/{product_id}")
        assert (said in page) == told
        assert "Asks for: full name, date of birth" in page
        assert (said in desk.get_text(f"/console/products/{product_id}/publish")) == told
