"""The limit of a session to some accounts, and the tables that it concerns."""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import aliased

from provider.core.account_limits import SPECIAL_LIMITS, limit_to_accounts
from provider.core.accounts import Account
from provider.core.orders import Order, OrderEvent
from provider.services import Services
from provider.storage.database import Base
from tests import factories

# Rows of these tables belong to no account, or are reached through the row of another table only.
COMMON_TABLES = {
    "api_budgets",
    "attempts",  # through messages
    "candidates",  # through orders
    "captions",  # through recordings
    "disclosures",
    "drafts",  # through products
    "draft_files",  # through products
    "heartbeats",
    "legal_texts",
    "product_files",  # through product_versions
    "product_versions",  # through products
    "scheduled_work",
    "sign_in_attempts",
    "sign_in_challenges",
    "staff",
    "staff_known_origins",
    "staff_links",
    "staff_one_time_secrets",
    "staff_passkeys",
    "staff_recovery_codes",
    "staff_sessions",
    "take_pieces",  # through uploads
    "time_notes",  # through recordings
}


@pytest.fixture
def own_id(services: Services) -> int:
    """Return the id of one of two accounts, each with an order."""
    own_id, _ = factories.create_account(services)
    other_id, _ = factories.create_account(services, "Rival Corp")
    test_id = factories.create_test(services)
    factories.place_order(services, own_id, test_id)
    factories.place_order(services, other_id, test_id)
    return own_id


def test_every_table_has_a_limit_or_is_common() -> None:
    special = {model.__tablename__ for model in SPECIAL_LIMITS}
    by_column = {
        table.name
        for table in Base.metadata.tables.values()
        if {"account_id", "order_id"} & set(table.c.keys())
    }
    assert special & COMMON_TABLES == by_column & COMMON_TABLES == set()
    assert special | by_column | COMMON_TABLES == set(Base.metadata.tables)


@pytest.mark.parametrize(
    "query",
    [
        select(Order.account_id),
        select(Order.account_id).where(Order.id.in_(select(Order.id))),
        select(aliased(Order).account_id),
        select(func.max(Order.account_id)),
        select(select(Order.account_id).order_by(Order.id.desc()).limit(1).scalar_subquery()),
        select(select(Order.account_id).subquery()),
        select(select(Order.account_id).cte("owners")),
        select(Order.account_id).union_all(select(Order.account_id)),
        select(Account.id),
        select(Account.id).join(Order, Order.account_id == Account.id),
        select(Order.account_id).join(OrderEvent, OrderEvent.order_id == Order.id),
    ],
)
def test_limited_session_reads_rows_of_its_accounts_only(
    services: Services, own_id: int, query: object
) -> None:
    with services.db.reading() as session:
        assert set(session.scalars(query)) != {own_id} or "max" in str(query)  # type: ignore[call-overload]
    with services.db.reading() as session:
        limit_to_accounts(session, [own_id])
        assert set(session.scalars(query)) == {own_id}  # type: ignore[call-overload]


def test_limited_session_loads_and_changes_no_row_of_others(
    services: Services, own_id: int
) -> None:
    with services.db.writing() as session:
        limit_to_accounts(session, [own_id])
        assert session.get(Account, own_id)
        assert session.get(Account, own_id + 1) is None
        session.execute(update(Order).values(job_title="Changed"))
    with services.db.reading() as session:
        titles = dict(session.execute(select(Order.account_id, Order.job_title)).all())
    assert [titles[own_id], titles[own_id + 1]] == ["Changed", "Operations Manager"]


def test_session_limited_to_no_account_reads_nothing(services: Services, own_id: int) -> None:
    assert own_id
    with services.db.reading() as session:
        limit_to_accounts(session, [])
        for model in [Account, Order, *SPECIAL_LIMITS]:
            assert session.scalars(select(model)).all() == []
