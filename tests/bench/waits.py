"""How long people and machines wait: a callback, a report, a saved answer."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from statistics import median
from threading import Semaphore, current_thread, main_thread
from time import perf_counter, sleep
from urllib.parse import urlencode, urlsplit

import requests
from pypdf import PdfReader
from sqlalchemy import select

from provider.core.kinds.assessment.evidence import AssessmentEvidence, EvidenceItem
from provider.core.orders import Bar, Order
from provider.core.report import Report
from provider.core.report_pdf import render_pdf
from provider.delivery import InProcessDispatcher
from provider.outbox import WAITING, Message
from tests import factories
from tests.bench import servers
from tests.bench.instance import BenchmarkInstance
from tests.bench.load import LoadGenerator, post_request
from tests.bench.servers import ServerProcess
from tests.bench.table import Figure
from tests.fake_ats import FakeAts

SAVES_PER_SECOND = 100
FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"


def measure_callback(
    instance: BenchmarkInstance,
    count: int,
    running_dispatcher: Callable[[BenchmarkInstance], AbstractContextManager[object]],
) -> Figure:
    """Measure from a commit to the callback's arrival at a real receiver, one at a time."""
    services, committed_at, received_at = instance.services, list[float](), list[float]()
    arrived = Semaphore(0)  # polling would use CPU time during the measurement

    def record_arrival(handler: BaseHTTPRequestHandler) -> None:
        received_at.append(perf_counter())
        arrived.release()
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def record_commit(_queues: set[str]) -> None:
        if current_thread() is main_thread():  # the sweep signals queues in another thread
            committed_at.append(perf_counter())

    with FakeAts() as ats:
        ats.responses.extend([record_arrival] * count)
        orders = [
            factories.place_order(
                services, instance.account, instance.tests[0], callback_url=f"{ats.url}/{n}"
            )
            for n in range(count)
        ]
        services.db.on_commit.append(record_commit)  # before the dispatcher is woken
        try:
            with running_dispatcher(instance):
                for order in orders:
                    _wait_until_idle(instance)
                    with services.db.writing() as session:
                        Order.find(session, order).cancel(session, "bench", "", services.now())
                    assert arrived.acquire(timeout=60)
                _wait_until_idle(instance)
        finally:
            services.db.on_commit.clear()
    latencies = [(b - a) * 1e3 for a, b in zip(committed_at, received_at, strict=True)]
    details = f"p99 {_percentile(latencies, 99):.1f} ms of {count}"
    name = "a commit to the PUT's arrival when idle, p50"
    return Figure(name, median(latencies), 5, "ms", is_upper_limit=True, note=details)


@contextmanager
def in_process_dispatcher(instance: BenchmarkInstance) -> Iterator[None]:
    """Deliver as `provider serve` does on SQLite."""
    dispatcher = InProcessDispatcher(instance.services).start()
    try:
        yield
    finally:
        dispatcher.stop()


def measure_report(count: int) -> Figure:
    """Measure a two-page PDF with a chart, another one each time."""
    durations, pdf = [], b""
    for number in range(count + 1):
        started_at = perf_counter()
        pdf = render_pdf(_report(number))
        durations.append((perf_counter() - started_at) * 1e3)
    pages = len(PdfReader(BytesIO(pdf)).pages)
    details = f"the first {durations[0]:.0f} ms, {len(pdf) // 1024} KB"
    name = f"a PDF of {pages} pages with a chart"
    return Figure(name, median(durations[1:]), 60, "ms", is_upper_limit=True, note=details)


def measure_answer(
    instance: BenchmarkInstance, loader: LoadGenerator, candidates: int, seconds: float
) -> Figure:
    """Measure saving an answer, a hundred per second, with the server on one core."""
    core = min(os.sched_getaffinity(0))
    orders = instance.place_orders(candidates, "answered")
    with servers.start_provider(instance.env, with_dispatcher=True, cores={core}) as server:
        save_requests = [
            request for order in orders for request in _save_requests(instance, server, order)
        ]
        cpu_before = server.cpu_seconds()
        load = loader.run(
            server.port,
            save_requests,
            seconds=seconds,
            connection_count=candidates,
            target_rate=SAVES_PER_SECOND,
        )
        cpu_ms = (server.cpu_seconds() - cpu_before) / len(load.latencies) * 1e3
    latencies = [wait * 1e3 for wait in load.latencies]
    name = f"saving an answer, durable, {SAVES_PER_SECOND} a second on one core, p99"
    details = (
        f"p50 {median(latencies):.1f} ms; "
        f"{load.requests_per_second:.0f}/s at {cpu_ms:.1f} ms of CPU"
    )
    return Figure(name, _percentile(latencies, 99), 100, "ms", is_upper_limit=True, note=details)


def _save_requests(instance: BenchmarkInstance, server: ServerProcess, order: str) -> list[bytes]:
    """Start a test as a browser does; return the requests that save two answers."""
    base_url = f"http://127.0.0.1:{server.port}"
    path = f"/c/o/{order}"
    with requests.Session() as browser:
        browser.get(
            base_url + urlsplit(factories.invitation_url(instance.services, order)).path, timeout=30
        )
        token = factories.csrf_token(browser.get(f"{base_url}{path}/", timeout=30).text)
        started = browser.post(f"{base_url}{path}/start", {"csrf_token": token}, timeout=30)
        token = factories.csrf_token(started.text)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
    headers = {"Content_Type": FORM_CONTENT_TYPE, "Accept": "application/json", "Cookie": cookies}
    return [
        post_request(
            f"{path}/items/1",
            urlencode({"csrf_token": token, "answer": choice, "go": "next"}).encode(),
            **headers,
        )
        for choice in ("a", "b")
    ]


def _wait_until_idle(instance: BenchmarkInstance) -> None:
    waiting = select(Message.id).where(Message.state == WAITING).limit(1)
    while True:
        with instance.services.db.reading() as session:
            if session.scalar(waiting) is None:
                return
        sleep(0.002)


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _report(number: int) -> Report:
    sections = ("Numbers", "Words", "Patterns")
    return Report(
        title="Reasoning",
        kind="assessment",
        candidate=f"Lakita Marrero {number}",
        account="Groove Tech",
        status="completed",
        sentence="Above the mark for this test.",
        finished_at=datetime(2026, 11, 23, 14, 5, tzinfo=UTC),
        timezone="Europe/Athens",
        reference="q3XbZ0d9TnK2m1aVw7LpRg",
        job_title="Operations Manager",
        grade="passed",
        percent=78,
        facts=(("Time taken", "32 minutes"),),
        evidence=AssessmentEvidence(
            bars=tuple(Bar(name, 50 + number % 50, "11 of 12 points") for name in sections),
            items=tuple(
                EvidenceItem(section, f"What is {n} + {number}?", str(n + number), "1 of 1")
                for section in sections
                for n in range(12)
            ),
        ),
    )
