"""503 with Retry-After, wherever the database or the disk cannot be used at present."""

from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.storage import sqlite
from tests import factories
from tests.web.console_client import ConsoleClient


@pytest.mark.sqlite
def test_locked_database_is_503_with_retry_after_everywhere(
    settings: Settings, clock: factories.ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    services = factories.build_services(settings, clock)
    client = create_app(services).test_client()
    account_id, token = factories.create_account(services)
    test = factories.create_test(services)
    order = factories.place_order(services, account_id, test)
    client.get(urlsplit(factories.invitation_url(services, order)).path, follow_redirects=True)
    console = ConsoleClient.signed_in(services, client)
    decline_path, cancel_path = f"/c/o/{order}/decline", f"/console/orders/{order}/cancel"
    decline_token = factories.csrf_token(client.get(decline_path).text)
    cancel_token = factories.csrf_token(console.client.get(f"/console/orders/{order}").text)
    other = factories.build_services(settings, clock)
    with other.db.writing() as session, capture_logs():
        session.connection()
        responses = [
            client.post(
                "/assessments",
                headers={"Authorization": f"Bearer {token}"},
                json={
                    "test_id": test,
                    "callback_url": "https://groove-tech.workable.com/assessments/2",
                    "candidate": {"email": "lakita_marrero@gmail.com"},
                },
            ),
            client.post(decline_path, data={"csrf_token": decline_token}),
            client.post(
                decline_path,
                data={"csrf_token": decline_token},
                headers={"Accept": "application/json"},
            ),
            client.post(cancel_path, data={"csrf_token": cancel_token, "reason": "Filled"}),
        ]
    other.db.close()
    services.db.close()
    assert [(response.status_code, response.mimetype) for response in responses] == [
        (503, "application/json"),
        (503, "text/html"),
        (503, "application/json"),
        (503, "text/html"),
    ]
    assert [response.headers["Retry-After"] for response in responses] == ["10"] * 4
    assert "Not possible just now" in responses[-1].text
