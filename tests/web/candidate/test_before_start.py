"""Pages before the start: a candidate corrects her name, or asks for an accommodation."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from flask import Flask
from flask.testing import FlaskClient

from provider.core.orders import REPORT, Link, Order, OrderEvent
from provider.services import Services
from tests import factories
from tests.web.candidate.test_pages import open_invitation, submit_form
from tests.web.console_client import ORDERS_PATH, ConsoleClient


@pytest.fixture
def invited(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def last_event(services: Services, public_id: str) -> OrderEvent:
    with services.db.reading() as session:
        return Order.find(session, public_id).events[-1]


def test_correct_name_changes_pages_report_and_timeline(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    assert "Lakita Marrero" in page
    path = f"/c/o/{invited}/name"
    assert 'value="Marrero"' in client.get(path).text
    response = submit_form(client, page, path, first_name=" Lakita ", last_name="Marrero\tDíaz")
    assert response.status_code == 303
    page = client.get(response.headers["Location"]).text
    assert "Lakita Marrero Díaz" in page
    event = last_event(services, invited)
    assert (event.type, event.actor) == ("name corrected", "candidate")
    assert event.note == "Lakita Marrero → Lakita Marrero Díaz"
    factories.finish_test(services, invited)
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, invited), REPORT)
        assert link
        report_url = services.urls.report(link.get_token(services.secret_box))
    assert "Lakita Marrero Díaz" in client.get(report_url).text
    console = ConsoleClient.signed_in(services, client)
    order_page = console.get_text(f"{ORDERS_PATH}{invited}")
    assert "Name corrected by the candidate" in order_page
    assert invited in console.get_text(f"{ORDERS_PATH}?q=Díaz")
    assert invited not in console.get_text(f"{ORDERS_PATH}?q=Another")


def test_correct_name_to_the_same_name_records_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    names = {"first_name": "Lakita", "last_name": "Marrero"}
    assert submit_form(client, page, f"/c/o/{invited}/name", **names).status_code == 303
    assert last_event(services, invited).type == "opened"


@pytest.mark.parametrize(
    ("first_name", "last_name", "problem"),
    [(" ", "", "Please write your name"), ("x" * 201, "Marrero", "at most 200 characters")],
)
def test_correct_name_to_no_name_shows_what_was_typed(
    client: FlaskClient,
    services: Services,
    invited: str,
    first_name: str,
    last_name: str,
    problem: str,
) -> None:
    page = open_invitation(client, services, invited).text
    names = {"first_name": first_name, "last_name": last_name}
    response = submit_form(client, page, f"/c/o/{invited}/name", **names)
    assert response.status_code == 400
    assert problem in response.text
    assert f'value="{first_name}"' in response.text
    with services.db.reading() as session:
        assert Order.find(session, invited).candidate.name == "Lakita Marrero"


def test_correct_name_after_the_start_is_refused(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    submit_form(client, page, f"/c/o/{invited}/start")
    path = f"/c/o/{invited}/name"
    assert client.get(path).status_code == 409
    assert submit_form(client, page, path, first_name="Ana", last_name="B").status_code == 409
    with services.db.reading() as session:
        assert Order.find(session, invited).candidate.name == "Lakita Marrero"


def ask_for_accommodation(
    client: FlaskClient, services: Services, public_id: str, **fields: str
) -> str:
    """Send the form; return the landing page."""
    open_invitation(client, services, public_id)
    path = f"/c/o/{public_id}/accommodation"
    page = client.get(path).text
    assert "What do you need to take part?" in page
    response = submit_form(client, page, path, **fields)
    assert response.status_code == 303, response.text
    return client.get(response.headers["Location"]).text


def decide(console: ConsoleClient, public_id: str, **fields: str) -> str:
    """Decide in the console; return the order's page then."""
    path = f"{ORDERS_PATH}{public_id}/accommodation"
    seen = console.read_field(path, "seen")
    response = console.submit(path, page=path, seen=seen, **fields)
    assert response.status_code == 302, response.text
    return console.get_text(f"{ORDERS_PATH}{public_id}")


def read_answer(services: Services) -> EmailMessage:
    """Return the e-mail about the decision."""
    factories.deliver_emails(services)
    paths = (services.settings.instance / "mail").glob("*.eml")
    emails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
    [answer] = [email for email in emails if "the answer to" in email["Subject"]]
    assert isinstance(answer, EmailMessage)
    return answer


def test_request_is_decided_and_told_by_email(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    page = ask_for_accommodation(
        client, services, invited, time="50", pause="5", text="I read slowly"
    )
    assert "Your request is with the people who decide." in page
    assert "Extra time: 50%" in page
    assert "I read slowly" in page
    assert "Start the test" in page
    console = ConsoleClient.signed_in(services, app.test_client())
    listing = console.get_text(f"{ORDERS_PATH}?waiting_for=staff")
    assert "Staff: accommodation" in listing
    order_page = console.get_text(f"{ORDERS_PATH}{invited}")
    assert "I read slowly" in order_page
    form = console.get_text(f"{ORDERS_PATH}{invited}/accommodation")
    assert 'value="50" checked' in form
    order_page = decide(console, invited, decision="grant", time="25", text="Good luck")
    assert "Granted" in order_page
    page = client.get(f"/c/o/{invited}/").text
    assert "This was granted to you:" in page
    assert "Extra time: 25%" in page
    assert "25 minutes" in page  # of the test, instead of 20
    assert "Good luck" in page
    email = read_answer(services)
    assert email["Subject"] == "Groove Tech: the answer to your request for your test"
    for body in email.iter_parts():
        text = body.get_content()
        assert "Extra time: 25%" in text
        assert "Good luck" in text
        assert "I read slowly" not in text


def test_refusal_is_told_with_its_reason(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    ask_for_accommodation(client, services, invited, time="minutes", minutes="7")
    console = ConsoleClient.signed_in(services, app.test_client())
    decide(console, invited, decision="refuse", text="It measures speed")
    page = client.get(f"/c/o/{invited}/").text
    assert "Your request was refused" in page
    assert "It measures speed" in page
    assert "Ask for more time" in page
    body = read_answer(services).get_body(("plain",))
    assert body
    assert "was refused" in body.get_content()


def test_incomplete_request_is_shown_again(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    path = f"/c/o/{invited}/accommodation"
    response = submit_form(client, page, path, time="minutes", minutes="", text="My words")
    assert response.status_code == 400
    assert "Write how many minutes" in response.text
    assert "My words" in response.text
    assert submit_form(client, page, path, time="0").status_code == 400


def test_other_ways_are_offered_for_an_interview(client: FlaskClient, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_interview(services)
    order_id = factories.place_order(services, account_id, product, "interview")
    page = ask_for_accommodation(client, services, order_id, way="telephone")
    assert "Another way: by telephone" in page


def test_role_without_the_permission_sees_no_accommodation(
    app: Flask, client: FlaskClient, services: Services, invited: str
) -> None:
    ask_for_accommodation(client, services, invited, text="I read slowly")
    viewer = ConsoleClient.signed_in(services, app.test_client(), "viewer")
    page = viewer.get_text(f"{ORDERS_PATH}{invited}")
    assert "Accommodation asked for" in page  # the event
    assert "I read slowly" not in page
    viewer.get_text(f"{ORDERS_PATH}{invited}/accommodation", 403)


def test_earlier_grant_is_proposed_on_the_next_order(
    client: FlaskClient, services: Services, invited: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    decide(console, invited, decision="grant", time="100", text="Note")
    with services.db.reading() as session:
        account_id = Order.find(session, invited).account_id
    next_id = factories.place_order(
        services,
        account_id,
        factories.create_interview(services),
        "interview",
        callback_url="https://groove-tech.workable.com/assessments/2",
    )
    assert "Granted to the same person before" in console.get_text(f"{ORDERS_PATH}{next_id}")
    form = console.get_text(f"{ORDERS_PATH}{next_id}/accommodation")
    assert 'value="100" checked' in form
    assert "Staff: accommodation" in console.get_text(f"{ORDERS_PATH}?waiting_for=staff")
    page = open_invitation(client, services, next_id).text
    assert "People decide whether you get here what you got before." in page
    assert "Extra time: 100%" in page
    assert "Note" not in page  # it was about another order
    decide(console, next_id, decision="grant", time="100")
    assert "This was granted to you:" in client.get(f"/c/o/{next_id}/").text
