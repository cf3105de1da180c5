"""Retention by screening: details, notes and questions go, outcomes stay."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from provider.ats.account_settings import InvalidSettings, change_settings
from provider.core import audit
from provider.core.accounts import Account
from provider.core.accounts.check_settings import ALWAYS, set_second_person
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.audit import Action, AuditEntry
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts
from provider.core.kinds.check.decisions import RevisionForm, describe_revision, revise
from provider.core.kinds.check.questions import answer
from provider.core.kinds.check.screening_retention import SCREENING_RETENTION
from provider.core.kinds.check.tables.adverse_action import WITHDRAWN_ACTION
from provider.core.kinds.check.tables.referee_request import list_requests
from provider.core.kinds.check.tables.vendor_order import VendorResult, find_vendor_order
from provider.errors import Invalid
from provider.maintenance import preview_retention
from provider.services import Services
from tests import check_document_factories, check_factories
from tests.check_outside_factories import (
    REFEREE_SCREENING,
    VENDOR_SCREENING,
    place_consented_check,
)
from tests.check_status_factories import add_record, dispute
from tests.check_work_factories import ANSWER, ask_candidate, check_of_another_account
from tests.factories import ManualClock

pytestmark = pytest.mark.both

DAY = timedelta(days=1)
ACTOR = "sam@provider.test"
TYPES = {"identity": "identity", "jobs": "employment", "record": "criminal_record"}


def create_package(services: Services, **days: int) -> str:
    """Create a package whose screenings have types, and the times of storage in `days`."""
    screenings: list[dict[str, Any]] = []
    for entry in check_factories.PACKAGE_CONTENT["screenings"]:
        key = entry["key"]
        typed = entry | {"type": TYPES[key], "asks": entry.get("asks", [])}
        screenings.append(typed | ({"retention_days": days[key]} if key in days else {}))
    return check_factories.create_package(services, screenings=screenings)


def completed_check(services: Services, **days: int) -> str:
    public_id = check_factories.place_check(services, create_package(services, **days))
    check_factories.give_consent(services, public_id)
    add_record(services, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    return public_id


def set_times(services: Services, text: str) -> None:
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        settings = {"keep_screenings": text}
        change_settings(
            session, services.secret_box, account, settings, actor=ACTOR, now=services.now()
        )


def run(services: Services) -> None:
    """Run the work if it is needed, as a runner does."""
    with services.db.reading() as session:
        assert SCREENING_RETENTION.is_needed
        is_needed = SCREENING_RETENTION.is_needed(session, services.now())
    if is_needed:
        SCREENING_RETENTION.run(services)


def stored_details(services: Services, public_id: str) -> set[str]:
    with services.db.reading() as session:
        return set(Check.find(session, public_id).decrypt_details(services.secret_box))


def previewed(services: Services) -> list[str]:
    with services.db.reading() as session:
        return [
            order_id
            for account in preview_retention(session, services.now())
            for order_id in account.parts
        ]


def test_package_time_deletes_details_and_notes_and_keeps_outcomes(
    services: Services, clock: ManualClock
) -> None:
    public_id = completed_check(services, jobs=30)
    clock.advance(30 * DAY - timedelta(minutes=1))
    run(services)
    assert stored_details(services, public_id) == {"full_name", "date_of_birth", "employers"}
    clock.advance(timedelta(minutes=1))
    assert previewed(services) == [public_id]
    run(services)
    # The name is still needed by the screening of the identity.
    assert stored_details(services, public_id) == {"full_name", "date_of_birth"}
    assert previewed(services) == []
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        finding = check.find_finding("jobs")
        assert finding
        assert finding.status == "consider"
        assert check.decrypt_note(services.secret_box, finding) == ""
        report_text = check.decrypt_report_text(services.secret_box, finding)
        assert report_text == check_factories.REPORT_TEXT
        assert [record.private_note for record in check.records] == [None]
        event = check.events[-1]
        assert (event.type, event.note) == ("details deleted", "Employment history")
        entry = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.CHECK_DETAILS_DELETED)
        ).one()
        assert (entry.actor, entry.after) == (audit.SYSTEM, {"screenings": ["jobs"], "values": 3})


def test_account_time_of_a_type_deletes_the_details(services: Services, clock: ManualClock) -> None:
    public_id = completed_check(services)
    set_times(services, "identity=10d, employment=20d")
    clock.advance(10 * DAY)
    run(services)
    assert stored_details(services, public_id) == {"full_name", "employers"}
    clock.advance(10 * DAY)
    run(services)
    assert stored_details(services, public_id) == set()


def test_shorter_time_of_account_and_package_counts(services: Services, clock: ManualClock) -> None:
    public_id = completed_check(services, jobs=20)
    set_times(services, "employment=90d")
    clock.advance(20 * DAY)
    run(services)
    assert "employers" not in stored_details(services, public_id)


@pytest.mark.parametrize("obstacle", ["open", "hold", "dispute", "adverse action"])
def test_check_that_must_stay_keeps_its_details(
    services: Services, clock: ManualClock, obstacle: str
) -> None:
    if obstacle == "open":
        public_id = check_factories.place_check(services, create_package(services, jobs=1))
        check_factories.give_consent(services, public_id)
        check_factories.record_findings(services, public_id)
    else:
        public_id = completed_check(services, jobs=1)
    if obstacle == "hold":
        with services.db.writing() as session:
            Check.find(session, public_id).hold(session, ACTOR, "Court", services.now())
    if obstacle == "dispute":
        dispute(services, public_id)
    if obstacle == "adverse action":
        begin_adverse_action(services, public_id)
    clock.advance(100 * DAY)
    assert previewed(services) == []
    run(services)
    assert "employers" in stored_details(services, public_id)
    if obstacle == "adverse action":
        with services.db.writing() as session:
            action = Check.find(session, public_id).open_action
            assert action
            action.end(WITHDRAWN_ACTION, ACTOR, services.now())
        run(services)
        assert "employers" not in stored_details(services, public_id)


def begin_adverse_action(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        check, now = Check.find(session, public_id), services.now()
        check.account.sandbox = True  # the sample texts of the notices are for sandboxes
        adverse_acts.begin(session, services.secret_box, check, "other", 5, "", ACTOR, now)


def test_documents_go_when_no_other_screening_needs_them(
    services: Services, clock: ManualClock
) -> None:
    entries = [
        {
            "key": "identity",
            "name": "Identity",
            "type": "identity",
            "asks": ["full_name"],
            "retention_days": 30,
        },
        {
            "key": "dbs",
            "name": "DBS check",
            "type": "dbs_basic",
            "asks": ["full_name"],
            "documents": ["identity", "dbs_group_1"],
            "retention_days": 10,
        },
    ]
    package = check_factories.create_package(services, screenings=entries)
    public_id = check_factories.place_check(services, package)
    check_document_factories.send_document(services, public_id)
    check_document_factories.send_document(services, public_id, "dbs_group_1", label="passport")
    check_factories.give_consent(services, public_id)
    outcomes = {"identity": "clear", "dbs": "clear"}
    check_factories.record_findings(services, public_id, outcomes)
    check_factories.complete_check(services, public_id)
    clock.advance(10 * DAY)
    run(services)
    (document,) = check_document_factories.documents_of(services, public_id)
    assert document.slot == "identity"
    stored = {key.rpartition("/")[0] for key in check_document_factories.stored_keys(services)}
    assert stored == {document.folder}
    clock.advance(20 * DAY)
    run(services)
    assert check_document_factories.documents_of(services, public_id) == []
    assert check_document_factories.stored_keys(services) == []


def test_questions_and_answers_go_with_their_screening(
    services: Services, clock: ManualClock
) -> None:
    public_id = check_factories.place_check(
        services, create_package(services, jobs=30, identity=60)
    )
    check_factories.give_consent(services, public_id)
    answered_id = ask_candidate(services, public_id)
    kept_id = ask_candidate(services, public_id, "identity")
    with services.db.writing() as session:
        check, now = Check.find(session, public_id), services.now()
        answer(session, services.secret_box, check, answered_id, ANSWER, now)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    clock.advance(30 * DAY - timedelta(minutes=1))
    run(services)
    assert question_ids(services, public_id) == [answered_id, kept_id]
    clock.advance(timedelta(minutes=1))
    run(services)
    assert question_ids(services, public_id) == [kept_id]
    clock.advance(30 * DAY)
    run(services)
    assert question_ids(services, public_id) == []
    with services.db.reading() as session:
        types = [event.type for event in Check.find(session, public_id).events]
    assert types.count("question asked") == 2, "the record stays"


def test_questions_of_another_check_stay(services: Services, clock: ManualClock) -> None:
    completed_check(services, jobs=1)
    other = check_of_another_account(services)
    kept_id = ask_candidate(services, other)
    clock.advance(2 * DAY)
    run(services)
    assert question_ids(services, other) == [kept_id]


def question_ids(services: Services, public_id: str) -> list[str]:
    with services.db.reading() as session:
        return [question.public_id for question in Check.find(session, public_id).questions]


def test_without_times_nothing_is_deleted(services: Services, clock: ManualClock) -> None:
    public_id = completed_check(services)
    clock.advance(1000 * DAY)
    run(services)
    assert stored_details(services, public_id) == {"full_name", "date_of_birth", "employers"}


def test_deleted_ciphertexts_are_in_no_row(services: Services, clock: ManualClock) -> None:
    public_id = completed_check(services, jobs=1, identity=1, record=1)
    clock.advance(DAY)
    run(services)
    with services.db.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM candidate_details")) == 0
        stored = session.scalar(
            text("SELECT count(*) FROM found_records WHERE private_note IS NOT NULL")
        )
        assert stored == 0
    assert public_id


@pytest.mark.parametrize(
    "value", ["identity", "identity=", "identity=forever", "=3d", "identity=3d,identity=4d"]
)
def test_times_of_screenings_with_an_error_are_refused(services: Services, value: str) -> None:
    with pytest.raises(Invalid):
        COMMON_SETTINGS["keep_screenings"].change(Account(options={}), value)


def test_times_of_an_unknown_type_are_refused(services: Services) -> None:
    completed_check(services)
    with pytest.raises(InvalidSettings, match="no type of screening “jobs”"):
        set_times(services, "jobs=3d")


def test_times_of_screenings_are_read_as_they_are_written() -> None:
    account = Account(options={})
    setting = COMMON_SETTINGS["keep_screenings"]
    setting.change(account, "identity=2w,credit=36h")
    assert setting.read(account) == "identity=14d, credit=36h"
    setting.change(account, setting.read(account))
    assert setting.read(account) == "identity=14d, credit=36h"
    setting.change(account, "none")
    assert setting.read(account) == "none"


def test_private_notes_of_earlier_and_proposed_outcomes_go(
    services: Services, clock: ManualClock
) -> None:
    public_id = completed_check(services, jobs=30)
    note = "A note of quassia"
    with services.db.writing() as session:
        check, box, now = Check.find(session, public_id), services.secret_box, services.now()
        for number in (1, 2):  # the second correction makes the first one's note an earlier one
            form = RevisionForm("jobs", "clear", "", f"{note} {number}", "The employer was wrong")
            assert revise(session, box, check, form, ACTOR, now)
        set_second_person(check.account, ALWAYS)
        for form_status in ("consider", "clear"):
            form = RevisionForm("jobs", form_status, "A text", note, "The employer was wrong")
            assert not revise(session, box, check, form, ACTOR, now)
            check.withdraw_proposals(ACTOR, now)
    clock.advance(31 * DAY)
    run(services)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert [revision.note for revision in check.revisions] == [None, None]
        assert [proposal.content for proposal in check.proposals] == [None, None]
        for revision in check.revisions:
            _, read_note, reason = describe_revision(services.secret_box, check, revision)
            assert read_note == ""
            assert reason == "The employer was wrong"


def test_correction_that_waits_for_a_second_person_stays(
    services: Services, clock: ManualClock
) -> None:
    public_id = completed_check(services, jobs=30)
    with services.db.writing() as session:
        check, now = Check.find(session, public_id), services.now()
        set_second_person(check.account, ALWAYS)
        form = RevisionForm("jobs", "clear", "", "", "The employer was wrong")
        assert not revise(session, services.secret_box, check, form, ACTOR, now)
    clock.advance(31 * DAY)
    assert previewed(services) == []
    run(services)
    assert "employers" in stored_details(services, public_id)


def test_referees_and_answers_of_vendors_go_with_their_screening(
    services: Services, clock: ManualClock
) -> None:
    screenings = (REFEREE_SCREENING, VENDOR_SCREENING)
    public_id = place_consented_check(
        services, *(entry | {"retention_days": 30} for entry in screenings)
    )
    with services.db.writing() as session:
        check, box = Check.find(session, public_id), services.secret_box
        vendor_order = find_vendor_order(session, check.id, "record")
        assert vendor_order
        vendor_order.set_result(box, VendorResult("consider", "A text of quassia"))
        for key in ("references", "record"):
            check.record_finding(session, box, key, "clear", "", ACTOR, services.now())
        check.conclude(session, box, ACTOR, services.now())
    clock.advance(31 * DAY)
    run(services)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert list_requests(session, check.id) == []
        vendor_order = find_vendor_order(session, check.id, "record")
        assert vendor_order
        assert vendor_order.get_result(services.secret_box) is None
        assert [finding.status for finding in check.findings] == ["clear", "clear"]
