"""The same order again, at once, from others, and with other content: one order for one wish."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.db import Base, insert
from provider.house import House
from provider.orders import Candidate, Order, Product
from tests import cast
from tests.ats.side import (
    ASSESSMENTS,
    CHECKS,
    SIDES,
    Asker,
    Side,
    complete,
    letters,
    orders,
    refusal,
    replaced,
)
from tests.conftest import Served

CHANGES = {
    "job_title": "Chef",
    "candidate.email": "somebody@else.example",
    "candidate.first_name": "Kalita",
    "candidate.last_name": "",
    "candidate.phone": None,
}


def test_other_content_under_the_same_callback_is_a_conflict(
    groove: Asker, house: House, side: Side
) -> None:
    wish = side.wish(side.product(house))
    order_id = groove.order(side, wish)
    for path, value in CHANGES.items():
        answer = groove.post(f"/{side.orders}", replaced(wish, path, value))
        assert refusal(answer) == (409, "Entity is already updated")
    assert groove.order(side, wish) == order_id
    assert (orders(house), letters(house)) == (1, 1)


def test_another_product_or_other_preferences_are_a_conflict(groove: Asker, house: House) -> None:
    wish = CHECKS.wish(CHECKS.product(house))
    groove.order(CHECKS, wish)
    other = CHECKS.product(house, "Other", "other")
    for change in ({"package_id": other}, {"preferences": {"key": "other"}}, {"package_id": "?"}):
        answer = groove.post("/checks", wish | change)
        assert refusal(answer) == (409, "Entity is already updated")


def test_the_same_callback_for_another_kind_is_a_conflict(groove: Asker, house: House) -> None:
    url = "https://groove-tech.workable.com/1"
    first, *others = SIDES
    groove.order(first, first.wish(first.product(house), callback_url=url))
    for other in others:
        wish = other.wish(other.product(house), callback_url=url)
        assert refusal(groove.post(f"/{other.orders}", wish))[0] == 409


def test_the_same_callback_of_two_accounts_is_two_orders(
    groove: Asker, acme: Asker, house: House, side: Side
) -> None:
    wish = side.wish(side.product(house))
    assert groove.order(side, wish) != acme.order(side, wish)
    assert (orders(house), letters(house)) == (2, 2)
    with house.db.reading() as session:
        assert len(session.scalars(select(Candidate)).all()) == 2, "never shared"


@pytest.mark.both
def test_the_same_order_is_the_same_even_when_it_is_over(
    groove: Asker, house: House, side: Side
) -> None:
    product = side.product(house)
    wish = side.wish(product)
    order_id = groove.order(side, wish)
    complete(house, side, order_id)
    with house.db.writing() as session:
        Product.find(session, product).archive(house.now())
    assert groove.order(side, wish) == order_id
    assert groove.poll(side, order_id)["status"] == "completed"
    assert letters(house) == 1


def test_the_same_order_is_the_same_after_the_candidate_was_erased(
    groove: Asker, house: House
) -> None:
    wish = ASSESSMENTS.wish(ASSESSMENTS.product(house))
    order_id = groove.order(ASSESSMENTS, wish)
    with house.db.writing() as session:
        lakita = Order.find(session, order_id).candidate
        lakita.email, lakita.first_name, lakita.last_name, lakita.phone = "erased", "", "", ""
    assert groove.order(ASSESSMENTS, wish) == order_id
    other = replaced(wish, "candidate.email", "other@example.com")
    assert groove.post("/assessments", other).status_code == 409


@pytest.mark.both
def test_fifty_at_once_over_real_connections_are_one_order_and_one_invitation(
    served: Served, side: Side
) -> None:
    token = cast.account(served.house)[1]
    wish = side.wish(side.product(served.house))
    together = threading.Barrier(50)

    def order(_: int) -> tuple[int, str]:
        together.wait()
        answer = requests.post(
            f"{served.url}/{side.orders}",
            json=wish,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        return answer.status_code, answer.json()[side.order_id]

    with ThreadPoolExecutor(50) as crowd:
        answers = set(crowd.map(order, range(50)))
    assert len(answers) == 1
    assert answers.pop()[0] == 201
    assert (orders(served.house), letters(served.house)) == (1, 1)


@pytest.mark.both
def test_two_servers_on_one_database_make_one_order(
    settings: Settings, clock: cast.HandClock, house: House, app: Flask, side: Side
) -> None:
    other = House.build(settings, clock)
    apps = (app, create_app(other))
    token = cast.account(house)[1]
    wish = side.wish(side.product(house))
    together = threading.Barrier(20)

    def order(number: int) -> str:
        together.wait()
        return Asker(apps[number % 2].test_client(), token).order(side, wish)

    with ThreadPoolExecutor(20) as crowd:
        assert len(set(crowd.map(order, range(20)))) == 1
    assert (orders(house), letters(house)) == (1, 1)
    other.db.close()


@pytest.mark.both
@pytest.mark.parametrize(("losses", "code"), [(1, 201), (2, 500)])
def test_who_loses_the_race_between_look_and_write_looks_again(
    groove: Asker, house: House, monkeypatch: pytest.MonkeyPatch, losses: int, code: int
) -> None:
    left = [losses]

    def lose(session: Session, model: type[Base], **columns: Any) -> int:
        if model is Order and left[0]:
            left[0] -= 1
            raise IntegrityError("INSERT INTO orders", {}, Exception("UNIQUE constraint failed"))
        return insert(session, model, **columns)

    monkeypatch.setattr(sys.modules["provider.orders.place"], "insert", lose)
    with capture_logs():
        answer = groove.post("/assessments", ASSESSMENTS.wish(ASSESSMENTS.product(house)))
    assert answer.status_code == code
    assert (orders(house), letters(house)) == ((1, 1) if code == 201 else (0, 0))
