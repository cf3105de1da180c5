"""The data of a check that a refusal deletes, and those that stay."""

import pytest

from provider.core.kinds.check import Check
from provider.core.kinds.check.documents import stored_documents
from provider.errors import Conflict
from provider.services import Services
from tests import check_document_factories as documents
from tests import check_factories

ACTOR = "sam@provider.test"

pytestmark = pytest.mark.both


@pytest.fixture
def public_id(services: Services) -> str:
    """A check whose candidate has typed details and sent a document."""
    placed = documents.place_check(services)
    documents.send_document(services, placed)
    with services.db.writing() as session:
        check = Check.find(session, placed)
        check.own_case.country = "US"
        check.save_details(services.secret_box, check_factories.FORM_VALUES)
    return placed


def decline(services: Services, public_id: str) -> list[str]:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        return list(check.decline(session, "No time", services.now()))


def given(services: Services, public_id: str) -> tuple[int, int, str]:
    """Return the number of details and of documents, and the country."""
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        return len(check.candidate_details), len(stored_documents(session, check)), check.country


def event_types(services: Services, public_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Check.find(session, public_id).events]


def test_refusal_deletes_what_was_given_and_keeps_its_record(
    services: Services, public_id: str
) -> None:
    (document,) = documents.documents_of(services, public_id)
    assert decline(services, public_id) == [document.folder]
    assert given(services, public_id) == (0, 0, "")
    assert event_types(services, public_id)[-2:] == ["declined", "declined data deleted"]
    with pytest.raises(Conflict):
        decline(services, public_id)


def test_refusal_without_data_records_no_deletion(services: Services) -> None:
    public_id = documents.place_check(services)
    assert decline(services, public_id) == []
    assert event_types(services, public_id)[-1] == "declined"


def test_refusal_of_another_check_deletes_nothing(services: Services, public_id: str) -> None:
    other = documents.place_check(services, "Rival Corp")
    decline(services, other)
    assert given(services, public_id) == (1, 1, "US")


def test_check_on_hold_keeps_the_data_until_its_release(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Check.find(session, public_id).hold(session, ACTOR, "Court", services.now())
    assert decline(services, public_id) == []
    assert given(services, public_id) == (1, 1, "US")
    with services.db.writing() as session:
        Check.find(session, public_id).release(session, ACTOR, "Over", services.now())
    assert given(services, public_id) == (0, 0, "")


def test_reopened_check_keeps_its_consent_when_it_is_declined(
    services: Services, public_id: str
) -> None:
    check_factories.give_consent(services, public_id)
    outcomes = {"identity": "clear", "dbs": "clear", "record": "clear"}
    check_factories.record_findings(services, public_id, outcomes)
    check_factories.complete_check(services, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        check.reopen(session, services.secret_box, ACTOR, "Again", services.now())
    decline(services, public_id)
    assert given(services, public_id) == (0, 0, "US")  # the proof of the consent names it
    with services.db.reading() as session:
        assert len(Check.find(session, public_id).consents) == 1
