"""The fault matrix of rounds, events and writers: the cases that no other test has.

Most cases run for each engine against the strict fake of Greenhouse, which has all three: a poll
of three requests, an event whose record takes three requests, and two writers.
"""

import gc
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from provider.core.accounts import Account
from provider.core.connections import WebhookEvent, resume_sources, webhook_address
from provider.core.connections.api_token import ApiToken
from provider.core.connections.source_cursor import acquire_lease
from provider.core.connections.webhook_event import add_event, lease_event
from provider.delivery import Dispatcher, access_tokens, api_client, inbox, rounds
from provider.delivery.api_client import open_api_client
from provider.delivery.circuit_breaker import TOKEN_PROBE_INTERVAL
from provider.delivery.inbox import LeasedEvent, process_due_events
from provider.delivery.placing import place_by_rules
from provider.delivery.rounds import Round
from provider.services import Services
from tests import factories
from tests.ats.greenhouse.test_harvest import (
    JOB,
    OTHER_STAGE,
    STAGE,
    connect,
    create_world,
    fill,
)
from tests.ats.workable import test_rest as workable_tests
from tests.conftest import LiveServer
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.fakes.harvest import FakeHarvest
from tests.fakes.vendor import VendorRequest, hang_up, status
from tests.fakes.workable_api import FakeWorkableApi
from tests.web.console_client import ConsoleClient

ENGINES = ("poll", "event", "writer")
SECONDS = timedelta(seconds=5)  # longer than the wait for another process's renewal
HOOK_SECRET = "gh-hook-77f0d2"


class Killed(BaseException):
    """The process ends here: nothing that the code would do afterwards happens."""


@dataclass
class Engines:
    """A poll, an event and a writer of one account, each with work that is due."""

    world: ApiWorld
    harvest: FakeHarvest
    dispatcher: Dispatcher
    applications: dict[str, int] = field(default_factory=dict)  # by engine

    def prepare(self, *names: str) -> None:
        """Let each engine have something to do for a candidate of its own."""
        if "writer" in names:
            self.applications["writer"] = self._apply("writer")
            self.world.read_next()
            (order,) = self.world.order_ids()
            factories.finish_test(self.world.services, order)
        if "poll" in names:
            self.applications["poll"] = self._apply("poll")
            self.world.clock.advance(self.world.interval)
        if "event" in names:
            application = self.applications["event"] = self._apply("event")
            self.add_event("e1", application)
        self.harvest.request_log.clear()

    def add_event(self, event_id: str, application: int) -> None:
        with self.world.services.db.writing() as session:
            now = self.world.clock.now()
            add_event(session, self.world.account_id, event_id, str(application), now)

    def run(self, name: str) -> None:
        """Do once what is due, as a process of its own."""
        if name == "poll":
            self.world.read()
        elif name == "event":
            self.process()
        else:
            self.world.deliver(self.dispatcher)

    def run_to_end(self, name: str) -> None:
        """Do what is due until the short waits for tokens are over."""
        for _ in range(4):
            self.run(name)
            self.world.clock.advance(SECONDS)

    def process(self) -> None:
        with open_api_client(self.world.services) as client:
            process_due_events(self.world.services, client)

    def is_done(self, name: str) -> bool:
        """Return whether the engine's work is done; it must never be done twice."""
        if name == "writer":
            written = [len(self.harvest.records(kind)) for kind in ("notes", "attachments")]
            assert max(written) <= 1
            return written == [1, 1]
        count = self.world.orders().count(f"{name}@example.org")
        assert count <= 1
        return count == 1

    def tokens(self) -> int:
        """Return how many tokens the fake was asked for."""
        return len(self.harvest.requests("POST", "/token"))

    def event(self) -> WebhookEvent:
        with self.world.services.db.reading() as session:
            return session.scalars(select(WebhookEvent)).one()

    def _apply(self, name: str) -> int:
        address = {"value": f"{name}@example.org", "type": "personal"}
        return self.harvest.apply(STAGE, email_addresses=[address])


@pytest.fixture
def harvest(clock: ManualClock) -> Iterator[FakeHarvest]:
    with FakeHarvest(clock) as fake:
        fill(fake)
        fake.webhook_secret = HOOK_SECRET
        yield fake


@pytest.fixture
def engines(services: Services, clock: ManualClock, harvest: FakeHarvest) -> Iterator[Engines]:
    yield from _create_engines(services, clock, harvest)


@pytest.fixture
def connected(services: Services, clock: ManualClock) -> Iterator[Engines]:
    """The engines of an account that a person has connected: its refresh tokens serve once."""
    with FakeHarvest(clock, "code") as partner:
        fill(partner)
        yield from _create_engines(services, clock, partner, harvest_auth="code")


def _create_engines(
    services: Services, clock: ManualClock, harvest: FakeHarvest, **options: Any
) -> Iterator[Engines]:
    world = create_world(services, clock, harvest, **options)
    world.set_secret("webhook_secret", HOOK_SECRET)
    if options:
        connect(world, harvest)
    world.add_known_rule(match={"stage": str(STAGE)})
    dispatcher = Dispatcher(world.services)
    yield Engines(world, harvest, dispatcher)
    dispatcher.stop()


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


@pytest.fixture
def dummy_world(services: Services, clock: ManualClock, fake: FakeDummy) -> ApiWorld:
    return ApiWorld.of_dummy(services, clock, fake)


def once_at_request(harvest: FakeHarvest, number: int, act: Callable[[], object]) -> None:
    """Call `act` before the API's request of this number, counted from now."""
    seen: list[str] = []

    def count(request: VendorRequest) -> None:
        if request.path.startswith("/v3/"):
            seen.append(request.path)
            if len(seen) == number:
                act()

    harvest.before_request.append(count)


# Credentials.


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_credentials_ask_once_until_people_change_them(engines: Engines, engine: str) -> None:
    engines.prepare(engine)
    engines.harvest.expire()
    engines.harvest.client_secret = "another"
    for _ in range(3):
        engines.run(engine)
        engines.world.clock.advance(SECONDS)
    # The two writers send at the same time; each may ask before the pause begins.
    assert 1 <= engines.tokens() <= (2 if engine == "writer" else 1)
    assert not engines.is_done(engine)
    engines.world.set_secret("harvest_client_secret", "another")
    if engine == "event":
        assert engines.event().tries == 0
        engines.world.clock.advance(TOKEN_PROBE_INTERVAL)
    engines.run_to_end(engine)
    assert engines.is_done(engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("loss", ["expire", "revoke"])
def test_token_lost_between_two_requests_is_replaced_once(
    engines: Engines, engine: str, loss: str
) -> None:
    engines.prepare(engine)
    once_at_request(engines.harvest, 2, getattr(engines.harvest, loss))
    engines.run_to_end(engine)
    assert engines.is_done(engine)
    assert engines.tokens() == 1
    refused = [line for line in engines.harvest.request_log if line.status_code == 401]
    assert 1 <= len(refused) <= 2  # both writers may be on their way


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.both
def test_three_engines_refresh_a_dead_token_once(
    connected: Engines, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others need the token while one waits for it: they send nothing, and wait."""
    # The fake answers one request at a time: a second one would wait for the first.
    monkeypatch.setattr(api_client, "REQUEST_TIMEOUT_SECONDS", 2.0)
    connected.prepare(*ENGINES)
    connected.world.clock.advance(timedelta(hours=2))
    others = [name for name in ENGINES if name != engine]

    def run_others(request: VendorRequest) -> None:
        if request.path == "/token" and others:
            waiting = others.copy()
            others.clear()
            for name in waiting:
                connected.run(name)

    connected.harvest.before_request.append(run_others)
    for name in (engine, *ENGINES):
        connected.run_to_end(name)
    assert all(connected.is_done(name) for name in ENGINES)
    assert connected.tokens() == 1
    assert 401 not in {line.status_code for line in connected.harvest.request_log}


def test_consent_revoked_is_said_once_by_every_engine(connected: Engines) -> None:
    connected.prepare(*ENGINES)
    connected.harvest.revoke()
    for name in ENGINES:
        connected.run_to_end(name)
    assert connected.tokens() == 1  # afterwards it is known that people must act
    assert "Connect the account again" in connected.event().last_error
    connect(connected.world, connected.harvest)
    connected.world.set_secret("webhook_secret", HOOK_SECRET)  # lets the writers go on
    connected.world.clock.advance(TOKEN_PROBE_INTERVAL)
    for name in ENGINES:
        connected.run_to_end(name)
    assert all(connected.is_done(name) for name in ENGINES)


@pytest.mark.both
def test_killed_before_the_token_was_stored_asks_after_the_lease(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.prepare("poll")
    engines.harvest.expire()
    engines.world.clock.advance(timedelta(hours=2))

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ApiToken, "store", die)
        with pytest.raises(Killed):
            engines.run("poll")
    engines.world.clock.advance(rounds.LEASE)  # longer than the token's lease
    assert rounds.LEASE >= access_tokens.LEASE
    engines.run_to_end("poll")
    assert engines.is_done("poll")
    assert engines.tokens() == 2


# Limits of requests.


@pytest.mark.parametrize("wait", [timedelta(seconds=120), None])
def test_too_many_requests_delay_an_event_and_use_no_try(
    engines: Engines, wait: timedelta | None
) -> None:
    engines.prepare("event")
    refusal = status(429, Retry_After="120") if wait else status(429)
    engines.harvest.fail_next("GET", "/v3/candidates", refusal)
    engines.run("event")
    event = engines.event()
    assert (event.tries, event.done_at) == (0, None)
    assert event.due_at - engines.world.clock.now() == (wait or timedelta(seconds=30))
    engines.world.clock.advance(event.due_at - engines.world.clock.now())
    engines.run("event")
    assert engines.is_done("event")


@pytest.mark.parametrize("engine", ENGINES)
def test_token_endpoint_with_a_limit_is_asked_again_after_the_wait(
    engines: Engines, engine: str
) -> None:
    engines.prepare(engine)
    engines.harvest.expire()
    engines.world.clock.advance(timedelta(hours=2))
    engines.harvest.fail_next("POST", "/token", status(429, Retry_After="40"))
    engines.run(engine)
    asked = engines.tokens()
    engines.world.clock.advance(timedelta(seconds=41))
    engines.run_to_end(engine)
    assert engines.is_done(engine)
    assert engines.tokens() == asked + (0 if engine == "writer" and asked == 2 else 1)


@pytest.mark.both
def test_engines_together_never_exceed_the_budget(engines: Engines) -> None:
    engines.harvest.budget_limit = 10
    engines.prepare("writer")
    engines.harvest.backlog(60, STAGE)
    for number in range(8):
        address = {"value": f"e{number}@example.org", "type": "work"}
        application = engines.harvest.apply(STAGE, email_addresses=[address])
        engines.add_event(f"e{number}", application)
    engines.world.clock.advance(engines.world.interval)
    for _ in range(60):
        for name in ENGINES:
            engines.run(name)
        engines.world.clock.advance(timedelta(seconds=7))  # in no step with the vendor's windows
        if all(event.done_at for event in _events(engines)) and engines.is_done("writer"):
            break
    orders = engines.world.orders()
    assert len(orders) == len(set(orders)) == 69
    assert len(engines.harvest.request_log) > 20  # more than two windows allow
    assert 429 not in {line.status_code for line in engines.harvest.request_log}


# Webhooks.


@pytest.fixture
def by_http(app_server: LiveServer, clock: ManualClock, harvest: FakeHarvest) -> Iterator[Engines]:
    """The engines of an account whose events arrive by HTTP."""
    world = create_world(app_server.services, clock, harvest)
    world.set_secret("webhook_secret", HOOK_SECRET)
    world.add_known_rule(match={"stage": str(STAGE)})
    with world.services.db.reading() as session:
        account = session.get_one(Account, world.account_id)
        path = webhook_address(world.services.secret_box, account)
    harvest.webhook_url = f"{app_server.url}/hooks/{path}/candidate_stage_change"
    dispatcher = Dispatcher(world.services)
    yield Engines(world, harvest, dispatcher)
    dispatcher.stop()


@pytest.mark.both
def test_event_thrice_at_once_is_stored_once(by_http: Engines) -> None:
    application = by_http.harvest.apply(STAGE)
    delivery = by_http.harvest.event("candidate_stage_change", by_http.harvest.payload(application))
    headers = {"Signature": delivery.signature, "Greenhouse-Event-ID": delivery.event_id}
    start = threading.Barrier(3)

    def send(_: int) -> int:
        start.wait(5)
        url = by_http.harvest.webhook_url
        return requests.post(url, delivery.body, headers=headers, timeout=10).status_code

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(send, range(3))) == [200, 200, 200]
    assert not by_http.event().done_at
    by_http.process()
    assert by_http.world.orders() == ["ana@example.org"]


def test_events_out_of_order_and_late_record_place_one_order(by_http: Engines) -> None:
    harvest = by_http.harvest
    application = harvest.apply(OTHER_STAGE)
    harvest.hidden.add(("applications", application))
    harvest.storm(application, STAGE, OTHER_STAGE, STAGE, copies=3)
    by_http.process()
    assert by_http.world.orders() == []
    harvest.hidden.clear()
    by_http.world.clock.advance(inbox.RETRY_WAITS[0])
    by_http.process()
    by_http.world.read_next()
    assert by_http.world.orders() == ["ana@example.org"]


@pytest.mark.both
def test_event_killed_after_reading_is_processed_after_its_lease(engines: Engines) -> None:
    """The vendor has answered, and the process dies before its transaction."""
    engines.prepare("event")
    _read_event(engines)
    engines.process()
    assert engines.world.orders() == []  # the lease of the dead process holds
    engines.world.clock.advance(inbox.LEASE)
    engines.process()
    assert engines.is_done("event")


def test_record_ordered_by_a_round_meanwhile_is_not_ordered_again(engines: Engines) -> None:
    engines.prepare("event")
    leased, record = _read_event(engines)
    engines.world.read_next()
    assert engines.is_done("event")
    leased._finish(record)
    assert engines.is_done("event")
    assert engines.event().done_at
    assert engines.world.arrivals() == [("ordered", "")]


@pytest.mark.both
def test_round_and_event_at_the_same_moment_place_one_order(engines: Engines) -> None:
    engines.prepare("event")
    engines.world.clock.advance(engines.world.interval)
    leased, record = _read_event(engines)
    world = engines.world
    with world.services.db.writing() as session:
        now = world.clock.now()
        lease = acquire_lease(session, world.account_id, "stage_entries", now, rounds.LEASE)
    assert lease
    with open_api_client(world.services) as client:
        current = Round(world.services, client, lease)
        while (step := current._next_step()) is not None:
            page = current._read(step)
            if page.records:
                break
            assert not current._apply(step, page)
        assert step
        start = threading.Barrier(2)

        def finish_event() -> None:
            start.wait(5)
            leased._finish(record)

        def apply_page() -> None:
            start.wait(5)
            current._apply(step, page)

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(finish_event), pool.submit(apply_page)]:
                future.result(20)
    world.read_next()
    assert engines.is_done("event")
    assert world.arrivals() == [("ordered", "")]


@pytest.mark.parametrize("resource", ["applications", "candidates"])
def test_record_deleted_during_the_lookup_is_not_ordered(engines: Engines, resource: str) -> None:
    engines.prepare("event")
    harvest, application = engines.harvest, engines.applications["event"]
    row = harvest.get("applications", application)
    number = application if resource == "applications" else row["candidate_id"]
    harvest.before_page[resource, 1] = lambda: harvest.delete(resource, number)
    engines.run("event")
    assert engines.event().last_error == inbox.NOT_READABLE
    assert engines.world.arrivals() == []


def test_application_deleted_after_ordering_keeps_one_order(engines: Engines) -> None:
    engines.prepare("event")
    application = engines.applications["event"]
    engines.run("event")
    engines.harvest.delete("applications", application)
    engines.add_event("e2", application)
    engines.process()
    engines.world.read_next()
    assert engines.is_done("event")


def test_event_without_address_is_refused_until_it_has_one(engines: Engines) -> None:
    application = engines.harvest.apply(STAGE, email_addresses=[])
    engines.add_event("e1", application)
    engines.process()
    refusal = ("refused", "The candidate has no e-mail address in the ATS")
    assert engines.world.arrivals() == [refusal]
    assert engines.event().done_at
    candidate = engines.harvest.get("applications", application)["candidate_id"]
    address = {"value": "late@example.org", "type": "personal"}
    engines.harvest.change("candidates", candidate, email_addresses=[address])
    engines.add_event("e2", application)
    engines.process()
    assert engines.world.orders() == ["late@example.org"]


BROKEN_NAMES = ["", "\x00", "A\ud800", "\u202eevil", "x" * 10_000, "🙂" * 300, " ", "=1+1", "<b>"]


@pytest.mark.parametrize("engine", ["poll", "event"])
def test_broken_names_are_ordered_and_stop_no_other(engines: Engines, engine: str) -> None:
    for number, name in enumerate(BROKEN_NAMES):
        address = {"value": f"p{number}@example.org", "type": "work"}
        application = engines.harvest.apply(
            STAGE, first_name=name, last_name=name, email_addresses=[address]
        )
        if engine == "event":
            engines.add_event(f"e{number}", application)
    engines.world.clock.advance(engines.world.interval)
    engines.run(engine)
    expected = [f"p{number}@example.org" for number in range(len(BROKEN_NAMES))]
    assert sorted(engines.world.orders()) == expected
    assert all(outcome == "ordered" for outcome, _ in engines.world.arrivals())


@pytest.mark.parametrize("engine", ["poll", "event"])
@pytest.mark.both
def test_name_that_is_no_text_stops_no_other(engines: Engines, engine: str) -> None:
    engines.prepare(engine)
    application = engines.harvest.apply(STAGE, first_name=5)
    engines.add_event("e2", application)
    engines.run(engine)
    engines.world.read_next()
    assert engines.is_done(engine)


def test_job_that_no_rule_names_orders_nothing(engines: Engines) -> None:
    harvest, world = engines.harvest, engines.world
    world.add_rule(match={"stage": "99", "job": "77"})  # neither exists
    other_job = harvest.add("jobs", name="Cook")
    stage = harvest.add("job_interview_stages", job_id=other_job, name="Assessment")
    world.add_rule(match={"stage": str(stage), "job": str(JOB)})
    cook = harvest.apply(stage)
    engines.add_event("e1", cook)
    engines.prepare("poll")
    for name in ("poll", "event"):
        engines.run(name)
    assert world.orders() == ["poll@example.org"]
    assert all(event.done_at for event in _events(engines))


# Rounds.


@pytest.mark.both
def test_killed_in_the_middle_of_a_page_orders_each_once(
    dummy_world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several transactions place the orders of a page: the first ones are committed."""
    dummy_world.add_known_rule()
    fake.page_size, fake.lazy_people = 45, 45
    placed: list[object] = []

    def place_or_die(*arguments: Any) -> int:
        placed.append(arguments)
        if len(placed) == rounds.RECORDS_PER_TRANSACTION + 5:
            raise Killed
        return place_by_rules(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "place_by_rules", place_or_die)
        with pytest.raises(Killed):
            dummy_world.read()
    assert len(dummy_world.orders()) == rounds.RECORDS_PER_TRANSACTION
    dummy_world.clock.advance(rounds.LEASE)
    dummy_world.read()
    orders = dummy_world.orders()
    assert len(orders) == len(set(orders)) == 45


@pytest.mark.both
def test_backlog_of_10_000_stops_at_the_brake(
    dummy_world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rounds.MAX_ORDERS_PER_ROUND == 500
    monkeypatch.setattr(rounds, "MAX_ORDERS_PER_ROUND", 50)  # placing 500 takes seconds
    dummy_world.add_known_rule()
    fake.page_size, fake.lazy_people = 10, 10_000
    fake.request_log.clear()
    dummy_world.read()
    dummy_world.read_next()
    assert len(dummy_world.order_ids()) == 50
    assert dummy_world.cursor().stopped_reason == "50 orders were placed in one round"
    assert [request.query["page"] for request in fake.requests("GET", "/people")] == list("123456")
    fake.request_log.clear()
    fake.lazy_people = 53  # the others have left meanwhile
    with dummy_world.services.db.writing() as session:
        resume_sources(session, dummy_world.account_id, dummy_world.clock.now())
    dummy_world.read()
    assert [request.query["page"] for request in fake.requests("GET", "/people")] == ["6"]
    assert len(dummy_world.order_ids()) == 53


def test_long_round_costs_its_pages_and_no_memory(
    dummy_world: ApiWorld, fake: FakeDummy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "SLICE_SECONDS", 600.0)
    dummy_world.add_known_rule("Nobody is in this stage")
    fake.page_size, fake.lazy_people = 100, 2000
    pages: list[str] = []
    objects: dict[str, int] = {}  # alive, by page

    def count_objects(request: VendorRequest) -> None:
        pages.append(page := request.query["page"])
        fake.request_log.clear()  # the fake's own memory is not measured
        if page in ("5", "20"):
            gc.collect()
            objects[page] = len(gc.get_objects())

    fake.before_request.append(count_objects)
    dummy_world.read()
    assert pages == [str(number) for number in range(1, 21)]
    cursor = dummy_world.cursor()
    assert (cursor.pages, cursor.records, cursor.orders) == (20, 2000, 0)
    assert objects["20"] < objects["5"] + 250  # of one page there are more


def test_backlog_of_events_is_processed_in_slices(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_EVENTS_PER_RUN", 5)
    for number in range(8):
        engines.add_event(f"e{number}", engines.harvest.apply(STAGE))
    engines.harvest.request_log.clear()
    engines.process()
    assert len(engines.harvest.requests("GET", "/v3/applications?")) == 5
    engines.process()
    engines.process()
    assert len(engines.harvest.requests("GET", "/v3/")) == 8 * 3
    assert len(engines.world.order_ids()) == 8


# Writers.


@pytest.mark.parametrize("failure", [hang_up, status(503)])
@pytest.mark.both
def test_note_and_file_are_there_once_whatever_the_order_of_faults(
    engines: Engines, failure: Any
) -> None:
    """The first try is carried out but looks failed; the second is refused; the third looks."""
    engines.prepare("writer")
    for resource in ("notes", "attachments"):
        engines.harvest.fail_next("POST", f"/v3/{resource}", failure, after=True)
        engines.harvest.fail_next("GET", f"/v3/{resource}", status(429, Retry_After="1"))
    for _ in range(6):
        engines.run("writer")
        engines.world.clock.advance(timedelta(minutes=10))
    assert engines.is_done("writer")
    assert engines.world.message_states() == {"note": ["delivered"], "attachment": ["delivered"]}


def test_candidate_deleted_between_two_tries_of_a_writer_is_said_once(engines: Engines) -> None:
    engines.prepare("writer")
    for resource in ("notes", "attachments"):
        engines.harvest.fail_next("POST", f"/v3/{resource}", status(503))
    engines.run("writer")
    application = engines.applications["writer"]
    candidate = engines.harvest.get("applications", application)["candidate_id"]
    engines.harvest.delete("candidates", candidate)
    for _ in range(3):
        engines.world.clock.advance(timedelta(minutes=10))
        engines.run("writer")
    assert engines.world.message_states() == {"note": ["parked"], "attachment": ["parked"]}
    assert engines.world.stored_texts().count("no longer exists in Greenhouse") == 2


def test_candidate_deleted_in_workable_is_said_by_each_writer(
    app_server: LiveServer, clock: ManualClock
) -> None:
    with FakeWorkableApi(clock) as workable:
        world = workable_tests.create_world(app_server, clock, workable, tags=True)
        dispatcher = Dispatcher(world.services)
        order, candidate = workable_tests.order_one(world, workable)
        workable.delete(candidate)
        workable_tests.finish(world, dispatcher, order)
        world.read_next()
        dispatcher.stop()
        parked = {"rating": ["parked"], "comment": ["parked"], "tag": ["parked"]}
        assert world.message_states() == parked
        assert world.stored_texts().count("no longer exists in Workable") == 3
        assert len(world.order_ids()) == 1


@pytest.mark.parametrize("rating_api", ["put", "post_grade", "post_score"])
def test_evaluation_whose_answer_was_lost_is_there_once(
    app_server: LiveServer, clock: ManualClock, rating_api: str
) -> None:
    with FakeWorkableApi(clock) as workable:
        options = {"rating_api": rating_api, "comments": False}
        world = workable_tests.create_world(app_server, clock, workable, **options)
        dispatcher = Dispatcher(world.services)
        order, candidate = workable_tests.order_one(world, workable)
        workable.fail_next(
            "POST" if "post" in rating_api else "PUT", "/ratings", hang_up, after=True
        )
        workable_tests.finish(world, dispatcher, order)
        world.clock.advance(timedelta(minutes=1))
        world.deliver(dispatcher)
        dispatcher.stop()
        assert world.message_states() == {"rating": ["delivered"]}
        assert len(workable.ratings[candidate]) == 1


# Secrets.


def test_no_token_is_in_a_log_an_attempt_or_a_page(
    connected: Engines, services: Services, client: FlaskClient
) -> None:
    """The vendor repeats the token in each error, as a careless vendor does."""
    connected.prepare(*ENGINES)
    connection = connected.harvest._connections[-1]
    hidden = {connection.access_token, connection.refresh_token, connected.harvest.client_secret}
    hidden.add(HOOK_SECRET)
    body = f'{{"message": "{" ".join(hidden)}"}}'.encode()
    with capture_logs() as logs:
        for code in (503, 422, 401):
            for name, resource in (
                ("poll", "application_stages"),
                ("event", "applications"),
                ("writer", "notes"),
                ("writer", "attachments"),
            ):
                method = "POST" if name == "writer" else "GET"
                connected.harvest.fail_next(method, f"/v3/{resource}", status(code, body))
                connected.run(name)
            connected.world.clock.advance(timedelta(hours=1))
    connection = connected.harvest._connections[-1]
    hidden |= {connection.access_token, connection.refresh_token}
    shown = {
        "logs": str(logs),
        "attempts": connected.world.stored_texts(),
        "events": " ".join(event.last_error for event in _events(connected)),
    }
    shown |= _console_pages(ConsoleClient.signed_in(services, client, role="admin"))
    assert any(name.endswith("/connection") for name in shown)
    assert [name for name, text in shown.items() if any(token in text for token in hidden)] == []


def _console_pages(console: ConsoleClient) -> dict[str, str]:
    """Return the HTML of every page that links of the console lead to."""
    pages: dict[str, str] = {}
    waiting = ["/console/accounts/", "/console/orders/", "/console/deliveries/"]
    while waiting and len(pages) < 60:
        path = waiting.pop(0)
        if path in pages:
            continue
        response = console.client.get(path)
        pages[path] = response.text if response.mimetype == "text/html" else ""
        links = re.findall(r'href="(/console/[^"#]+)"', response.text)
        waiting += [link.replace("&amp;", "&") for link in links if "sign-out" not in link]
    return pages


def _read_event(engines: Engines) -> tuple[LeasedEvent, Any]:
    """Lease the only event and read its record, as a process that goes no further yet."""
    services = engines.world.services
    with services.db.writing() as session:
        event_id = session.scalars(select(WebhookEvent.id)).one()
        lease = lease_event(session, event_id, services.now(), inbox.LEASE)
    assert lease
    with open_api_client(services) as client:
        leased = LeasedEvent(services, client, lease)
        record, has_rules = leased._read()
    assert record
    assert has_rules
    return leased, record


def _events(engines: Engines) -> list[WebhookEvent]:
    with engines.world.services.db.reading() as session:
        return list(session.scalars(select(WebhookEvent)))
