"""The documents of a check: storage, encryption, quotas, requests, erasure and lost files."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds.check import Check, IncompleteForm
from provider.core.kinds.check import documents as documents_module
from provider.core.kinds.check.documents import (
    add_document,
    ask_again,
    find_document,
    finish_documents,
    missing_slots,
    open_slots,
    require_label,
    require_open_slot,
    stored_upload,
)
from provider.core.kinds.check.packages.document_slots import DOCUMENT_LABELS, DOCUMENT_SLOTS
from provider.core.kinds.check.tables.check_document import (
    DISCARD_LOST_DOCUMENTS,
    UNREADABLE,
    CheckDocument,
    read_page,
)
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.maintenance.erasure import delete_recordings, erase_order
from provider.maintenance.media_copy import list_media_references
from provider.maintenance.person_export import export_person
from provider.maintenance.prune_media import find_unreferenced_files
from provider.services import Services
from provider.storage.secrets import SecretBox
from tests import check_document_factories as factories
from tests import check_factories
from tests.factories import ManualClock
from tests.maintenance.test_erasure import deliver_everything


@pytest.fixture
def public_id(services: Services) -> str:
    return factories.place_check(services)


def page_of(services: Services, document_id: str, secret_box: SecretBox | None = None) -> bytes:
    key = f"check-documents/{document_id}/page-1"
    return read_page(services.media, secret_box or services.secret_box, key)


def test_stored_pages_are_encrypted_for_their_row(services: Services, public_id: str) -> None:
    first, second = (
        factories.send_document(services, public_id, content=content)
        for content in (factories.jpeg(), factories.png())
    )
    assert page_of(services, first).startswith(b"\xff\xd8\xff")
    for key in factories.stored_keys(services):
        stored = b"".join(services.media.read_range(key, 0, services.media.size(key)))
        assert b"JFIF" not in stored
    keys = [f"check-documents/{document_id}/page-1" for document_id in (first, second)]
    size = services.media.size(keys[1])
    services.media.put(keys[0], [b"".join(services.media.read_range(keys[1], 0, size))])
    with pytest.raises(Unavailable, match="does not belong to its row"):
        page_of(services, first)


def test_stored_page_is_read_after_key_rotation(services: Services, public_id: str) -> None:
    old = factories.send_document(services, public_id)
    keys = services.settings.secret_keys
    rotated = replace(services, secret_box=SecretBox([b"n" * 32, *keys]))
    new = factories.send_document(rotated, public_id, content=factories.png())
    assert page_of(rotated, old)
    assert page_of(rotated, new)
    with pytest.raises(Unavailable, match="lacks the key"):
        page_of(services, new)


def test_row_describes_document_and_no_upload_is_stored(services: Services, public_id: str) -> None:
    content = factories.pdf(2)
    document_id = factories.send_document(services, public_id, content=content)
    (document,) = factories.documents_of(services, public_id)
    assert (document.slot, document.number, document.page_count) == ("identity", 1, 2)
    assert document.upload_size == len(content)
    assert factories.stored_keys(services) == [
        f"check-documents/{document_id}/{name}"
        for name in ("page-1", "page-2", "small-1", "small-2")
    ]
    with services.db.reading() as session:
        references = {file.key: file.sha256 for file in list_media_references(session)}
    assert sorted(references) == factories.stored_keys(services)
    assert references[document.page_key(2)] == document.pages[1]["sha256"]


def test_same_file_again_is_not_stored_twice(services: Services, public_id: str) -> None:
    factories.send_document(services, public_id)
    with (
        stored_upload(factories.jpeg(), services.media, services.secret_box, None) as upload,
        services.db.writing() as session,
    ):
        check = Check.find(session, public_id)
        folders = add_document(session, check, "identity", "", upload, services.now())
    assert folders == [f"check-documents/{upload.public_id}"]
    assert len(factories.documents_of(services, public_id)) == 1


def test_slot_and_check_take_a_limited_number_of_files(
    services: Services, public_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (50, 60):
        factories.send_document(services, public_id, content=factories.jpeg(width=width))
    with pytest.raises(Invalid, match="You have sent 2 files"):
        factories.send_document(services, public_id, content=factories.jpeg(width=70))
    monkeypatch.setattr(documents_module, "MAX_FILES", 2)
    with pytest.raises(Invalid, match="You have sent 2 files"):
        factories.send_document(services, public_id, "dbs_group_1", label="passport")
    stored = [document.folder for document in factories.documents_of(services, public_id)]
    folders = {key.rpartition("/")[0] for key in factories.stored_keys(services)}
    assert folders == set(stored), "the refused files are deleted"


def test_replaced_document_keeps_its_number(services: Services, public_id: str) -> None:
    first = factories.send_document(services, public_id)
    factories.send_document(services, public_id, content=factories.jpeg(width=70))
    with (
        stored_upload(factories.png(), services.media, services.secret_box, None) as upload,
        services.db.writing() as session,
    ):
        check, now = Check.find(session, public_id), services.now()
        folders = add_document(session, check, "identity", "", upload, now, replaced_id=first)
    assert folders == [f"check-documents/{first}"]
    numbers = {
        document.public_id: document.number
        for document in factories.documents_of(services, public_id)
    }
    assert numbers[upload.public_id] == 1


@pytest.mark.parametrize("failure", ["store", "row"])
def test_failure_in_the_middle_leaves_nothing(
    services: Services, public_id: str, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    if failure == "store":
        put, calls = services.media.put, []

        def fail_later(key: str, chunks: list[bytes]) -> object:
            calls.append(key)
            if len(calls) > 1:
                raise Unavailable("The disk is full")
            return put(key, chunks)

        monkeypatch.setattr(services.media, "put", fail_later)
    else:
        monkeypatch.setattr(Check, "record_event", lambda *_: 1 / 0)
    with pytest.raises((Unavailable, ZeroDivisionError)):
        factories.send_document(services, public_id)
    assert factories.documents_of(services, public_id) == []
    assert factories.stored_keys(services) == []


@pytest.mark.machine_time  # the store dates its files by the machine's clock
def test_files_without_row_are_collected(
    services: Services, public_id: str, clock: ManualClock
) -> None:
    stored = factories.send_document(services, public_id)
    lost = "check-documents/0123456789abcdefghijkl/page-1"
    services.media.put(lost, [b"x"])
    DISCARD_LOST_DOCUMENTS.run(services)
    assert lost in factories.stored_keys(services), "it may still get its row"
    clock.advance(timedelta(days=1, minutes=1))
    assert [
        key for key, _ in find_unreferenced_files(services.db, services.media, clock.now())
    ] == [lost]
    DISCARD_LOST_DOCUMENTS.run(services)
    assert {key.split("/")[1] for key in factories.stored_keys(services)} == {stored}


def test_open_slots_follow_the_state_of_the_check(services: Services, public_id: str) -> None:
    now = services.now()
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert list(open_slots(check)) == ["identity", "dbs_group_1"]
        assert missing_slots(session, check) == ["identity", "dbs_group_1"]
        with pytest.raises(NotFound):
            require_open_slot(check, "certificate", now)
        with pytest.raises(Conflict, match="no longer open"):
            require_open_slot(check, "identity", now + timedelta(days=400))
    check_factories.give_consent(services, public_id)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert open_slots(check) == {}
        with pytest.raises(Conflict, match="No document is asked of you"):
            require_open_slot(check, "identity", now)


def test_consent_needs_a_readable_document_of_each_kind(services: Services, public_id: str) -> None:
    def sign() -> None:
        with services.db.writing() as session:
            check = Check.find(session, public_id)
            check.give_consent(
                session,
                services.secret_box,
                check_factories.SIGNED_NAME,
                check_factories.FORM_VALUES,
                ip_address="",
                user_agent="",
                now=services.now(),
            )

    factories.send_document(services, public_id)
    document_id = factories.send_document(services, public_id, "dbs_group_1", label="passport")
    with services.db.writing() as session:
        find_document(session, Check.find(session, public_id), document_id).state = UNREADABLE
    with pytest.raises(IncompleteForm) as error:
        sign()
    assert list(error.value.fields) == ["documents"]
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert (check.status, check.consents, check.tasks) == ("pending", [], [])
        assert check.find_missing_documents(session) == ["dbs_group_1"]
    content = factories.png()
    factories.send_document(services, public_id, "dbs_group_1", content, "passport")
    sign()


def test_every_choice_belongs_to_a_slot_and_is_needed() -> None:
    assert set(DOCUMENT_LABELS) <= set(DOCUMENT_SLOTS)
    require_label("dbs_group_1", "passport")
    require_label("identity", "")
    for slot, label in (("dbs_group_1", ""), ("dbs_group_1", "utility_bill"), ("identity", "x")):
        with pytest.raises(Invalid, match="Please choose which document this is"):
            require_label(slot, label)


def test_asking_again_stops_the_clock_until_all_is_sent(
    services: Services, public_id: str, clock: ManualClock
) -> None:
    document_id = factories.send_document(services, public_id)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        due_on = check.find_task("identity").due_on
        document = find_document(session, check, document_id)
        ask_again(session, check, document, "sam@provider.test", clock.now())
        assert list(open_slots(check)) == ["identity"]
        assert (check.progress, check.waiting_for) == ("asked", "candidate")
        with pytest.raises(Conflict, match="No screening at work"):
            ask_again(session, check, document, "sam@provider.test", clock.now())
    assert factories.task_states(services, public_id) == {
        "identity": "asked",
        "dbs": "to do",
        "record": "to do",
    }
    clock.advance(timedelta(days=7))
    with services.db.writing() as session, pytest.raises(Invalid, match="send every document"):
        finish_documents(session, Check.find(session, public_id), clock.now())
    factories.send_document(services, public_id, content=factories.png())
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        finish_documents(session, check, clock.now())
        finish_documents(session, check, clock.now())
        task = check.find_task("identity")
        assert task.state == "to do"
        assert task.clock_stopped_at is None
        assert due_on
        assert task.due_on == due_on + timedelta(days=7)
        assert check.progress == "submitted"
        notes = [event.type for event in check.events if event.type.startswith("document")]
    assert notes == ["document sent", "document refused", "document sent", "documents complete"]


def complete(services: Services, public_id: str) -> None:
    check_factories.give_consent(services, public_id)
    outcomes = {"identity": "clear", "dbs": "clear", "record": "clear"}
    check_factories.record_findings(services, public_id, outcomes)
    check_factories.complete_check(services, public_id)


def test_erasure_deletes_rows_and_files(services: Services, public_id: str) -> None:
    factories.send_document(services, public_id)
    complete(services, public_id)
    deliver_everything(services)
    erasure = erase_order(
        services.db,
        services.media,
        services.secret_box,
        public_id,
        actor="system",
        now=services.now(),
    )
    assert (erasure.files, erasure.rows["check_documents"]) == (2, 1)
    assert factories.stored_keys(services) == []
    with services.db.reading() as session:
        assert session.scalars(select(CheckDocument)).all() == []


def test_end_of_storage_deletes_files_and_leaves_rows(services: Services, public_id: str) -> None:
    factories.send_document(services, public_id)
    complete(services, public_id)
    now = services.now()
    assert delete_recordings(services.db, services.media, public_id, actor="system", now=now) == 2
    assert factories.stored_keys(services) == []
    assert factories.documents_of(services, public_id) == []
    with services.db.reading() as session:
        assert session.scalars(select(CheckDocument.state)).all() == ["deleted"]
        assert list(list_media_references(session)) == []


def test_export_of_person_has_readable_pages(
    services: Services, public_id: str, tmp_path: Path
) -> None:
    document_id = factories.send_document(services, public_id)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        account = session.get_one(Account, check.account_id)
        folder, email = tmp_path / "export", check.candidate.email
        export_person(session, services.media, services.secret_box, account, email, folder)
    page = folder / "files" / "check-documents" / document_id / "page-1"
    assert page.read_bytes() == page_of(services, document_id)
    tables = json.loads((folder / "data.json").read_text())["orders"][0]["tables"]
    assert tables["check_documents"][0]["slot"] == "identity"


def test_group_2_needs_two_different_documents(services: Services) -> None:
    screening = factories.SCREENINGS[0] | {"documents": ["dbs_group_2"]}
    product = check_factories.create_package(services, screenings=[screening])
    public_id = check_factories.place_check(services, product)

    def missing() -> list[str]:
        with services.db.reading() as session:
            return missing_slots(session, Check.find(session, public_id))

    for number, (label, expected) in enumerate(
        (
            ("bank_statement", ["dbs_group_2"]),
            ("bank_statement", ["dbs_group_2"]),  # the other side of the same statement
            ("utility_bill", []),
        )
    ):
        content = factories.jpeg(width=120 + number)
        factories.send_document(services, public_id, "dbs_group_2", content, label)
        assert missing() == expected
