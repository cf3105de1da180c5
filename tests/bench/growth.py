"""Calls that stay as fast with many orders: the contract, the dispatcher, the console."""

from collections.abc import Callable
from itertools import count, cycle
from statistics import median
from time import perf_counter
from typing import Any

from flask import Flask
from sqlalchemy import select, update
from werkzeug.test import EnvironBuilder, run_wsgi_app

from provider import outbox
from provider.app import create_app
from provider.core import staff
from provider.outbox import Message
from provider.storage import secrets
from tests import factories
from tests.bench.instance import BenchmarkInstance
from tests.bench.table import Figure

CLAIM_SIZE = 16  # messages, as many as the dispatcher claims
MAX_GROWTH_RATIO = 1.3

TimedAction = Callable[[], float]  # performs an action, and returns its seconds


def measure_growth(
    small: BenchmarkInstance, large: BenchmarkInstance, sizes: str, rounds: int
) -> list[Figure]:
    """Measure how many times longer each action takes on the large instance."""
    figures = _compare(_http_actions(small), _http_actions(large), f"{sizes}: ", rounds)
    for instance in (small, large):
        instance.requeue_all()
    small_actions, large_actions = _dispatcher_actions(small), _dispatcher_actions(large)
    return figures + _compare(small_actions, large_actions, f"{sizes}, all of them due: ", rounds)


def _compare(
    small: dict[str, TimedAction], large: dict[str, TimedAction], sizes: str, rounds: int
) -> list[Figure]:
    figures = []
    for name in small:
        pairs = [(small[name](), large[name]()) for _ in range(rounds)]
        # The first rounds warm up query plans and caches.
        small_ms, large_ms = (
            median(times[rounds // 5 :]) * 1e3 for times in zip(*pairs, strict=True)
        )
        note = f"{small_ms:.2f} ms and {large_ms:.2f} ms"
        figures.append(
            Figure(
                f"{sizes}{name}",
                large_ms / small_ms,
                MAX_GROWTH_RATIO,
                is_upper_limit=True,
                note=note,
            )
        )
    return figures


def _http_actions(instance: BenchmarkInstance) -> dict[str, TimedAction]:
    app = create_app(instance.services)
    pending, completed = (
        cycle(instance.sample_orders(status)) for status in ("pending", "completed")
    )
    bodies = (order_body(number, "grown") | {"test_id": instance.tests[0]} for number in count())
    bearer = {"Authorization": f"Bearer {instance.token}"}
    staff = {"Cookie": f"staff={sign_in(instance)}"}

    def get(path: Callable[[], str], headers: dict[str, str] = bearer) -> TimedAction:
        return lambda: timed_request(app, path(), headers=headers)

    return {
        "`GET /tests`": get(lambda: "/tests"),
        "`POST /assessments`": lambda: timed_request(
            app, "/assessments", method="POST", headers=bearer, json=next(bodies)
        ),
        "`GET /assessments/:id`, pending": get(lambda: f"/assessments/{next(pending)}"),
        "the same, completed": get(lambda: f"/assessments/{next(completed)}"),
        "its shared link": get(lambda: f"/assessments/{next(completed)}/shared-link"),
        "newest 50 in the console": get(lambda: "/console/orders/", staff),
        **_dispatcher_actions(instance),
    }


def _dispatcher_actions(instance: BenchmarkInstance) -> dict[str, TimedAction]:
    """Return the dispatcher's queries: a claim of a batch, and the list of due queues."""
    return {"claim": lambda: _time_claim(instance), "the sweep": lambda: _time_sweep(instance)}


def timed_request(app: Flask, path: str, **request: Any) -> float:
    """Request a path from the app, and return the seconds; RuntimeError unless it answers 20x."""
    environ = EnvironBuilder(path, **request).get_environ()
    started_at = perf_counter()
    body, status, _ = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    seconds = perf_counter() - started_at
    if not status.startswith("20"):
        raise RuntimeError(f"{path} answered {status}: {b''.join(body)[:500]!r}")
    return seconds


def _time_claim(instance: BenchmarkInstance) -> float:
    started_at = perf_counter()
    with instance.services.db.writing() as session:
        claims = outbox.claim(session, instance.queue_name, instance.services.now(), CLAIM_SIZE)
    seconds = perf_counter() - started_at
    if len(claims) != CLAIM_SIZE:
        raise RuntimeError(f"{len(claims)} messages were claimed instead of {CLAIM_SIZE}")
    with instance.services.db.writing() as session:
        claimed_ids = [claim.message_id for claim in claims]
        release = update(Message).where(Message.id.in_(claimed_ids))
        session.execute(release.values(lease=None, leased_until=None))
    return seconds


def _time_sweep(instance: BenchmarkInstance) -> float:
    started_at = perf_counter()
    with instance.services.db.reading() as session:
        queues = outbox.list_due_queues(session, instance.services.now())
    seconds = perf_counter() - started_at
    if instance.queue_name not in queues:
        raise RuntimeError(f"{instance.queue_name} is not among {queues}")
    return seconds


def sign_in(instance: BenchmarkInstance, account: int | None = None) -> str:
    """Return the session cookie of a new admin, who is limited to an account if it is given."""
    email = f"{secrets.generate_public_id()}@provider.test".lower()
    factories.create_staff(instance.services, email)
    with instance.services.db.writing() as session:
        if account is not None:
            person = session.scalars(select(staff.Staff).where(staff.Staff.email == email)).one()
            staff.limit_accounts(session, person, [account])
        return staff.complete_sign_in(session, email, "127.0.0.1", instance.services.now())


def order_body(number: int, path: str) -> dict[str, Any]:
    """Return the body of an order without its product."""
    return {
        "callback_url": f"https://groove-tech.workable.com/{path}/{number}",
        "candidate": {"email": f"{path}{number}@example.com", "first_name": "Lakita"},
    }
