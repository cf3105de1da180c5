"""Jobtrain: who awaits a check is ordered, and each status is returned, under any names."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from provider.ats import ADAPTERS
from provider.core.accounts import Account
from provider.core.connections import ApiToken, resume_sources
from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.api_client import open_api_client
from provider.services import Services
from tests import factories
from tests.check_factories import complete_check, record_findings
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fakes.jobtrain import FIELDS, LABELS, FakeJobtrain, JobtrainNames
from tests.fakes.vendor import hang_up, status

RENAMED = JobtrainNames(
    base_path="/api/v7",
    awaiting_path="/screening/queue",
    check_path="/screening/item/{application_id}",
    status_path="/screening/item/{application_id}/outcome",
    status_method="POST",
    token_path="/oauth/grant",
    client_id_header="X-Client",
    api_key_header="X-Key",
    api_password_header="X-Pass",
    page_no="p",
    page_size="n",
    list_key="rows",
    total_key="all",
    results_key="here",
    fields={name: f"f_{name}" for name in FIELDS},
    status_field="state",
    result_field="verdict",
    labels={name: f"l {name}" for name in LABELS},
    outcomes=("ok", "look"),
)
RENAMED_OPTIONS: dict[str, Any] = {
    "awaiting_path": RENAMED.awaiting_path,
    "check_path": RENAMED.check_path,
    "status_path": RENAMED.status_path,
    "status_method": "POST",
    "token_path": RENAMED.token_path,
    "auth_headers": {"client_id": "X-Client", "api_key": "X-Key", "api_password": "X-Pass"},
    "parameters": {"page": "p", "size": "n"},
    "list_key": "rows",
    "total_key": "all",
    "fields": {**RENAMED.fields, "status": "state", "result": "verdict"},
    "labels": dict(RENAMED.labels),
    "outcomes": {"clear": "ok", "consider": "look"},
}


def create_world(
    services: Services, clock: ManualClock, jobtrain: FakeJobtrain, **options: Any
) -> ApiWorld:
    world = ApiWorld.create(
        services,
        clock,
        ats="jobtrain",
        options={"base_url": jobtrain.base_url, **options},
        secrets={
            "client_id": jobtrain.client_id,
            "api_key": jobtrain.api_key,
            "api_password": jobtrain.api_password,
        },
        interval=timedelta(minutes=10),
    )
    world.product = factories.create_package(world.services)
    return world


@pytest.fixture
def jobtrain(clock: ManualClock) -> Iterator[FakeJobtrain]:
    with FakeJobtrain(clock) as fake:
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, jobtrain: FakeJobtrain) -> ApiWorld:
    return create_world(services, clock, jobtrain)


@pytest.fixture
def dispatcher(world: ApiWorld) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(world.services)
    yield dispatcher
    dispatcher.stop()


def add_rule(world: ApiWorld) -> None:
    world.add_known_rule(match={"check": "enhanced"})


def finish_check(world: ApiWorld) -> str:
    """Consent to the only order and complete it; return its id."""
    (order,) = world.order_ids()
    with world.services.db.writing() as session:
        Check.find(session, order).give_consent(
            session,
            world.services.secret_box,
            "Ana Li",
            {},
            ip_address="192.0.2.7",
            user_agent="A browser/1.0",
            now=world.services.now(),
        )
    record_findings(world.services, order, {"criminal": "clear"})
    complete_check(world.services, order)
    return order


def statuses(jobtrain: FakeJobtrain) -> list[dict[str, str]]:
    return [body for _, body in jobtrain.writes]


def test_check_is_ordered_and_each_status_is_returned(
    world: ApiWorld, jobtrain: FakeJobtrain, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    jobtrain.add()
    jobtrain.add(check="Basic", email="bo@example.org")
    world.read()
    world.deliver(dispatcher)
    assert world.orders() == ["ana@example.org"]
    finish_check(world)
    world.deliver(dispatcher)
    assert statuses(jobtrain) == [
        {"Status": "Requested"},
        {"Status": "In Progress"},
        {"Status": "Complete"},
    ]


def test_outcome_goes_along_only_by_the_switch(
    world: ApiWorld, jobtrain: FakeJobtrain, dispatcher: Dispatcher
) -> None:
    world.set_options(send_outcome=True)
    add_rule(world)
    jobtrain.add()
    world.read()
    finish_check(world)
    world.deliver(dispatcher)
    assert statuses(jobtrain)[-1] == {"Status": "Complete", "Result": "Clear"}


def test_stage_goes_along_with_the_statuses_that_have_one(
    services: Services, clock: ManualClock
) -> None:
    names = JobtrainNames(stage_field="Step", stages=("DBS running", "DBS done"))
    with FakeJobtrain(clock, names) as jobtrain:
        world = create_world(
            services,
            clock,
            jobtrain,
            fields={"stage": "Step"},
            stages={"started": "DBS running", "completed": "DBS done"},
        )
        dispatcher = Dispatcher(world.services)
        add_rule(world)
        jobtrain.add()
        world.read()
        finish_check(world)
        jobtrain.refuse_next("PUT", "/Status", 408, after=True)
        world.deliver(dispatcher)
        world.clock.advance(timedelta(minutes=1))
        world.deliver(dispatcher)
        dispatcher.stop()
        assert statuses(jobtrain)[-1] == {"Status": "Complete", "Step": "DBS done"}
        application = jobtrain.application(1)
        assert application
        assert application.stage == "DBS done"
        assert world.message_states()["status"][-1] == "delivered"
        assert [body.get("Step") for body in statuses(jobtrain)].count("DBS done") == 1


@pytest.mark.parametrize("auth", ["headers", "oauth"])
@pytest.mark.parametrize("sends_check_in_list", [True, False])
def test_every_name_can_be_another(
    services: Services, clock: ManualClock, auth: Any, sends_check_in_list: bool
) -> None:
    with FakeJobtrain(clock, RENAMED, auth=auth) as jobtrain:
        jobtrain.sends_check_in_list = sends_check_in_list
        world = create_world(
            services, clock, jobtrain, **RENAMED_OPTIONS, auth=auth, send_outcome=True
        )
        dispatcher = Dispatcher(world.services)
        add_rule(world)
        jobtrain.add()
        world.read()
        world.deliver(dispatcher)
        finish_check(world)
        world.deliver(dispatcher)
        dispatcher.stop()
        assert statuses(jobtrain) == [
            {"state": "l invited"},
            {"state": "l started"},
            {"state": "l completed", "verdict": "ok"},
        ]


@pytest.mark.parametrize("sends_totals", [True, False])
def test_list_that_shrinks_while_it_is_read_loses_nobody(
    world: ApiWorld, jobtrain: FakeJobtrain, sends_totals: bool
) -> None:
    jobtrain.sends_totals = sends_totals
    world.set_options(page_size=5)
    add_rule(world)
    for number in range(1, 14):
        jobtrain.add(number, email=f"p{number}@example.org")

    def return_three() -> None:
        for number in (1, 2, 3):
            jobtrain.return_status(number, "Requested")

    jobtrain.before_page[2] = return_three
    world.read()
    if sends_totals:  # the list is read again within the round
        assert len(world.orders()) == 13
    world.read_next()
    assert sorted(world.orders()) == sorted(f"p{number}@example.org" for number in range(1, 14))


def test_returned_status_takes_the_candidate_off_the_list_and_orders_once(
    world: ApiWorld, jobtrain: FakeJobtrain, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    jobtrain.add(1)
    world.read()
    world.deliver(dispatcher)
    jobtrain.await_again(1)
    world.read_next()
    assert len(world.orders()) == 1


def test_same_application_with_another_check_is_another_order(
    world: ApiWorld, jobtrain: FakeJobtrain
) -> None:
    add_rule(world)
    world.add_known_rule(match={"check": "Basic"})
    jobtrain.add(1)
    world.read()
    jobtrain.await_again(1, check="Basic")
    world.read_next()
    assert len(world.orders()) == 2


def test_page_that_is_too_large_is_halved(world: ApiWorld, jobtrain: FakeJobtrain) -> None:
    jobtrain.size_limit_bytes = 8000
    add_rule(world)
    for number in range(1, 61):
        jobtrain.add(number, email=f"p{number}@example.org")
    world.read()
    assert len(world.orders()) == 60


def test_closed_job_and_deleted_application_are_skipped(
    world: ApiWorld, jobtrain: FakeJobtrain
) -> None:
    jobtrain.sends_check_in_list = False
    add_rule(world)
    jobtrain.add(1, job_reference="closed")
    jobtrain.add(2)
    jobtrain.add(3, email="cy@example.org")
    jobtrain.closed_jobs.add("closed")
    jobtrain.before_request.append(
        lambda request: jobtrain.delete(2) if request.path == "/DBS/2" else None
    )
    world.read()
    assert world.orders() == ["cy@example.org"]


@pytest.mark.parametrize(
    ("failure", "problem"),
    [
        (status(400), "Jobtrain refuses the check of the application 1 with 400: the format is"),
        (status(422), "Jobtrain refuses the check of the application 1 with 422: a mandatory"),
        (status(200, b"[]"), "the check of the application 1"),
        (status(200, b"no JSON"), "the check of the application 1"),
    ],
)
def test_check_that_cannot_be_read_stops_no_other(
    world: ApiWorld, jobtrain: FakeJobtrain, failure: Any, problem: str
) -> None:
    jobtrain.sends_check_in_list = False
    add_rule(world)
    jobtrain.add(1)
    jobtrain.add(2, email="bo@example.org")
    jobtrain.fail_next("GET", "/DBS/1", failure)
    world.read()
    assert world.orders() == ["bo@example.org"]
    expected = f"1 entries could not be read; the first: {problem}"
    assert world.cursor("awaiting_checks").problems.startswith(expected)
    world.read_next()
    assert world.orders() == ["bo@example.org", "ana@example.org"]


def test_check_that_tells_only_its_type_has_the_contact_of_the_list(
    world: ApiWorld, jobtrain: FakeJobtrain
) -> None:
    jobtrain.sends_check_in_list = False
    add_rule(world)
    jobtrain.add(1, candidate_id=77)
    body = b'{"CheckType": "Enhanced", "EmailAddress": null, "ApplicationID": ""}'
    jobtrain.fail_next("GET", "/DBS/1", status(200, body))
    world.read()
    with world.services.db.reading() as session:
        order = session.scalars(select(Order)).one()
        assert (order.candidate.email, order.candidate.name) == ("ana@example.org", "Ana Li")
        context = order.reply_context
        assert (context["application"], context["candidate"]) == ("1", "77")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (403, "The ATS refuses the account's credentials with 403"),
        (408, "The ATS has trouble: it answers 408"),
        (409, "Jobtrain has another value already"),
        (500, "The ATS has trouble: it answers 500"),
        (503, "The ATS has trouble: it answers 503"),
    ],
)
def test_code_of_the_list_means_what_the_table_says(
    world: ApiWorld, jobtrain: FakeJobtrain, code: int, error: str
) -> None:
    add_rule(world)
    jobtrain.add(1)
    jobtrain.refuse_next("GET", "/DBS/Awaiting", code)
    world.read()
    assert error in world.cursor("awaiting_checks").last_error
    world.clock.advance(timedelta(hours=1))
    world.read()
    assert world.orders() == ["ana@example.org"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, "the format is wrong: check the paths and field names of the account"),
        (418, "it names its answer a joke: tell Jobtrain"),
        (422, "a mandatory field is missing: check the field names of the account"),
    ],
)
def test_code_that_comes_again_stops_the_reading_of_the_list(
    world: ApiWorld, jobtrain: FakeJobtrain, code: int, reason: str
) -> None:
    add_rule(world)
    jobtrain.add(1)
    jobtrain.refuse_next("GET", "/DBS/Awaiting", code)
    world.read()
    expected = f"Jobtrain refuses the list with {code}: {reason}"
    assert world.cursor("awaiting_checks").stopped_reason == expected
    jobtrain.request_log.clear()
    world.clock.advance(timedelta(days=1))
    world.read()
    assert jobtrain.request_log == []
    with world.services.db.writing() as session:
        resume_sources(session, world.account_id, world.clock.now())
    world.read()
    assert world.orders() == ["ana@example.org"]


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (status(429), 60),
        (status(429, Retry_After="20"), 20),
    ],
)
def test_too_many_requests_wait_a_minute_or_as_jobtrain_asks(
    world: ApiWorld, jobtrain: FakeJobtrain, refusal: Any, seconds: int
) -> None:
    add_rule(world)
    jobtrain.fail_next("GET", "/DBS/Awaiting", refusal)
    world.read()
    wait = world.cursor("awaiting_checks").due_at - world.clock.now()
    assert wait == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("code", "is_after", "state"),
    [
        (400, False, "parked"),
        (404, False, "parked"),
        (408, False, "delivered"),
        (408, True, "delivered"),
        (409, False, "parked"),
        (410, False, "parked"),
        (413, False, "parked"),
        (418, False, "parked"),
        (422, False, "parked"),
        (429, False, "delivered"),
        (500, True, "delivered"),
        (503, False, "delivered"),
    ],
)
def test_code_of_a_write_means_what_the_table_says(
    world: ApiWorld,
    jobtrain: FakeJobtrain,
    dispatcher: Dispatcher,
    code: int,
    is_after: bool,
    state: str,
) -> None:
    add_rule(world)
    jobtrain.add(1)
    world.read()
    jobtrain.refuse_next("PUT", "/Status", code, after=is_after)
    world.deliver(dispatcher)
    for _ in range(3):
        world.clock.advance(timedelta(minutes=5))
        world.deliver(dispatcher)
    assert world.message_states() == {"status": [state]}
    assert len(jobtrain.writes) == (1 if state == "delivered" else 0)


def test_duplicate_that_has_our_value_is_done(
    world: ApiWorld, jobtrain: FakeJobtrain, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    jobtrain.add(1)
    world.read()
    jobtrain.return_status(1, "Requested")
    world.deliver(dispatcher)
    assert world.message_states() == {"status": ["delivered"]}


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
@pytest.mark.parametrize("client_auth", ["basic", "body"])
def test_token_is_obtained_once_and_renewed_in_time(
    services: Services, clock: ManualClock, grant: str, client_auth: Any
) -> None:
    with FakeJobtrain(clock, auth="oauth") as jobtrain:
        jobtrain.grants = (grant,)
        jobtrain.client_auth = client_auth
        options = {"grant": grant, "client_auth": client_auth, "username": jobtrain.username}
        world = create_world(services, clock, jobtrain, auth="oauth", **options)
        add_rule(world)
        for _ in range(12):
            world.read_next()
        # A token lives for an hour, and is renewed after 48 minutes.
        assert len(jobtrain.requests("POST", "/token")) == 3
        assert not [line for line in jobtrain.request_log if line.status_code == 401]


def test_revoked_token_is_replaced_once_and_the_request_repeated(
    services: Services, clock: ManualClock
) -> None:
    with FakeJobtrain(clock, auth="oauth") as jobtrain:
        world = create_world(services, clock, jobtrain, auth="oauth")
        add_rule(world)
        jobtrain.revoke()
        jobtrain.add(1)
        world.read()
        assert world.orders() == ["ana@example.org"]
        assert len(jobtrain.requests("POST", "/token")) == 2


def test_refused_client_waits_and_a_new_key_goes_on(services: Services, clock: ManualClock) -> None:
    with FakeJobtrain(clock, auth="oauth") as jobtrain:
        world = create_world(services, clock, jobtrain, auth="oauth")
        jobtrain.api_key = "another"
        world.add_rule(match={"check": "Enhanced"}, backfills=True)
        jobtrain.add(1)
        world.read()
        assert "grants no token" in world.cursor("awaiting_checks").last_error
        world.set_secret("api_key", "another")
        world.read()
        assert world.orders() == ["ana@example.org"]


def test_tokens_are_stored_encrypted(services: Services, clock: ManualClock) -> None:
    with FakeJobtrain(clock, auth="oauth") as jobtrain:
        world = create_world(services, clock, jobtrain, auth="oauth")
        add_rule(world)
        (request,) = jobtrain.requests("GET", "/DBS/Awaiting")
        token = request.headers["authorization"].removeprefix("Bearer ")
        with world.services.db.reading() as session:
            row = session.get_one(ApiToken, world.account_id)
            assert row.access_encrypted
            assert token.encode() not in row.access_encrypted
        assert token not in world.stored_texts()


def test_check_names_what_is_refused(world: ApiWorld, jobtrain: FakeJobtrain) -> None:
    assert _check(world) == [(True, "Jobtrain accepts the credentials")]
    jobtrain.role = "none"
    text = "Jobtrain refuses the API Password, or the user's Security Role sees no checks"
    assert _check(world) == [(False, text)]
    jobtrain.role, jobtrain.client_id = "all", "another"
    assert _check(world) == [(False, "Jobtrain refuses the Client ID or the API Key")]


def test_chooser_lists_the_checks_that_are_awaited(world: ApiWorld, jobtrain: FakeJobtrain) -> None:
    jobtrain.add(1)
    jobtrain.add(2, check="Basic")
    jobtrain.add(3, check="Basic")
    api = ADAPTERS["jobtrain"].api
    assert api
    with open_api_client(world.services) as client:
        connection = _connection(world)
        choices = client.run(api, connection, api.choosers()["check"](connection))
    assert [choice.value for choice in choices] == ["Basic", "Enhanced"]


def test_reopened_check_is_requested_again(
    world: ApiWorld, jobtrain: FakeJobtrain, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    jobtrain.add(1)
    world.read()
    order = finish_check(world)
    world.deliver(dispatcher)
    with world.services.db.writing() as session:
        found = Order.find(session, order)
        found.reopen(session, world.services.secret_box, "staff", "", world.clock.now())
    world.deliver(dispatcher)
    assert statuses(jobtrain)[-1] == {"Status": "Requested"}


def test_write_whose_answer_was_lost_is_looked_for(
    world: ApiWorld, jobtrain: FakeJobtrain, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    jobtrain.add(1)
    world.read()
    jobtrain.fail_next("PUT", "/Status", hang_up, after=True)
    world.deliver(dispatcher)
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert statuses(jobtrain) == [{"Status": "Requested"}]
    assert world.message_states() == {"status": ["delivered"]}


def _connection(world: ApiWorld) -> Any:
    with open_api_client(world.services) as client, world.services.db.reading() as session:
        return client.connection(session, session.get_one(Account, world.account_id))


def _check(world: ApiWorld) -> list[tuple[bool, str]]:
    api = ADAPTERS["jobtrain"].api
    assert api
    with open_api_client(world.services) as client:
        report = client.check(api, _connection(world))
    return [(line.is_ok, line.text) for line in report.lines]
