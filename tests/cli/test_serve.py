"""`provider serve` as a real process: it starts, answers, stops clean, and leaves nobody behind."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

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

pytestmark = pytest.mark.machine_time  # the other process goes by it

PROGRAM = [sys.executable, "-m", "provider.cli"]


def environment(services: Services, **more: str) -> dict[str, str]:
    rest = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    told = {
        "PROVIDER_DATABASE_URL": services.settings.database_url,
        "PROVIDER_INSTANCE": str(services.settings.instance),
        "PROVIDER_SECRET_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s",
        "PROVIDER_PRIVATE_CALLBACKS": "allow",
    }
    return rest | told | more


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
        self.said = self.process.stdout.readline()
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        patient = requests.Session()
        patient.mount(
            "http://",
            HTTPAdapter(max_retries=Retry(None, connect=60, backoff_factor=0.01, backoff_max=0.2)),
        )
        with patient:
            said = patient.get(f"{self.url}/health", timeout=20)
        assert said.json() == {"status": "alive"}

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        said, _ = self.process.communicate(timeout=20)
        return self.process.returncode, said


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


def workers(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ends(pid: int, timeout: float = 10) -> bool:
    """Wait until a process that need not be ours has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout)[0])
    finally:
        os.close(handle)


def test_it_answers_and_stops_clean(services: Services) -> None:
    with serving(services) as server:
        assert server.url in server.said
        inside = workers(server.process.pid)
        assert inside
        assert server.stop() == (0, "")
        assert all(map(ends, inside))
    labels = (("endpoint", "health.health"), ("code", "200"))
    counted = services.ledger.all(services.now())
    assert counted["provider_requests_total", labels] == 1  # written down at the end


def test_a_bucket_that_cannot_be_used_is_told_at_the_start_which_it_does_not_keep(
    services: Services, s3_bucket: Bucket
) -> None:
    s3_bucket.remove()
    with serving(services, PROVIDER_MEDIA_URL=s3_bucket.url) as server:
        assert server.process.stdout
        told = next(line for line in server.process.stdout if "PROVIDER_MEDIA_URL" in line)
        assert f"the bucket {s3_bucket.name} at {s3_bucket.endpoint} cannot be used" in told
        assert "there is no such bucket" in told
        assert server.stop()[0] == 0


def test_ctrl_c_on_a_terminal_reaches_all_its_processes_and_is_clean_too(
    services: Services,
) -> None:
    with serving(services) as server:
        os.killpg(server.process.pid, signal.SIGINT)
        said, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, said) == (0, "")


def test_a_worker_whose_server_was_killed_ends_by_itself(services: Services) -> None:
    with serving(services) as server:
        inside = workers(server.process.pid)
        server.process.kill()
        server.process.wait()
        assert inside
        assert all(map(ends, inside))


def test_a_worker_that_was_killed_is_replaced(services: Services) -> None:
    with serving(services) as server:
        worker = workers(server.process.pid)[0]
        os.kill(worker, signal.SIGKILL)
        assert ends(worker)
        server.wait_until_it_answers()
        code, _ = server.stop()
        assert code == 0


@pytest.mark.sqlite  # on the other, workers deliver
def test_the_courier_inside_delivers_and_no_token_is_in_the_log(
    services: Services, ats: FakeAts
) -> None:
    _, token = factories.create_account(services)
    test = factories.create_test(services)
    with serving(services) as server:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {token}"
        assert session.get(f"{server.url}/tests", timeout=10).json()["tests"][0]["id"] == test
        wish = {
            "test_id": test,
            "callback_url": f"{ats.url}/callbacks/secret-path",
            "candidate": {"email": "lakita_marrero@gmail.com", "first_name": "Lakita"},
        }
        placed = session.post(f"{server.url}/workable/assessments/", json=wish, timeout=10)
        order = placed.json()["assessment_id"]
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


@pytest.mark.sqlite  # on the other, workers deliver
def test_a_server_that_is_stopped_while_it_sends_finishes_what_it_has_in_hand(
    services: Services, ats: FakeAts
) -> None:
    account_id, _ = factories.create_account(services)
    url = f"{ats.url}/callbacks/1"
    order = factories.place_order(
        services, account_id, factories.create_test(services), callback_url=url
    )
    with serving(services) as server:
        waited = []

        def slowly(handler: BaseHTTPRequestHandler) -> None:
            server.process.terminate()
            waited.append(not ends(server.process.pid, 0.5))
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        ats.responses.append(slowly)
        with services.db.writing() as session:
            Order.find(session, order).cancel(session, "sam", "", services.now())
        ats.wait_for(1, timeout=20)
        said, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, waited) == (0, [True])
        assert '"outcome": "delivered"' in said


def test_a_taken_port_is_one_clear_line(services: Services) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*PROGRAM, "serve", "--port", port],
            env=environment(services),
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: Cannot listen at 127.0.0.1 port {port} (Address already in use): "
        "choose another --port\n"
    )
