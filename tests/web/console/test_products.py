"""Products and accounts at the console: looked at, published, archived."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.accounts import Account, AccountProduct
from provider.core.products import Product
from provider.core.products.documents import content_digest
from provider.services import Services
from tests import factories
from tests.web.console_client import ConsoleClient

LIST = "/console/products/"


def act(desk: ConsoleClient, product_id: str, name: str) -> tuple[int, str]:
    path = f"{LIST}{product_id}/{name}"
    found = re.search(r'name="stand" value="([^"]+)"', desk.get_text(path))
    assert found, "the page offers no form"
    answer = desk.submit(path, page=path, stand=found[1])
    return answer.status_code, answer.text


def state(services: Services, product_id: str) -> tuple[str, int | None]:
    """Return a product's state and the number of the version that new orders get."""
    with services.db.reading() as session:
        product = Product.find(session, product_id)
        current = [v.number for v in product.versions if v.id == product.current_version_id]
        return product.state, current[0] if current else None


def draft(services: Services, product_id: str, content: dict[str, Any]) -> None:
    with services.db.writing() as session:
        product = Product.find(session, product_id)
        product.add_version(session, content, content_digest(content), services.now())


def test_an_empty_list_names_the_command_that_fills_it(
    services: Services, client: FlaskClient
) -> None:
    assert "provider seed" in ConsoleClient.signed_in(services, client).get_text(LIST)


def test_products_are_listed_by_name_with_state_and_version(
    services: Services, client: FlaskClient
) -> None:
    test_id = factories.create_test(services)
    factories.create_interview(services)
    factories.create_package(services)
    draft(services, test_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 30})
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(LIST)
    names = re.findall(r'<th scope="row"><a [^>]+>([^<]+)', page)
    assert names == ["Criminal Pro", "First interview", "Reasoning"]
    assert "Version 2 is a draft" in page
    assert "Reasoning" not in desk.get_text(f"{LIST}?kind=check&state=published")
    assert "No product is like this" in desk.get_text(f"{LIST}?state=archived")


def test_a_hundred_and_twenty_products_are_paged_by_name(
    services: Services, client: FlaskClient
) -> None:
    with services.db.writing() as session:
        for number in range(120):
            kind = Product.__mapper__.polymorphic_map["check"].class_
            session.add(
                kind(key=f"p{number}", name=f"Package {number % 40:03}", created_at=services.now())
            )
    desk = ConsoleClient.signed_in(services, client)
    page, seen = desk.get_text(LIST), []
    while True:
        seen += re.findall(r'<th scope="row"><a href="([^"]+)"', page)
        on = re.search(r'rel="next" href="([^"]+)"', page)
        if not on:
            break
        page = desk.get_text(on[1])
    assert len(seen) == len(set(seen)) == 120
    back = re.search(r'rel="prev" href="([^"]+)"', page)
    assert back
    page = desk.get_text(back[1])
    assert re.findall(r'<th scope="row"><a href="([^"]+)"', page) == seen[50:100]


def test_a_test_is_previewed_with_its_right_answers(
    services: Services, client: FlaskClient
) -> None:
    page = ConsoleClient.signed_in(services, client).get_text(
        LIST + factories.create_test(services)
    )
    for said in ("20 minutes", "What is 17 + 25?", "Numbers", "<em>early</em>", "from 50%"):
        assert said in page
    assert re.search(r'class="is-right">42 ', page)
    assert re.search(r"Right</span> 3.5<", page)
    assert re.search(r"Right</span> True<", page)
    assert "single_choice" not in page


def test_an_interview_and_a_package_are_previewed(services: Services, client: FlaskClient) -> None:
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(LIST + factories.create_interview(services))
    for said in ("Why this job?", "30 seconds to think", "1 minute 30 seconds to answer"):
        assert said in page
    page = desk.get_text(LIST + factories.create_package(services))
    for said in ("Criminal record", "What the candidate consents to"):
        assert said in page


def test_every_version_can_be_looked_at(services: Services, client: FlaskClient) -> None:
    product_id = factories.create_test(services)
    draft(services, product_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 45})
    desk = ConsoleClient.signed_in(services, client)
    assert "45 minutes" in desk.get_text(LIST + product_id)
    assert "20 minutes" in desk.get_text(f"{LIST}{product_id}?version=1")
    for number in ("3", "x", "-1", "%00"):
        desk.get_text(f"{LIST}{product_id}?version={number}", 404)
    for unknown in ("unknown", "x" * 300, "%00"):
        desk.get_text(LIST + unknown, 404)


def test_publishing_says_what_it_does_and_does_it(services: Services, client: FlaskClient) -> None:
    product_id = factories.create_test(services)
    draft(services, product_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 45})
    desk = ConsoleClient.signed_in(services, client)
    page = desk.get_text(f"{LIST}{product_id}/publish")
    assert "New orders get version 2 instead of version 1" in page
    assert state(services, product_id) == ("published", 1)
    assert act(desk, product_id, "publish")[0] == 302
    assert state(services, product_id) == ("published", 2)
    assert "Publish version" not in desk.get_text(LIST + product_id)


def test_archiving_takes_a_product_off_the_lists_and_publishing_puts_it_back(
    services: Services, client: FlaskClient
) -> None:
    _, token = factories.create_account(services)
    product_id = factories.create_test(services)
    desk = ConsoleClient.signed_in(services, client)

    def listed() -> int:
        answer = client.get("/tests", headers={"Authorization": f"Bearer {token}"})
        return len(answer.json["tests"]) if answer.json else -1

    assert listed() == 1
    assert act(desk, product_id, "archive")[0] == 302
    assert state(services, product_id)[0] == "archived"
    assert listed() == 0
    assert act(desk, product_id, "publish")[0] == 302
    assert listed() == 1


def test_a_version_that_cannot_be_read_is_not_published(
    services: Services, client: FlaskClient
) -> None:
    product_id = factories.create_test(services)
    draft(services, product_id, {"name": "Reasoning", "sections": []})
    desk = ConsoleClient.signed_in(services, client)
    assert "should have at least one section" in desk.get_text(LIST + product_id)
    page = desk.get_text(f"{LIST}{product_id}/publish")
    assert "should have at least one section" in page
    assert 'name="stand"' not in page
    with services.db.reading() as session:
        current = Product.find(session, product_id).current_version_id
    answer = desk.submit(f"{LIST}{product_id}/publish", stand=f"published {current} 2")
    assert answer.status_code == 400
    assert state(services, product_id) == ("published", 1)


@pytest.mark.parametrize("name", ["publish", "archive"])
def test_a_product_that_moved_on_is_not_acted_on(
    app: Flask, services: Services, client: FlaskClient, name: str
) -> None:
    product_id = factories.create_test(services)
    draft(services, product_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 45})
    desk, other = (
        ConsoleClient.signed_in(services, client),
        ConsoleClient.signed_in(services, app.test_client(), "admin"),
    )
    path = f"{LIST}{product_id}/{name}"
    found = re.search(r'name="stand" value="([^"]+)"', desk.get_text(path))
    assert found
    act(other, product_id, "publish")
    answer = desk.submit(path, page=path, stand=found[1])
    assert answer.status_code == 409
    assert "Somebody changed this product" in answer.text
    assert state(services, product_id) == ("published", 2)


def test_a_product_without_a_version_can_be_looked_at(
    services: Services, client: FlaskClient
) -> None:
    kind = Product.__mapper__.polymorphic_map["check"].class_
    with services.db.writing() as session:
        session.add(kind(key="bare", name="Bare", created_at=services.now(), public_id="bare"))
    assert "It has no version yet" in ConsoleClient.signed_in(services, client).get_text(
        f"{LIST}bare"
    )


def test_an_account_shows_what_it_may_and_no_secret(
    services: Services, client: FlaskClient
) -> None:
    account_id, token = factories.create_account(
        services, options={"top_level_grade": True}, timezone="Europe/Athens", all_products=False
    )
    test_id = factories.create_test(services)
    factories.create_package(services)
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        product = session.scalars(select(Product.id).where(Product.public_id == test_id)).one()
        session.add(AccountProduct(account_id=account_id, product_id=product))
        account.issue_token(services.now())
        account.revoke_token(account.tokens[-1].prefix, services.now())
        public_id = account.public_id
    desk = ConsoleClient.signed_in(services, client, "viewer")
    assert "Groove Tech" in desk.get_text("/console/accounts/")
    page = desk.get_text(f"/console/accounts/{public_id}")
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


def test_an_account_that_does_not_exist_is_not_found(
    services: Services, client: FlaskClient
) -> None:
    desk = ConsoleClient.signed_in(services, client)
    assert "There is no account yet" in desk.get_text("/console/accounts/")
    for account_id in ("unknown", "x" * 300, "%00"):
        desk.get_text(f"/console/accounts/{account_id}", 404)
