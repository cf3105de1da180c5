"""Completion and revision of a check, by one person or by two."""

import pytest
from sqlalchemy import select

from provider.core.kinds.check import Check
from provider.core.kinds.check.decisions import (
    RevisionForm,
    complete,
    confirm,
    describe_revision,
    find_open_proposal,
    read_reason,
    revise,
    send_back,
)
from provider.core.kinds.check.staff_work import list_staff_work
from provider.core.report import build_report
from provider.errors import Conflict, Invalid
from provider.outbox import Message
from provider.services import Services
from tests import check_decision_factories, check_factories

ANN, BEN = "ann@provider.test", "ben@provider.test"
CORRECTION = RevisionForm("jobs", "clear", "", "", "The employer was wrong")


@pytest.fixture
def check_id(services: Services) -> str:
    """A check that can be completed."""
    public_id = check_decision_factories.place_sandbox_check(services)
    check_factories.record_findings(services, public_id)
    return public_id


def do_complete(services: Services, check_id: str, staff: str) -> bool:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        return complete(session, services.secret_box, check, staff, services.now())


def do_confirm(services: Services, check_id: str, staff: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        confirm(session, services.secret_box, check, staff, services.now())


def do_revise(
    services: Services, check_id: str, form: RevisionForm = CORRECTION, staff: str = ANN
) -> bool:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        return revise(session, services.secret_box, check, form, staff, services.now())


def status_of(services: Services, check_id: str) -> tuple[str, str]:
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        return check.status, check.result_figures.get("overall_status", "")


def waiting_decisions(services: Services) -> int:
    """Return how many decisions the overview counts as waiting for a second person."""
    with services.db.reading() as session:
        (work,) = [
            work
            for work in list_staff_work(services.now().date())
            if work.singular == "Decision that waits for a second person"
        ]
        return len(session.execute(work.ids).all())


def published_statuses(services: Services) -> list[str]:
    with services.db.reading() as session:
        query = select(Message).where(Message.topic == "status").order_by(Message.id)
        return [
            message.get_payload(services.secret_box)["status"] for message in session.scalars(query)
        ]


def test_one_person_completes_where_no_second_one_is_asked(
    services: Services, check_id: str
) -> None:
    assert do_complete(services, check_id, ANN)
    assert status_of(services, check_id) == ("completed", "consider")


@pytest.mark.parametrize("rule", ["consider", "always"])
def test_second_person_completes_what_the_first_proposed(
    services: Services, check_id: str, rule: str
) -> None:
    check_decision_factories.set_option(services, "second_person", rule)
    assert not do_complete(services, check_id, ANN)
    assert status_of(services, check_id) == ("consented", "")
    with pytest.raises(Conflict, match="A second person must answer"):
        do_confirm(services, check_id, ANN)
    with pytest.raises(Conflict, match="has not answered"):
        do_complete(services, check_id, BEN)
    do_confirm(services, check_id, BEN)
    assert status_of(services, check_id) == ("completed", "consider")
    assert published_statuses(services) == ["consented", "completed"]


@pytest.mark.parametrize("act", ["cancel", "another outcome", "reopen"])
def test_overview_counts_no_proposal_that_nobody_can_confirm(
    services: Services, check_id: str, act: str
) -> None:
    check_decision_factories.set_option(services, "second_person", "always")
    do_complete(services, check_id, ANN)
    if act == "reopen":
        do_confirm(services, check_id, BEN)
        do_revise(services, check_id)
    assert waiting_decisions(services) == 1
    with services.db.writing() as session:
        check, now = Check.find(session, check_id, lock=True), services.now()
        if act == "cancel":
            check.cancel(session, ANN, "The job is filled", now)
        elif act == "reopen":
            check.reopen(session, services.secret_box, ANN, "Again", now)
        else:
            check.record_finding(session, services.secret_box, "jobs", "clear", "", ANN, now)
    assert waiting_decisions(services) == 0
    with services.db.reading() as session:
        proposal = Check.find(session, check_id).proposals[-1]
        assert (proposal.answer, proposal.answered_by) == ("withdrawn", ANN)


def test_decision_by_one_person_withdraws_the_open_proposal(
    services: Services, check_id: str
) -> None:
    check_decision_factories.set_option(services, "second_person", "always")
    do_complete(services, check_id, ANN)
    check_decision_factories.set_option(services, "second_person", "never")
    assert do_complete(services, check_id, ANN)
    assert waiting_decisions(services) == 0


def test_clear_check_needs_a_second_person_only_always(services: Services, check_id: str) -> None:
    clear = dict.fromkeys(check_factories.OUTCOMES, "clear")
    check_factories.record_findings(services, check_id, clear)
    check_decision_factories.set_option(services, "second_person", "consider")
    assert do_complete(services, check_id, ANN)


def test_outcome_that_changed_since_must_be_proposed_again(
    services: Services, check_id: str
) -> None:
    check_decision_factories.set_option(services, "second_person", "always")
    do_complete(services, check_id, ANN)
    check_factories.record_findings(services, check_id, {"record": "consider"})
    with pytest.raises(Conflict, match="have changed since"):
        do_confirm(services, check_id, BEN)
    assert not do_complete(services, check_id, BEN)
    do_confirm(services, check_id, ANN)
    assert status_of(services, check_id) == ("completed", "consider")


def test_proposal_that_was_sent_back_completes_nothing(services: Services, check_id: str) -> None:
    check_decision_factories.set_option(services, "second_person", "always")
    do_complete(services, check_id, ANN)
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        proposal = send_back(
            session, services.secret_box, check, BEN, "Look at the dates", services.now()
        )
        assert read_reason(services.secret_box, check, proposal) == "Look at the dates"
        assert find_open_proposal(check) is None
        assert check.status == "consented"
    assert not do_complete(services, check_id, ANN)


def test_revision_publishes_again_and_keeps_the_history(services: Services, check_id: str) -> None:
    do_complete(services, check_id, ANN)
    assert do_revise(services, check_id)
    assert status_of(services, check_id) == ("completed", "clear")
    assert published_statuses(services) == ["consented", "completed", "completed"]
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        assert [result.revision for result in check.results] == [2, 3]
        assert check.results[0].figures["overall_status"] == "consider"
        (revision,) = check.revisions
        assert (revision.status, revision.result_revision) == ("consider", 3)
        assert describe_revision(services.secret_box, check, revision) == (
            check_factories.REPORT_TEXT,
            check_factories.FINDING_NOTE,
            "The employer was wrong",
        )
        assert check.events[-1].type == "revised"
        assert check.events[-1].note == "Employment history"
        report = build_report(check, services.secret_box, {"report"})
        assert report.revised_at == services.now()
        assert "The employer was wrong" not in repr(report)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        (RevisionForm("jobs", "clear", "", "", "x"), "Give a reason"),
        (RevisionForm("record", "consider", "", "", "Found later"), "no text in the report"),
        (RevisionForm("record", "clear", "", "", "Nothing"), "Nothing is changed"),
        (RevisionForm("record", "maybe", "", "", "Nothing"), "Choose"),
    ],
)
def test_revision_without_reason_text_or_change_is_refused(
    services: Services, check_id: str, form: RevisionForm, problem: str
) -> None:
    do_complete(services, check_id, ANN)
    with pytest.raises(Invalid, match=problem):
        do_revise(services, check_id, form)


def test_revision_of_a_check_at_work_is_refused(services: Services, check_id: str) -> None:
    with pytest.raises(Conflict, match="Only a completed check"):
        do_revise(services, check_id)


def test_revision_needs_a_second_person_where_the_completion_did(
    services: Services, check_id: str
) -> None:
    check_decision_factories.set_option(services, "second_person", "consider")
    do_complete(services, check_id, ANN)
    do_confirm(services, check_id, BEN)
    assert not do_revise(services, check_id, staff=BEN)
    assert status_of(services, check_id) == ("completed", "consider")
    with pytest.raises(Conflict):
        do_confirm(services, check_id, BEN)
    do_confirm(services, check_id, ANN)
    assert status_of(services, check_id) == ("completed", "clear")
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        assert check.find_finding("jobs").actor == BEN  # type: ignore[union-attr]
