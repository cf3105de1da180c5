"""The console's pages of connectors: secrets, forms, tests, and other accounts."""

import json
from html import unescape

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.audit import AuditEntry
from provider.core.kinds.check.tables.connector import Connector
from provider.outbox import Message
from provider.services import Services
from tests import check_outside_factories, factories
from tests.check_outside_factories import CONNECTOR_FORM, HEADER_SECRET, signing_key
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker
from tests.web.candidate.test_check_browser import sign_in
from tests.web.console_client import ConsoleClient


@pytest.fixture
def account(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return public_id_of(services, account_id)


def public_id_of(services: Services, account_id: int) -> str:
    with services.db.reading() as session:
        return session.get_one(Account, account_id).public_id


def path(account: str, rest: str = "") -> str:
    return f"/console/accounts/{account}/connectors/{rest}"


def read(services: Services) -> Connector:
    with services.db.reading() as session:
        return session.scalars(select(Connector)).one()


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


def test_created_connector_shows_signing_key_once(
    services: Services, console: ConsoleClient, account: str
) -> None:
    assert "No connector" in console.get_text(path(account))
    console.get_text(path(account, "new"))
    response = console.submit(path(account, "new"), **CONNECTOR_FORM)
    assert response.status_code == 201
    connector = read(services)
    key = signing_key(services, connector.public_id)
    assert key in response.text
    assert "Acme Checks" in console.get_text(path(account))
    for page in ("", "/edit"):
        text = console.get_text(path(account, connector.public_id + page))
        assert key not in text
        assert HEADER_SECRET.rpartition(" ")[2] not in text
    assert "Authorization" in console.get_text(path(account, connector.public_id))
    assert connector.get_headers(services.secret_box) == {"Authorization": HEADER_SECRET}


def test_saved_connector_keeps_headers_that_are_not_typed(
    services: Services, console: ConsoleClient, account: str
) -> None:
    console.submit(path(account, "new"), **CONNECTOR_FORM)
    edit = path(account, f"{read(services).public_id}/edit")
    console.submit(edit, **(CONNECTOR_FORM | {"name": "Other", "headers": "", "key": "changed"}))
    connector = read(services)
    assert (connector.name, connector.key) == ("Other", "acme")
    assert connector.get_headers(services.secret_box) == {"Authorization": HEADER_SECRET}
    console.submit(edit, **(CONNECTOR_FORM | {"headers": "", "remove_headers": "1"}))
    assert read(services).get_headers(services.secret_box) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://other.example/orders"},
        {"poll_url": "https://other.example/orders/{{ order.id }}", "poll_minutes": "5"},
    ],
)
def test_new_host_gets_no_headers_that_were_typed_for_another(
    services: Services, console: ConsoleClient, account: str, changes: dict[str, str]
) -> None:
    console.submit(path(account, "new"), **CONNECTOR_FORM)
    edit = path(account, f"{read(services).public_id}/edit")
    form = CONNECTOR_FORM | {"headers": "", "name": "Other"}
    response = console.submit(edit, **form | changes)
    assert response.status_code == 400
    assert "Type the headers again: the host has changed" in unescape(response.text)
    connector = read(services)
    assert (connector.url, connector.poll_url, connector.name) == (
        CONNECTOR_FORM["url"],
        "",
        "Acme Checks",
    )
    # Another path of the same host, new headers, or no headers at all are saved.
    assert console.submit(edit, **form | {"url": f"{form['url']}/new"}).status_code == 302
    assert console.submit(edit, **form | changes | {"headers": "X-Key: new"}).status_code == 302
    assert read(services).get_headers(services.secret_box) == {"X-Key": "new"}
    assert console.submit(edit, **form).status_code == (400 if "url" in changes else 302)
    assert console.submit(edit, **form | {"remove_headers": "1"}).status_code == 302
    assert console.submit(edit, **form | changes).status_code == 302


def test_audit_log_has_the_addresses_before_and_after_without_query(
    services: Services, console: ConsoleClient, account: str
) -> None:
    secret_url = "https://vendor.example/orders?key=s3cret"
    console.submit(path(account, "new"), **CONNECTOR_FORM | {"url": secret_url})
    edit = path(account, f"{read(services).public_id}/edit")
    poll_url = "https://vendor.example/orders/{{ order.id }}"
    console.submit(edit, **CONNECTOR_FORM | {"url": "https://new.example/", "poll_url": poll_url})
    with services.db.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action.startswith("connector."))
        created, changed = session.scalars(query.order_by(AuditEntry.id)).all()
    before = {"url": "https://vendor.example/orders", "poll_url": ""}
    after = {"url": "https://new.example/", "poll_url": poll_url}
    assert (created.before, created.after) == (None, {"connector": "acme"} | before)
    assert (changed.before, changed.after) == (before, {"connector": "acme"} | after)


def test_wrong_form_shows_problem_and_no_secret(
    services: Services, console: ConsoleClient, account: str
) -> None:
    form = CONNECTOR_FORM | {"url": "http://x.example/", "request_template": "{"}
    response = console.submit(path(account, "new"), **form)
    assert response.status_code == 400
    page = unescape(response.text)
    assert "Type a whole https address" in page
    assert "The template is no JSON" in page
    assert HEADER_SECRET.rpartition(" ")[2] not in page
    with services.db.reading() as session:
        assert session.scalars(select(Connector)).all() == []


def test_key_of_a_connector_is_used_once(
    services: Services, console: ConsoleClient, account: str
) -> None:
    console.submit(path(account, "new"), **CONNECTOR_FORM)
    response = console.submit(path(account, "new"), **CONNECTOR_FORM)
    assert response.status_code == 400
    assert "has this key" in response.text


def test_test_is_a_message_without_secret(
    services: Services, console: ConsoleClient, account: str
) -> None:
    console.submit(path(account, "new"), **CONNECTOR_FORM)
    connector = read(services)
    console.submit(path(account, f"{connector.public_id}/test"))
    with services.db.reading() as session:
        message = session.scalars(select(Message)).one()
        payload = json.dumps(message.get_payload(services.secret_box))
    assert message.queue.endswith("/connector/vendor.example")
    assert HEADER_SECRET not in payload
    assert "Waiting" in console.get_text(path(account, connector.public_id))
    assert "Screenings at vendors" in console.get_text("/console/deliveries/?state=any")
    console.get_text(f"/console/deliveries/{message.public_id}")


def test_connector_is_switched_off_and_on(
    services: Services, console: ConsoleClient, account: str
) -> None:
    console.submit(path(account, "new"), **CONNECTOR_FORM)
    switch = path(account, f"{read(services).public_id}/switch")
    for act, is_off in (("off", True), ("on", False)):
        assert console.submit(switch, act=act).status_code == 302
        assert bool(read(services).disabled_at) == is_off
        assert console.submit(switch, act=act).status_code == 409


def test_connector_of_another_account_gets_404(
    services: Services, console: ConsoleClient, account: str
) -> None:
    other, _ = factories.create_account(services, "Rival Corp")
    rival = check_outside_factories.create_connector(services, other)
    for page in ("", "/edit"):
        console.get_text(path(account, rival + page), 404)
    for act in ("edit", "key", "test", "switch"):
        response = console.submit(path(account, f"{rival}/{act}"), **CONNECTOR_FORM)
        assert response.status_code == 404


def test_pages_have_no_accessibility_problems(app_server: LiveServer, page: Page) -> None:
    services = app_server.services
    account_id, _ = factories.create_account(services)
    connector = check_outside_factories.create_connector(services, account_id)
    account = public_id_of(services, account_id)
    sign_in(page, app_server)
    checker = AccessibilityChecker(page)
    for name in ("", "new", connector, f"{connector}/edit"):
        page.goto(app_server.url + path(account, name))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        checker.check_page(f"connectors/{name}")
    assert checker.problems == []
