"""Ready statements: the driver's speed, SQLAlchemy's types, defaults and errors."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from traceback import format_exception
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import bindparam, create_engine, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.staff import SignInAttempt
from provider.services import Services
from provider.storage.compiled import CompiledQuery
from provider.storage.database import Database, insert_row

pytestmark = pytest.mark.both

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ACCOUNTS = Account.__table__.c
NAMED = CompiledQuery(
    select(ACCOUNTS.id, ACCOUNTS.callback_hosts, ACCOUNTS.created_at, ACCOUNTS.sandbox).where(
        ACCOUNTS.name == bindparam("name"), ACCOUNTS.ats == "workable"
    )
)


@pytest.fixture
def db(services: Services) -> Database:
    return services.db


def test_a_row_is_written_and_read_by_the_types_of_its_columns(db: Database) -> None:
    athens = AT.astimezone(timezone(timedelta(hours=2)))
    with db.writing() as session:
        key = insert_row(
            session,
            Account,
            name="Groove Tech",
            ats="workable",
            callback_hosts=["a", "b"],
            created_at=athens,
        )
        assert NAMED.fetch_one(session, {"name": "Groove Tech"}) == (key, ["a", "b"], AT, False)
    with db.reading() as session:
        account = session.get_one(Account, key)
        assert (account.created_at, account.callback_hosts) == (AT, ["a", "b"])


def test_what_an_insert_is_not_told_is_the_columns_default_or_null(db: Database) -> None:
    with db.writing() as session:
        first, second = (
            insert_row(session, Account, name=name, ats="workable", created_at=AT) for name in "ab"
        )
    with db.reading() as session:
        one, two = (session.get_one(Account, key) for key in (first, second))
        assert (one.expire_after_seconds, one.options, one.shared_ttl) == (7 * 86400, {}, None)
        assert len(one.public_id) == 22
        assert one.public_id != two.public_id
        assert one.options is not two.options


def test_a_moment_without_a_zone_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="a moment needs its zone"), db.writing() as session:
        insert_row(session, SignInAttempt, key=b"x", attempted_at=datetime(2026, 11, 23, 9, 0))


def test_a_value_that_is_not_told_is_an_error_and_not_null(db: Database) -> None:
    with db.reading() as session, pytest.raises(KeyError, match="name"):
        NAMED.fetch_all(session, {})


def test_what_is_pending_is_written_first(db: Database) -> None:
    with db.writing() as session:
        session.add(Account(name="Groove Tech", ats="workable", created_at=AT))
        assert NAMED.fetch_one(session, {"name": "Groove Tech"}) is not None


def test_a_session_that_goes_on_after_its_commit_writes_into_the_next_transaction(
    db: Database,
) -> None:
    with Session(db.engine) as session:
        insert_row(session, Account, name="a", ats="workable", created_at=AT)
        session.commit()
        insert_row(session, Account, name="b", ats="workable", created_at=AT)
        session.rollback()
        assert NAMED.fetch_one(session, {"name": "a"}) is not None
        assert NAMED.fetch_one(session, {"name": "b"}) is None


def test_a_glance_sees_what_was_committed_and_keeps_nothing_open(db: Database) -> None:
    with db.raw_read() as glance:
        assert NAMED.fetch_one(glance, {"name": "a"}) is None
    with db.writing() as session:
        insert_row(session, Account, name="a", ats="workable", created_at=AT)
    with db.raw_read() as glance:
        assert len(NAMED.fetch_all(glance, {"name": "a"})) == 1
        assert not in_transaction(glance.pooled_connection.dbapi_connection)


def in_transaction(connection: Any) -> bool:
    if isinstance(connection, psycopg.Connection):
        return connection.info.transaction_status != TransactionStatus.IDLE
    return bool(connection.in_transaction)


def test_nothing_can_be_written_through_a_glance(db: Database) -> None:
    told = {"key": b"x", "at": AT}
    ready = CompiledQuery(SignInAttempt.__table__.insert(), told)  # type: ignore[attr-defined]
    with db.raw_read() as glance, pytest.raises(DBAPIError, match=r"read-?only"):
        ready.insert(glance, told)


def by_the_driver(session: Session) -> None:
    insert_row(session, Account, name="Groove Tech", ats="workable", created_at=AT)


def by_an_object(session: Session) -> None:
    session.add(Account(name="Groove Tech", ats="workable", created_at=AT))


def by_many_rows(session: Session) -> None:
    row = {"name": "Groove Tech", "ats": "workable", "created_at": AT}
    session.connection().execute(Account.metadata.tables["accounts"].insert(), [row, row])


@pytest.mark.parametrize("write", [by_the_driver, by_an_object, by_many_rows])
def test_an_error_is_sqlalchemys_and_tells_no_values(
    db: Database, write: Callable[[Session], None]
) -> None:
    with db.writing() as session:
        by_the_driver(session)
    with pytest.raises(IntegrityError) as caught, db.writing() as session:
        write(session)
    said = "".join(format_exception(caught.value))
    assert re.search(r"accounts\.name|uq_accounts_name", said)
    assert "Groove Tech" not in said.replace('name="Groove Tech"', "")  # in our own source


def test_a_driver_that_takes_values_by_name_is_given_names() -> None:
    engine = create_engine("sqlite://", paramstyle="named")
    Account.metadata.create_all(engine)
    with Session(engine) as session:
        key = insert_row(session, Account, name="a", ats="workable", created_at=AT)
        assert NAMED.fetch_all(session, {"name": "a"}) == [(key, [], AT, False)]
        assert NAMED.fetch_all(session, {"name": "b"}) == []
    engine.dispose()
