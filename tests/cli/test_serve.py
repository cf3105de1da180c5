"""`provider serve` as a real process: start, answers, signals, and the end of every process."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from provider.config import SETTINGS
from provider.core.orders import Order
from provider.services import Services
from tests import factories
from tests.fake_ats import FakeAts
from tests.s3_server import Bucket
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server

pytestmark = pytest.mark.machine_time  # the server process uses the machine's clock

PROGRAM = [sys.executable, "-m", "provider.cli"]


def environment(services: Services, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    settings = {
        "PROVIDER_DATABASE_URL": services.settings.database_url,
        "PROVIDER_INSTANCE": str(services.settings.instance),
        "PROVIDER_SECRET_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s",
        "PROVIDER_PRIVATE_CALLBACKS": "allow",
    }
    return inherited | settings | more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running `provider serve`."""

    def __init__(self, services: Services, **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", str(self.port)],
            env=environment(services, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.startup_lines: list[str] = []
        while not self.startup_lines or "Ctrl-C" not in self.startup_lines[-1]:
            line = self.process.stdout.readline()
            assert line, self.startup_lines
            self.startup_lines.append(line)
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        http = requests.Session()
        http.mount(
            "http://",
            HTTPAdapter(max_retries=Retry(None, connect=60, backoff_factor=0.01, backoff_max=0.2)),
        )
        with http:
            response = http.get(f"{self.url}/health", timeout=20)
        assert response.json() == {"status": "alive"}

    def stop(self) -> tuple[int, str]:
        """Stop with SIGTERM; return the exit code and the output after the startup lines."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output


@contextmanager
def serving(services: Services, **more: str) -> Iterator[Server]:
    server = Server(services, **more)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert server.process.stdout
        server.process.stdout.close()


def ends(pid: int, timeout: float = 10) -> bool:
    """Return whether a process, not necessarily a child, ends within the timeout."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


def test_serve_without_staff_prints_how_to_create_them_and_ends_on_sigterm(
    services: Services,
) -> None:
    with serving(services) as server:
        assert server.url in server.startup_lines[0]
        assert f"Console: {server.url}/console/\n" in server.startup_lines
        assert "provider staff create" in "".join(server.startup_lines)
        assert server.stop() == (0, "")


def test_unusable_bucket_is_logged_and_server_starts(services: Services, s3_bucket: Bucket) -> None:
    s3_bucket.remove()
    with serving(services, PROVIDER_MEDIA_URL=s3_bucket.url) as server:
        assert server.process.stdout
        line = next(line for line in server.process.stdout if "PROVIDER_MEDIA_URL" in line)
        assert f"the bucket {s3_bucket.name} at {s3_bucket.endpoint} cannot be used" in line
        assert "there is no such bucket" in line
        assert server.stop()[0] == 0


def test_serve_with_staff_prints_console_address_and_ends_on_sigint_to_its_group(
    services: Services,
) -> None:
    factories.create_staff(services)
    with serving(services) as server:
        assert f"Console: {server.url}/console/\n" in server.startup_lines
        assert "provider staff create" not in "".join(server.startup_lines)
        os.killpg(server.process.pid, signal.SIGINT)
        output, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, output) == (0, "")


@pytest.mark.sqlite  # on PostgreSQL, workers deliver
def test_in_process_dispatcher_delivers_and_log_has_no_secret(
    services: Services, ats: FakeAts
) -> None:
    _, token = factories.create_account(services)
    test = factories.create_test(services)
    with serving(services) as server:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {token}"
        assert session.get(f"{server.url}/tests", timeout=10).json()["tests"][0]["id"] == test
        order_body = {
            "test_id": test,
            "callback_url": f"{ats.url}/callbacks/secret-path",
            "candidate": {"email": "lakita_marrero@gmail.com", "first_name": "Lakita"},
        }
        response = session.post(f"{server.url}/workable/assessments/", json=order_body, timeout=10)
        order = response.json()["assessment_id"]
        link = factories.invitation_url(services, order).replace(
            services.settings.base_url, server.url
        )
        assert requests.get(link, timeout=10).ok
        subprocess.run(
            [*PROGRAM, "order", "cancel", order, "--reason", "The job is filled"],
            env=environment(services),
            check=True,
            capture_output=True,
        )
        put = ats.wait_for(1, timeout=20)[0]
        assert put.json == {"status": "expired"}
        assert put.headers["Authorization"] == "Bearer cb-token"
        session.close()
        code, log = server.stop()
    assert code == 0
    assert order in log
    for secret in (token, link.rpartition("/")[2], "cb-token", "lakita", "secret-path"):
        assert secret not in log


@pytest.mark.sqlite  # on PostgreSQL, workers deliver
def test_sigterm_during_attempt_lets_the_attempt_finish(services: Services, ats: FakeAts) -> None:
    account_id, _ = factories.create_account(services)
    url = f"{ats.url}/callbacks/1"
    order = factories.place_order(
        services, account_id, factories.create_test(services), callback_url=url
    )
    with serving(services) as server:
        waited = []

        def stop_server_before_response(handler: BaseHTTPRequestHandler) -> None:
            server.process.terminate()
            waited.append(not ends(server.process.pid, 0.5))
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        ats.responses.append(stop_server_before_response)
        with services.db.writing() as session:
            Order.find(session, order).cancel(session, "sam", "", services.now())
        ats.wait_for(1, timeout=20)
        output, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, waited) == (0, [True])
        assert '"outcome": "delivered"' in output


def test_serve_on_used_port_prints_one_line(services: Services) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        result = subprocess.run(
            [*PROGRAM, "serve", "--port", port],
            env=environment(services),
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: Cannot listen at 127.0.0.1 port {port} (Address already in use): "
        "choose another --port\n"
    )
