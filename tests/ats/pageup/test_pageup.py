"""PageUp: a tag orders, a tag tells the result, and a daily sweep finds what a window missed."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from provider.ats import ADAPTERS
from provider.ats.api import AtsApi
from provider.core.accounts import Account
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.api_client import open_api_client
from provider.services import Services
from tests import factories
from tests.delivery.api_world import ApiWorld
from tests.factories import ManualClock
from tests.fakes.pageup import FakePageUp
from tests.fakes.vendor import hang_up, html_page, redirect, status

TAG = "needs numeracy"
DAY = timedelta(days=1)


@pytest.fixture
def pageup(clock: ManualClock) -> Iterator[FakePageUp]:
    with FakePageUp(clock) as fake:
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, pageup: FakePageUp) -> ApiWorld:
    return ApiWorld.create(
        services,
        clock,
        ats="pageup",
        options={"base_url": pageup.base_url, "rate": 100},
        secrets={"api_key": pageup.key, "api_secret": pageup.secret},
        interval=timedelta(minutes=5),
    )


@pytest.fixture
def dispatcher(world: ApiWorld) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(world.services)
    yield dispatcher
    dispatcher.stop()


def add_rule(world: ApiWorld) -> None:
    world.add_known_rule(match={"tag": TAG})


def tags(pageup: FakePageUp) -> list[str]:
    return list(pageup.candidate(1).tags.values())


def order_and_finish(world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher) -> str:
    add_rule(world)
    pageup.add(1, tags=[TAG])
    world.read_next()
    (order,) = world.order_ids()
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    return order


def test_tag_orders_and_the_result_is_a_tag(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    pageup.add(1)
    world.read_next()
    assert world.orders() == []
    pageup.change(1, tags=["Needs  Numeracy "])
    world.read_next()
    (order,) = world.order_ids()
    assert world.orders() == ["ana@example.org"]
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    assert tags(pageup) == ["Needs  Numeracy ", "Reasoning: excelled"]
    assert world.message_states() == {"tag": ["delivered"]}
    assert pageup.rejection_reasons == []


@pytest.mark.parametrize("canonical", ["with_method", "without"])
@pytest.mark.parametrize("content_hash", ["md5", "sha256"])
def test_each_form_of_the_signature_is_accepted(
    world: ApiWorld,
    pageup: FakePageUp,
    dispatcher: Dispatcher,
    canonical: str,
    content_hash: str,
) -> None:
    pageup.canonical, pageup.content_hash = canonical, content_hash  # type: ignore[assignment]
    world.set_options(canonical=canonical, content_hash=content_hash)
    order_and_finish(world, pageup, dispatcher)
    assert tags(pageup) == [TAG, "Reasoning: excelled"]
    assert pageup.rejection_reasons == []


@pytest.mark.parametrize(
    ("forms", "base_path"),
    [
        ({"canonical": "without"}, "/v2"),
        ({"digest": "sha256", "canonical": "without"}, "/v2"),
        ({}, "/v1"),
    ],
)
def test_check_finds_the_form_that_is_accepted_and_keeps_it(
    world: ApiWorld, pageup: FakePageUp, forms: dict[str, str], base_path: str
) -> None:
    for name, value in forms.items():
        setattr(pageup, name, value)
    pageup.base_path = base_path
    with open_api_client(world.services) as client:
        with world.services.db.reading() as session:
            account = session.get_one(Account, world.account_id)
            connection = client.connection(session, account)
        api = _api()
        report = client.check(api, connection)
    expected = dict(forms) | ({} if base_path == "/v2" else {"base_url": pageup.base_url})
    assert report.found_settings == expected
    assert report.lines[0].is_ok
    assert "with other settings, now kept: " in report.lines[0].text


@pytest.mark.parametrize("failure", [redirect("http://127.0.0.1:1/v2"), html_page])
def test_check_whose_address_shows_a_page_tries_the_other_version(
    world: ApiWorld, pageup: FakePageUp, failure: Any
) -> None:
    pageup.base_path = "/v1"
    pageup.fail_next("GET", "/v2/candidates", failure)
    with open_api_client(world.services) as client:
        with world.services.db.reading() as session:
            account = session.get_one(Account, world.account_id)
            connection = client.connection(session, account)
        report = client.check(_api(), connection)
    assert report.found_settings == {"base_url": pageup.base_url}


def test_check_of_a_wrong_key_says_where_to_look(world: ApiWorld, pageup: FakePageUp) -> None:
    pageup.revoke()
    with open_api_client(world.services) as client:
        with world.services.db.reading() as session:
            account = session.get_one(Account, world.account_id)
            connection = client.connection(session, account)
        (line,) = client.check(_api(), connection).lines
    assert not line.is_ok
    assert "the region of base_url" in line.text


def test_tag_that_changes_no_time_is_found_by_the_daily_sweep(
    world: ApiWorld, pageup: FakePageUp
) -> None:
    pageup.tag_bumps_updated_at = False
    add_rule(world)
    pageup.add(1, updated_at=world.clock.now() - 10 * DAY)
    pageup.change(1, tags=[TAG], updated_at=world.clock.now() - 10 * DAY)
    world.read_next()
    assert world.orders() == []
    world.clock.advance(DAY)
    world.read()
    assert world.orders() == ["ana@example.org"]


def test_candidate_tagged_before_the_rule_is_not_ordered(
    world: ApiWorld, pageup: FakePageUp
) -> None:
    pageup.add(1, tags=[TAG], updated_at=world.clock.now() - DAY)
    add_rule(world)
    pageup.change(1, phone_number="1")
    world.read_next()
    world.clock.advance(DAY)
    world.read()
    assert world.arrivals() == [("existing", "")]


def test_pages_in_changing_order_lose_nobody_within_a_day(
    world: ApiWorld, pageup: FakePageUp
) -> None:
    pageup.shuffles_pages = True
    world.set_options(page_size=5)
    add_rule(world)
    for number in range(1, 24):
        pageup.add(number, tags=[TAG], email=f"p{number}@example.org")
    for _ in range(20):
        world.read_next()
    world.clock.advance(DAY)
    world.read()
    assert len(set(world.orders())) == len(world.orders()) >= 20


def test_page_that_is_too_large_is_halved(world: ApiWorld, pageup: FakePageUp) -> None:
    pageup.max_per_page = 30
    add_rule(world)
    pageup.backlog(60)
    world.read_next()
    assert len(world.orders()) == 60
    sizes = {request.query["per_page"] for request in pageup.requests("GET", "/candidates?")}
    assert sizes == {"100", "50", "25"}


def test_times_of_filters_are_in_the_zone_of_the_setting(
    world: ApiWorld, pageup: FakePageUp
) -> None:
    pageup.clock_zone = "Australia/Melbourne"
    world.set_options(clock_zone="Australia/Melbourne")
    add_rule(world)
    pageup.add(1, tags=[TAG])
    world.read_next()
    assert world.orders() == ["ana@example.org"]


def test_later_result_replaces_our_earlier_tag(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    pageup.add(1, tags=[TAG])
    world.read_next()
    (order,) = world.order_ids()
    factories.finish_test(world.services, order, {})
    world.deliver(dispatcher)
    assert tags(pageup) == [TAG, "Reasoning: failed"]
    ours = "Reasoning: failed"
    pageup.change(1, tags=[TAG, ours, "Reasoning: see Bo"])
    with world.services.db.writing() as session:
        found = Order.find(session, order)
        found.reopen(session, world.services.secret_box, "staff", "", world.clock.now())
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    assert tags(pageup) == [TAG, "Reasoning: see Bo", "Reasoning: excelled"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("outcome", [TAG, "Reasoning: excelled"]),
        ("completed", [TAG, "Reasoning: completed"]),
        ("none", [TAG]),
    ],
)
def test_result_tags_tell_what_the_setting_says(
    world: ApiWorld,
    pageup: FakePageUp,
    dispatcher: Dispatcher,
    setting: str,
    expected: list[str],
) -> None:
    world.set_options(result_tags=setting)
    order_and_finish(world, pageup, dispatcher)
    assert tags(pageup) == expected


@pytest.mark.parametrize("stores_duplicates", [True, False])
@pytest.mark.parametrize("code", [200, 422])
def test_tag_whose_answer_was_lost_is_there_once(
    world: ApiWorld,
    pageup: FakePageUp,
    dispatcher: Dispatcher,
    code: int,
    stores_duplicates: bool,
) -> None:
    pageup.duplicate_tag_status = code  # type: ignore[assignment]
    pageup.stores_duplicate_tags = stores_duplicates
    pageup.fail_next("POST", "/tags", hang_up, after=True)
    order_and_finish(world, pageup, dispatcher)
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert tags(pageup) == [TAG, "Reasoning: excelled"]
    assert world.message_states() == {"tag": ["delivered"]}


def test_candidate_deleted_before_the_result_fails_with_a_sentence(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    add_rule(world)
    pageup.add(1, tags=[TAG])
    world.read_next()
    pageup.delete(1)
    factories.finish_test(world.services, world.order_ids()[0])
    world.deliver(dispatcher)
    assert world.message_states() == {"tag": ["parked"]}
    assert "The candidate no longer exists in PageUp" in world.stored_texts()


def test_used_tag_is_deleted_where_the_account_wants_it(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    world.set_options(consume_tag=True)
    add_rule(world)
    pageup.add(1, tags=[TAG, "other"])
    world.read_next()
    world.deliver(dispatcher)
    assert tags(pageup) == ["other"]
    world.read_next()
    assert len(world.orders()) == 1


def test_report_is_sent_as_a_file_once(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    world.set_options(pdf_as_file=True, result_tags="none")
    pageup.fail_next("POST", "/candidate_files", status(503), after=True)
    order = order_and_finish(world, pageup, dispatcher)
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    ((file_id, filename),) = pageup.candidate(1).resumes.items()
    assert filename == f"Reasoning-{order}-1.pdf"
    assert pageup.files[file_id].startswith(b"%PDF-")


def test_file_off_by_default_keeps_the_resume(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    order_and_finish(world, pageup, dispatcher)
    assert pageup.requests("POST", "/candidate_files") == []


def test_tag_carries_the_address_where_the_schema_needs_it(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    pageup.tag_needs_email = True
    world.set_options(tag_needs_email=True)
    order_and_finish(world, pageup, dispatcher)
    assert "Reasoning: excelled" in tags(pageup)


def test_broken_candidates_are_noted_and_stop_no_page(world: ApiWorld, pageup: FakePageUp) -> None:
    add_rule(world)
    entries = [
        {"id": "1"},
        pageup.add(2, tags=[TAG], email=None).resource,
        pageup.add(3, tags=[TAG], email="cy@example.org", first_name=None, last_name=5).resource,
    ]
    page = json.dumps({"data": entries}).encode()
    pageup.fail_next("GET", "updated_at", status(200, page))
    world.read_next()
    assert world.orders() == ["cy@example.org"]
    assert "1 entries could not be read" in world.cursor("changed_candidates").problems
    refusal = ("refused", "The candidate has no e-mail address in the ATS")
    assert refusal in world.arrivals()


def test_secret_is_in_no_request_and_no_stored_text(
    world: ApiWorld, pageup: FakePageUp, dispatcher: Dispatcher
) -> None:
    order_and_finish(world, pageup, dispatcher)
    for line in pageup.request_log:
        sent = f"{line.request.target} {line.request.headers} {line.request.body!r}"
        assert pageup.secret not in sent
    assert pageup.secret not in world.stored_texts()


def _api() -> AtsApi:
    api = ADAPTERS["pageup"].api

    assert api is not None
    return api
