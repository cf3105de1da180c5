"""Hostile clients beside an ATS: the server answers quickly and keeps its memory.

The attack runs at its own size and at twice its size, directly and behind nginx if it is installed.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from sqlalchemy import delete

from provider.core.kinds.interview import Interview
from provider.outbox import Message
from tests import factories, interview_factories, nginx
from tests.bench.load import COUNTER_PLACEHOLDER, LoadGenerator, get_request, post_request
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance, ServerProcess
from tests.endurance.web import Browser, send_request
from tests.hostile_clients import (
    HOST,
    HostileClient,
    HostileClients,
    dripped_body,
    slow_upload,
    unread_download,
)

LONG_SECONDS, SHORT_SECONDS = 60.0, 1.0
QUIET_SECONDS = 5.0
DRIPPED_BODIES, UNREAD_DOWNLOADS, SLOW_UPLOADS = 200, 200, 50
SHORT_SHARE = 0.1  # of these numbers
TICK_SECONDS = 1.0
RAMP_SECONDS = 10.0  # until all clients have connected; then the measurement begins
DOWNLOAD_BYTES, UPLOAD_BYTES, UPLOAD_BYTES_PER_TICK = 20_000_000, 1_000_000, 20_000
REQUEST_RATE = 25.0  # POSTs, and as many GETs, a second
MAX_HEALTH_SECONDS = 1.0
MAX_POST_P99_SECONDS = {1: 0.05, 2: 0.2}  # by the factor of the attack
MAX_EXTRA_MEMORY_MB = 150.0


@dataclass(frozen=True)
class Target:
    """A server, and what its clients need."""

    server: ServerProcess
    token: str
    test: str
    order: str
    interview: str
    recording: str
    cookie: str

    def attack(self, factor: float) -> list[HostileClient]:
        paths = ("/console/sign-in", "/s/x", f"/c/o/{self.interview}/decline", "/assessments")
        interview_path = f"/c/o/{self.interview}"
        return [
            *(dripped_body(paths[n % 4]) for n in range(int(DRIPPED_BODIES * factor))),
            *[unread_download(f"{interview_path}/takes/{self.recording}", self.cookie)]
            * int(UNREAD_DOWNLOADS * factor),
            *[slow_upload(f"{interview_path}/uploads/y", UPLOAD_BYTES, UPLOAD_BYTES_PER_TICK)]
            * int(SLOW_UPLOADS * factor),
        ]

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.server.process.pid}/status").read_text("ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@dataclass(frozen=True)
class Measurement:
    """Latencies in seconds, and the memory."""

    post_p99: float
    get_p99: float
    slowest_health: float
    memory_mb: float

    def __str__(self) -> str:
        return (
            f"POST p99 {self.post_p99 * 1000:.1f} ms, GET p99 {self.get_p99 * 1000:.1f} ms, "
            f"/health at most {self.slowest_health * 1000:.0f} ms, {self.memory_mb:.0f} MB"
        )


def hostile(run: Run) -> ScenarioVerdict:
    """Measure a quiet server and one under attack; compare with the limits."""
    verdict = ScenarioVerdict("")
    figures = []
    for front in ["direct"] if run.short or not nginx.is_installed() else ["direct", "nginx"]:
        for factor in [1] if run.short else [1, 2]:
            name = f"{front} × {factor}"
            with _target(run, name) as target, _port(run, target, front, name) as port:
                quiet = _measure(target, port, SHORT_SECONDS if run.short else QUIET_SECONDS)
                clients = target.attack(SHORT_SHARE if run.short else factor)
                ramp_seconds = 0.0 if run.short else RAMP_SECONDS
                with HostileClients(
                    port, clients, TICK_SECONDS, reconnect=True, ramp_seconds=ramp_seconds
                ) as attackers:
                    seconds = SHORT_SECONDS if run.short else LONG_SECONDS
                    attacked = _measure(target, port, seconds)
                    open_count = attackers.open_count
            figures.append(f"{name}, {open_count} hostile: {attacked} (quiet: {quiet})")
            run.print_progress(figures[-1])
            verdict.require(
                open_count == len(clients), f"{name}: only {open_count} hostile clients at the end"
            )
            if not run.short:
                _compare(verdict, name, factor, quiet, attacked)
    verdict.figures = "; ".join(figures)
    return verdict


def _compare(
    verdict: ScenarioVerdict, name: str, factor: int, quiet: Measurement, attacked: Measurement
) -> None:
    limit = MAX_POST_P99_SECONDS[factor]
    verdict.require(attacked.post_p99 <= limit, f"{name}: POST p99 {attacked.post_p99:.3f} s")
    verdict.require(
        attacked.slowest_health <= MAX_HEALTH_SECONDS,
        f"{name}: /health took {attacked.slowest_health:.2f} s",
    )
    extra_mb = attacked.memory_mb - quiet.memory_mb
    verdict.require(extra_mb <= MAX_EXTRA_MEMORY_MB, f"{name}: {extra_mb:.0f} MB more memory")


@contextmanager
def _target(run: Run, name: str) -> Iterator[Target]:
    """Yield a running server with an order, and an interview with a large recording."""
    instance = Instance(run.create_folder(name.replace(" ", "")))
    with instance.open_services() as services:
        account_id, token = factories.create_account(services)
        test = factories.create_test(services)
        order = factories.place_order(services, account_id, test)
        interview = interview_factories.place_interview(services, account=account_id)
        recording = interview_factories.record_answer(services, interview, "why")
        link = factories.invitation_url(services, interview)
        with services.db.writing() as session:
            session.execute(delete(Message))  # nothing is sent, and no recording is processed
            row = Interview.find(session, interview).find_recording(recording)
            services.media.put(row.playable_key, [bytes(DOWNLOAD_BYTES)])
    with instance.start_server() as server:
        server.wait_until_ready()
        browser = Browser(server.port)
        browser.get("/" + link.split("/", 3)[3])
        download = browser.get(f"/c/o/{interview}/takes/{recording}")
        assert len(download.text) == DOWNLOAD_BYTES, download.status_code
        yield Target(server, token, test, order, interview, recording, browser.cookie_header)


@contextmanager
def _port(run: Run, target: Target, front: str, name: str) -> Iterator[int]:
    """Yield the port that the clients use."""
    if front == "direct":
        yield target.server.port
        return
    folder = run.create_folder(f"{name.replace(' ', '')}-files")
    with nginx.running_nginx(folder, target.server.port, host_name=HOST, tls=False) as proxy:
        yield proxy.https_port


def _measure(target: Target, port: int, seconds: float) -> Measurement:
    post, get = _order_request(target), get_request(f"/assessments/{target.order}", target.token)
    with LoadGenerator() as post_load, LoadGenerator() as get_load, ThreadPoolExecutor() as threads:
        loads = [
            threads.submit(
                load.run,
                port,
                [request],
                seconds=seconds,
                first_number=time.monotonic_ns() // 1_000_000 % 90_000_000,
                target_rate=REQUEST_RATE,
            )
            for load, request in ((post_load, post), (get_load, get))
        ]
        health_seconds, memory_mb = [], 0.0
        while not all(load.done() for load in loads):
            started_at = time.monotonic()
            response, _ = send_request(port, "GET", "/health", b"", {"Host": HOST})
            health_seconds.append(time.monotonic() - started_at)
            assert response.status_code == 200, response
            memory_mb = max(memory_mb, target.memory_mb())
            time.sleep(0.2)
        post_p99, get_p99 = (quantiles(load.result().latencies, n=100)[98] for load in loads)
    return Measurement(post_p99, get_p99, max(health_seconds), memory_mb)


def _order_request(target: Target) -> bytes:
    body = {
        "test_id": target.test,
        "callback_url": f"http://127.0.0.1:9/callbacks/{COUNTER_PLACEHOLDER.decode()}",
        "candidate": {"email": "lakita_marrero@gmail.com", "first_name": "Lakita"},
    }
    return post_request("/assessments", json.dumps(body).encode(), target.token)
