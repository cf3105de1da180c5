"""Files that are on their way when the time of a test ends: until when they count."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, Route, expect

from provider.core.kinds.assessment.file_answers import PIECE_ARRIVAL_TIME
from provider.core.orders import Order, close_overdue_orders
from provider.core.orders.given_time import ARRIVAL_GRACE, to_milliseconds
from provider.core.orders.states import MARKING, STARTED, SUBMITTED
from provider.services import Services
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.web.candidate import test_assessment, test_assessment_browser
from tests.web.candidate.test_answer_files import place, saved
from tests.web.candidate.test_answer_pieces import LARGE_PDF, PIECE_BYTES, Sender, photo

TIME_LIMIT = timedelta(minutes=20)


@pytest.fixture
def order_id(client: FlaskClient, services: Services) -> str:
    public_id = place(services)
    test_assessment.start_test(client, services, public_id)
    return public_id


@pytest.fixture
def sender(client: FlaskClient, services: Services, order_id: str) -> Sender:
    return Sender(client, order_id, LARGE_PDF)


def close(services: Services) -> None:
    """Do the scheduled work that closes attempts."""
    with services.db.writing() as session:
        close_overdue_orders(session, services.secret_box, services.now())


def progress(services: Services, order_id: str) -> str:
    with services.db.reading() as session:
        return Order.find(session, order_id).progress


@pytest.mark.both
def test_file_on_its_way_at_the_end_counts_and_closes_the_test(
    services: Services, sender: Sender, order_id: str, clock: ManualClock
) -> None:
    clock.advance(TIME_LIMIT - timedelta(seconds=2))
    sender.announce()
    for start in (0, PIECE_BYTES):
        assert sender.send(start).status_code == 200
        clock.advance(PIECE_ARRIVAL_TIME - timedelta(seconds=1))
        close(services)
        assert progress(services, order_id) == STARTED
    landing = sender.client.get(f"/c/o/{order_id}/")
    assert "Something that you gave in time is still arriving." in landing.text
    assert sender.send(2 * PIECE_BYTES).status_code == 200
    close(services)  # nothing else is on its way
    assert progress(services, order_id) == MARKING
    assert saved(services, order_id)["size"] == len(LARGE_PDF)


def test_file_that_stops_arriving_is_waited_for_some_minutes(
    services: Services, sender: Sender, order_id: str, clock: ManualClock
) -> None:
    clock.advance(TIME_LIMIT - timedelta(seconds=2))
    sender.announce()
    sender.send(0)
    clock.advance(PIECE_ARRIVAL_TIME)
    assert sender.send(PIECE_BYTES).status_code == 409
    assert progress(services, order_id) == SUBMITTED
    assert saved(services, order_id) is None


def test_slow_file_is_waited_for_a_quarter_of_an_hour(
    services: Services, sender: Sender, order_id: str, clock: ManualClock
) -> None:
    clock.advance(TIME_LIMIT - timedelta(seconds=1))
    sender.announce()
    size = 100_000
    for start in range(0, 16 * size, size):
        assert sender.send(start, LARGE_PDF[start : start + size]).status_code == 200
        clock.advance(timedelta(minutes=1))
    start = 16 * size
    assert sender.send(start, LARGE_PDF[start : start + size]).status_code == 409
    assert progress(services, order_id) == SUBMITTED


def test_file_that_is_chosen_after_the_end_is_refused_while_another_arrives(
    client: FlaskClient, services: Services, sender: Sender, order_id: str, clock: ManualClock
) -> None:
    late = Sender(client, order_id, LARGE_PDF + b"!")
    clock.advance(TIME_LIMIT - timedelta(seconds=2))
    sender.announce()
    clock.advance(ARRIVAL_GRACE + timedelta(seconds=3))
    assert late.announce().status_code == 409
    assert sender.send(0).status_code == 200


def test_announcement_that_is_repeated_after_the_end_keeps_its_time(
    services: Services, sender: Sender, order_id: str, clock: ManualClock
) -> None:
    clock.advance(TIME_LIMIT - timedelta(seconds=2))
    given_at = str(to_milliseconds(clock.now()))
    sender.announce(given_at=given_at)
    sender.send(0)
    clock.advance(timedelta(minutes=2))
    assert sender.announce(given_at=given_at).get_json()["offset"] == PIECE_BYTES
    sender.send(PIECE_BYTES)
    assert sender.send(2 * PIECE_BYTES).status_code == 200
    assert saved(services, order_id)["size"] == len(LARGE_PDF)


def test_page_waits_for_its_file_after_the_end(live_server: LiveServer, page: Page) -> None:
    public_id = place(live_server.services, {"time_limit": 1})
    page.clock.install()
    test_assessment_browser.start_test(page, live_server, public_id)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    page.route("**/answer-uploads/*", hold_first)
    expect(page.get_by_text("If the time ends while your file is on its way")).to_be_visible()
    with page.expect_request("**/answer-uploads/*"):
        page.locator("input[type=file]").set_input_files(photo(2))
    live_server.clock.advance(timedelta(minutes=1) + ARRIVAL_GRACE)
    page.clock.fast_forward("01:11")
    expect(page.locator('[data-notice="time"]')).to_contain_text("your file still counts")
    assert page.url.endswith("/items/1")
    held[0].continue_()
    expect(page).to_have_url(f"{live_server.url}/c/o/{public_id}/")
    assert saved(live_server.services, public_id)["name"] == "photo.png"
    assert progress(live_server.services, public_id) == MARKING
