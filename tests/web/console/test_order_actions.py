"""The console's actions on one order, beside cancelling and reopening."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from provider import outbox
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from provider.core.staff import ROLE_PERMISSIONS, Permission
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.console.test_deliveries import park
from tests.web.console.test_orders import order_events, order_messages, perform_action, place_order
from tests.web.console_client import ORDERS_PATH, ConsoleClient


def sent_order(services: Services, clock: ManualClock) -> str:
    """Return an order whose invitation was sent a minute ago."""
    order_id = place_order(services)
    factories.deliver_emails(services)
    clock.advance(timedelta(minutes=1))
    return order_id


def test_resend_sends_the_invitation_and_shows_it(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = sent_order(services, clock)
    console = ConsoleClient.signed_in(services, client)
    assert "lakita_marrero@gmail.com" in console.get_text(f"{ORDERS_PATH}{order_id}/resend")
    assert perform_action(console, order_id, "resend")[0] == 302
    assert order_messages(services, order_id) == [("invitation", "")] * 2
    assert order_events(services, order_id)[-1][:2] == (
        "invitation resent",
        "operator@provider.test",
    )
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert "The invitation is sent again." in page
    assert "Invitation sent again" in page


def test_resend_too_soon_says_why(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = sent_order(services, clock)
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/resend"
    seen = console.read_field(path, "seen")
    console.submit(path, page=path, seen=seen)
    factories.deliver_emails(services)
    response = console.submit(path, page=ORDERS_PATH, seen=seen)
    assert response.status_code == 409
    assert response.text.count("less than a minute ago") == 1
    assert len(order_messages(services, order_id)) == 2


def test_order_page_offers_resend_only_before_the_start(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    assert "Send the invitation again…" in console.get_text(f"{ORDERS_PATH}{order_id}")
    factories.finish_test(services, order_id)
    assert "Send the invitation again…" not in console.get_text(f"{ORDERS_PATH}{order_id}")


OLD_EMAIL, NEW_EMAIL = "lakita_marrero@gmail.com", "lakita.marrero@example.com"


def test_correct_invites_again_and_hides_the_old_address(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = sent_order(services, clock)
    console = ConsoleClient.signed_in(services, client)
    assert OLD_EMAIL in console.get_text(f"{ORDERS_PATH}{order_id}")
    names = {"first_name": "Lakita", "last_name": "Marrero"}
    assert perform_action(console, order_id, "correct", email=NEW_EMAIL, **names)[0] == 302
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert "Candidate’s details corrected" in page
    assert NEW_EMAIL in page
    assert "l…@g…" in page
    assert OLD_EMAIL not in page


def test_correct_with_a_wrong_address_keeps_what_was_typed(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    status, page = perform_action(console, order_id, "correct", email="lakita@", last_name="Diaz")
    assert status == 400
    assert "This is not an e-mail address." in page
    assert 'value="lakita@"' in page
    assert 'value="Diaz"' in page
    assert order_messages(services, order_id) == [("invitation", "")]


def test_correct_from_a_page_before_another_correction_is_refused(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/correct"
    seen = console.read_field(path, "seen")
    assert console.submit(path, page=path, seen=seen, email=NEW_EMAIL).status_code == 302
    response = console.submit(path, page=path, seen=seen, email="other@example.com")
    assert response.status_code == 409
    assert "This order has changed" in response.text


def test_extend_shows_the_new_deadline_and_tells_the_candidate(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = sent_order(services, clock)
    console = ConsoleClient.signed_in(services, client)
    assert perform_action(console, order_id, "extend", days="3", notify="on")[0] == 302
    with services.db.reading() as session:
        deadline = factories.athens_time(Order.find(session, order_id).expires_at)
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert page.count(deadline) == 2  # in the details and in the timeline
    assert "E-mail: new deadline" in page


def test_extend_sent_twice_adds_the_days_once(services: Services, client: FlaskClient) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    path = f"{ORDERS_PATH}{order_id}/extend"
    seen = console.read_field(path, "seen")
    codes = [console.submit(path, page=path, seen=seen, days="3").status_code for _ in range(2)]
    assert codes == [302, 409]


@pytest.mark.parametrize("days", ["", "0", "366", "-1", "1.5", "two"])
def test_extend_by_a_wrong_number_says_which_are_right(
    services: Services, client: FlaskClient, days: str
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    status, page = perform_action(console, order_id, "extend", days=days)
    assert status == 400
    assert "1 to 365" in page
    assert len(order_events(services, order_id)) == 1


@pytest.mark.parametrize(
    ("form", "shown"),
    [({"amount": "50"}, "10 minutes"), ({"amount": "minutes", "minutes": "7"}, "7 minutes")],
)
def test_extra_time_is_shown_to_staff(
    services: Services, client: FlaskClient, form: dict[str, str], shown: str
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    assert "50%: 10 minutes more" in console.get_text(f"{ORDERS_PATH}{order_id}/extra-time")
    assert perform_action(console, order_id, "extra-time", **form)[0] == 302
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert f"<dt>Extra time</dt><dd>{shown}</dd>" in page


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "Choose how much time"),
        ({"amount": "33"}, "Choose how much time"),
        ({"amount": "minutes"}, "from 1 to 1440"),
        ({"amount": "minutes", "minutes": "1441"}, "at most 1440 minutes"),
    ],
)
def test_extra_time_without_an_amount_is_refused(
    services: Services, client: FlaskClient, form: dict[str, str], message: str
) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    status, page = perform_action(console, order_id, "extra-time", **form)
    assert status == 400
    assert message in page


def test_extra_time_of_a_running_attempt_offers_no_less(
    services: Services, client: FlaskClient
) -> None:
    order_id = place_order(services)
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    page = ConsoleClient.signed_in(services, client).get_text(f"{ORDERS_PATH}{order_id}/extra-time")
    assert "has started, and has until" in page
    assert 'value="0"' not in page


def test_end_attempt_says_how_many_answers_count(services: Services, client: FlaskClient) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{ORDERS_PATH}{order_id}/end-attempt")
    assert "has not started: cancel the order instead." in page
    with services.db.writing() as session:
        test = Assessment.find(session, order_id)
        test.start(session, services.now())
        test.save("sum", {"answer": "b"}, services.now())
    page = console.get_text(f"{ORDERS_PATH}{order_id}/end-attempt")
    assert "1 of 4 questions are answered" in page
    assert perform_action(console, order_id, "end-attempt", "The fire alarm rang")[0] == 302
    assert factories.order_status(services, order_id) == "completed"
    assert "The fire alarm rang" in console.get_text(f"{ORDERS_PATH}{order_id}")


def test_retake_shows_the_first_result_with_its_answers(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = place_order(services)
    factories.finish_test(services, order_id)
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert "Let the candidate take the test again…" in page
    assert "Earlier results" not in page
    assert perform_action(console, order_id, "retake")[0] == 302
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert "Let the candidate take the test again…" not in page
    _, _, earlier = page.partition("Earlier results")
    assert "Excelled" in earlier
    assert '<td data-label="Answer" dir="auto">42<small><bdi>' in earlier


def failed_order(services: Services, clock: ManualClock) -> str:
    """Return a cancelled order whose status update has failed."""
    order_id = sent_order(services, clock)
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam", "The job is filled", clock.now())
    park(services, "1/callback/groove-tech.workable.com")
    return order_id


def test_redeliver_sends_what_failed_again(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    order_id = failed_order(services, clock)
    console = ConsoleClient.signed_in(services, client)
    link = "Send failed deliveries again…"
    assert link in console.get_text(f"{ORDERS_PATH}{order_id}")
    assert perform_action(console, order_id, "redeliver")[0] == 302
    assert order_events(services, order_id)[-1][:2] == ("retried", "operator@provider.test")
    with services.db.reading() as session:
        states = {message.state for message in outbox.history(session, order_id)}
    assert states == {outbox.DELIVERED, outbox.WAITING}
    assert link not in console.get_text(f"{ORDERS_PATH}{order_id}")
    page = console.get_text(f"{ORDERS_PATH}{order_id}/redeliver")
    assert "No delivery of this order has failed." in page


def test_redeliver_needs_the_permission_for_deliveries(
    services: Services, client: FlaskClient, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = failed_order(services, clock)
    role = ROLE_PERMISSIONS["support"] - {Permission.MANAGE_DELIVERIES}
    monkeypatch.setitem(ROLE_PERMISSIONS, "support", role)
    console = ConsoleClient.signed_in(services, client, "support")
    path = f"{ORDERS_PATH}{order_id}/redeliver"
    assert client.get(path).status_code == 403
    assert console.submit(path).status_code == 403
    assert client.get(f"{ORDERS_PATH}bulk/?action=redeliver&order={order_id}").status_code == 403
    assert client.get(f"{ORDERS_PATH}{order_id}/cancel").status_code == 200


def test_held_order_shows_why_until_it_is_released(services: Services, client: FlaskClient) -> None:
    order_id = place_order(services)
    console = ConsoleClient.signed_in(services, client)
    assert perform_action(console, order_id, "hold", "A dispute about the result")[0] == 302
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert '<dt>On hold</dt><dd dir="auto">A dispute about the result</dd>' in page
    assert "A dispute about the result" in console.get_text(f"{ORDERS_PATH}{order_id}/release")
    assert perform_action(console, order_id, "release", "It is settled")[0] == 302
    page = console.get_text(f"{ORDERS_PATH}{order_id}")
    assert "<dt>On hold</dt>" not in page
    assert "Put on hold…" in page
