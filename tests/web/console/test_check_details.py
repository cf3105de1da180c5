"""The candidate's details in the console: masked, and shown with a reason."""

from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.services import Services
from tests import check_factories
from tests.web.console.test_checks import order_events
from tests.web.console_client import ConsoleClient

SECRETS = (*check_factories.SECRET_WORDS, check_factories.SIGNED_NAME, "192.0.2.7")


@pytest.fixture
def order_id(services: Services) -> str:
    placed = check_factories.place_check(services)
    check_factories.give_consent(services, placed)
    return placed


def path(order_id: str) -> str:
    return f"/console/checks/{order_id}/details"


def test_details_are_masked_on_both_pages(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    for page in (path(order_id), f"/console/checks/{order_id}/"):
        text = console.get_text(page)
        assert "••••••90" in text
        for secret in SECRETS:
            assert secret not in text
    assert "no-store" in client.get(path(order_id)).headers["Cache-Control"]


def test_chosen_detail_is_shown_with_a_reason_and_recorded(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = console.submit(
        path(order_id),
        page=path(order_id),
        field=["date_of_birth"],
        reason="other",
        text="Lakita asked by phone",
    )
    text = unescape(response.text)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    assert "28 February 1990" in text
    for secret in ("Quux", "Zyxwv", check_factories.SIGNED_NAME, "192.0.2.7"):
        assert secret not in text
    event = order_events(services, order_id)[-1]
    assert event == (
        "details shown",
        "operator@provider.test",
        "Date of birth (Lakita asked by phone)",
    )
    with services.db.reading() as session:
        entry = session.scalars(
            select(AuditEntry).where(AuditEntry.action == Action.CHECK_DETAILS_SHOWN)
        ).one()
    # A typed reason may name the candidate, and the audit log is never erased.
    assert entry.after == {"fields": ["date_of_birth"], "reason": "other"}


def test_all_details_are_shown_by_one_button(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = console.submit(path(order_id), page=path(order_id), reason="screening", all="yes")
    text = unescape(response.text).replace("\r\n", "\n")
    details = check_factories.STORED_DETAILS | {"date_of_birth": "28 February 1990"}
    for value in (*details.values(), check_factories.SIGNED_NAME, "192.0.2.7", "A browser/1.0"):
        assert value in text
    assert "(To work on a screening)" in order_events(services, order_id)[-1][2]
    assert "Details shown" in console.get_text(f"/console/orders/{order_id}")


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"all": "yes"}, "Say why"),
        ({"all": "yes", "reason": "other", "text": " "}, "Say why"),
        ({"reason": "screening"}, "Choose what must be shown"),
        ({"reason": "screening", "field": ["nothing"]}, "Choose what must be shown"),
    ],
)
def test_details_without_a_reason_or_a_choice_stay_masked(
    services: Services,
    client: FlaskClient,
    order_id: str,
    form: dict[str, str],
    problem: str,
) -> None:
    console = ConsoleClient.signed_in(services, client)
    response = console.submit(path(order_id), page=path(order_id), **form)
    text = unescape(response.text)
    assert response.status_code == 400
    assert problem in text
    for secret in SECRETS:
        assert secret not in text
    assert "details shown" not in [event for event, _, _ in order_events(services, order_id)]


def test_details_before_the_consent_are_refused(services: Services, client: FlaskClient) -> None:
    order_id = check_factories.place_check(services)
    console = ConsoleClient.signed_in(services, client)
    assert client.get(path(order_id)).status_code == 409
    response = console.submit(path(order_id), reason="screening", all="yes")
    assert response.status_code == 409


def test_viewer_may_not_see_masked_details(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    console = ConsoleClient.signed_in(services, client, "viewer")
    assert "••••••" not in console.get_text(f"/console/checks/{order_id}/")
    assert client.get(path(order_id)).status_code == 403
