"""A person: the same normalised e-mail address within an account."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Select, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler

from provider.config import Settings
from provider.core.orders import (
    Order,
    is_order_of_person,
    normalise_email,
    orders_of_person,
)
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

EMAIL = "lakita_marrero@gmail.com"
NEW_KEY, OLD_KEY = b"n" * 32, b"k" * 32


@pytest.mark.parametrize(
    ("spelling", "normalised"),
    [
        ("Lakita_Marrero@GMAIL.com", EMAIL),
        (f"  {EMAIL}\n", EMAIL),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("JOSE\u0301@example.com", "jos\u00e9@example.com"),
        ("info@B\u00dccher.example", "info@xn--bcher-kva.example"),
        ("info@bu\u0308cher.example", "info@xn--bcher-kva.example"),
        ("info@XN--BCHER-KVA.example", "info@xn--bcher-kva.example"),
        ("info@stra\u00dfe.example", "info@xn--strae-oqa.example"),
        ("info@STRA\u1e9eE.example", "info@xn--strae-oqa.example"),
        ("a.b+tag@example.com", "a.b+tag@example.com"),
        ("ab@example.com", "ab@example.com"),
        ('"odd@user"@example.com', '"odd@user"@example.com'),
        (f"a@{'x' * 64}.example", f"a@{'x' * 64}.example"),
        ("a@b..example", "a@b..example"),
        ("no address", "no address"),
        ("", ""),
    ],
)
def test_normalise_email_unites_spellings(spelling: str, normalised: str) -> None:
    assert normalise_email(spelling) == normalised


@given(st.text(max_size=20) | st.emails())
def test_normalise_email_of_normalised_changes_nothing(text: str) -> None:
    once = normalise_email(text)
    assert normalise_email(once) == once


def person_orders(services: Services, account_id: int, email: str) -> list[str]:
    with services.db.reading() as session:
        orders = orders_of_person(session, services.secret_box, account_id, email)
        return [order.public_id for order in orders]


@pytest.fixture
def account_id(services: Services) -> int:
    return factories.create_account(services)[0]


@pytest.fixture
def product_id(services: Services) -> str:
    return factories.create_test(services)


def place_for(services: Services, account_id: int, product_id: str, email: str, number: int) -> str:
    url = f"https://groove-tech.workable.com/{number}"
    return factories.place_order(services, account_id, product_id, callback_url=url, email=email)


@pytest.mark.both
def test_orders_of_person_are_those_of_one_account(
    services: Services, account_id: int, product_id: str
) -> None:
    spellings = (EMAIL, "Lakita_Marrero@Gmail.COM", f" {EMAIL}")
    orders = [
        place_for(services, account_id, product_id, email, number)
        for number, email in enumerate(spellings)
    ]
    others = ("lakita.marrero@gmail.com", "lakita_marrero+1@gmail.com", "lakita_marrero@gmail.gr")
    for number, email in enumerate(others, 10):
        place_for(services, account_id, product_id, email, number)
    other_account, _ = factories.create_account(services, "Other")
    other_order = place_for(services, other_account, product_id, EMAIL, 1)
    for spelling in spellings:
        assert person_orders(services, account_id, spelling) == orders
    assert person_orders(services, other_account, EMAIL) == [other_order]
    assert person_orders(services, account_id, "nobody@gmail.com") == []


def test_person_is_found_under_a_replaced_key(
    settings: Settings, services: Services, clock: ManualClock, account_id: int, product_id: str
) -> None:
    old_order = place_for(services, account_id, product_id, EMAIL, 1)
    both_keys = factories.build_services(replace(settings, secret_keys=(NEW_KEY, OLD_KEY)), clock)
    new_order = place_for(both_keys, account_id, product_id, EMAIL, 2)
    assert person_orders(both_keys, account_id, EMAIL) == [old_order, new_order]
    both_keys.db.close()


@pytest.mark.sqlite
def test_person_query_uses_the_indexes(services: Services) -> None:
    is_persons = is_order_of_person(services.secret_box, 1, EMAIL)
    with services.db.reading() as session:
        plan = _query_plan(session, select(Order.id).where(is_persons).order_by(Order.id))
    assert "ix_candidates_email_digest" in plan
    assert "ix_orders_candidate_id" in plan
    assert "SCAN" not in plan


def _query_plan(session: Session, query: Select[int]) -> str:
    compiled = query.compile(session.connection(), compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler)
    values = tuple(compiled.params[name] for name in compiled.positiontup or ())
    return str(session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all())
