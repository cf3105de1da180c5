"""The pages that create and change accounts."""

import io
import re
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider.ats import ADAPTERS
from provider.core.accounts import Account
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.audit import Action, AuditEntry
from provider.core.connections import get_secrets
from provider.errors import Unauthorized
from provider.services import Services
from provider.web.console.account_forms import GROUPS
from tests import factories
from tests.pictures import make_png
from tests.web.console.test_pauses import pause
from tests.web.console_client import ConsoleClient

ACCOUNTS = "/console/accounts/"
NEW = f"{ACCOUNTS}new"


@pytest.fixture
def admin(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


def add_account(services: Services, ats: str = "workable", **columns: Any) -> str:
    """Return the public id of a new account."""
    account_id, _ = factories.create_account(services, ats=ats, **columns)
    with services.db.reading() as session:
        return session.get_one(Account, account_id).public_id


def load_account(services: Services) -> Account:
    with services.db.reading() as session:
        account = session.scalars(select(Account)).one()
        _ = [token.prefix for token in account.tokens]
        return account


def create(console: ConsoleClient, ats: str, **form: str) -> TestResponse:
    return console.submit(f"{NEW}?ats={ats}", page=f"{NEW}?ats={ats}", **form)


def save(console: ConsoleClient, path: str, seen: str | None = None, **form: Any) -> TestResponse:
    """Submit a form as a browser does, with the digest of what it showed."""
    match = re.search(r'name="seen" value="(\w+)"', console.client.get(path).text)
    assert match
    return console.submit(path, page=path, seen=seen or match[1], **form)


def field_error(page: str, name: str) -> str:
    """Return the error beside a field."""
    match = re.search(rf'id="[\w-]*{re.escape(name)}-error">.*?</svg>\s*([^<]+)</p>', page, re.S)
    assert match, page
    return match[1].strip()


@pytest.mark.both
@pytest.mark.parametrize("ats", ["workable", "greenhouse"])
def test_new_account_shows_its_working_token_once(
    services: Services, admin: ConsoleClient, ats: str
) -> None:
    form = {"timezone": "Europe/Athens", "expire_after": "3d", "sandbox": "yes"}
    hosts = {"callback_hosts": "hooks.example.org"}
    response = create(admin, ats, name=" Groove Tech ", **form, **hosts)
    assert response.status_code == 201
    token = re.search(r'value="(prv_[\w-]+)"', response.text)
    assert token
    account = load_account(services)
    assert (account.name, account.ats, account.timezone) == ("Groove Tech", ats, "Europe/Athens")
    assert (account.expire_after_seconds, account.sandbox) == (3 * 86_400, True)
    assert account.callback_hosts == ["hooks.example.org"]
    for url in ADAPTERS[ats].urls(services.settings.base_url).values():
        assert url in response.text
    caller = services.authenticator.authenticate(token[1], ats, services.now())
    assert caller.account_id == account.id
    setup = admin.get_text(f"{ACCOUNTS}{account.public_id}/setup")
    assert token[1] not in setup
    assert "The ATS sees no product" in setup


def test_new_account_without_endpoints_stores_its_secrets(
    services: Services, admin: ConsoleClient
) -> None:
    page = admin.get_text(f"{NEW}?ats=pageup")
    assert 'name="callback_hosts"' not in page
    assert 'name="callback_token"' not in page
    form = {"base_url": "https://api.pageup.example/v2", "secret-api_key": " key-1 "}
    response = create(admin, "pageup", name="Groove Tech", **form)
    assert response.status_code == 201
    assert "The new token" not in response.text
    account = load_account(services)
    assert account.options == {"base_url": "https://api.pageup.example/v2"}
    with services.db.reading() as session:
        assert get_secrets(session, services.secret_box, account) == {"api_key": "key-1"}
    assert "key-1" not in response.text


def test_new_account_with_wrong_values_says_so_beside_each_field(
    services: Services, admin: ConsoleClient
) -> None:
    form = {"name": "Groove Tech", "timezone": "Atlantis", "callback_token": "two words"}
    response = create(admin, "workable", **form, callback_hosts="*.com")
    assert response.status_code == 400
    assert field_error(response.text, "timezone").startswith("“Atlantis” is not a time zone")
    assert "allows too many hosts" in field_error(response.text, "callback_hosts")
    assert field_error(response.text, "callback_token").startswith("Callback token should be")
    assert 'value="Atlantis"' in response.text
    assert "two words" not in response.text
    empty = create(admin, "workable", name=" ")
    assert "one line of at most 100 characters" in field_error(empty.text, "name")
    wrong_secret = create(admin, "pageup", name="Groove Tech", **{"secret-api_key": "ключ"})
    assert "plain characters" in field_error(wrong_secret.text, "secret-api_key")
    with services.db.reading() as session:
        assert session.scalars(select(Account)).all() == []
        query = select(AuditEntry).where(AuditEntry.subject.startswith("account:"))
        assert session.scalars(query).all() == []


def test_new_account_with_a_taken_name_is_refused(services: Services, admin: ConsoleClient) -> None:
    add_account(services)
    response = create(admin, "pageup", name="Groove Tech")
    assert response.status_code == 400
    assert "There is an account “Groove Tech” already" in field_error(response.text, "name")


def test_new_account_needs_a_known_ats(admin: ConsoleClient) -> None:
    assert create(admin, "", name="Groove Tech").status_code == 400
    assert admin.submit(f"{NEW}?ats=icims", name="Groove Tech").status_code == 400


def test_settings_page_has_every_setting_of_every_ats(
    services: Services, admin: ConsoleClient
) -> None:
    assert {name for names in GROUPS.values() for name in names} == set(COMMON_SETTINGS)
    for number, adapter in enumerate(ADAPTERS.values()):
        account_id = add_account(services, adapter.name, name=f"Account {number}")
        page = admin.get_text(f"{ACCOUNTS}{account_id}/settings")
        names = [setting.name for setting in adapter.settings]
        names += [
            setting.name
            for setting in COMMON_SETTINGS.values()
            if adapter.has_endpoints or not setting.needs_endpoints
        ]
        assert set(re.findall(r' name="([\w.]+)"', page)) >= set(names), adapter.name


@pytest.mark.both
def test_settings_change_only_what_differs(services: Services, admin: ConsoleClient) -> None:
    account_id = add_account(services, "greenhouse")
    path = f"{ACCOUNTS}{account_id}/settings"
    page = admin.client.get(path).text
    inputs = re.findall(r'<input[^>]* id="field-[^"]*" name="([\w.]+)"[^>]*>', page)
    shown = {
        name: (re.search(rf'<input[^>]* value="([^"]*)"[^>]* name="{name}"', page) or [""] * 2)[1]
        for name in inputs
    }
    assert shown["poll_every"] == "5m"
    changes = {"callback_rate": "2.5", "brand.colour": "#0A5CFF", "poll_every": "10m"}
    switches = {"interviews": "yes", "notes": "yes", "harvest_auth": "client_credentials"}
    assert save(admin, path, **shown | changes | switches).status_code == 302
    account = load_account(services)
    assert account.options == {"poll_every": 600, "interviews": True}
    assert (account.callback_rate, account.branding) == (2.5, {"colour": "#0a5cff"})
    assert save(admin, path, **{"callback_rate": "", "brand.colour": " "}).status_code == 302
    account = load_account(services)
    assert (account.callback_rate, account.branding) == (None, {})


def test_settings_with_wrong_values_change_nothing(
    services: Services, admin: ConsoleClient
) -> None:
    path = f"{ACCOUNTS}{add_account(services, 'greenhouse')}/settings"
    form = {"expire_after": "", "poll_every": "soon", "timezone": "UTC", "request_rate": "5"}
    response = save(admin, path, **form, **{"brand.support_address": "help"})
    assert response.status_code == 400
    assert "is not a duration" in field_error(response.text, "expire_after")
    assert field_error(response.text, "poll_every").startswith("Poll every should be a time like")
    assert field_error(response.text, "brand.support_address").startswith("Support address should")
    assert "3 fields need another look" in response.text
    assert 'value="soon"' in response.text
    account = load_account(services)
    assert (account.request_rate, account.options) == (None, {})


def test_settings_that_a_colleague_has_changed_are_shown_again(
    services: Services, admin: ConsoleClient
) -> None:
    path = f"{ACCOUNTS}{add_account(services)}/settings"
    match = re.search(r'name="seen" value="(\w+)"', admin.get_text(path))
    assert match
    assert save(admin, path, timezone="Europe/Athens").status_code == 302
    response = save(admin, path, seen=match[1], timezone="Europe/Berlin")
    assert response.status_code == 409
    assert "A colleague has changed this account meanwhile" in response.text
    assert 'value="Europe/Athens"' in response.text
    assert load_account(services).timezone == "Europe/Athens"


@pytest.mark.both
def test_token_is_replaced_with_overlap(services: Services, admin: ConsoleClient) -> None:
    _, old_token = factories.create_account(services)
    public_id = load_account(services).public_id
    path = f"{ACCOUNTS}{public_id}/tokens"
    response = admin.submit(path, page=path)
    new_token = re.search(r'value="(prv_[\w-]+)"', response.text)
    assert new_token
    for token in (old_token, new_token[1]):
        assert services.authenticator.authenticate(token, "workable", services.now())
    page = admin.get_text(path)
    assert new_token[1] not in page
    first = load_account(services).tokens[0]
    confirm = f"{path}/{first.id}/revoke"
    assert "The other tokens of the account go on working" in admin.get_text(confirm)
    assert admin.submit(confirm, page=confirm).status_code == 302
    services.authenticator.clear_cache()
    with pytest.raises(Unauthorized):
        services.authenticator.authenticate(old_token, "workable", services.now())
    assert services.authenticator.authenticate(new_token[1], "workable", services.now())
    assert admin.submit(confirm, page=path).status_code == 409
    last = load_account(services).tokens[1]
    assert "the only active token" in admin.get_text(f"{path}/{last.id}/revoke")


def test_token_of_another_account_is_not_found(services: Services, admin: ConsoleClient) -> None:
    first, second = (add_account(services, name=name) for name in ("One", "Two"))
    with services.db.reading() as session:
        account = Account.get_by_name(session, "Two")
        number = account.tokens[0].id
    path = f"{ACCOUNTS}{first}/tokens/{number}/revoke"
    assert admin.client.get(path).status_code == 404
    assert admin.submit(path).status_code == 404
    assert admin.client.get(f"{ACCOUNTS}{second}/tokens/{number}/revoke").status_code == 200


def test_account_without_endpoints_gets_no_token(services: Services, admin: ConsoleClient) -> None:
    account_id = add_account(services, "pageup")
    assert admin.submit(f"{ACCOUNTS}{account_id}/tokens").status_code == 400
    assert "Issue another token" not in admin.get_text(f"{ACCOUNTS}{account_id}/tokens")


def test_secrets_are_stored_replaced_and_deleted_and_never_shown(
    services: Services, admin: ConsoleClient
) -> None:
    account_id = add_account(services, "pageup")
    tokens, path = f"{ACCOUNTS}{account_id}/tokens", f"{ACCOUNTS}{account_id}/secrets"
    for value in ("first-key", "second-key"):
        assert admin.submit(path, page=tokens, key="api_key", value=value).status_code == 302
        assert value not in admin.get_text(tokens)
    with services.db.reading() as session:
        secrets = get_secrets(session, services.secret_box, session.scalars(select(Account)).one())
    assert secrets == {"api_key": "second-key"}
    assert "API key: stored" in admin.get_text(tokens)
    admin.submit(path, page=tokens, key="api_key", act="remove")
    assert "API key: not set" in admin.get_text(tokens)
    wrong = admin.submit(path, page=tokens, key="api_key", value="a\tb")
    assert (wrong.status_code, "plain characters" in field_error(wrong.text, "api_key")) == (
        400,
        True,
    )
    for key in ("callback_token", "nothing"):
        unknown = admin.submit(path, page=tokens, key=key, value="x")
        assert (unknown.status_code, "has no secret" in unknown.text) == (400, True)
    with services.db.reading() as session:
        entries = session.scalars(select(AuditEntry)).all()
        assert not any("-key" in str((entry.before, entry.after)) for entry in entries)


def test_new_callback_token_ends_the_pause(services: Services, admin: ConsoleClient) -> None:
    account_id = add_account(services)
    pause(services, "account/1/callback")
    tokens = f"{ACCOUNTS}{account_id}/tokens"
    assert "The callback token is rejected" in admin.get_text(f"{ACCOUNTS}{account_id}")
    form = {"key": "callback_token", "value": "fresh-token"}
    assert admin.submit(f"{ACCOUNTS}{account_id}/secrets", page=tokens, **form).status_code == 302
    assert load_account(services).get_callback_token(services.secret_box) == "fresh-token"
    assert "is rejected" not in admin.get_text(f"{ACCOUNTS}{account_id}")
    admin.submit(f"{ACCOUNTS}{account_id}/secrets", page=tokens, key="callback_token", act="remove")
    assert load_account(services).callback_token is None


@pytest.mark.both
def test_products_are_chosen_for_an_account(services: Services, admin: ConsoleClient) -> None:
    account_id = add_account(services)
    chosen = factories.create_test(services, "Reasoning", "reasoning")
    factories.create_test(services, "Words", "words")
    path = f"{ACCOUNTS}{account_id}/products"
    nothing = save(admin, path, choice="only")
    assert (nothing.status_code, "Choose at least one product" in nothing.text) == (400, True)
    match = re.search(r'name="seen" value="(\w+)"', admin.get_text(path))
    assert save(admin, path, choice="only", product=chosen).status_code == 302
    page = admin.get_text(f"{ACCOUNTS}{account_id}")
    assert (">Reasoning</a>" in page, ">Words</a>" in page) == (True, False)
    assert re.search(rf'value="{chosen}" checked', admin.get_text(path))
    assert match
    late = save(admin, path, seen=match[1], choice="all")
    assert (late.status_code, "A colleague has changed" in late.text) == (400, True)
    assert save(admin, path, choice="all").status_code == 302
    assert ">Words</a>" in admin.get_text(f"{ACCOUNTS}{account_id}")
    with services.db.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action == Action.ACCOUNT_CHANGED)
        entries = session.scalars(query.order_by(AuditEntry.id)).all()
    after = {"all_products": False, "products": ["assessment/reasoning"]}
    assert [entry.after for entry in entries] == [after, {"all_products": True, "products": []}]


def test_logo_is_uploaded_shown_and_removed(services: Services, admin: ConsoleClient) -> None:
    account_id = add_account(services)
    page, path = f"{ACCOUNTS}{account_id}/settings", f"{ACCOUNTS}{account_id}/logo"
    svg = (io.BytesIO(b"<svg/>"), "logo.png")
    wrong = admin.submit(path, page=page, logo=svg)
    assert wrong.status_code == 400
    assert field_error(wrong.text, "logo") == "The logo should be a picture in PNG or JPEG"
    assert admin.submit(path, page=page).status_code == 400
    content = make_png()
    assert admin.submit(path, page=page, logo=(io.BytesIO(content), "x")).status_code == 302
    url = re.search(r'src="(/c/logo/[0-9a-f]{32}\.png)"', admin.get_text(page))
    assert url
    picture = admin.client.get(url[1])
    assert (picture.data, picture.mimetype) == (content, "image/png")
    assert picture.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert url[1] in admin.get_text(f"{ACCOUNTS}{account_id}")
    assert admin.submit(path, page=page, act="remove").status_code == 302
    assert admin.client.get(url[1]).status_code == 404
    assert "Present logo" not in admin.get_text(page)


def test_viewer_sees_no_link_to_what_it_may_not_do(services: Services, client: FlaskClient) -> None:
    account_id = add_account(services)
    viewer = ConsoleClient.signed_in(services, client, "viewer")
    pages = [
        viewer.get_text(f"{ACCOUNTS}{rest}") for rest in ("", account_id, f"{account_id}/setup")
    ]
    for words in ("New account", "Change settings", "Tokens and secrets", "Check the connection"):
        assert not any(words in page for page in pages), words
    admin = ConsoleClient.signed_in(services, client, "admin")
    assert "Change settings" in admin.get_text(f"{ACCOUNTS}{account_id}")


def test_token_shows_when_it_was_used(services: Services, admin: ConsoleClient) -> None:
    _, token = factories.create_account(services, timezone="UTC")
    public_id = load_account(services).public_id
    assert "Never" in admin.get_text(f"{ACCOUNTS}{public_id}/tokens")
    used_at = services.now() + timedelta(hours=1)
    services.authenticator.authenticate(token, "workable", used_at)
    assert f"{used_at:%H:%M}" in admin.get_text(f"{ACCOUNTS}{public_id}/tokens")


def test_sandbox_is_marked_wherever_its_account_is_named(
    services: Services, client: FlaskClient
) -> None:
    account_id, _ = factories.create_account(services, sandbox=True)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id, email="pass@example.com")
    factories.deliver_emails(services)
    with services.db.reading() as session:
        account = session.get_one(Account, account_id).public_id
    console = ConsoleClient.signed_in(services, client, "viewer")
    mark = '<span class="tag tag-warn">Sandbox</span>'
    for path in ("accounts/", f"accounts/{account}", "orders/", f"orders/{order_id}", "emails/"):
        assert mark in console.get_text(f"/console/{path}"), path
    assert "has a scripted outcome" in console.get_text(f"/console/orders/{order_id}")


def test_outcomes_by_product_are_set_on_the_page_of_settings(
    services: Services, admin: ConsoleClient
) -> None:
    account_id, _ = factories.create_account(services, sandbox=True)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id, email="ana@example.com")
    path = f"{ACCOUNTS}{load_account(services).public_id}"
    response = save(admin, f"{path}/settings", sandbox_outcomes="x=pass")
    assert "There is no product “x”" in field_error(response.text, "sandbox_outcomes")
    text = "reasoning=expire"
    response = save(admin, f"{path}/settings", sandbox_outcomes=text)
    assert response.status_code == 302
    assert "<code>assessment/reasoning</code>: expire" in admin.get_text(path)
    assert 'value="assessment/reasoning=expire"' in admin.get_text(f"{path}/settings")
    assert "has a scripted outcome" in admin.get_text(f"/console/orders/{order_id}")


def test_emails_to_candidates_are_chosen_by_boxes(services: Services, admin: ConsoleClient) -> None:
    path = f"{ACCOUNTS}{add_account(services)}/settings"
    checked = re.compile(r'name="candidate_emails" value="(\w+)" checked')
    assert checked.findall(admin.get_text(path)) == ["completion", "decline"]
    for chosen in (["", "expiry", "completion"], [""]):
        assert save(admin, path, candidate_emails=chosen).status_code == 302
        assert set(checked.findall(admin.get_text(path))) == set(filter(None, chosen))
    assert load_account(services).options["candidate_emails"] == []
    assert save(admin, path, candidate_emails=["reminder"]).status_code == 400


def test_checklist_shows_commands_as_code(services: Services, admin: ConsoleClient) -> None:
    account_id = add_account(services, name="A & B")
    with services.db.writing() as session:
        for token in session.scalars(select(Account)).one().tokens:
            token.revoked_at = services.now()
    page = admin.client.get(f"{ACCOUNTS}{account_id}/setup").text
    assert "The ATS has no token: <code>provider account token</code> creates one" in page
