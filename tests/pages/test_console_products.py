"""Products and accounts at the console: looked at, published, archived."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.accounts import Account, AccountProduct
from provider.house import House
from provider.kinds.document import digest
from provider.orders import Product
from tests import cast
from tests.pages.desk import Desk

LIST = "/console/products/"


def act(desk: Desk, product_id: str, name: str) -> tuple[int, str]:
    path = f"{LIST}{product_id}/{name}"
    found = re.search(r'name="stand" value="([^"]+)"', desk.read(path))
    assert found, "the page offers no form"
    answer = desk.submit(path, page=path, stand=found[1])
    return answer.status_code, answer.text


def state(house: House, product_id: str) -> tuple[str, int | None]:
    """Return a product's state and the number of the version that new orders get."""
    with house.db.reading() as session:
        product = Product.find(session, product_id)
        current = [v.number for v in product.versions if v.id == product.current_version_id]
        return product.state, current[0] if current else None


def draft(house: House, product_id: str, content: dict[str, Any]) -> None:
    with house.db.writing() as session:
        product = Product.find(session, product_id)
        product.add_version(session, content, digest(content), house.now())


def test_an_empty_list_names_the_command_that_fills_it(house: House, client: FlaskClient) -> None:
    assert "provider seed" in Desk.of(house, client).read(LIST)


def test_products_are_listed_by_name_with_state_and_version(
    house: House, client: FlaskClient
) -> None:
    test_id = cast.test(house)
    cast.interview(house)
    cast.package(house)
    draft(house, test_id, cast.TEST | {"name": "Reasoning", "time_limit": 30})
    desk = Desk.of(house, client)
    page = desk.read(LIST)
    names = re.findall(r'<th scope="row"><a [^>]+>([^<]+)', page)
    assert names == ["Criminal Pro", "First interview", "Reasoning"]
    assert "Version 2 is a draft" in page
    assert "Reasoning" not in desk.read(f"{LIST}?kind=check&state=published")
    assert "No product is like this" in desk.read(f"{LIST}?state=archived")


def test_a_hundred_and_twenty_products_are_paged_by_name(house: House, client: FlaskClient) -> None:
    with house.db.writing() as session:
        for number in range(120):
            kind = Product.__mapper__.polymorphic_map["check"].class_
            session.add(
                kind(key=f"p{number}", name=f"Package {number % 40:03}", created_at=house.now())
            )
    desk = Desk.of(house, client)
    page, seen = desk.read(LIST), []
    while True:
        seen += re.findall(r'<th scope="row"><a href="([^"]+)"', page)
        on = re.search(r'rel="next" href="([^"]+)"', page)
        if not on:
            break
        page = desk.read(on[1])
    assert len(seen) == len(set(seen)) == 120
    back = re.search(r'rel="prev" href="([^"]+)"', page)
    assert back
    page = desk.read(back[1])
    assert re.findall(r'<th scope="row"><a href="([^"]+)"', page) == seen[50:100]


def test_a_test_is_previewed_with_its_right_answers(house: House, client: FlaskClient) -> None:
    page = Desk.of(house, client).read(LIST + cast.test(house))
    for said in ("20 minutes", "What is 17 + 25?", "Numbers", "<em>early</em>", "from 50%"):
        assert said in page
    assert re.search(r'class="is-right">42 ', page)
    assert re.search(r"Right</span> 3.5<", page)
    assert re.search(r"Right</span> True<", page)
    assert "single_choice" not in page


def test_an_interview_and_a_package_are_previewed(house: House, client: FlaskClient) -> None:
    desk = Desk.of(house, client)
    page = desk.read(LIST + cast.interview(house))
    for said in ("Why this job?", "30 seconds to think", "1 minute 30 seconds to answer"):
        assert said in page
    page = desk.read(LIST + cast.package(house))
    for said in ("Criminal record", "What the candidate consents to"):
        assert said in page


def test_every_version_can_be_looked_at(house: House, client: FlaskClient) -> None:
    product_id = cast.test(house)
    draft(house, product_id, cast.TEST | {"name": "Reasoning", "time_limit": 45})
    desk = Desk.of(house, client)
    assert "45 minutes" in desk.read(LIST + product_id)
    assert "20 minutes" in desk.read(f"{LIST}{product_id}?version=1")
    for number in ("3", "x", "-1", "%00"):
        desk.read(f"{LIST}{product_id}?version={number}", 404)
    for unknown in ("unknown", "x" * 300, "%00"):
        desk.read(LIST + unknown, 404)


def test_publishing_says_what_it_does_and_does_it(house: House, client: FlaskClient) -> None:
    product_id = cast.test(house)
    draft(house, product_id, cast.TEST | {"name": "Reasoning", "time_limit": 45})
    desk = Desk.of(house, client)
    page = desk.read(f"{LIST}{product_id}/publish")
    assert "New orders get version 2 instead of version 1" in page
    assert state(house, product_id) == ("published", 1)
    assert act(desk, product_id, "publish")[0] == 302
    assert state(house, product_id) == ("published", 2)
    assert "Publish version" not in desk.read(LIST + product_id)


def test_archiving_takes_a_product_off_the_lists_and_publishing_puts_it_back(
    house: House, client: FlaskClient
) -> None:
    _, token = cast.account(house)
    product_id = cast.test(house)
    desk = Desk.of(house, client)

    def listed() -> int:
        answer = client.get("/tests", headers={"Authorization": f"Bearer {token}"})
        return len(answer.json["tests"]) if answer.json else -1

    assert listed() == 1
    assert act(desk, product_id, "archive")[0] == 302
    assert state(house, product_id)[0] == "archived"
    assert listed() == 0
    assert act(desk, product_id, "publish")[0] == 302
    assert listed() == 1


def test_a_version_that_cannot_be_read_is_not_published(house: House, client: FlaskClient) -> None:
    product_id = cast.test(house)
    draft(house, product_id, {"name": "Reasoning", "sections": []})
    desk = Desk.of(house, client)
    assert "should have at least one section" in desk.read(LIST + product_id)
    page = desk.read(f"{LIST}{product_id}/publish")
    assert "should have at least one section" in page
    assert 'name="stand"' not in page
    with house.db.reading() as session:
        current = Product.find(session, product_id).current_version_id
    answer = desk.submit(f"{LIST}{product_id}/publish", stand=f"published {current} 2")
    assert answer.status_code == 400
    assert state(house, product_id) == ("published", 1)


@pytest.mark.parametrize("name", ["publish", "archive"])
def test_a_product_that_moved_on_is_not_acted_on(
    app: Flask, house: House, client: FlaskClient, name: str
) -> None:
    product_id = cast.test(house)
    draft(house, product_id, cast.TEST | {"name": "Reasoning", "time_limit": 45})
    desk, other = Desk.of(house, client), Desk.of(house, app.test_client(), "admin")
    path = f"{LIST}{product_id}/{name}"
    found = re.search(r'name="stand" value="([^"]+)"', desk.read(path))
    assert found
    act(other, product_id, "publish")
    answer = desk.submit(path, page=path, stand=found[1])
    assert answer.status_code == 409
    assert "Somebody changed this product" in answer.text
    assert state(house, product_id) == ("published", 2)


def test_a_product_without_a_version_can_be_looked_at(house: House, client: FlaskClient) -> None:
    kind = Product.__mapper__.polymorphic_map["check"].class_
    with house.db.writing() as session:
        session.add(kind(key="bare", name="Bare", created_at=house.now(), public_id="bare"))
    assert "It has no version yet" in Desk.of(house, client).read(f"{LIST}bare")


def test_an_account_shows_what_it_may_and_no_secret(house: House, client: FlaskClient) -> None:
    account_id, token = cast.account(
        house, switches={"top_level_grade": True}, timezone="Europe/Athens", sees_all=False
    )
    test_id = cast.test(house)
    cast.package(house)
    with house.db.writing() as session:
        account = session.get_one(Account, account_id)
        product = session.scalars(select(Product.id).where(Product.public_id == test_id)).one()
        session.add(AccountProduct(account_id=account_id, product_id=product))
        account.issue_token(house.now())
        account.revoke_token(account.tokens[-1].prefix, house.now())
        public_id = account.public_id
    desk = Desk.of(house, client, "viewer")
    assert "Groove Tech" in desk.read("/console/accounts/")
    page = desk.read(f"/console/accounts/{public_id}")
    for said in (
        "*.workable.com",
        "1 week",
        "Top level grade: on",
        "Revoked",
        "Reasoning",
        token[:12],
    ):
        assert said.replace("1 week", "7 days") in page
    for secret in (token, "cb-token", "Criminal Pro"):
        assert secret not in page


def test_an_account_that_does_not_exist_is_not_found(house: House, client: FlaskClient) -> None:
    desk = Desk.of(house, client)
    assert "There is no account yet" in desk.read("/console/accounts/")
    for account_id in ("unknown", "x" * 300, "%00"):
        desk.read(f"/console/accounts/{account_id}", 404)
