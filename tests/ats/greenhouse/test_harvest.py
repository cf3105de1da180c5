"""Harvest v3: rules by job and stage, tokens of both kinds, notes and files, each once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from provider.ats import ADAPTERS
from provider.ats.greenhouse.harvest import source
from provider.ats.rules import add_rule as add_account_rule
from provider.core.accounts import Account
from provider.core.connections import ApiToken, forget_tokens
from provider.core.orders import Order
from provider.core.products import Product
from provider.delivery import Dispatcher
from provider.delivery.api_client import open_api_client
from provider.delivery.ats_gateway import ApiGateway
from provider.delivery.keep_tokens import keep_tokens_alive
from provider.errors import Invalid
from provider.services import Services
from tests import factories
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest
from tests.fakes.vendor import hang_up, status

JOB, STAGE, OTHER_STAGE = 5, 88, 87


def fill(harvest: FakeHarvest) -> None:
    harvest.add("jobs", id=JOB, name="Accountant")
    harvest.add("job_interview_stages", id=OTHER_STAGE, job_id=JOB, name="Application Review")
    harvest.add("job_interview_stages", id=STAGE, job_id=JOB, name="Assessment")


def create_world(
    services: Services, clock: ManualClock, harvest: FakeHarvest, **options: Any
) -> ApiWorld:
    options = {
        "api_base": f"{harvest.url}/v3",
        "token_url": harvest.token_url,
        "authorize_url": harvest.authorize_url,
        **options,
    }
    secrets = {
        "harvest_client_id": harvest.client_id,
        "harvest_client_secret": harvest.client_secret,
    }
    interval = timedelta(minutes=5)
    return ApiWorld.create(
        services, clock, ats="greenhouse", options=options, secrets=secrets, interval=interval
    )


@pytest.fixture
def harvest(clock: ManualClock) -> Iterator[FakeHarvest]:
    with FakeHarvest(clock) as fake:
        fill(fake)
        yield fake


@pytest.fixture
def partner(clock: ManualClock) -> Iterator[FakeHarvest]:
    with FakeHarvest(clock, "code") as fake:
        fill(fake)
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, harvest: FakeHarvest) -> ApiWorld:
    return create_world(services, clock, harvest)


@pytest.fixture
def dispatcher(world: ApiWorld) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(world.services)
    yield dispatcher
    dispatcher.stop()


def add_rule(world: ApiWorld, **columns: Any) -> None:
    world.add_known_rule(**{"match": {"stage": str(STAGE), "job": str(JOB)}, **columns})


def connect(world: ApiWorld, partner: FakeHarvest) -> None:
    """Let a person consent, as a browser does, and store the tokens."""
    connection = _connection(world)
    api = ADAPTERS["greenhouse"].api
    assert api
    assert api.token_flow
    url = api.token_flow.authorize_url(connection, partner.redirect_uri, "s1")
    answer = requests.get(url, allow_redirects=False, timeout=5)
    code = answer.headers["Location"].split("code=")[1].split("&")[0]
    with open_api_client(world.services) as client:
        client.tokens.exchange_code(api.token_flow, connection, code, partner.redirect_uri)


def finish(world: ApiWorld, dispatcher: Dispatcher) -> str:
    order = world.order_ids()[0]
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    return order


def test_entry_into_the_stage_orders_and_the_result_is_written(
    world: ApiWorld, harvest: FakeHarvest, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    application = harvest.apply(OTHER_STAGE, id=26, preferred_name="Annie")
    world.read_next()
    assert world.orders() == []
    harvest.enter(application, STAGE)
    world.read_next()
    assert world.orders() == ["ana@example.org"]
    order = finish(world, dispatcher)
    (note,) = harvest.records("notes")
    assert note["body"].startswith("Reasoning: excelled, 100 %. Report: http://provider.test/r/")
    assert note["body"].endswith(f"[order {order}, 1]")
    assert note["visibility"] == "private"
    (attachment,) = harvest.records("attachments")
    assert attachment["application_id"] == 26
    assert attachment["type"] == "take_home_test"
    assert attachment["filename"] == f"Reasoning-{order}-1.pdf"
    assert harvest.contents[attachment["id"]].startswith(b"%PDF-")


@pytest.mark.parametrize("match", [{"stage": "Assessment"}, {"stage": "88", "job": "Accountant"}])
def test_rule_with_a_name_instead_of_an_id_is_refused(
    world: ApiWorld, match: dict[str, str]
) -> None:
    name, value = list(match.items())[-1]
    message = f"{name} should be a number, the id of a .*, and not “{value}”"
    with world.services.db.reading() as session:
        account = session.get_one(Account, world.account_id)
        product = Product.find(session, world.product)
        options: Any = {"once": True, "backfills": False, "now": world.clock.now()}
        with pytest.raises(Invalid, match=message):
            add_account_rule(session, account, product, match, **options)
    with pytest.raises(Invalid, match=message):
        ApiGateway(world.services).find_matches(world.account_id, match)


def test_three_requests_find_fifty_candidates(world: ApiWorld, harvest: FakeHarvest) -> None:
    add_rule(world)
    harvest.backlog(50, STAGE)
    harvest.request_log.clear()
    world.read_next()
    assert len(world.orders()) == 50
    assert [line.request.path.rpartition("/")[2] for line in harvest.request_log] == [
        "application_stages",
        "applications",
        "candidates",
    ]


def test_backlog_is_read_within_the_budget(world: ApiWorld, harvest: FakeHarvest) -> None:
    harvest.budget_limit = 5
    add_rule(world)
    harvest.backlog(120, STAGE)
    for _ in range(14):
        world.clock.advance(timedelta(seconds=30))
        world.read()
    assert len(world.orders()) == 120
    assert 429 not in {line.status_code for line in harvest.request_log}


def test_candidate_who_has_left_the_stage_is_not_ordered(
    world: ApiWorld, harvest: FakeHarvest
) -> None:
    add_rule(world)
    application = harvest.apply(STAGE)
    harvest.enter(application, OTHER_STAGE)
    world.read_next()
    assert world.orders() == []


@pytest.mark.parametrize("application_status", ["rejected", "hired"])
def test_application_that_is_over_is_not_ordered(
    world: ApiWorld, harvest: FakeHarvest, application_status: str
) -> None:
    add_rule(world)
    harvest.change("applications", harvest.apply(STAGE), status=application_status)
    world.read_next()
    assert world.arrivals() == []
    match = {"stage": str(STAGE)}
    assert ApiGateway(world.services).find_matches(world.account_id, match) == []


def test_entry_of_before_the_rule_is_not_ordered(world: ApiWorld, harvest: FakeHarvest) -> None:
    application = harvest.apply(STAGE)
    world.clock.advance(timedelta(minutes=1))
    add_rule(world)
    row = harvest.get("applications", application)["stage_id"]
    harvest.change("application_stages", row)  # a later change of the old entry
    world.read_next()
    assert world.arrivals() == [("existing", "")]


def test_backfill_orders_those_who_are_in_the_stage(world: ApiWorld, harvest: FakeHarvest) -> None:
    harvest.apply(STAGE)
    world.clock.advance(timedelta(days=30))
    world.add_rule(match={"stage": str(STAGE)}, backfills=True)
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_repeating_rule_orders_at_a_second_entry(world: ApiWorld, harvest: FakeHarvest) -> None:
    add_rule(world, once=False)
    application = harvest.apply(STAGE)
    world.read_next()
    world.read_next()
    harvest.enter(application, OTHER_STAGE)
    harvest.enter(application, STAGE)
    world.read_next()
    assert len(world.orders()) == 2


def test_records_deleted_before_they_are_read_are_left_out(
    world: ApiWorld, harvest: FakeHarvest
) -> None:
    add_rule(world)
    first = harvest.apply(STAGE)
    second = harvest.apply(STAGE)
    harvest.apply(STAGE, email_addresses=[{"value": "cy@example.org", "type": "work"}])
    candidate = harvest.get("applications", second)["candidate_id"]
    harvest.before_page["applications", 1] = lambda: harvest.delete("applications", first)
    harvest.before_page["candidates", 1] = lambda: harvest.delete("candidates", candidate)
    world.read_next()
    assert world.orders() == ["cy@example.org"]


def test_dead_cursor_begins_the_window_again(
    world: ApiWorld, harvest: FakeHarvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PAGE_SIZE", 10)
    add_rule(world)
    harvest.backlog(12, STAGE)
    harvest.cursor_lifetime_seconds = 0
    world.read_next()
    assert "begins again" in world.cursor("stage_entries").last_error
    harvest.cursor_lifetime_seconds = None
    world.read_next()
    assert len(world.orders()) == 12


def test_user_without_rights_is_said(world: ApiWorld, harvest: FakeHarvest) -> None:
    user = harvest.add("users", site_admin=False)
    world.set_options(harvest_user_id=str(user))
    add_rule(world)
    assert "the user is not a Site Admin" in world.cursor("stage_entries").last_error
    lines = _check(world)
    assert not any(is_ok for is_ok, _ in lines)
    assert "let a Site Admin be the user" in lines[0][1]


def test_check_without_any_job_suspects_the_users_rights(
    world: ApiWorld, harvest: FakeHarvest
) -> None:
    assert all(is_ok for is_ok, _ in _check(world))
    user = harvest.add("users", site_admin=False)
    world.set_options(harvest_user_id=str(user))
    world.set_secret("harvest_client_id", harvest.client_id)  # ends the token of the other user
    harvest.hides_lists = True
    problems = [text for is_ok, text in _check(world) if not is_ok]
    assert problems == [
        "Greenhouse shows an empty list of jobs: perhaps the user of the credential is no Site "
        "Admin"
    ]


@pytest.mark.parametrize("resource", ["job_interview_stages", "attachments"])
def test_check_names_the_scope_that_a_list_lacks(
    world: ApiWorld, harvest: FakeHarvest, resource: str
) -> None:
    harvest.scopes.discard(f"harvest:{resource}:list")
    (problem,) = [text for is_ok, text in _check(world) if not is_ok]
    assert f"add the scope harvest:{resource}:list" in problem


def test_missing_scope_rejects_the_note_alone(
    world: ApiWorld, harvest: FakeHarvest, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    harvest.apply(STAGE)
    world.read_next()
    harvest.scopes.discard("harvest:notes:create")
    finish(world, dispatcher)
    assert world.message_states() == {"note": ["parked"], "attachment": ["delivered"]}
    assert "the scope harvest:notes:create is missing" in world.stored_texts()


@pytest.mark.parametrize("resource", ["notes", "attachments"])
def test_missing_scope_of_the_look_before_a_repeat_is_named(
    world: ApiWorld, harvest: FakeHarvest, dispatcher: Dispatcher, resource: str
) -> None:
    add_rule(world)
    harvest.apply(STAGE)
    world.read_next()
    harvest.scopes.discard(f"harvest:{resource}:list")
    harvest.fail_next("POST", f"/v3/{resource}", status(500), after=True)
    finish(world, dispatcher)
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert f"the scope harvest:{resource}:list is missing" in world.stored_texts()


@pytest.mark.parametrize("resource", ["notes", "attachments"])
@pytest.mark.parametrize("failure", [hang_up, status(500)])
def test_write_whose_answer_was_lost_is_there_once(
    world: ApiWorld,
    harvest: FakeHarvest,
    dispatcher: Dispatcher,
    resource: str,
    failure: Any,
) -> None:
    add_rule(world)
    harvest.apply(STAGE)
    world.read_next()
    harvest.fail_next("POST", f"/v3/{resource}", failure, after=True)
    finish(world, dispatcher)
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert len(harvest.records(resource)) == 1
    assert set(world.message_states()) == {"note", "attachment"}
    assert {states[0] for states in world.message_states().values()} == {"delivered"}


def test_correction_is_a_second_note(
    world: ApiWorld, harvest: FakeHarvest, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    harvest.apply(STAGE)
    world.read_next()
    order = world.order_ids()[0]
    factories.finish_test(world.services, order, {})
    world.deliver(dispatcher)
    with world.services.db.writing() as session:
        found = Order.find(session, order)
        found.reopen(session, world.services.secret_box, "staff", "", world.clock.now())
    finish(world, dispatcher)
    first, second = [note["body"] for note in harvest.records("notes")]
    assert first.startswith("Reasoning: failed, 0 %.")
    assert second.startswith("Correction: Reasoning: excelled, 100 %.")


def test_deleted_candidate_fails_with_a_sentence(
    world: ApiWorld, harvest: FakeHarvest, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    application = harvest.apply(STAGE)
    world.read_next()
    harvest.delete("candidates", harvest.get("applications", application)["candidate_id"])
    finish(world, dispatcher)
    assert world.message_states() == {"note": ["parked"], "attachment": ["parked"]}
    assert "no longer exists in Greenhouse" in world.stored_texts()


def test_partner_token_is_refreshed_and_replaces_both(
    services: Services, clock: ManualClock, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    connect(world, partner)
    add_rule(world)
    partner.apply(STAGE)
    for _ in range(30):
        world.read_next()
    assert world.orders() == ["ana@example.org"]
    assert 401 not in {line.status_code for line in partner.request_log}


def test_unused_connection_is_kept_alive_for_days(
    services: Services, clock: ManualClock, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    connect(world, partner)
    for _ in range(3 * 24):
        clock.advance(timedelta(hours=1))
        with open_api_client(world.services) as client:
            keep_tokens_alive(world.services, client)
    assert len(partner.requests("POST", "/token")) == 1 + 12  # every six hours
    assert _reconnect_reason(world) == ""


def test_two_processes_refresh_once(
    services: Services, clock: ManualClock, partner: FakeHarvest
) -> None:
    """The second process asks while the first waits for the answer."""
    world = create_world(services, clock, partner, harvest_auth="code")
    connect(world, partner)
    clock.advance(timedelta(minutes=50))  # 80 % of the token's life are over
    tokens: list[str] = []

    def ask_from_another_process(request: Any) -> None:
        if request.path == "/token":
            tokens.append(_token(world))

    partner.before_request.append(ask_from_another_process)
    first = _token(world)
    assert len(partner.requests("POST", "/token")) == 2  # the code, and one refresh
    assert tokens[0] != first  # the old token serves until its end
    assert _token(world) == first


def test_revoked_consent_says_connect_again(
    services: Services, clock: ManualClock, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    connect(world, partner)
    add_rule(world)
    partner.revoke()
    world.read_next()
    assert "grants no token" in _reconnect_reason(world)
    partner.request_log.clear()
    world.clock.advance(timedelta(hours=1))
    world.read()
    assert partner.request_log == []
    assert "Connect the account again" in world.cursor("stage_entries").last_error
    connect(world, partner)
    world.clock.advance(timedelta(hours=1))
    partner.apply(STAGE)
    world.read()  # the round that was interrupted
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_refresh_whose_answer_was_lost_ends_in_connect_again(
    services: Services, clock: ManualClock, partner: FakeHarvest
) -> None:
    """The old refresh token is tried once more: Greenhouse then ends the connection."""
    world = create_world(services, clock, partner, harvest_auth="code")
    connect(world, partner)
    add_rule(world)
    clock.advance(timedelta(hours=2))
    partner.fail_next("POST", "/token", hang_up, after=True)
    world.read()
    assert _reconnect_reason(world) == ""
    world.read_next()
    assert "grants no token" in _reconnect_reason(world)


def test_restored_backup_uses_no_token(
    services: Services, clock: ManualClock, partner: FakeHarvest
) -> None:
    world = create_world(services, clock, partner, harvest_auth="code")
    connect(world, partner)
    with world.services.db.writing() as session:
        forget_tokens(session)
    partner.request_log.clear()
    add_rule(world)
    assert partner.request_log == []
    assert "A backup was restored" in world.cursor("stage_entries").last_error


def test_choosers_list_open_jobs_and_their_stages(world: ApiWorld, harvest: FakeHarvest) -> None:
    harvest.add("jobs", id=6, name="Closed", status="closed")
    api = ADAPTERS["greenhouse"].api
    assert api
    labels = {}
    for fact, choose in api.choosers().items():
        with open_api_client(world.services) as client:
            connection = _connection(world)
            choices = client.run(api, connection, choose(connection))
            labels[fact] = [(choice.value, choice.label) for choice in choices]
    assert labels["job"] == [("5", "Accountant")]
    assert ("88", "Accountant: Assessment") in labels["stage"]


def test_secrets_and_tokens_are_in_no_stored_text(
    world: ApiWorld, harvest: FakeHarvest, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    harvest.apply(STAGE)
    world.read_next()
    finish(world, dispatcher)
    token = _token(world)
    assert token not in world.stored_texts()
    assert harvest.client_secret not in world.stored_texts()


def _connection(world: ApiWorld) -> Any:
    with open_api_client(world.services) as client, world.services.db.reading() as session:
        return client.connection(session, session.get_one(Account, world.account_id))


def _token(world: ApiWorld) -> str:
    """Return the access token of a client of its own, as another process has it."""
    api = ADAPTERS["greenhouse"].api
    assert api
    assert api.token_flow
    with open_api_client(world.services) as client:
        return client.tokens.add_to(api.token_flow, _connection(world)).access_token


def _reconnect_reason(world: ApiWorld) -> str:
    with world.services.db.reading() as session:
        return session.get_one(ApiToken, world.account_id).reconnect_reason


def _check(world: ApiWorld) -> list[tuple[bool, str]]:
    api = ADAPTERS["greenhouse"].api
    assert api
    with open_api_client(world.services) as client:
        report = client.check(api, _connection(world))
    return [(line.is_ok, line.text) for line in report.lines]
