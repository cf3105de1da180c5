"""Workable's REST API: rules by job and stage, webhooks, evaluations, comments and tags."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from sqlalchemy import select

from provider.ats import ADAPTERS
from provider.ats.api import AtsApi
from provider.ats.webhook_urls import webhook_urls
from provider.core.accounts import Account
from provider.core.connections import ApiToken, WebhookEvent
from provider.core.connections.api_token import find_leased_token, lease_token
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.api_client import open_api_client
from provider.delivery.ats_gateway import ApiGateway
from provider.delivery.inbox import process_due_events
from provider.delivery.subscriptions import keep_subscriptions
from provider.errors import Invalid
from tests import factories
from tests.conftest import LiveServer
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fakes.vendor import hang_up, status
from tests.fakes.workable_api import FakeWorkableApi

DAY = timedelta(days=1)
RULE = {"job": "GROOV005", "stage": "Assessment"}


@pytest.fixture
def workable(clock: ManualClock) -> Iterator[FakeWorkableApi]:
    with FakeWorkableApi(clock) as fake:
        yield fake


def create_world(
    app_server: LiveServer, clock: ManualClock, workable: FakeWorkableApi, **options: Any
) -> ApiWorld:
    options = {
        "subdomain": "groove-tech",
        "api_base": workable.api_url,
        "accounts_base": workable.api_url,
        "authorize_url": f"{workable.url}/oauth/authorize",
        "token_url": f"{workable.url}/oauth/token",
        "revoke_url": f"{workable.url}/oauth/revoke",
        "member_id": "13e0eb0e",
        **options,
    }
    secrets = {
        "api_token": workable.account_token,
        "oauth_client_id": workable.client_id,
        "oauth_client_secret": workable.client_secret,
    }
    return ApiWorld.create(
        app_server.services,
        clock,
        ats="workable",
        options=options,
        secrets=secrets,
        interval=timedelta(minutes=5),
    )


@pytest.fixture
def world(app_server: LiveServer, clock: ManualClock, workable: FakeWorkableApi) -> ApiWorld:
    return create_world(app_server, clock, workable)


@pytest.fixture
def dispatcher(world: ApiWorld) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(world.services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def api() -> AtsApi:
    api = ADAPTERS["workable"].api
    assert api
    return api


def add_rule(world: ApiWorld, **columns: Any) -> None:
    world.add_known_rule(**{"match": RULE, **columns})


def order_one(world: ApiWorld, workable: FakeWorkableApi) -> tuple[str, str]:
    """Let a candidate reach the stage; return the ids of the order and the candidate."""
    add_rule(world)
    candidate = workable.add(job="GROOV005", stage="applied", email="ana@example.org")
    workable.move(candidate, "assessment")
    world.read_next()
    (order,) = world.order_ids()
    return order, candidate


def finish(world: ApiWorld, dispatcher: Dispatcher, order: str) -> None:
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)


def connect(world: ApiWorld, workable: FakeWorkableApi, api: AtsApi) -> None:
    """Let a person consent, as a browser does, and store the tokens."""
    assert api.token_flow
    connection = _connection(world)
    url = api.token_flow.authorize_url(connection, workable.redirect_uri, "s1")
    answer = requests.get(url, allow_redirects=False, timeout=5)
    code = answer.headers["Location"].split("code=")[1].split("&")[0]
    with open_api_client(world.services) as client:
        client.tokens.exchange_code(api.token_flow, connection, code, workable.redirect_uri)


def test_stage_orders_and_the_result_is_an_evaluation_and_a_comment(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    order, candidate = order_one(world, workable)
    assert world.orders() == ["ana@example.org"]
    finish(world, dispatcher, order)
    (comment,) = workable.written(candidate, "comments")
    assert comment["member_id"] == "13e0eb0e"
    assert comment["comment"]["policy"] == ["simple", "recruiter"]
    assert comment["comment"]["body"].startswith("Reasoning: excelled, 100 %. Report: ")
    assert comment["comment"]["body"].endswith(f"[order {order}, 1]")
    assert comment["comment"]["attachment"]["name"] == f"Reasoning-{order}-1.pdf"
    assert workable.written(candidate, "ratings") == [
        {
            "member_id": "13e0eb0e",
            "comment": f"Reasoning: excelled  [order {order}, 1]",
            "scale": "thumbs",
            "grade": 1,
        }
    ]
    assert workable.written(candidate, "tags") == []
    assert world.message_states() == {"rating": ["delivered"], "comment": ["delivered"]}


def test_order_of_the_contract_is_not_written_through_the_api(world: ApiWorld) -> None:
    order = factories.place_order(world.services, world.account_id, world.product)
    factories.finish_test(world.services, order)
    assert world.message_states() == {"status": ["waiting"]}


@pytest.mark.parametrize("sends_stage", ["name", "slug"])
@pytest.mark.parametrize("stage", ["Phone Screen", "phone-screen", "PHONE screen"])
@pytest.mark.parametrize("job", ["GROOV005", "groov005"])
def test_stage_and_job_match_in_every_spelling(
    world: ApiWorld, workable: FakeWorkableApi, sends_stage: Any, stage: str, job: str
) -> None:
    workable.sends_stage = sends_stage
    add_rule(world, match={"job": job, "stage": stage})
    workable.add(stage="phone-screen")
    world.read_next()
    assert len(world.orders()) == 1


@pytest.mark.parametrize("sends_stage", ["name", "slug"])
@pytest.mark.parametrize("stage", ["Tech Test (2)", "tech-test-2"])
@pytest.mark.parametrize("way", ["updated_after", "sweep", "event"])
def test_stage_whose_slug_the_name_does_not_tell_matches(
    world: ApiWorld, workable: FakeWorkableApi, way: str, stage: str, sends_stage: Any
) -> None:
    workable.sends_stage = sends_stage
    world.set_options(webhooks=True, poll="sweep" if way == "sweep" else "updated_after")
    keep(world)
    add_rule(world, match={"stage": stage})
    candidate = workable.add(stage="applied")
    workable.move(candidate, "tech-test-2")
    if way == "event":
        process(world)
    else:
        world.read_next()
    assert len(world.orders()) == 1


@pytest.mark.parametrize(
    ("kind", "order_count"),
    [
        ("Offer", 0),  # a stage is called like the kind
        ("contract", 1),
    ],
)
def test_kind_is_the_stage_where_no_stage_has_its_name(
    world: ApiWorld, workable: FakeWorkableApi, kind: str, order_count: int
) -> None:
    workable.stages.append(
        {"slug": "last-talk", "name": "Last Talk", "kind": kind.lower(), "position": 9}
    )
    match = {"stage": kind}
    add_rule(world, match=match)
    workable.add(stage="last-talk")
    world.read_next()
    assert len(world.orders()) == order_count
    assert len(ApiGateway(world.services).find_matches(world.account_id, match)) == order_count


def test_token_that_may_not_list_stages_still_orders(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    token = workable.issue_token("account", "groove-tech", scopes=("r_candidates",))
    world.set_secret("api_token", token)
    add_rule(world, match={"stage": "Phone Screen"})
    workable.add(stage="phone-screen")
    world.read_next()
    assert len(world.orders()) == 1
    assert "the scope r_jobs is missing" in world.cursor("changed_candidates").problems


def test_stages_are_asked_for_once_a_round_and_only_with_candidates(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    add_rule(world)
    workable.request_log.clear()
    world.read_next()
    assert [line.request.path for line in workable.request_log] == ["/spi/v3/candidates"]
    workable.backlog(250, stage="applied")
    world.read_next()
    assert len(workable.requests("GET", "/stages")) == 1
    assert len(workable.request_log) == 1 + 1 + 4  # the stages, and three pages


@pytest.mark.parametrize("poll", ["updated_after", "sweep"])
def test_move_that_changes_no_time_is_found(
    world: ApiWorld, workable: FakeWorkableApi, poll: str
) -> None:
    workable.moves_update = False
    world.set_options(poll=poll)
    add_rule(world)
    candidate = workable.add(stage="applied", updated_at=world.clock.now() - 9 * DAY)
    workable.set_stage(candidate, "assessment")
    world.read_next()
    assert len(world.orders()) == (1 if poll == "sweep" else 0)
    world.clock.advance(DAY)
    world.read()
    assert len(world.orders()) == 1


def test_candidate_in_the_stage_before_the_rule_is_not_ordered(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    candidate = workable.add(stage="assessment", updated_at=world.clock.now() - DAY)
    add_rule(world)
    workable.change(candidate, phone="1")
    world.read_next()
    assert world.arrivals() == [("existing", "")]


def test_disqualified_candidate_is_not_ordered(world: ApiWorld, workable: FakeWorkableApi) -> None:
    world.set_options(webhooks=True)
    keep(world)
    add_rule(world)
    candidate = workable.add(stage="applied")
    workable.set_disqualified(candidate, None)
    workable.move(candidate, "assessment")
    process(world)
    world.clock.advance(DAY)
    world.read()
    assert world.arrivals() == []
    assert ApiGateway(world.services).find_matches(world.account_id, RULE) == []
    with world.services.db.reading() as session:
        assert [event.last_error for event in session.scalars(select(WebhookEvent))] == [""]


def test_pages_that_overlap_are_read_to_the_end(world: ApiWorld, workable: FakeWorkableApi) -> None:
    add_rule(world)
    workable.backlog(250, stage="assessment")
    for _ in range(3):
        world.read_next()
    assert len(world.orders()) == 250


def test_next_page_on_another_host_is_not_asked(world: ApiWorld, workable: FakeWorkableApi) -> None:
    add_rule(world)
    workable.next_host = "localhost:1"
    workable.backlog(150, stage="assessment")
    world.read_next()
    error = world.cursor("changed_candidates").last_error
    assert error == "The address of a request leads to another host: localhost"


def test_candidate_without_names_or_address_is_refused_or_named(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    add_rule(world)
    workable.add(stage="assessment", email=None)
    workable.add(
        stage="assessment", firstname=None, lastname=None, name="Cy Ro", email="cy@example.org"
    )
    world.read_next()
    assert world.orders() == ["cy@example.org"]
    with world.services.db.reading() as session:
        assert session.scalars(select(Order)).one().candidate.name == "Cy Ro"
    assert ("refused", "The candidate has no e-mail address in the ATS") in world.arrivals()


@pytest.mark.parametrize("auth", ["access_token", "partner_token", "oauth"])
def test_each_credential_reads_and_writes(
    app_server: LiveServer,
    clock: ManualClock,
    workable: FakeWorkableApi,
    api: AtsApi,
    auth: str,
) -> None:
    header = workable.partner_id if auth == "partner_token" else None
    world = create_world(app_server, clock, workable, auth=auth, client_id_header=header)
    if auth == "partner_token":
        world.set_secret("api_token", workable.partner_token)
    if auth == "oauth":
        connect(world, workable, api)
    dispatcher = Dispatcher(world.services)
    order, candidate = order_one(world, workable)
    finish(world, dispatcher, order)
    dispatcher.stop()
    assert len(workable.written(candidate, "comments")) == 1
    assert 401 not in {line.status_code for line in workable.request_log}


@pytest.mark.parametrize(
    ("rating_api", "knows_grades", "expected"),
    [
        ("put", True, {"scale": "thumbs", "grade": 2}),
        ("post_grade", True, {"scale": "thumbs", "grade": 2}),
        ("post_score", False, {"score": "definite"}),
    ],
)
def test_evaluation_has_the_form_of_the_setting(
    world: ApiWorld,
    workable: FakeWorkableApi,
    dispatcher: Dispatcher,
    rating_api: str,
    knows_grades: bool,
    expected: dict[str, Any],
) -> None:
    workable.knows_grades = knows_grades
    world.set_options(rating_api=rating_api, definite_from=90, comments=False)
    order, candidate = order_one(world, workable)
    finish(world, dispatcher, order)
    (rating,) = workable.written(candidate, "ratings")
    assert expected.items() <= rating.items()


def test_failed_test_is_a_negative_evaluation(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    world.set_options(definite_from=0, comments=False)
    order, candidate = order_one(world, workable)
    factories.finish_test(world.services, order, {})
    world.deliver(dispatcher)
    assert workable.written(candidate, "ratings")[0]["grade"] == 0


def test_without_member_nothing_is_commented(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    world.set_options(member_id=None)
    order, _ = order_one(world, workable)
    finish(world, dispatcher, order)
    assert world.message_states() == {}


def test_tag_is_merged_with_those_that_are_there(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    world.set_options(tags=True, comments=False, ratings=False)
    order, candidate = order_one(world, workable)
    workable.change(candidate, tags=["globetrotter", "Reasoning: failed"])
    finish(world, dispatcher, order)
    (tags,) = workable.written(candidate, "tags")
    assert tags == {"tags": ["globetrotter", "Reasoning: excelled"]}


@pytest.mark.parametrize("failure", [hang_up, status(500), status(503)])
def test_comment_whose_answer_was_lost_is_there_once(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher, failure: Any
) -> None:
    order, candidate = order_one(world, workable)
    workable.fail_next("POST", "/comments", failure, after=True)
    finish(world, dispatcher, order)
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert len(workable.written(candidate, "comments")) == 1
    assert world.message_states()["comment"] == ["delivered"]


def test_comment_that_fails_delays_no_evaluation(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    order, _ = order_one(world, workable)
    workable.fail_next("POST", "/comments", status(422))
    finish(world, dispatcher, order)
    assert world.message_states() == {"rating": ["delivered"], "comment": ["parked"]}


def test_correction_is_a_second_comment_and_replaces_the_evaluation(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    order, candidate = order_one(world, workable)
    factories.finish_test(world.services, order, {})
    world.deliver(dispatcher)
    with world.services.db.writing() as session:
        found = Order.find(session, order)
        found.reopen(session, world.services.secret_box, "staff", "", world.clock.now())
    finish(world, dispatcher, order)
    bodies = [body["comment"]["body"] for body in workable.written(candidate, "comments")]
    assert len(bodies) == 2
    assert bodies[1].startswith("Correction: Reasoning: excelled")
    assert len(workable.ratings[candidate]) == 1


def test_result_costs_at_most_four_requests(
    world: ApiWorld, workable: FakeWorkableApi, dispatcher: Dispatcher
) -> None:
    world.set_options(tags=True)
    order, _ = order_one(world, workable)
    workable.request_log.clear()
    finish(world, dispatcher, order)
    assert len(workable.request_log) == 4


def test_budget_of_the_application_is_shared_by_two_accounts(
    app_server: LiveServer, clock: ManualClock, workable: FakeWorkableApi, api: AtsApi
) -> None:
    workable.add_account("other-co")
    workable.add_job("OTHER1", subdomain="other-co")
    workable.budgets["oauth"] = 8
    worlds = []
    for number, subdomain in enumerate(("groove-tech", "other-co")):
        factories_world = _second_world(app_server, clock, workable, subdomain, number)
        connect(factories_world, workable, api)
        worlds.append(factories_world)
    for _ in range(12):
        for world in worlds:
            world.add_rule(match={"stage": "assessment"})
            world.read()
        clock.advance(timedelta(seconds=4))
    refused = [line for line in workable.request_log if line.status_code == 429]
    assert len(refused) <= 1  # before a header told the limit


def test_events_order_and_the_round_finds_them(world: ApiWorld, workable: FakeWorkableApi) -> None:
    world.set_options(webhooks=True)
    keep(world)
    add_rule(world)
    candidate = workable.add(stage="applied")
    (delivery,) = workable.move(candidate, "assessment")
    assert delivery.answers == [200]
    process(world)
    assert len(world.orders()) == 1
    world.read_next()
    assert len(world.orders()) == 1


def test_storm_of_events_places_one_order(world: ApiWorld, workable: FakeWorkableApi) -> None:
    world.set_options(webhooks=True)
    keep(world)
    add_rule(world)
    candidate = workable.create(stage="applied")
    workable.move(candidate, "assessment")
    workable.storm(candidate, 3)
    process(world)
    assert len(world.orders()) == 1
    with world.services.db.reading() as session:
        assert len(session.scalars(select(WebhookEvent)).all()) == 1


def test_event_of_another_account_or_type_is_ignored(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    world.set_options(webhooks=True)
    keep(world)
    add_rule(world)
    candidate = workable.add(stage="assessment")
    for event in ("candidate_moved", "onboarding_completed"):
        for delivery in workable.fire(event, candidate, subdomain="other-co"):
            assert delivery.answers == [200]
    process(world)
    assert world.orders() == []


def test_token_before_a_rotation_signs_for_seven_days(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    world.set_options(webhooks=True)
    keep(world)
    old = workable.account_token
    world.set_secret("api_token", workable.rotate(old))
    workable.signing_key = old
    candidate = workable.add(stage="applied")
    assert workable.move(candidate, "assessment")[0].answers == [200]
    world.clock.advance(8 * DAY)
    assert workable.move(candidate, "applied")[0].answers == [401]
    workable.signing_key = None
    assert workable.move(candidate, "assessment")[0].answers == [200]


def test_subscriptions_are_created_once_and_renewed_before_their_end(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    world.set_options(webhooks=True)
    assert keep(world) == ["candidate_moved", "candidate_created"]
    assert keep(world) == []
    assert {row.target for row in workable.subscriptions.values()} == set(addresses(world))
    world.clock.advance(340 * DAY)
    assert keep(world) == ["candidate_moved", "candidate_created"]
    assert len(workable.subscriptions) == 2
    ends = {row.valid_until for row in workable.subscriptions.values()}
    assert min(ends) > world.clock.now() + 300 * DAY


def test_no_subscription_without_the_setting(world: ApiWorld, workable: FakeWorkableApi) -> None:
    assert keep(world) == []
    assert workable.subscriptions == {}


def test_check_names_members_and_missing_scopes(world: ApiWorld, workable: FakeWorkableApi) -> None:
    assert _check(world) == [
        (True, "Workable shows jobs"),
        (True, "Workable shows candidates"),
        (True, "Comments and evaluations appear as Eduardo Vallente's"),
    ]
    world.set_options(member_id=None)
    text = "Comments and evaluations need member_id: 13e0eb0e is Eduardo Vallente, "
    assert _check(world)[2][1].startswith(text)
    token = workable.issue_token("account", "groove-tech", scopes=("r_jobs",))
    world.set_secret("api_token", token)
    assert _check(world)[1][1] == (
        "Workable refuses candidates: the token lacks the scope r_candidates"
    )
    world.set_secret("api_token", "another")
    assert "refuses the token" in _check(world)[0][1]


def test_check_says_when_the_member_is_gone_or_not_active(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    workable.members["13e0eb0e"]["active"] = False
    inactive = "member_id 13e0eb0e (Eduardo Vallente) is not active: choose another"
    assert _check(world)[2] == (False, inactive)
    world.set_options(member_id="99999999")
    gone = "member_id 99999999 is no member of the Workable account: choose another"
    assert _check(world)[2] == (False, gone)
    world.set_options(member_id=None)
    names = "Comments and evaluations need member_id: 3247e8c7 is Alexia Middleton"
    assert _check(world)[2] == (False, names)


def test_check_of_very_many_members_judges_only_those_it_has_read(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    for number in range(150):
        workable.add_member(f"m{number:03}", name=f"Member {number}", role="simple")
    world.set_options(member_id="m149")
    assert _check(world)[2] == (True, "Comments and evaluations appear as Member 149's")
    for number in range(150, 600):
        workable.add_member(f"m{number:03}", name=f"Member {number}", role="simple")
    world.set_options(member_id="m599")
    assert len(_check(world)) == 2
    world.clock.advance(timedelta(seconds=10))
    world.set_options(member_id=None)
    text = _check(world)[2][1]
    assert text.endswith("m017 is Member 17, and others")


def test_check_with_a_partner_token_asks_for_no_members(
    world: ApiWorld, workable: FakeWorkableApi, api: AtsApi
) -> None:
    world.set_options(auth="partner_token", client_id_header=workable.partner_id, member_id=None)
    world.set_secret("api_token", workable.partner_token)
    assert _check(world)[2][1].endswith("need member_id, from Workable's API or its support")
    assert workable.requests("GET", "/members") == []
    assert api.setting_choosers(_connection(world).settings) == {}


def test_setting_chooser_lists_active_members_of_all_pages(
    world: ApiWorld, workable: FakeWorkableApi
) -> None:
    for number in range(150):
        workable.add_member(f"m{number:03}", name=f"Member {number}", role="simple")
    workable.members["m000"]["active"] = False
    choices = ApiGateway(world.services).setting_choices(world.account_id)["member_id"]
    assert len(choices) == 151
    assert [choice.value for choice in choices[:3]] == ["13e0eb0e", "3247e8c7", "m001"]


def test_subdomain_is_learnt_after_the_consent(
    world: ApiWorld, workable: FakeWorkableApi, api: AtsApi
) -> None:
    world.set_options(auth="oauth", subdomain=None)
    connect(world, workable, api)
    assert _learn(world, api).found_settings == {"subdomain": "groove-tech"}
    workable.add_account("other-co")
    connect(world, workable, api)
    report = _learn(world, api)
    assert report.found_settings == {}
    assert "groove-tech or other-co" in report.lines[0].text


def test_old_refresh_token_is_never_used_twice(
    world: ApiWorld, workable: FakeWorkableApi, api: AtsApi
) -> None:
    world.set_options(auth="oauth")
    connect(world, workable, api)
    add_rule(world)
    for _ in range(60):
        world.read_next()
    refreshed = [
        request.form["refresh_token"]
        for request in workable.requests("POST", "/oauth/token")
        if "refresh_token" in request.form
    ]
    assert len(refreshed) == len(set(refreshed)) >= 2
    with world.services.db.reading() as session:
        assert session.get_one(ApiToken, world.account_id).reconnect_reason == ""


def test_choosers_list_published_jobs_and_stages(
    world: ApiWorld, workable: FakeWorkableApi, api: AtsApi
) -> None:
    connection = _connection(world)
    with open_api_client(world.services) as client:
        jobs = client.run(api, connection, api.choosers()["job"](connection))
        stages = client.run(api, connection, api.choosers()["stage"](connection))
    assert [choice.value for choice in jobs] == ["GROOV005"]
    assert ("phone-screen", "Phone Screen") in [(one.value, one.label) for one in stages]


def keep(world: ApiWorld) -> list[str]:
    with open_api_client(world.services) as client:
        return list(keep_subscriptions(world.services, client, world.account_id))


def process(world: ApiWorld) -> None:
    with open_api_client(world.services) as client:
        process_due_events(world.services, client)


def addresses(world: ApiWorld) -> list[str]:
    with world.services.db.reading() as session:
        account = session.get_one(Account, world.account_id)
        base_url = world.services.settings.base_url
        return list(webhook_urls(world.services.secret_box, account, base_url).values())


def _second_world(
    app_server: LiveServer,
    clock: ManualClock,
    workable: FakeWorkableApi,
    subdomain: str,
    number: int,
) -> ApiWorld:
    account_id, _ = factories.create_account(
        app_server.services,
        f"Account {number}",
        options={
            "subdomain": subdomain,
            "api_base": f"{workable.url}/spi/v3/accounts/{subdomain}",
            "accounts_base": workable.api_url,
            "authorize_url": f"{workable.url}/oauth/authorize",
            "token_url": f"{workable.url}/oauth/token",
            "auth": "oauth",
        },
    )
    product = factories.create_test(app_server.services, key=f"test-{number}")
    world = ApiWorld(app_server.services, clock, account_id, product)
    world.set_secret("oauth_client_id", workable.client_id)
    world.set_secret("oauth_client_secret", workable.client_secret)
    return world


def _connection(world: ApiWorld) -> Any:
    with open_api_client(world.services) as client, world.services.db.reading() as session:
        return client.connection(session, session.get_one(Account, world.account_id))


def _check(world: ApiWorld) -> list[tuple[bool, str]]:
    api = ADAPTERS["workable"].api
    assert api
    with open_api_client(world.services) as client:
        report = client.check(api, _connection(world))
    return [(line.is_ok, line.text) for line in report.lines]


def _learn(world: ApiWorld, api: AtsApi) -> Any:
    with open_api_client(world.services) as client:
        return client.try_steps(api, _connection(world), api.learn)


def test_consent_for_another_account_is_refused_and_forgotten(
    world: ApiWorld, workable: FakeWorkableApi, api: AtsApi
) -> None:
    world.set_options(auth="oauth", subdomain="acme")
    connection = _connection(world)
    assert api.token_flow
    url = api.token_flow.authorize_url(connection, workable.redirect_uri, "s1")
    answer = requests.get(url, allow_redirects=False, timeout=5)
    code = answer.headers["Location"].split("code=")[1].split("&")[0]
    gateway = ApiGateway(world.services)
    report = gateway.finish_consent(world.account_id, code, workable.redirect_uri)
    assert report.lines[0].text.startswith("The consent is for groove-tech, not for acme")
    assert report.lines[1].text == "The ATS has revoked the tokens, and they are deleted here"
    assert all(grant.is_revoked for grant in workable.grants.values())
    assert not _token_row(world).is_connected


def _token_row(world: ApiWorld) -> ApiToken:
    with world.services.db.reading() as session:
        return session.get_one(ApiToken, world.account_id)


@pytest.mark.parametrize(
    ("revocable", "problem"),
    [
        (("refresh_token", "access_token"), ""),
        (("refresh_token",), ""),
        (("access_token",), ""),
        ((), "it answers 400"),
    ],
)
def test_disconnected_account_is_revoked_by_either_token(
    world: ApiWorld,
    workable: FakeWorkableApi,
    api: AtsApi,
    revocable: tuple[str, ...],
    problem: str,
) -> None:
    world.set_options(auth="oauth")
    connect(world, workable, api)
    workable.revocable = revocable
    line = ApiGateway(world.services).disconnect(world.account_id)
    assert line.is_ok == (not problem)
    assert problem in line.text
    assert [grant.is_revoked for grant in workable.grants.values()] == [not problem]
    row = _token_row(world)
    assert not row.is_connected
    assert row.reconnect_reason == ""


def test_disconnect_without_an_answer_still_deletes_the_tokens(
    world: ApiWorld, workable: FakeWorkableApi, api: AtsApi
) -> None:
    world.set_options(auth="oauth")
    connect(world, workable, api)
    world.set_options(revoke_url="http://127.0.0.1:9/oauth/revoke")
    with world.services.db.writing() as session:
        now, minute = world.clock.now(), timedelta(minutes=1)
        lease = lease_token(session, world.account_id, 1, now, minute)  # a renewal on its way
    assert lease
    line = ApiGateway(world.services).disconnect(world.account_id)
    with world.services.db.writing() as session:
        assert find_leased_token(session, lease) is None
    assert not line.is_ok
    assert "End the access of this application there" in line.text
    assert not _token_row(world).is_connected


def test_account_with_a_token_of_its_own_has_nothing_to_disconnect(world: ApiWorld) -> None:
    with pytest.raises(Invalid, match="need no consent"):
        ApiGateway(world.services).disconnect(world.account_id)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example\\@{host}/spi/v3/candidates",
        "https://{host}@evil.example/spi/v3/candidates",
        "https://evil.example/spi/v3/candidates",
        "//evil.example/spi/v3/candidates",
    ],
)
def test_next_page_that_leads_away_gets_no_token(
    world: ApiWorld, workable: FakeWorkableApi, url: str
) -> None:
    add_rule(world)
    following = url.format(host="127.0.0.1")
    page = json.dumps({"candidates": [], "paging": {"next": following}}).encode()
    workable.fail_next("GET", "updated_after", status(200, page))
    world.read_next()
    cursor = world.cursor("changed_candidates")
    assert cursor.last_error
    assert cursor.page_state is None  # the next round begins again
    workable.request_log.clear()
    world.read_next()
    assert world.cursor("changed_candidates").last_error == ""
