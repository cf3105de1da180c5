"""The console's pages of products (preview, publish, archive) and of accounts."""

import io
import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider.core.accounts import Account, AccountProduct
from provider.core.products import Product, documents
from provider.core.products.documents import content_digest
from provider.services import Services
from tests import factories
from tests.core.kinds.assessment.test_form import item, section
from tests.web.console_client import ConsoleClient

LIST = "/console/products/"
PRODUCT_FILE = """
kind: interview
key: first
name: First interview
questions:
  - {key: why, text: Why this job?, answer_seconds: 60}
"""


def perform_action(console: ConsoleClient, product_id: str, name: str) -> tuple[int, str]:
    path = f"{LIST}{product_id}/{name}"
    match = re.search(r'name="edit_token" value="([^"]+)"', console.get_text(path))
    assert match, "the page has no form"
    response = console.submit(path, page=path, edit_token=match[1])
    return response.status_code, response.text


def import_file(console: ConsoleClient, content: str | bytes, name: str = "a.yaml") -> TestResponse:
    data = content.encode() if isinstance(content, str) else content
    return console.submit(f"{LIST}import", page=LIST, file=(io.BytesIO(data), name))


def product_state(services: Services, product_id: str) -> tuple[str, int | None]:
    """Return a product's state and the number of the version that new orders get."""
    with services.db.reading() as session:
        product = Product.find(session, product_id)
        current = [v.number for v in product.versions if v.id == product.current_version_id]
        return product.state, current[0] if current else None


def add_draft(services: Services, product_id: str, content: dict[str, Any]) -> None:
    with services.db.writing() as session:
        product = Product.find(session, product_id)
        product.add_version(session, content, content_digest(content), services.now())


def test_product_list_when_empty_names_the_command(services: Services, client: FlaskClient) -> None:
    assert "provider seed" in ConsoleClient.signed_in(services, client).get_text(LIST)


def test_imported_file_becomes_a_draft_with_a_preview(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client, "author")
    page = console.get_text(import_file(console, PRODUCT_FILE).location)
    assert "Version 1 is a draft." in page
    assert "Why this job?" in page
    page = console.get_text(import_file(console, PRODUCT_FILE.replace("\n", "\r\n")).location)
    assert "Version 1 has this content already." in page
    changed = PRODUCT_FILE.replace("this job", "we")
    page = console.get_text(import_file(console, changed).location)
    assert "Version 2 is a draft." in page
    assert "Why we?" in page


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (PRODUCT_FILE.replace("interview", "dance"), "a.yaml line 2, kind: should be one of"),
        (f"{PRODUCT_FILE}---\nkind: check\n", "a.yaml line 8, "),
        (PRODUCT_FILE.encode() + b"# \xff", "a.yaml line 7: is not UTF-8 text"),
        (PRODUCT_FILE + "#" * 1000, "a.yaml: is too large; split it"),
        ("", "a.yaml: is empty"),
    ],
)
def test_wrong_file_imports_nothing_and_names_the_line(
    services: Services,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    content: str | bytes,
    problem: str,
) -> None:
    # The test client does not close the temporary file of a large body.
    monkeypatch.setattr(documents, "MAX_DOCUMENT_BYTES", 1000)
    console = ConsoleClient.signed_in(services, client, "author")
    response = import_file(console, content)
    assert response.status_code == 400
    assert problem in unescape(response.text)
    assert "There is no product yet" in console.get_text(LIST)


def test_import_without_a_file_asks_for_one(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client, "author")
    response = console.submit(f"{LIST}import", page=LIST)
    assert response.status_code == 400
    assert "Choose a file of product documents" in response.text


def test_file_of_several_products_shows_its_warnings_in_the_list(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client, "author")
    texts = [
        PRODUCT_FILE.replace("key: first", f"key: number-{number}").replace(
            "Why", "What is 2*3*4 to"
        )
        for number in range(4)
    ]
    page = console.get_text(import_file(console, "---".join(texts)).location)
    assert "The file has 4 products. Those that differ are drafts." in page
    assert page.count('<th scope="row">') == 4
    assert page.count("a.yaml line ") == 3
    assert "There are 4 such warnings." in page


def test_product_list_shows_name_state_and_version(services: Services, client: FlaskClient) -> None:
    test_id = factories.create_test(services)
    factories.create_interview(services)
    factories.create_package(services)
    add_draft(services, test_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 30})
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(LIST)
    names = re.findall(r'<th scope="row"><a [^>]+>([^<]+)', page)
    assert names == ["Criminal Pro", "First interview", "Reasoning"]
    assert "Version 2 is a draft" in page
    assert "Reasoning" not in console.get_text(f"{LIST}?kind=check&state=published")
    assert "No product matches this filter" in console.get_text(f"{LIST}?state=archived")


def test_product_list_pages_by_name(services: Services, client: FlaskClient) -> None:
    with services.db.writing() as session:
        for number in range(120):
            kind = Product.__mapper__.polymorphic_map["check"].class_
            session.add(
                kind(key=f"p{number}", name=f"Package {number % 40:03}", created_at=services.now())
            )
    console = ConsoleClient.signed_in(services, client)
    page, paths = console.get_text(LIST), []
    while True:
        paths += re.findall(r'<th scope="row"><a href="([^"]+)"', page)
        next_link = re.search(r'rel="next" href="([^"]+)"', page)
        if not next_link:
            break
        page = console.get_text(next_link[1])
    assert len(paths) == len(set(paths)) == 120
    previous_link = re.search(r'rel="prev" href="([^"]+)"', page)
    assert previous_link
    page = console.get_text(previous_link[1])
    assert re.findall(r'<th scope="row"><a href="([^"]+)"', page) == paths[50:100]


def test_preview_of_test_marks_correct_answers(services: Services, client: FlaskClient) -> None:
    page = ConsoleClient.signed_in(services, client).get_text(
        LIST + factories.create_test(services)
    )
    for text in ("20 minutes", "What is 17 + 25?", "Numbers", "<em>early</em>", "from 50%"):
        assert text in page
    assert re.search(r'class="is-correct">42 ', page)
    assert re.search(r'class="is-correct">3.5 <span class="console-correct">Correct<', page)
    assert re.search(r'class="is-correct">True ', page)
    assert "single_choice" not in page


def test_preview_of_test_shows_the_rules_of_its_sections(
    services: Services, client: FlaskClient
) -> None:
    limited = item("a", "easy", time_limit_seconds=90)
    sections = [
        section("warm", [item("w")], practice=True),
        section(
            "bank",
            [limited, item("b", "easy"), item("c")],
            draw={"count": 1, "tags": ["easy"]},
            order="shuffled",
            time_limit=6,
            navigation="forward",
            weight=2,
            **{"break": 5},
        ),
        section("plain", [{"kind": "long_text", "key": "letter", "prompt": "Write."}]),
    ]
    marking = {"markers": 2, "tolerance": 1}
    test = factories.create_test(services, sections=sections, marking=marking, second_look=True)
    page = ConsoleClient.signed_in(services, client, "viewer").get_text(LIST + test)
    for rule in (
        "For practice: no time runs, and it is not in the report.",
        "Each candidate gets 1 of 2 questions with the tags easy.",
        "Each candidate gets the questions in another order.",
        "It takes 6 minutes at most.",
        "Candidates cannot go back to a question.",
        "It has the weight 2.",
        "A break of up to 5 minutes follows.",
    ):
        assert page.count(f"<li>{rule}</li>") == 1
    assert "Question 2, 1 point, 1 minute 30 seconds at most, tag easy" in page
    assert "By two people, blind to each other. Marks may differ by 1 point" in page
    assert "Candidates can ask for one" in page


def test_preview_of_interview_and_package_shows_content(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(LIST + factories.create_interview(services))
    for text in ("Why this job?", "30 seconds to think", "1 minute 30 seconds to answer"):
        assert text in page
    takes = {"questions": [{"key": "why", "text": "Why?", "answer_seconds": 60, "takes": 3}]}
    product = factories.create_product(
        services, "interview", factories.INTERVIEW_CONTENT | takes, "takes", "Takes"
    )
    page = console.get_text(LIST + product)
    assert "1 minute 30 seconds with one recording per answer, 3 minutes 30 seconds with" in page
    assert "up to 3 recordings" in page
    page = console.get_text(LIST + factories.create_package(services))
    for text in ("Criminal record", "What the candidate consents to"):
        assert text in page


def test_every_version_can_be_looked_at(services: Services, client: FlaskClient) -> None:
    product_id = factories.create_test(services)
    add_draft(
        services, product_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 45}
    )
    console = ConsoleClient.signed_in(services, client)
    assert "45 minutes" in console.get_text(LIST + product_id)
    assert "20 minutes" in console.get_text(f"{LIST}{product_id}?version=1")
    for number in ("3", "x", "-1", "%00"):
        console.get_text(f"{LIST}{product_id}?version={number}", 404)
    for unknown in ("unknown", "x" * 300, "%00"):
        console.get_text(LIST + unknown, 404)


def test_publish_makes_newest_version_current(services: Services, client: FlaskClient) -> None:
    product_id = factories.create_test(services)
    add_draft(
        services, product_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 45}
    )
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{LIST}{product_id}/publish")
    assert "New orders use version 2 instead of version 1" in page
    assert product_state(services, product_id) == ("published", 1)
    assert perform_action(console, product_id, "publish")[0] == 302
    assert product_state(services, product_id) == ("published", 2)
    assert "Publish version" not in console.get_text(LIST + product_id)


def test_archive_removes_product_from_lists_until_published_again(
    services: Services, client: FlaskClient
) -> None:
    _, token = factories.create_account(services)
    product_id = factories.create_test(services)
    console = ConsoleClient.signed_in(services, client)

    def count_listed_tests() -> int:
        response = client.get("/tests", headers={"Authorization": f"Bearer {token}"})
        return len(response.json["tests"]) if response.json else -1

    assert count_listed_tests() == 1
    assert perform_action(console, product_id, "archive")[0] == 302
    assert product_state(services, product_id)[0] == "archived"
    assert count_listed_tests() == 0
    assert perform_action(console, product_id, "publish")[0] == 302
    assert count_listed_tests() == 1


def test_publish_of_unreadable_version_is_refused(services: Services, client: FlaskClient) -> None:
    product_id = factories.create_test(services)
    add_draft(services, product_id, {"name": "Reasoning", "sections": []})
    console = ConsoleClient.signed_in(services, client)
    assert "should have at least one section" in console.get_text(LIST + product_id)
    page = console.get_text(f"{LIST}{product_id}/publish")
    assert "should have at least one section" in page
    assert 'name="edit_token"' not in page
    with services.db.reading() as session:
        current = Product.find(session, product_id).current_version_id
    response = console.submit(f"{LIST}{product_id}/publish", edit_token=f"published {current} 2")
    assert response.status_code == 400
    assert product_state(services, product_id) == ("published", 1)


@pytest.mark.parametrize("name", ["publish", "archive"])
def test_product_action_with_outdated_form_changes_nothing(
    app: Flask, services: Services, client: FlaskClient, name: str
) -> None:
    product_id = factories.create_test(services)
    add_draft(
        services, product_id, factories.TEST_CONTENT | {"name": "Reasoning", "time_limit": 45}
    )
    console, colleague = (
        ConsoleClient.signed_in(services, client),
        ConsoleClient.signed_in(services, app.test_client(), "admin"),
    )
    path = f"{LIST}{product_id}/{name}"
    match = re.search(r'name="edit_token" value="([^"]+)"', console.get_text(path))
    assert match
    perform_action(colleague, product_id, "publish")
    response = console.submit(path, page=path, edit_token=match[1])
    assert response.status_code == 409
    assert "A colleague changed this product" in response.text
    assert product_state(services, product_id) == ("published", 2)


def test_product_page_without_version_opens(services: Services, client: FlaskClient) -> None:
    kind = Product.__mapper__.polymorphic_map["check"].class_
    with services.db.writing() as session:
        session.add(kind(key="bare", name="Bare", created_at=services.now(), public_id="bare"))
    assert "This product has no version yet" in ConsoleClient.signed_in(services, client).get_text(
        f"{LIST}bare"
    )


def test_account_page_shows_settings_without_secrets(
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
        account.revoke_token(account.tokens[-1].prefix, services.now(), services.secret_box)
        public_id = account.public_id
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert "Groove Tech" in console.get_text("/console/accounts/")
    page = console.get_text(f"/console/accounts/{public_id}")
    for text in (
        "*.workable.com",
        "7 days",
        "Repeat the grade beside the result",
        "http://provider.test",
        "Revoked",
        "Reasoning",
        token[:12],
    ):
        assert text in page
    for secret in (token, "cb-token", "Criminal Pro"):
        assert secret not in page


def test_unknown_account_is_not_found(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert "There is no account yet" in console.get_text("/console/accounts/")
    for account_id in ("unknown", "x" * 300, "%00"):
        console.get_text(f"/console/accounts/{account_id}", 404)
