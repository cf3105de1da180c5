"""The audit log: what an entry contains, and that it is append-only."""

from contextlib import closing

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.accounts import Account
from provider.core.audit import Action, AuditEntry
from provider.core.staff import record_failed_sign_in
from provider.services import Services
from provider.storage.database import Database
from tests import factories

pytestmark = pytest.mark.both


def record(session: Session, services: Services, **fields: dict[str, object]) -> None:
    audit.record(
        session,
        "sam@provider.test",
        Action.ORDER_CANCELLED,
        "order:x",
        now=services.now(),
        **fields,
    )


def read_entries(services: Services) -> list[AuditEntry]:
    with services.db.reading() as session:
        return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def test_entry_has_only_the_changed_fields(services: Services) -> None:
    with services.db.writing() as session:
        record(session, services, before={"a": 1, "b": [2], "c": 3}, after={"a": 1, "b": [4]})
    (entry,) = read_entries(services)
    assert (entry.at, entry.actor) == (services.now(), "sam@provider.test")
    assert (entry.action, entry.subject) == ("order.cancelled", "order:x")
    assert (entry.before, entry.after) == ({"b": [2], "c": 3}, {"b": [4]})
    assert audit.list_changes(entry.before, entry.after) == [("b", [2], [4]), ("c", 3, None)]


def test_act_that_changes_nothing_leaves_no_entry(services: Services) -> None:
    with services.db.writing() as session:
        record(session, services, before={"a": 1}, after={"a": 1})
    assert read_entries(services) == []


def test_entry_is_rolled_back_with_its_act(services: Services) -> None:
    def fail_after_entry() -> None:
        with services.db.writing() as session:
            record(session, services)
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_entry()
    assert read_entries(services) == []


@pytest.mark.parametrize(
    "statement", [update(AuditEntry).values(actor="nobody"), delete(AuditEntry)]
)
def test_entry_cannot_be_changed_or_deleted(services: Services, statement: object) -> None:
    with services.db.writing() as session:
        record(session, services)
    with pytest.raises(DBAPIError, match="append-only"), services.db.writing() as session:
        session.execute(statement)  # type: ignore[call-overload]
    assert [entry.actor for entry in read_entries(services)] == ["sam@provider.test"]


def test_postgresql_log_cannot_be_truncated(postgres_url: str) -> None:
    with (
        closing(Database(postgres_url)) as db,
        pytest.raises(DBAPIError, match="append-only"),
        db.writing() as session,
    ):
        session.execute(text("TRUNCATE audit_log"))


def test_account_fields_have_no_secret(services: Services) -> None:
    factories.create_account(services, callback_token="cb-token")
    with services.db.reading() as session:
        fields = Account.get_by_name(session, "Groove Tech").audit_fields()
    assert {"name", "callback_hosts", "sandbox", "branding", "options"} <= set(fields)
    assert not {"callback_token", "tokens"} & set(fields)


def test_failed_sign_in_stores_only_emails_of_staff(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        for email in ("Sam@provider.test", "my-secret-password"):
            record_failed_sign_in(session, email, "192.0.2.7", services.now())
    entries = [(entry.actor, entry.action, entry.subject) for entry in read_entries(services)]
    assert entries == [
        ("system", "staff.sign_in_failed", "staff:sam@provider.test"),
        ("system", "staff.sign_in_failed", "staff:unknown"),
    ]
