"""The console's page of delivery alerts, the switches of the staff, and the overview."""

import re
from datetime import timedelta

from flask.testing import FlaskClient

from provider import outbox
from provider.core.alerts import WATCH_DELIVERIES, list_open_alerts
from provider.core.scheduled import run_if_due
from provider.core.staff import Staff
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.console.test_deliveries import cancelled_orders, park
from tests.web.console_client import ConsoleClient

ALERTS, HOME, ME = "/console/alerts/", "/console/", "/console/me/"


def open_alert(services: Services) -> str:
    """Return the id of an alert about two failed deliveries."""
    cancelled_orders(services, 2)
    park(services)
    run_if_due(services, WATCH_DELIVERIES)
    with services.db.reading() as session:
        return list_open_alerts(session)[0].public_id


def gets_alerts(services: Services, email: str) -> bool:
    with services.db.reading() as session:
        return Staff.get_by_email(session, email).gets_alerts


def test_alert_is_listed_until_a_person_acknowledges_it(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client, "operator")
    assert "No alert is open" in console.get_text(ALERTS)
    alert_id = open_alert(services)
    page = console.get_text(ALERTS)
    for text in ("Groove Tech: x.workable.com", "2 failed", "Acknowledge"):
        assert text in page
    task = "Delivery alert that nobody has acknowledged"
    assert task in console.get_text(HOME)
    path = f"{ALERTS}{alert_id}/acknowledge"
    assert console.submit(path).location == ALERTS
    page = console.get_text(ALERTS)
    assert "by operator@provider.test" in page
    assert "Snooze" not in page
    assert task not in console.get_text(HOME)
    again = console.submit(path)
    assert (again.status_code, "has acknowledged this alert" in again.text) == (409, True)


def test_snoozed_alert_leaves_the_overview_until_its_time(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    console = ConsoleClient.signed_in(services, client, "operator")
    path = f"{ALERTS}{open_alert(services)}/snooze"
    assert console.submit(path, until="2h").status_code == 400
    assert console.submit(path, until="1h").location == ALERTS
    task = "Delivery alert that nobody has acknowledged"
    assert "Snoozed" in console.get_text(ALERTS)
    assert task not in console.get_text(HOME)
    clock.advance(timedelta(hours=1))
    run_if_due(services, WATCH_DELIVERIES)
    assert task in console.get_text(HOME)


def test_ended_alert_is_listed_and_cannot_be_acknowledged(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    console = ConsoleClient.signed_in(services, client, "operator")
    alert_id = open_alert(services)
    with services.db.writing() as session:
        list_open_alerts(session)[0].ended_at = clock.now()
    page = console.get_text(ALERTS)
    assert "No alert is open" in page
    assert page.count("Groove Tech: x.workable.com") == 1
    response = console.submit(f"{ALERTS}{alert_id}/acknowledge")
    assert (response.status_code, "have recovered" in response.text) == (409, True)
    assert console.submit(f"{ALERTS}nothing/acknowledge").status_code == 404


def test_overview_says_that_the_mail_server_is_down(
    services: Services, client: FlaskClient
) -> None:
    text = "The mail server does not accept e-mails"
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert text not in console.get_text(HOME)
    with services.db.writing() as session:
        retry_at = services.now() + timedelta(hours=1)
        outbox.pause(session, "destination/email", "No answer", retry_at, services.now())
    assert text in console.get_text(HOME)
    # A reviewer sees no deliveries.
    assert text not in ConsoleClient.signed_in(services, client, "reviewer").get_text(HOME)


def test_person_switches_the_own_emails(services: Services, client: FlaskClient) -> None:
    email = "operator@provider.test"
    console = ConsoleClient.signed_in(services, client, "operator")
    assert not re.search(r'name="alerts"[^>]* checked', console.get_text(ME))
    assert console.submit(f"{ME}alerts", alerts="on").location == f"{ME}#alerts"
    assert re.search(r'name="alerts"[^>]* checked', console.get_text(ME))
    assert gets_alerts(services, email)
    console.submit(f"{ME}alerts")
    assert not gets_alerts(services, email)


def test_admin_switches_the_emails_of_a_colleague(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    factories.create_staff(services, "ana@provider.test", "support")
    with services.db.reading() as session:
        number = Staff.get_by_email(session, "ana@provider.test").id
    path = f"/console/staff/{number}"
    assert console.submit(f"{path}/alerts", page=path, alerts="on").status_code == 302
    assert gets_alerts(services, "ana@provider.test")
    assert re.search(r'name="alerts"[^>]* checked', console.get_text(path))
