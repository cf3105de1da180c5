"""The console's pages about decisions: proposals, a second person, corrections, notices."""

import re
from datetime import date, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.adjudication.matrix import activate_draft, save_draft
from provider.core.kinds.check.adverse.jurisdictions import JURISDICTIONS
from provider.services import Services
from tests import check_decision_factories, check_factories, factories
from tests.factories import ManualClock
from tests.web.console.test_checks import check_path, outcome_form, submit_form
from tests.web.console_client import ConsoleClient


@pytest.fixture
def check_id(services: Services) -> str:
    """A completed check that is to consider."""
    return check_decision_factories.consider_check(services)


def account_path(services: Services, page: str) -> str:
    with services.db.reading() as session:
        public_id = session.scalars(select(Account.public_id)).one()
    return f"/console/accounts/{public_id}/{page}"


def switch_rules_on(services: Services) -> None:
    with services.db.writing() as session:
        account_id = session.scalars(select(Account.id)).one()
        save_draft(session, account_id, check_decision_factories.RULES, "a@x.test", services.now())
        activate_draft(session, account_id, "a@x.test", services.now())


def test_outcome_page_shows_the_proposal_and_its_rule(
    services: Services, client: FlaskClient
) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    check_decision_factories.add_record(services, check_id, occurred_on=date(1999, 5, 1))
    console = ConsoleClient.signed_in(services, client)
    assert "Proposal:" not in console.get_text(check_path(check_id))
    switch_rules_on(services)
    page = " ".join(console.get_text(check_path(check_id)).split())
    assert "by rule 3, Conviction. Another outcome needs a private note." in page
    assert "because nothing is recorded" in page


def test_outcome_that_differs_from_the_proposal_needs_a_note(
    services: Services, client: FlaskClient
) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    switch_rules_on(services)
    console = ConsoleClient.signed_in(services, client)
    response = submit_form(console, check_id, "outcomes", **outcome_form(note=""))
    assert response.status_code == 400
    assert "Employment history: the outcome differs from what the rules propose" in response.text
    assert submit_form(console, check_id, "outcomes", **outcome_form()).status_code == 302


def test_outcome_on_the_screenings_page_needs_the_note_as_well(
    services: Services, client: FlaskClient
) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    switch_rules_on(services)
    console = ConsoleClient.signed_in(services, client)
    path = check_path(check_id, "screenings/jobs/")
    page = console.get_text(path)
    assert "Another outcome needs a private note" in page
    form = {"seen": re.findall(r'name="seen" value="(\w{16})"', page)[-1]}
    form |= {"status": "consider", "text": "One end differs"}
    response = console.submit(path + "outcome", page=path, note="", **form)
    assert response.status_code == 400
    assert "Employment history: the outcome differs from what the rules propose" in response.text
    response = console.submit(path + "outcome", page=path, note="A rumour", **form)
    assert response.status_code == 303


def test_draft_is_edited_tried_and_switched_on(services: Services, client: FlaskClient) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    check_decision_factories.add_record(services, check_id, occurred_on=date(1999, 5, 1))
    check_factories.record_findings(services, check_id)
    check_factories.complete_check(services, check_id)
    console = ConsoleClient.signed_in(services, client, "admin")
    path = account_path(services, "adjudication/")
    form = {"record_kind-1": "debt", "disposition-1": "consider", "position-1": "2"}
    form |= {"record_kind-2": "conviction", "disposition-2": "clear", "position-2": "1"}
    seen = console.read_field(path, "seen")
    response = console.submit(path, page=path, seen=seen, go="try", **form)
    assert response.status_code == 302
    trial = console.get_text(response.location)
    assert "Where people decided otherwise" in trial
    assert "Lakita Marrero" in trial
    response = console.submit(path, page=path, seen=seen, **form)
    assert response.status_code == 409
    assert "A colleague has changed the draft meanwhile" in response.text
    seen = console.read_field(path + "try", "seen")
    assert console.submit(path + "activate", page=path + "try", seen=seen).status_code == 302
    page = console.get_text(path)
    assert "Version 1, switched on by admin@provider.test" in page
    assert page.index("Conviction") < page.index("Debt or court judgement")
    assert console.submit(path + "retire", page=path).status_code == 302
    assert "No matrix is on" in console.get_text(path)


def test_rule_without_a_proposal_is_refused_and_stays_in_the_form(
    services: Services, client: FlaskClient
) -> None:
    check_decision_factories.place_sandbox_check(services)
    console = ConsoleClient.signed_in(services, client, "admin")
    path = account_path(services, "adjudication/")
    form = {"seen": console.read_field(path, "seen"), "severity-1": "high", "disposition-1": ""}
    response = console.submit(path, page=path, **form)
    assert response.status_code == 400
    assert 'value="high" selected' in response.text


def test_second_person_confirms_on_the_page_of_the_check(
    app: Flask, services: Services, client: FlaskClient
) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    check_factories.record_findings(services, check_id)
    check_decision_factories.set_option(services, "second_person", "consider")
    first = ConsoleClient.signed_in(services, client)
    assert "Propose to a second person" in first.get_text(check_path(check_id, "complete"))
    assert submit_form(first, check_id, "complete", "complete").status_code == 302
    page = first.get_text(check_path(check_id))
    assert "Somebody else must confirm it or send it back" in page
    assert "Decision that waits for a second person" in first.get_text("/console/")
    assert first.submit(check_path(check_id, "confirm")).status_code == 302
    assert factories.order_status(services, check_id) == "consented"
    viewer = ConsoleClient.signed_in(services, app.test_client(), "viewer")
    assert "second person" not in viewer.get_text(check_path(check_id))
    second = ConsoleClient.signed_in(services, app.test_client(), "adjudicator")
    assert "Confirm, and notify the ATS" in second.get_text(check_path(check_id))
    assert second.submit(check_path(check_id, "send-back"), reason="Look again").status_code == 302
    assert "Look again" in first.get_text(check_path(check_id))
    submit_form(first, check_id, "complete", "complete")
    assert second.submit(check_path(check_id, "confirm")).status_code == 302
    assert factories.order_status(services, check_id) == "completed"


def test_correction_keeps_the_earlier_outcome_on_the_page(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    path = check_path(check_id, "revise/jobs")
    assert "Correct this outcome" in console.get_text(check_path(check_id))
    seen = console.read_field(path, "seen")
    form = {"status": "clear", "reason": "The employer was wrong"}
    assert console.submit(path, page=path, seen=seen, reason="x", status="clear").status_code == 400
    assert console.submit(path, page=path, seen=seen, **form).status_code == 302
    assert console.submit(path, page=path, seen=seen, **form).status_code == 409
    for page in (console.get_text(path), console.get_text(check_path(check_id))):
        assert "The employer was wrong" in page
    assert check_factories.FINDING_NOTE in console.get_text(path)
    viewer = ConsoleClient.signed_in(services, client, "viewer")
    assert "The employer was wrong" not in viewer.get_text(check_path(check_id))


def test_adverse_action_page_sends_the_notice_and_no_final_one_early(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    path = check_path(check_id, "adverse/")
    page = console.get_text(path)
    assert "Send the notice" in page
    assert "No lawyer has reviewed the numbers: let yours review them before use." in page
    assert all(place.source in page for place in JURISDICTIONS.values())
    form = {"jurisdiction": "us", "days": "2", "reason": "The dates"}
    response = console.submit(path + "begin", page=path, **form)
    assert response.status_code == 400
    assert "at least 5 business days" in response.text
    assert "The dates" in response.text
    assert console.submit(path + "begin", page=path, **form | {"days": "5"}).status_code == 302
    page = console.get_text(path)
    assert "The final notice can be sent after that" in page
    assert "Send the final notice" not in page
    assert console.submit(path + "final", page=path).status_code == 409
    with services.db.reading() as session:
        notice = Check.find(session, check_id).find_notice("pre_adverse")
        assert notice
        notice_id = notice.public_id
    pdf = client.get(f"{path}{notice_id}.pdf")
    assert (pdf.status_code, pdf.mimetype) == (200, "application/pdf")
    assert client.get(f"{path}unknown.pdf").status_code == 404
    assert "Adverse action: The candidate’s time runs" in console.get_text(
        f"/console/orders/{check_id}"
    )


def test_notice_that_came_back_is_on_the_overview(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    path = check_path(check_id, "adverse/")
    form = {"jurisdiction": "us", "days": "5", "reason": "The dates"}
    console.submit(path + "begin", page=path, **form)
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        check.record_bounce(session, "x", "pre_adverse", "550 5.1.1", services.now())
    overview = console.get_text("/console/")
    assert "Notice to a candidate that came back" in overview
    assert path in overview
    assert "The notice came back, so the candidate’s time does not run" in console.get_text(path)
    form = {"notice": console.read_field(path, "notice"), "way": "By post, on 3 March"}
    assert console.submit(path + "other-way", page=path, **form).status_code == 302
    assert console.submit(path + "other-way", page=path, **form).status_code == 409
    form["notice"] = "unknown"
    assert console.submit(path + "other-way", page=path, **form).status_code == 404
    assert "By post, on 3 March" in console.get_text(path)


def test_newer_check_is_named_on_the_page_and_in_the_report(
    services: Services, client: FlaskClient, clock: ManualClock, check_id: str
) -> None:
    clock.advance(timedelta(minutes=1))
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        account_id, package = check.account_id, check.product.public_id
    newer = factories.place_order(
        services, account_id, package, "check", callback_url="https://x.workable.com/2"
    )
    check_factories.give_consent(services, newer)
    check_factories.record_findings(services, newer)
    check_factories.complete_check(services, newer)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(check_path(check_id))
    assert "A newer check exists" in page
    assert check_path(newer) in page
    assert "A newer check exists" not in console.get_text(check_path(newer))
    assert "so this one is not current" in console.get_text(check_path(check_id, "adverse/"))


def test_renewals_are_listed_until_they_are_taken_care_of(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    package = check_factories.create_package(services, valid_months=1)
    check_id = check_factories.completed_check(services, product_id=package)
    clock.advance(timedelta(days=2))  # a month may have 31 days, and the list begins 30 before
    console = ConsoleClient.signed_in(services, client)
    assert "Check to renew" in console.get_text("/console/")
    assert "Lakita Marrero" in console.get_text("/console/renewals/")
    path = f"/console/renewals/{check_id}/close"
    assert console.submit(path).status_code == 302
    assert "No check is to be renewed" in console.get_text("/console/renewals/")
    assert console.submit(path).status_code == 409
