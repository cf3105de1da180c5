"""Documents with a dispute: before it is sent, while it is open, afterwards, and their deletion."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider.core.kinds.check import Check
from provider.core.kinds.check.dispute_documents import (
    MAX_DISPUTE_FILES,
    current_documents,
    remove_dispute_document,
)
from provider.core.kinds.check.disputes import find_open_dispute, retract_dispute
from provider.core.kinds.check.documents import stored_documents
from provider.core.kinds.check.tables.check_document import DISCARD_LOST_DOCUMENTS, CheckDocument
from provider.errors import Conflict, Invalid, NotFound
from provider.maintenance.erasure import erase_order
from provider.services import Services
from tests import check_document_factories as documents
from tests import check_factories
from tests.check_status_factories import dispute
from tests.core.kinds.check.test_check import event_types
from tests.core.kinds.check.test_screening_retention import (
    completed_check as completed_check_with_times,
)
from tests.core.kinds.check.test_screening_retention import run as run_retention
from tests.factories import ManualClock
from tests.maintenance.test_erasure import deliver_everything

DAY = timedelta(days=1)


@pytest.fixture
def public_id(services: Services) -> str:
    return check_factories.completed_check(services)


def current_ids(services: Services, public_id: str, screening: str = "jobs") -> list[str]:
    with services.db.reading() as session:
        rows = current_documents(session, Check.find(session, public_id), screening)
        return [row.public_id for row in rows]


def retract(services: Services, public_id: str, screening: str = "jobs") -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        row = find_open_dispute(check, screening)
        assert row
        retract_dispute(session, check, row, services.now())


@pytest.mark.both
def test_documents_before_the_dispute_are_sent_with_it(services: Services, public_id: str) -> None:
    document_id = documents.send_dispute_document(services, public_id)
    other_id = documents.send_dispute_document(services, public_id, "identity")
    assert "document sent" not in event_types(services, public_id)
    assert all(row.is_draft for row in documents.dispute_documents(services, public_id))
    dispute_id = dispute(services, public_id)
    rows = {row.public_id: row.dispute for row in documents.dispute_documents(services, public_id)}
    assert rows == {document_id: dispute_id, other_id: ""}
    later_id = documents.send_dispute_document(services, public_id, content=documents.png())
    assert current_ids(services, public_id) == [document_id, later_id]
    assert event_types(services, public_id)[-2:] == ["dispute opened", "document sent"]
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.events[-1].note == "Dispute: Employment history, file 2"
        assert stored_documents(session, check) == [], "no screening has asked for them"


def test_documents_of_an_ended_dispute_stay_with_it(services: Services, public_id: str) -> None:
    document_id = documents.send_dispute_document(services, public_id)
    dispute(services, public_id)
    retract(services, public_id)
    assert current_ids(services, public_id) == []
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        with pytest.raises(NotFound):
            remove_dispute_document(session, check, "jobs", document_id, services.now())
    dispute(services, public_id, text="Once more")
    assert current_ids(services, public_id) == []
    assert len(documents.dispute_documents(services, public_id)) == 1


def test_dispute_takes_a_limited_number_of_files(services: Services, public_id: str) -> None:
    documents.send_dispute_document(services, public_id)
    documents.send_dispute_document(services, public_id)  # the same file again changes nothing
    assert len(current_ids(services, public_id)) == 1
    for width in range(60, 60 + MAX_DISPUTE_FILES - 1):
        content = documents.jpeg(width=width)
        documents.send_dispute_document(services, public_id, content=content)
    with pytest.raises(Invalid, match="You have sent 5 files"):
        documents.send_dispute_document(services, public_id, content=documents.png())
    folders = {key.split("/")[1] for key in documents.stored_keys(services)}
    assert folders == set(current_ids(services, public_id)), "the refused files are deleted"


def test_removed_document_frees_its_number(services: Services, public_id: str) -> None:
    first_id = documents.send_dispute_document(services, public_id)
    documents.send_dispute_document(services, public_id, content=documents.png())
    with services.db.writing() as session:
        check, now = Check.find(session, public_id, lock=True), services.now()
        folder = remove_dispute_document(session, check, "jobs", first_id, now)
    assert folder == f"check-documents/{first_id}"
    documents.send_dispute_document(services, public_id, content=documents.webp())
    assert [row.number for row in documents.dispute_documents(services, public_id)] == [2, 1]


def test_document_before_completion_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id)
    with pytest.raises(Conflict, match="once the check is complete"):
        documents.send_dispute_document(services, public_id)
    with pytest.raises(NotFound):
        documents.send_dispute_document(services, public_id, "nothing")
    assert documents.stored_keys(services) == []


@pytest.mark.machine_time  # the store dates its files by the machine's clock
def test_reopening_deletes_documents_of_disputes(
    services: Services, public_id: str, clock: ManualClock
) -> None:
    documents.send_dispute_document(services, public_id)
    dispute(services, public_id)
    with services.db.writing() as session:
        check, box = Check.find(session, public_id), services.secret_box
        check.reopen(session, box, "sam@provider.test", "Again", services.now())
    assert documents.dispute_documents(services, public_id) == []
    clock.advance(DAY + timedelta(minutes=1))
    DISCARD_LOST_DOCUMENTS.run(services)
    assert documents.stored_keys(services) == []


@pytest.mark.both
def test_documents_of_a_dispute_go_with_their_screening(
    services: Services, clock: ManualClock
) -> None:
    public_id = completed_check_with_times(services, jobs=30, identity=10)
    for screening in ("jobs", "identity"):
        documents.send_dispute_document(services, public_id, screening)
    draft_id = documents.send_dispute_document(services, public_id, "record")
    dispute(services, public_id)
    dispute(services, public_id, "identity")
    clock.advance(100 * DAY)
    run_retention(services)
    assert {row.state for row in documents.dispute_documents(services, public_id)} == {"received"}
    retract(services, public_id)
    retract(services, public_id, "identity")
    run_retention(services)
    states = {row.screening: row.state for row in documents.dispute_documents(services, public_id)}
    assert states == {"jobs": "deleted", "identity": "deleted", "record": "received"}
    assert {key.split("/")[1] for key in documents.stored_keys(services)} == {draft_id}


@pytest.mark.both
def test_erasure_deletes_documents_of_disputes(services: Services, public_id: str) -> None:
    documents.send_dispute_document(services, public_id)
    dispute(services, public_id)
    documents.send_dispute_document(services, public_id, "identity")
    deliver_everything(services)
    box, now = services.secret_box, services.now()
    erasure = erase_order(services.db, services.media, box, public_id, actor="system", now=now)
    assert erasure.rows["check_documents"] == 2
    assert documents.stored_keys(services) == []
    with services.db.reading() as session:
        assert session.scalars(select(CheckDocument)).all() == []
