"""Compiled statements: SQLAlchemy's types, defaults and errors on the driver's connection."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from traceback import format_exception
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import bindparam, create_engine, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.staff import SignInAttempt
from provider.services import Services
from provider.storage.compiled import CompiledQuery
from provider.storage.database import Database, insert_row

pytestmark = pytest.mark.both

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
NAME = "Groove Tech"
ACCOUNTS = Account.__table__.c
ACCOUNT_BY_NAME = CompiledQuery(
    select(ACCOUNTS.id, ACCOUNTS.callback_hosts, ACCOUNTS.created_at, ACCOUNTS.sandbox).where(
        ACCOUNTS.name == bindparam("name"), ACCOUNTS.ats == "workable"
    )
)


@pytest.fixture
def db(services: Services) -> Database:
    return services.db


def test_insert_and_select_convert_by_column_types(db: Database) -> None:
    athens = AT.astimezone(timezone(timedelta(hours=2)))
    with db.writing() as session:
        account_id = insert_row(
            session,
            Account,
            name="Groove Tech",
            ats="workable",
            callback_hosts=["a", "b"],
            created_at=athens,
        )
        assert ACCOUNT_BY_NAME.fetch_one(session, {"name": "Groove Tech"}) == (
            account_id,
            ["a", "b"],
            AT,
            False,
        )
    with db.reading() as session:
        account = session.get_one(Account, account_id)
        assert (account.created_at, account.callback_hosts) == (AT, ["a", "b"])


def test_insert_without_value_uses_column_default_or_null(db: Database) -> None:
    with db.writing() as session:
        first, second = (
            insert_row(session, Account, name=name, ats="workable", created_at=AT) for name in "ab"
        )
    with db.reading() as session:
        first_account, second_account = (session.get_one(Account, key) for key in (first, second))
        assert (
            first_account.expire_after_seconds,
            first_account.options,
            first_account.shared_ttl,
        ) == (7 * 86400, {}, None)
        assert len(first_account.public_id) == 22
        assert first_account.public_id != second_account.public_id
        assert first_account.options is not second_account.options


def test_insert_of_naive_datetime_is_refused(db: Database) -> None:
    with (
        pytest.raises(ValueError, match="a datetime needs a time zone"),
        db.writing() as session,
    ):
        insert_row(session, SignInAttempt, key=b"x", attempted_at=datetime(2026, 11, 23, 9, 0))


def test_select_without_parameter_raises_key_error(db: Database) -> None:
    with db.reading() as session, pytest.raises(KeyError, match="name"):
        ACCOUNT_BY_NAME.fetch_all(session, {})


def test_select_in_session_flushes_first(db: Database) -> None:
    with db.writing() as session:
        session.add(Account(name="Groove Tech", ats="workable", created_at=AT))
        assert ACCOUNT_BY_NAME.fetch_one(session, {"name": "Groove Tech"}) is not None


def test_session_after_commit_writes_into_next_transaction(
    db: Database,
) -> None:
    with Session(db.engine) as session:
        insert_row(session, Account, name="a", ats="workable", created_at=AT)
        session.commit()
        insert_row(session, Account, name="b", ats="workable", created_at=AT)
        session.rollback()
        assert ACCOUNT_BY_NAME.fetch_one(session, {"name": "a"}) is not None
        assert ACCOUNT_BY_NAME.fetch_one(session, {"name": "b"}) is None


def test_raw_read_sees_commits_and_leaves_no_transaction_open(db: Database) -> None:
    with db.raw_read() as connection:
        assert ACCOUNT_BY_NAME.fetch_one(connection, {"name": "a"}) is None
    with db.writing() as session:
        insert_row(session, Account, name="a", ats="workable", created_at=AT)
    with db.raw_read() as connection:
        assert len(ACCOUNT_BY_NAME.fetch_all(connection, {"name": "a"})) == 1
        assert not is_in_transaction(connection.pooled_connection.dbapi_connection)


def is_in_transaction(connection: Any) -> bool:
    if isinstance(connection, psycopg.Connection):
        return connection.info.transaction_status != TransactionStatus.IDLE
    return bool(connection.in_transaction)


def test_raw_read_refuses_writes(db: Database) -> None:
    query = CompiledQuery(update(Account).values(name="b").returning(ACCOUNTS.id))
    with db.raw_read() as connection, pytest.raises(DBAPIError, match=r"read-?only"):
        query.fetch_all(connection, {})


def write_row(session: Session) -> None:
    insert_row(session, Account, name="Groove Tech", ats="workable", created_at=AT)


def write_object(session: Session) -> None:
    session.add(Account(name="Groove Tech", ats="workable", created_at=AT))


def write_compiled(session: Session) -> None:
    insert_row(session, Account, name="Acme", ats="workable", created_at=AT)
    query = CompiledQuery(update(Account).values(name=bindparam("new")).returning(ACCOUNTS.id))
    query.fetch_all(session, {"new": NAME})


def write_many_rows(session: Session) -> None:
    row = {"name": "Groove Tech", "ats": "workable", "created_at": AT}
    session.connection().execute(Account.metadata.tables["accounts"].insert(), [row, row])


@pytest.mark.parametrize("write", [write_row, write_compiled, write_object, write_many_rows])
def test_error_is_sqlalchemys_and_shows_no_values(
    db: Database, write: Callable[[Session], None]
) -> None:
    with db.writing() as session:
        write_row(session)
    with pytest.raises(IntegrityError) as error, db.writing() as session:
        write(session)
    text = "".join(format_exception(error.value))
    assert re.search(r"accounts\.name|uq_accounts_name", text)
    assert "Groove Tech" not in text.replace(
        'name="Groove Tech"', ""
    )  # this file is in the traceback


def test_driver_with_named_parameters_gets_names() -> None:
    engine = create_engine("sqlite://", paramstyle="named")
    Account.metadata.create_all(engine)
    with Session(engine) as session:
        account_id = insert_row(session, Account, name="a", ats="workable", created_at=AT)
        assert ACCOUNT_BY_NAME.fetch_all(session, {"name": "a"}) == [(account_id, [], AT, False)]
        assert ACCOUNT_BY_NAME.fetch_all(session, {"name": "b"}) == []
    engine.dispose()
