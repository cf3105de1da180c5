"""Replacing a secret key: everything is encrypted anew, and the old key can be removed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, select, update

from provider.core.accounts import Account, Caller
from provider.core.kinds import KINDS
from provider.core.kinds.check import CandidateDetail, Check
from provider.core.kinds.check.tables import check_document
from provider.core.kinds.check.tables.check_document import (
    DELETED,
    PAGE,
    SMALL_PAGE,
    CheckDocument,
    read_page,
)
from provider.core.orders import Accommodation, Candidate, Order, Placement, orders_of_person, place
from provider.errors import Conflict, Unavailable
from provider.maintenance import (
    KeyRenewal,
    count_key_use,
    create_backup,
    erase_order,
    renew_keys,
)
from provider.maintenance.media_copy import CopyReport, copy_files, list_media_references
from provider.maintenance.media_lock import copying_files, replacing_files
from provider.outbox import DELIVERED, Message
from provider.services import Services
from provider.storage.database import Base
from provider.storage.encrypted import (
    Encrypted,
    KeyedDigest,
    encrypted_columns,
    primary_key,
    read_row_name,
    select_with_row_names,
)
from provider.storage.encrypted_files import read_key_id, renew_encrypted
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox
from tests import check_document_factories, check_factories, encrypted_rows
from tests.factories import build_services
from tests.maintenance.backup_processes import ignore_progress

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"
OLD, NEW = b"k" * 32, b"n" * 32
OLD_ID, NEW_ID = SecretBox([OLD, NEW]).key_ids
# Binary columns that no secret key has made: digests of random tokens, and public content.
PLAIN_COLUMNS = {
    *("account_logos.content", "account_tokens.token_hash", "connect_states.digest"),
    *("connect_states.session_digest", "links.token_hash", "messages.body_digest"),
    *("order_sessions.token_hash", "referee_requests.token_hash", "sign_in_attempts.key"),
    *("sign_in_challenges.browser_digest", "sign_in_challenges.digest", "staff_links.digest"),
    *("staff_known_origins.key", "staff_passkeys.credential_data", "staff_passkeys.credential_id"),
    "staff_sessions.token_hash",
}
# Those of e-mail addresses are computed anew. The others cannot be: `count_fixed_digests`.
KEYED_DIGESTS = {
    *("accommodations.email_digest", "candidates.email_digest", "erased_orders.key_digest"),
    *("integrity_signals.network_digest", "staff_recovery_codes.digest"),
}


class InterveningBox(SecretBox):
    """A secret box that calls `intervene` once, before the ciphertext for `row_name` is made."""

    row_name = ""
    intervene: Callable[[], None]

    def encrypt_bytes(self, data: bytes, row_name: str) -> bytes:
        if row_name == self.row_name:
            self.row_name = ""
            self.intervene()
        return super().encrypt_bytes(data, row_name)


@contextmanager
def opened_with(services: Services, *keys: bytes) -> Iterator[Services]:
    """Open the same instance with other secret keys."""
    opened = build_services(replace(services.settings, secret_keys=keys), services.clock)
    try:
        yield opened
    finally:
        opened.db.close()


def renew(services: Services, secret_box: SecretBox | None = None) -> KeyRenewal:
    box = secret_box or services.secret_box
    return renew_keys(services.db, services.media, box, ignore_progress)


def needed_keys(services: Services) -> set[bytes]:
    use = count_key_use(services.db, services.media, services.secret_box)
    return {key_id for key_id in use.key_ids if use.is_needed(key_id)}


def decrypt_all(services: Services) -> Mapping[str, Sequence[bytes]]:
    """Return the plain values of every encrypted column."""
    values: dict[str, list[bytes]] = {}
    with services.db.reading() as session:
        for column in encrypted_columns(Base.metadata):
            query = select_with_row_names(column).where(column.is_not(None))
            values[str(column)] = [
                services.secret_box.decrypt_bytes(row._mapping[column], read_row_name(column, row))
                for row in session.execute(query.order_by(*primary_key(column)))
            ]
    return values


def read_files(services: Services) -> dict[str, bytes]:
    keys = check_document_factories.stored_keys(services)
    return {key: read_page(services.media, services.secret_box, key) for key in keys}


def find_wrong_digests(services: Services) -> list[str]:
    """Return the files whose digest is not the one that their row has."""
    references = KINDS["check"].media
    assert references
    with services.db.reading() as session:
        return [
            reference.key
            for reference in references.list_references(session)
            if reference.sha256 and reference.sha256 != _digest(services.media, reference.key)
        ]


def _digest(media: MediaStore, key: str) -> str:
    return sha256(b"".join(media.read_range(key, 0, media.size(key)))).hexdigest()


def place_again(services: Services, order_id: str, **changes: Any) -> str | None:
    """Place an order again as its ATS would, with these changes."""
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        candidate = order.candidate
        placement = Placement(
            product=order.product.public_id,
            external_key=order.external_key,
            email=candidate.email,
            first_name=candidate.first_name,
            last_name=candidate.last_name,
            phone=candidate.phone,
            job_title=order.job_title,
            job_reference=order.job_reference,
            preferences=order.preferences,
            reply_context=order.reply_context,
        )
        placement, caller = replace(placement, **changes), Caller.from_account(order.account)
        box, now = services.secret_box, services.now()
        return place(session, box, ("check",), placement, caller, now)


def test_every_binary_column_says_whether_a_key_made_it() -> None:
    columns = [column for table in Base.metadata.sorted_tables for column in table.columns]
    binary = [column for column in columns if isinstance(column.type, LargeBinary)]
    digests = {str(column) for column in binary if isinstance(column.type, KeyedDigest)}
    assert digests == KEYED_DIGESTS
    others = {
        str(column) for column in binary if not isinstance(column.type, (Encrypted, KeyedDigest))
    }
    assert others == PLAIN_COLUMNS


def test_old_key_is_removed_after_a_renewal_and_all_is_read(services: Services) -> None:
    check_id = encrypted_rows.fill(services)
    values, files = decrypt_all(services), read_files(services)
    assert [name for name, column in values.items() if not column] == []
    assert len(files) == 2
    assert needed_keys(services) == {OLD_ID}
    with opened_with(services, NEW, OLD) as both:
        assert needed_keys(both) == {OLD_ID}
        assert find_wrong_digests(both) == []
        renewal = renew(both)
        assert renewal.values == sum(map(len, values.values()))
        assert (renewal.files, +renewal.problems) == (2, {})
        assert (renewal.digests.emails, renewal.digests.orders) == (2, 1)
        assert needed_keys(both) == {NEW_ID}
    with opened_with(services, NEW) as new:
        assert decrypt_all(new) == values
        assert read_files(new) == files
        assert find_wrong_digests(new) == []
        assert place_again(new, check_id) == check_id
        with pytest.raises(Conflict):
            place_again(new, check_id, job_title="Another job")
        with new.db.reading() as session:
            check = Check.find(session, check_id)
            box, email = new.secret_box, check.candidate.email
            found = orders_of_person(session, box, check.account_id, email)
            assert [order.public_id for order in found] == [check_id]
            digests = set(session.scalars(select(Accommodation.email_digest)))
            assert digests == {check.candidate.email_digest}
            assert check.decrypt_details(box)
            (consent,) = check.consents
            assert check.consent_view(box, consent).name == check_factories.SIGNED_NAME
            check.reported_findings(box)
    with opened_with(services, OLD) as old, pytest.raises(Unavailable):
        decrypt_all(old)


def test_renewal_that_was_interrupted_goes_on(services: Services) -> None:
    encrypted_rows.fill(services)
    values = decrypt_all(services)

    def interrupt(_: str, done: int, total: int) -> None:
        if done == total // 2:
            raise KeyboardInterrupt

    with opened_with(services, NEW, OLD) as both:
        with pytest.raises(KeyboardInterrupt):
            renew_keys(both.db, both.media, both.secret_box, interrupt)
        assert needed_keys(both) == {OLD_ID, NEW_ID}
        assert decrypt_all(both) == values
        rest = renew(both)
        assert 0 < rest.values < sum(map(len, values.values()))
        assert needed_keys(both) == {NEW_ID}
        again = renew(both)
        assert (again.values, again.files, vars(again.digests)) == (
            0,
            0,
            {"emails": 0, "orders": 0, "changed_orders": 0},
        )
    with opened_with(services, NEW) as new:
        assert decrypt_all(new) == values


def test_value_that_changes_meanwhile_is_not_overwritten(services: Services) -> None:
    check_id = encrypted_rows.fill(services)
    path = f"orders/{check_id}/date_of_birth"
    is_changed = CandidateDetail.name == "date_of_birth"
    with opened_with(services, NEW, OLD) as both:
        box = InterveningBox([NEW, OLD])

        def change() -> None:
            with both.db.writing() as session:
                newer = services.secret_box.encrypt("newer", path)  # a server with the old key
                session.execute(
                    update(CandidateDetail).where(is_changed).values(value_encrypted=newer)
                )

        box.row_name, box.intervene = path, change
        renew(both, box)
        assert box.row_name == ""
        with both.db.reading() as session:
            value = session.scalars(select(CandidateDetail.value_encrypted).where(is_changed)).one()
        assert both.secret_box.decrypt(value, path) == "newer"
        assert needed_keys(both) == {OLD_ID, NEW_ID}
        assert renew(both).values == 1
        assert needed_keys(both) == {NEW_ID}


@pytest.mark.postgresql  # SQLite locks no rows
def test_locked_row_is_left_for_the_next_run(services: Services) -> None:
    encrypted_rows.fill(services)
    with opened_with(services, NEW, OLD) as both:
        with both.db.engine.connect() as connection, connection.begin():
            connection.execute(select(Order.__table__.c.id).with_for_update())
            connection.execute(select(Candidate.id).with_for_update())
            connection.execute(select(Account.id).with_for_update())
            first = renew(both)
        assert first.digests.orders == 0
        assert needed_keys(both) == {OLD_ID, NEW_ID}
        second = renew(both)
        assert (second.values, second.digests.orders, second.digests.emails) == (1, 1, 1)
        assert needed_keys(both) == {NEW_ID}


def test_order_whose_name_was_corrected_keeps_its_old_digest(services: Services) -> None:
    check_id = encrypted_rows.fill(services)
    with opened_with(services, NEW, OLD) as both:
        with both.db.writing() as session:
            Check.find(session, check_id).candidate.first_name = "Corrected"
        renewal = renew(both)
        assert (renewal.digests.orders, renewal.digests.changed_orders) == (0, 1)
        assert needed_keys(both) == {NEW_ID}
    with opened_with(services, NEW) as new:  # nobody can compare: the product is enough
        assert place_again(new, check_id, first_name="Lakita") == check_id
        product = check_factories.create_package(new, "other", "Other")
        with pytest.raises(Conflict):
            place_again(new, check_id, product=product)


def test_document_of_an_interrupted_renewal_gets_its_digests(services: Services) -> None:
    check_id = check_document_factories.place_check(services)
    document_id = check_document_factories.send_document(services, check_id)
    files = read_files(services)
    (document,) = check_document_factories.documents_of(services, check_id)
    with opened_with(services, NEW, OLD) as both:
        # As after a crash: the page is new, its row is not.
        renew_encrypted(both.media, both.secret_box, document.page_key(1))
        assert find_wrong_digests(both) == [document.page_key(1)]
        assert renew(both).files == 1
        assert find_wrong_digests(both) == []
        assert read_key_id(both.media, f"check-documents/{document_id}/small-1") == NEW_ID
    with opened_with(services, NEW) as new:
        assert read_files(new) == files


def test_page_that_fails_is_found_again_by_the_next_run(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_id = check_document_factories.place_check(services)
    check_document_factories.send_document(services, check_id)
    files = read_files(services)

    def store_and_lose_the_answer(media: MediaStore, box: SecretBox, key: str) -> None:
        renew_encrypted(media, box, key)
        raise Unavailable("The connection broke")

    with opened_with(services, NEW, OLD) as both:
        with monkeypatch.context() as patch:
            patch.setattr(check_document, "renew_encrypted", store_and_lose_the_answer)
            assert renew(both).problems["files"] == 2
        renew(both)
        assert find_wrong_digests(both) == []
        assert needed_keys(both) == {NEW_ID}
    with opened_with(services, NEW) as new:
        assert read_files(new) == files


def test_backup_and_renewal_exclude_each_other(services: Services, tmp_path: Path) -> None:
    def back_up() -> None:
        args = services.settings, tmp_path / "backup", services.now(), ignore_progress
        create_backup(services.db, services.media, *args)

    with replacing_files(services.db):
        with pytest.raises(Conflict, match="key reencrypt` runs"):
            back_up()
        with pytest.raises(Conflict, match="A backup or another"):
            renew(services)
    assert not (tmp_path / "backup").exists()
    with copying_files(services.db):
        with pytest.raises(Conflict, match="A backup or another"):
            renew(services)
        back_up()
    renew(services)


def test_copy_of_a_renewed_file_is_copied_again(services: Services, tmp_path: Path) -> None:
    check_id = check_document_factories.place_check(services)
    check_document_factories.send_document(services, check_id)
    target = MediaStore(f"file:{tmp_path / 'target'}")

    def copy(services: Services) -> CopyReport:
        with services.db.reading() as session:
            references = list(list_media_references(session))
        return copy_files(references, services.media, target, ignore_progress)

    assert copy(services).problems == {}
    with opened_with(services, NEW, OLD) as both:
        renew(both)
        assert copy(both).problems == {}
        keys = check_document_factories.stored_keys(both)
        assert {read_key_id(target, key) for key in keys} == {NEW_ID}


@pytest.mark.parametrize("variant", [PAGE, SMALL_PAGE])
@pytest.mark.parametrize("is_order_erased", [True, False])
def test_document_that_is_deleted_meanwhile_leaves_no_file(
    services: Services, is_order_erased: bool, variant: str
) -> None:
    check_id = check_document_factories.place_check(services)
    check_document_factories.send_document(services, check_id)
    with services.db.writing() as session:
        Check.find(session, check_id).cancel(session, ACTOR, "Gone", services.now())
        session.flush()
        session.execute(update(Message).values(state=DELIVERED, settled_at=services.now()))
    (document,) = check_document_factories.documents_of(services, check_id)
    with opened_with(services, NEW, OLD) as both:
        box = InterveningBox([NEW, OLD])

        def delete() -> None:
            if is_order_erased:
                args = both.db, both.media, both.secret_box, check_id
                erase_order(*args, actor=ACTOR, now=both.now())
                return
            with both.db.writing() as session:
                session.execute(update(CheckDocument).values(state=DELETED))
            both.media.delete_folder(document.folder)

        box.row_name, box.intervene = document.page_key(1, variant), delete
        renew(both, box)
        assert box.row_name == ""
        assert check_document_factories.stored_keys(both) == []


def test_values_of_a_missing_key_are_counted_and_stay(services: Services) -> None:
    encrypted_rows.fill(services)
    with opened_with(services, NEW) as new:
        renewal = renew(new)
        assert (renewal.values, renewal.files, renewal.digests.emails) == (0, 0, 2)
        assert renewal.problems["files"] == 2
        assert renewal.problems["consents.name"] == 1
        assert OLD_ID in needed_keys(new)
    assert decrypt_all(services)


def test_correction_of_another_field_keeps_a_renewed_digest(services: Services) -> None:
    encrypted_rows.fill(services)
    with services.db.writing() as session:
        # As in a request that has read the candidate before the digests were renewed.
        candidate = session.scalars(
            select(Candidate).join(Order).join(Accommodation, Accommodation.order_id == Order.id)
        ).one()
        session.execute(update(Accommodation).values(email_digest=b"renewed"))
        candidate.phone = "+44 20 7946 0000"
        session.flush()
        assert session.scalars(select(Accommodation.email_digest)).all() == [b"renewed"]
        candidate.email_digest = b"corrected"
        session.flush()
        assert session.scalars(select(Accommodation.email_digest)).all() == [b"corrected"]
