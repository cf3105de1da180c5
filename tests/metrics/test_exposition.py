"""The HTTP server of `/metrics` for processes without a web server."""

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from provider.cli import main
from provider.errors import Conflict
from provider.metrics import MetricsRecorder
from provider.metrics.exposition import MetricsServer
from provider.services import Services
from tests import factories
from tests.cli.test_serve import PROGRAM, environment, free_port

TOKEN = "m3tr1cs-m3tr1cs-0"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def recorder() -> MetricsRecorder:
    return MetricsRecorder()


@pytest.fixture
def server(recorder: MetricsRecorder) -> Iterator[MetricsServer]:
    server = MetricsServer(recorder.registry, TOKEN, "127.0.0.1", 0)
    server.start()
    yield server
    server.shutdown()
    server.server_close()


def get(port: int, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.get(f"http://127.0.0.1:{port}/metrics", headers=headers, timeout=10)


def test_metrics_server_with_token_answers_counters(
    recorder: MetricsRecorder, server: MetricsServer
) -> None:
    recorder.record_request("home.home", 200)
    response = get(server.server_port, HEADERS)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert 'provider_requests_total{code="200",endpoint="home.home"} 1.0' in response.text


@pytest.mark.parametrize("header", [None, "Bearer m3tr1c", "Bearer", "", TOKEN, f"Basic {TOKEN}"])
def test_metrics_server_without_token_answers_401(
    server: MetricsServer, header: str | None
) -> None:
    response = get(server.server_port, {} if header is None else {"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "PROVIDER_METRICS_TOKEN" in response.json()["message"]
    assert "provider_requests" not in response.text


def test_metrics_server_with_idle_connection_answers_others(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)):
        assert get(server.server_port, HEADERS).status_code == 200


def test_metrics_server_at_used_port_is_conflict(server: MetricsServer) -> None:
    with pytest.raises(Conflict, match=f"port {server.server_port} .*another --metrics-host or"):
        MetricsServer(CollectorRegistry(), TOKEN, "127.0.0.1", server.server_port)


def test_metrics_server_at_ipv6_address_answers(recorder: MetricsRecorder) -> None:
    server = MetricsServer(recorder.registry, TOKEN, "::1", 0)
    server.start()
    url = f"http://[::1]:{server.server_port}/metrics"
    assert requests.get(url, headers=HEADERS, timeout=10).status_code == 200
    server.shutdown()
    server.server_close()


def test_services_of_one_process_have_separate_registries(services: Services) -> None:
    other = factories.build_services(services.settings, services.clock)
    other.metrics.record_request("home.home", 200)
    other.db.close()
    labels = {"endpoint": "home.home", "code": "200"}
    assert other.metrics.registry.get_sample_value("provider_requests_total", labels) == 1
    assert services.metrics.registry.get_sample_value("provider_requests_total", labels) is None


# `provider worker`


@pytest.fixture
def postgres_services(services: Services, postgres_url: str) -> Services:
    return replace(services, settings=replace(services.settings, database_url=postgres_url))


def test_worker_serves_its_metrics_for_the_token(postgres_services: Services) -> None:
    services = factories.build_services(postgres_services.settings)
    factories.place_order(
        services, factories.create_account(services)[0], factories.create_test(services)
    )
    services.db.close()
    port = free_port()
    process = subprocess.Popen(
        [*PROGRAM, "worker", "--metrics-port", str(port)],
        env=environment(services, PROVIDER_METRICS_TOKEN=TOKEN),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        assert process.stderr.readline().startswith("provider ")
        assert get(port).status_code == 401
        assert "provider_database_up 1.0" in get(port, HEADERS).text
        sample = 'provider_delivery_attempts_total{channel="email",host="",outcome="delivered"} 1.0'
        deadline = time.monotonic() + 30
        while sample not in get(port, HEADERS).text:  # a request takes some milliseconds
            assert time.monotonic() < deadline
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("", "--metrics-port needs PROVIDER_METRICS_TOKEN"),
        (TOKEN, "choose another --metrics-host or --metrics-port"),
    ],
    ids=["no token", "used port"],
)
def test_worker_with_unusable_metrics_port_is_refused(
    postgres_services: Services, server: MetricsServer, token: str, error: str
) -> None:
    env = environment(postgres_services, PROVIDER_METRICS_TOKEN=token)
    command = ["worker", "--metrics-port", str(server.server_port)]
    result = CliRunner().invoke(main, command, env=env)
    assert result.exit_code == 1
    assert error in result.stderr
