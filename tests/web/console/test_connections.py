"""The page of an account's connection: check, consent, rules, rounds and arrivals."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask.testing import FlaskClient

from provider import outbox
from provider.ats.api import CheckLine
from provider.core.accounts import Account
from provider.core.connections import ApiToken
from provider.core.connections.connect_state import STATE_LIFETIME
from provider.core.staff import complete_sign_in
from provider.delivery import ats_gateway, rounds
from provider.services import Services
from tests.ats.greenhouse.test_harvest import STAGE, create_world, fill
from tests.cli.test_commands import Run, parse_json
from tests.cli.test_commands import run as run
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest
from tests.fakes.workable_api import FakeWorkableApi
from tests.web.console_client import ConsoleClient


@pytest.fixture
def services(services: Services) -> Services:
    """Services whose settings let the app call this machine."""
    object.__setattr__(services.settings, "private_callbacks", True)
    return services


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, fake: FakeDummy) -> ApiWorld:
    return ApiWorld.of_dummy(services, clock, fake)


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


@pytest.fixture
def partner(clock: ManualClock) -> Iterator[FakeHarvest]:
    with FakeHarvest(clock, "code") as fake:
        fill(fake)
        fake.redirect_uri = "http://provider.test/console/connect"
        yield fake


def page_of(world: ApiWorld) -> str:
    with world.services.db.reading() as session:
        public_id = session.get_one(Account, world.account_id).public_id
    return f"/console/accounts/{public_id}/connection"


def add_rule(console: ConsoleClient, world: ApiWorld, **form: str) -> str:
    page = page_of(world)
    fields = {"fact-stage": "Test", "product": world.product, "act": "add", **form}
    return console.submit(f"{page}/rules", page=page, **fields).text


def test_rule_is_added_shown_and_removed(console: ConsoleClient, world: ApiWorld) -> None:
    add_rule(console, world, backfill="on")
    page = page_of(world)
    text = console.get_text(page)
    assert "stage = Test" in text
    assert "and those of before" in text
    console.submit(f"{page}/rules/1/remove", page=page)
    assert "No rule: nothing is ordered by itself." in console.get_text(page)


def test_rule_without_its_fact_keeps_the_form(console: ConsoleClient, world: ApiWorld) -> None:
    text = add_rule(console, world, **{"fact-stage": " ", "repeat": "on"})
    assert "A rule of this ATS needs stage" in text
    assert 'name="repeat" checked' in text
    assert "There is no such product" in add_rule(console, world, product="unknown")


def test_preview_counts_and_orders_nothing(
    console: ConsoleClient, world: ApiWorld, fake: FakeDummy
) -> None:
    fake.lazy_people = 4
    assert "4 candidates match at present" in add_rule(console, world, act="preview")
    assert world.orders() == []
    fake.key = "another"
    assert "refuses the account" in add_rule(console, world, act="preview")


def test_rounds_arrivals_and_refusals_are_shown(
    console: ConsoleClient, world: ApiWorld, fake: FakeDummy
) -> None:
    fake.add(1)
    fake.add(2, email="")
    world.add_rule(backfills=True)
    world.read()
    text = console.get_text(page_of(world))
    assert f'href="/console/orders/{world.order_ids()[0]}">Ordered' in text
    assert "1 could not be ordered for" in text
    assert "The candidate has no e-mail address in the ATS" in text
    assert "People" in text


def test_stopped_round_goes_on_by_a_button(
    console: ConsoleClient, world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MAX_ORDERS_PER_ROUND", 2)
    fake.lazy_people = 3
    world.add_rule(backfills=True)
    world.read()
    page = page_of(world)
    assert "2 orders were placed in one round" in console.get_text(page)
    console.submit(f"{page}/resume", page=page)
    world.read()
    assert len(world.orders()) == 3


def test_check_shows_what_works_and_what_not(
    console: ConsoleClient, world: ApiWorld, fake: FakeDummy
) -> None:
    page = page_of(world)
    assert "Dummy accepts the key" in console.submit(f"{page}/check", page=page).text
    fake.key = "another"
    assert "Dummy answers 401" in console.submit(f"{page}/check", page=page).text


def test_check_shows_every_line_of_the_command(
    console: ConsoleClient,
    world: ApiWorld,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spf = CheckLine(False, "provider.test has no SPF record")
    monkeypatch.setattr(ats_gateway, "check_mail_domain", lambda _: [spf])
    monkeypatch.setenv("PROVIDER_PRIVATE_CALLBACKS", "allow")
    page = page_of(world)
    lines = parse_json(run("account", "check", "Groove Tech", "--json", code=1))
    texts = [line["text"] for line in lines]
    assert "The ATS sees 1 product" in texts
    assert "Dummy accepts the key" in texts
    assert spf.text in texts
    shown = unescape(console.submit(f"{page}/check", page=page).text)
    with_commands = re.sub("</?code>", "`", shown)
    assert [text for text in texts if text not in with_commands] == []


def test_choices_come_from_the_ats_when_asked(
    services: Services, clock: ManualClock, console: ConsoleClient
) -> None:
    with FakeHarvest(clock) as harvest:
        fill(harvest)
        world = create_world(services, clock, harvest)
        page = page_of(world)
        assert "Accountant" not in console.get_text(page)
        assert "Load the names from Greenhouse" in console.get_text(page)
        text = console.get_text(f"{page}?choose=1")
        assert f'<option value="{STAGE}">Accountant: Assessment</option>' in text
        harvest.revoke()
        harvest.client_secret = "another"
        clock.advance(timedelta(hours=2))
        assert "grants no token" in console.get_text(f"{page}?choose=1")


def test_ats_without_lists_of_names_offers_none(console: ConsoleClient, world: ApiWorld) -> None:
    text = console.get_text(page_of(world))
    assert "Add a rule" in text
    assert "Load the names" not in text


def test_member_is_chosen_from_the_names_of_the_ats(
    services: Services, clock: ManualClock, console: ConsoleClient
) -> None:
    with FakeWorkableApi(clock) as workable:
        world = ApiWorld.create(
            services,
            clock,
            ats="workable",
            options={"subdomain": "groove-tech", "api_base": workable.api_url},
            secrets={"api_token": workable.account_token},
        )
        page = page_of(world)
        assert "Load the names from Workable" in console.get_text(page)
        text = console.get_text(f"{page}?choose=settings")
        assert '<option value="" selected>Choose</option>' in text
        assert '<option value="3247e8c7">Alexia Middleton</option>' in text
        form = {"name": "member_id", "value": "3247e8c7"}
        console.submit(f"{page}/settings", page=page, **form)
        assert "Now: <code>3247e8c7</code>" in console.get_text(page)
        assert "3247e8c7" in console.get_text(page.removesuffix("/connection"))
        text = console.get_text(f"{page}?choose=settings")
        assert '<option value="3247e8c7" selected>' in text


@pytest.mark.parametrize("name", ["subdomain", "callback_token", ""])
def test_setting_that_the_ats_does_not_list_cannot_be_chosen(
    console: ConsoleClient, world: ApiWorld, name: str
) -> None:
    page = page_of(world)
    answer = console.submit(f"{page}/settings", page=page, name=name, value="x")
    assert answer.status_code == 400
    assert "cannot be chosen here" in answer.text


def test_consent_is_given_once_by_the_same_session_within_ten_minutes(
    services: Services, clock: ManualClock, console: ConsoleClient, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    page = page_of(world)
    assert "Not given yet" in console.get_text(page)
    callback = consent(console, page)
    text = console.get_text(callback)
    assert "Greenhouse shows jobs" in text
    assert "Consent" in text
    assert "Given" in console.get_text(page)
    assert "not asked for from here" in console.get_text(callback, 400)


def test_new_consent_ends_the_pause_of_the_writers(
    services: Services, clock: ManualClock, console: ConsoleClient, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    scope = f"account/{world.account_id}/{outbox.WRITER}"
    with services.db.writing() as session:
        retry_at = services.now() + timedelta(minutes=30)
        outbox.pause(session, scope, "connect again", retry_at, services.now())
    console.get_text(consent(console, page_of(world)))
    with services.db.reading() as session:
        assert not outbox.active_pauses(session, [scope])
        token = session.get(ApiToken, world.account_id)
        assert token
        assert token.access_encrypted


def test_disconnected_account_has_no_token_and_may_connect_again(
    services: Services, clock: ManualClock, console: ConsoleClient, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    page = page_of(world)
    assert "Disconnect…" not in console.get_text(page)
    console.get_text(consent(console, page))
    assert "Disconnect…" in console.get_text(page)
    answer = unescape(console.submit(f"{page}/disconnect", page=page).text)
    assert "the ATS has not revoked them: it has no address for this" in answer
    assert not has_token(world)
    assert "Not given yet" in console.get_text(page)
    assert "Disconnect…" not in console.get_text(page)
    console.get_text(consent(console, page))
    assert has_token(world)


def test_account_without_consent_cannot_be_disconnected(
    console: ConsoleClient, world: ApiWorld
) -> None:
    page = page_of(world)
    response = console.submit(f"{page}/disconnect", page=page)
    assert response.status_code == 400
    assert "need no consent" in response.text


def test_consent_that_is_too_old_is_refused(
    services: Services, clock: ManualClock, console: ConsoleClient, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    callback = consent(console, page_of(world))
    clock.advance(STATE_LIFETIME)
    assert "more than ten minutes ago" in console.get_text(callback, 400)
    assert not has_token(world)


def test_consent_of_another_session_is_refused(
    services: Services,
    clock: ManualClock,
    client: FlaskClient,
    console: ConsoleClient,
    partner: FakeHarvest,
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    callback = consent(console, page_of(world))
    client.delete_cookie("staff")
    with services.db.writing() as session:
        token = complete_sign_in(session, "admin@provider.test", "127.0.0.1", services.now())
    client.set_cookie("staff", token)
    assert "not asked for from here" in console.get_text(callback, 400)
    assert not has_token(world)


def test_refused_consent_changes_nothing(
    services: Services, clock: ManualClock, console: ConsoleClient, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    partner.denies_consent = True
    callback = consent(console, page_of(world))
    assert console.client.get(callback).status_code == 302
    assert "The consent was refused at the ATS" in console.get_text(page_of(world))
    assert not has_token(world)


def test_state_that_nobody_has_asked_for_is_refused(
    services: Services, clock: ManualClock, console: ConsoleClient, partner: FakeHarvest
) -> None:
    create_world(services, clock, partner, harvest_auth="code")
    assert "not asked for" in console.get_text("/console/connect?state=x&code=y", 400)
    assert "not asked for" in console.get_text("/console/connect", 400)


def test_account_whose_settings_need_no_consent_asks_for_none(
    console: ConsoleClient, world: ApiWorld
) -> None:
    page = page_of(world)
    response = console.submit(f"{page}/consent", page=page)
    assert response.status_code == 400
    assert "need no consent" in response.text


def test_viewer_sees_the_page_without_acts(
    services: Services, client: FlaskClient, world: ApiWorld
) -> None:
    world.add_rule()
    console = ConsoleClient.signed_in(services, client, "viewer")
    text = console.get_text(page_of(world))
    assert "stage = Test" in text
    assert "Add a rule" not in text
    assert "Check the connection" not in text
    assert "Remove" not in text


def consent(console: ConsoleClient, page: str) -> str:
    """Go to the ATS's consent page as a browser does; return the address that it comes back to."""
    text = unescape(console.submit(f"{page}/consent", page=page).text)
    location = text.split('class="btn btn-primary" href="')[1].split('"')[0]
    state = parse_qs(urlsplit(location).query)["state"][0]
    assert len(state) == 43
    answer = requests.get(location, allow_redirects=False, timeout=5)
    back = urlsplit(answer.headers["Location"])
    assert back.path == "/console/connect"
    return f"{back.path}?{back.query}"


def has_token(world: ApiWorld) -> bool:
    with world.services.db.reading() as session:
        row = session.get(ApiToken, world.account_id)
        return row is not None and bool(row.access_encrypted)
