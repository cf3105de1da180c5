"""The page of a screening, and its forms."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.audit import AuditEntry
from provider.core.kinds.check import Check
from provider.services import Services
from tests import check_factories, factories
from tests.check_work_factories import (
    ANA,
    ANSWER,
    MONDAY,
    QUESTION,
    RECORD_NOTE,
    RECORD_TEXT,
    SECRET_WORDS,
    add_found_record,
    consented_check,
)
from tests.factories import ManualClock
from tests.web.console_client import ORDERS_PATH, ConsoleClient

ME = "adjudicator@provider.test"


@pytest.fixture
def check_id(services: Services, clock: ManualClock) -> str:
    clock.current_time = MONDAY
    return consented_check(services)


@pytest.fixture
def console(services: Services, client: FlaskClient, check_id: str) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "adjudicator")


def path(check_id: str, key: str = "jobs", rest: str = "") -> str:
    return f"/console/checks/{check_id}/screenings/{key}/{rest}"


def submit(console: ConsoleClient, check_id: str, rest: str, **form: Any) -> TestResponse:
    key = form.pop("key", "jobs")
    return console.submit(path(check_id, key, rest), page=path(check_id, key), **form)


def task_state(services: Services, check_id: str, key: str = "jobs") -> tuple[str, str | None]:
    with services.db.reading() as session:
        task = Check.find(session, check_id).find_task(key)
        return task.state, task.assignee


def set_task(services: Services, check_id: str, key: str, **values: Any) -> None:
    with services.db.writing() as session:
        task = Check.find(session, check_id).find_task(key)
        for name, value in values.items():
            setattr(task, name, value)


def actions(services: Services) -> list[str]:
    with services.db.reading() as session:
        return [entry.action for entry in session.query(AuditEntry).order_by(AuditEntry.id)]


# The page of a screening


def test_page_shows_a_screening_without_the_candidates_details(
    console: ConsoleClient, check_id: str
) -> None:
    page = console.get_text(path(check_id))
    assert "Employment history" in page
    assert "30 November 2026" in page
    for secret in check_factories.SECRET_WORDS:
        assert secret not in page


def test_details_of_a_screening_are_masked(console: ConsoleClient, check_id: str) -> None:
    page = console.get_text(path(check_id))
    assert "••••••No" in page  # the end of what the candidate wrote about her employers
    assert f"/console/checks/{check_id}/details" in page


def test_claim_of_two_people_tells_the_second_one(
    services: Services, client: FlaskClient, console: ConsoleClient, check_id: str
) -> None:
    set_task(services, check_id, "jobs", assignee=ANA)
    response = submit(console, check_id, "claim")
    assert response.status_code == 409
    assert f"{ANA} works on this screening" in response.text
    assert task_state(services, check_id)[1] == ANA


def test_claim_give_back_and_hand_over_change_the_assignee(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    factories.create_staff(services, ANA, "adjudicator")
    assert submit(console, check_id, "claim").status_code == 303
    assert task_state(services, check_id) == ("in progress", ME)
    assert "Give it back" in console.get_text(path(check_id))
    assert submit(console, check_id, "give-back").status_code == 303
    assert task_state(services, check_id) == ("to do", None)
    assert submit(console, check_id, "hand-over", assignee=ANA, seen="").status_code == 303
    assert task_state(services, check_id) == ("in progress", ANA)
    assert submit(console, check_id, "hand-over", assignee=ME, seen="").status_code == 409
    assert submit(console, check_id, "hand-over", assignee="x", seen=ANA).status_code == 400
    assert actions(services)[-3:] == [
        "check.screening_claimed",
        "check.screening_given_back",
        "check.screening_handed_over",
    ]
    timeline = console.get_text(ORDERS_PATH + check_id)
    for label in ("Screening claimed", "Screening given back", "Screening handed over"):
        assert label in timeline


def test_outcome_is_saved_from_the_page_of_the_screening(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    seen = console.read_field(path(check_id), "seen")
    form = {"status": "consider", "text": "One end differs", "note": "Hm"}
    assert submit(console, check_id, "outcome", seen=form_seen(console, check_id), **form)
    assert task_state(services, check_id)[0] == "done"
    page = console.get_text(path(check_id))
    assert "Done on 23 November 2026: To consider, by adjudicator@provider.test" in page
    # The same form again, from before: it changes nothing and is no conflict.
    assert submit(console, check_id, "outcome", seen=seen, **form).status_code == 303


def form_seen(console: ConsoleClient, check_id: str) -> str:
    """Return the digest in the form of the outcome, not that of the assignee."""
    page = console.get_text(path(check_id))
    return str(re.findall(r'name="seen" value="(\w{16})"', page)[-1])


def test_outcome_that_a_colleague_changed_is_not_replaced(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    seen = form_seen(console, check_id)
    check_factories.record_findings(services, check_id, {"jobs": "clear"})
    form = {"status": "consider", "text": "One end differs", "note": "Hm"}
    response = submit(console, check_id, "outcome", seen=seen, **form)
    assert response.status_code == 409
    assert "One end differs" in response.text
    with services.db.reading() as session:
        finding = Check.find(session, check_id).find_finding("jobs")
        assert finding
        assert finding.status == "clear"
    seen = re.findall(r'name="seen" value="(\w{16})"', response.text)[-1]
    assert submit(console, check_id, "outcome", seen=seen, **form).status_code == 303


def test_outcome_without_a_choice_is_refused(console: ConsoleClient, check_id: str) -> None:
    response = submit(console, check_id, "outcome", seen=form_seen(console, check_id), text="Hm")
    assert response.status_code == 400


def test_question_and_answer_are_shown_to_the_staff_who_decide(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    response = submit(console, check_id, "questions/", question=QUESTION, document="identity")
    assert response.status_code == 303
    page = console.get_text(path(check_id))
    assert QUESTION in page
    assert "Passport or identity card" in page
    assert "clock stopped" in page
    with services.db.reading() as session:
        [question] = Check.find(session, check_id).questions
    response = submit(console, check_id, f"questions/{question.public_id}/withdraw")
    assert response.status_code == 303
    assert task_state(services, check_id)[0] == "in progress"
    assert submit(console, check_id, f"questions/{question.public_id}/withdraw").status_code == 409
    assert submit(console, check_id, "questions/", question=" ").status_code == 400
    assert ANSWER not in console.get_text(path(check_id))


def test_record_is_added_corrected_and_removed(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    record = {
        "kind": "conviction",
        "severity": "high",
        "occurred_on": "2019-03-04",
        "public_text": RECORD_TEXT,
        "private_note": RECORD_NOTE,
    }
    assert submit(console, check_id, "records/", **record).status_code == 303
    page = console.get_text(path(check_id))
    assert RECORD_TEXT in page
    assert RECORD_NOTE in page
    edit = re.search(r'href="([^"]+/records/[^"]+)"', page)
    assert edit
    assert RECORD_TEXT in console.get_text(edit[1])
    response = console.submit(edit[1], page=edit[1], **record | {"severity": "low"})
    assert response.status_code == 400
    assert "Write a reason" in response.text
    form = record | {"severity": "low", "reason": "The court says so"}
    assert console.submit(edit[1], page=edit[1], **form).status_code == 303
    assert console.submit(edit[1], page=edit[1], **form).status_code == 409
    page = console.get_text(path(check_id))
    assert "The court says so" in page
    edit = re.search(r'href="([^"]+/records/[^"]+)"', page)
    assert edit
    response = console.submit(edit[1] + "remove", page=edit[1], reason="Another person")
    assert response.status_code == 303
    acts = [action for action in actions(services) if action != "check.findings_shown"]
    assert acts[-3:] == [
        "check.record_added",
        "check.record_corrected",
        "check.record_removed",
    ]


def test_record_is_in_the_report_under_its_screening(
    services: Services, client: FlaskClient, console: ConsoleClient, check_id: str
) -> None:
    add_found_record(services, check_id)
    check_factories.record_findings(services, check_id)
    check_factories.complete_check(services, check_id)
    page = console.get_text(f"/console/checks/{check_id}/")
    report = re.search(r'href="(http[^"]+/r/[^"]+)"', page)
    assert report
    text = client.get(report[1]).text
    assert "Conviction, High, 4 March 2019:" in text
    assert RECORD_TEXT in text
    assert RECORD_NOTE not in text
    with services.db.reading() as session:
        figures = str(Check.find(session, check_id).result_figures)
    assert not [word for word in SECRET_WORDS if word in figures]


def test_screening_is_added_within_the_consent(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    page_path = f"/console/checks/{check_id}/add-screening/"
    assert 'value="credit"' not in console.get_text(page_path)
    form = {"type": "employment", "name": "Second employer", "reason": "The dates differ"}
    refused = console.submit(page_path, page=page_path, **form | {"type": "credit"})
    assert refused.status_code == 400
    response = console.submit(page_path, page=page_path, **form)
    assert response.location == path(check_id, "added-1")
    assert "The dates differ" in console.get_text(path(check_id, "added-1"))
    assert console.submit(page_path, page=page_path, **form).status_code == 409
    assert "Second employer" in console.get_text(f"/console/checks/{check_id}/")
    assert actions(services)[-1] == "check.screening_added"


def test_overview_of_a_check_links_to_each_screening(console: ConsoleClient, check_id: str) -> None:
    page = console.get_text(f"/console/checks/{check_id}/")
    for key in check_factories.OUTCOMES:
        assert path(check_id, key) in page


def test_unknown_screening_is_not_found(console: ConsoleClient, check_id: str) -> None:
    assert console.client.get(path(check_id, "nothing")).status_code == 404


def test_viewer_sees_no_page_of_a_screening(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    add_found_record(services, check_id)
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert console.client.get(path(check_id)).status_code == 403
    assert console.client.get("/console/screenings/").status_code == 403
    page = console.get_text(f"/console/checks/{check_id}/")
    assert path(check_id) not in page
    assert not [word for word in SECRET_WORDS if word in page]
