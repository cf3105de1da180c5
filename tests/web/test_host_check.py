"""Requests under a foreign host name."""

from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
from provider.services import Services

BASE_URL = "https://tests.example.com"
CLIENT = "203.0.113.9"


def status(client: FlaskClient, host: str, path: str, peer: str = CLIENT) -> int:
    response = client.get(path, headers={"Host": host}, environ_base={"REMOTE_ADDR": peer})
    return response.status_code


def client_of(services: Services, base_url: str = BASE_URL) -> FlaskClient:
    return create_app(
        replace(services, settings=replace(services.settings, base_url=base_url))
    ).test_client()


@pytest.mark.parametrize(
    ("host", "base_url", "peer", "expected"),
    [
        ("tests.example.com", BASE_URL, CLIENT, 200),
        ("Tests.Example.COM.", BASE_URL, CLIENT, 200),
        ("tests.example.com:443", BASE_URL, CLIENT, 200),  # nginx and browsers differ in the port
        ("tests.example.com:8443", BASE_URL, CLIENT, 200),
        ("[2001:DB8::1]:8000", "http://[2001:db8::1]:8000", CLIENT, 200),
        ("evil.example", BASE_URL, CLIENT, 421),
        ("evil.example", BASE_URL, "127.0.0.1", 421),
        ("tests.example.com.evil.example", BASE_URL, CLIENT, 421),
        ("tests.example.com@evil.example", BASE_URL, CLIENT, 421),
        ("evil.example#tests.example.com", BASE_URL, CLIENT, 421),
        ("203.0.113.1", BASE_URL, CLIENT, 421),
        ("", BASE_URL, CLIENT, 421),
        ("[::1", BASE_URL, CLIENT, 421),
        ("localhost", BASE_URL, CLIENT, 421),
        ("localhost:8000", BASE_URL, "127.0.0.1", 200),  # a command on this machine
        ("localhost:8000", "http://127.0.0.1:8000", CLIENT, 200),
        ("[::1]:8000", "http://127.0.0.1:8000", "::1", 200),
    ],
)
def test_request_under_another_host_is_refused(
    services: Services, host: str, base_url: str, peer: str, expected: int
) -> None:
    client = client_of(services, base_url)
    assert status(client, host, "/docs/", peer) == expected
    assert status(client, host, "/tests", peer) == (401 if expected == 200 else 421)


def test_monitoring_answers_under_any_host(services: Services) -> None:
    client = client_of(services)
    codes = [status(client, "10.0.0.1:8000", path) for path in ("/health", "/ready", "/metrics")]
    assert codes == [200, 200, 401]


def test_refusal_names_the_right_address(services: Services) -> None:
    client = client_of(services)
    headers = {"Host": "evil.example"}
    error = client.post("/assessments", headers=headers, json={}).json
    message = f"This server answers at {BASE_URL} only: use that address"
    assert error == {"status": 421, "message": message}
    page = client.post("/console/sign-in", headers=headers)
    assert page.status_code == 421
    assert message in page.text
    assert "evil.example" not in page.text
