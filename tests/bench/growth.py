"""What stays as quick with many orders: the contract's calls, the courier's work, the console."""

from collections.abc import Callable
from itertools import count, cycle
from statistics import median
from time import perf_counter
from typing import Any

from flask import Flask
from sqlalchemy import update
from werkzeug.test import EnvironBuilder, run_wsgi_app

from provider import outbox
from provider.app import create_app
from provider.core import staff
from provider.outbox import Message
from provider.storage import secrets
from tests import factories
from tests.bench.ground import BenchmarkInstance
from tests.bench.table import Figure

CLAIM_SIZE = 16  # at once, as the courier does
MAX_GROWTH_RATIO = 1.3

TimedAction = Callable[[], float]  # does a thing once, and returns the seconds it took


def measure_growth(
    small: BenchmarkInstance, large: BenchmarkInstance, sizes: str, rounds: int
) -> list[Figure]:
    """Return how many times longer each thing takes on the large house, taking turns."""
    figures = _compare(_http_actions(small), _http_actions(large), f"{sizes}: ", rounds)
    for ground in (small, large):
        ground.requeue_all()
    quick, slow = _dispatcher_actions(small), _dispatcher_actions(large)
    return figures + _compare(quick, slow, f"{sizes}, all of them due: ", rounds)


def _compare(
    quick: dict[str, TimedAction], slow: dict[str, TimedAction], sizes: str, rounds: int
) -> list[Figure]:
    figures = []
    for name in quick:
        pairs = [(quick[name](), slow[name]()) for _ in range(rounds)]
        # The first ones warm up: plans, caches, pages of the disk.
        less, more = (median(times[rounds // 5 :]) * 1e3 for times in zip(*pairs, strict=True))
        beside = f"{less:.2f} ms and {more:.2f} ms"
        figures.append(
            Figure(
                f"{sizes}{name}", more / less, MAX_GROWTH_RATIO, is_upper_limit=True, note=beside
            )
        )
    return figures


def _http_actions(instance: BenchmarkInstance) -> dict[str, TimedAction]:
    app = create_app(instance.services)
    pending, completed = (
        cycle(instance.sample_orders(status)) for status in ("pending", "completed")
    )
    wishes = (order_body(number, "grown") | {"test_id": instance.tests[0]} for number in count())
    bearer = {"Authorization": f"Bearer {instance.token}"}
    staff = {"Cookie": f"staff={sign_in(instance)}"}

    def get(path: Callable[[], str], headers: dict[str, str] = bearer) -> TimedAction:
        return lambda: timed_request(app, path(), headers=headers)

    return {
        "`GET /tests`": get(lambda: "/tests"),
        "`POST /assessments`": lambda: timed_request(
            app, "/assessments", method="POST", headers=bearer, json=next(wishes)
        ),
        "`GET /assessments/:id`, pending": get(lambda: f"/assessments/{next(pending)}"),
        "the same, completed": get(lambda: f"/assessments/{next(completed)}"),
        "its shared link": get(lambda: f"/assessments/{next(completed)}/shared-link"),
        "newest 50 in the console": get(lambda: "/console/orders/", staff),
        **_dispatcher_actions(instance),
    }


def _dispatcher_actions(instance: BenchmarkInstance) -> dict[str, TimedAction]:
    """Return what the courier asks of the outbox: a batch to send, and where something is due."""
    return {"claim": lambda: _time_claim(instance), "the sweep": lambda: _time_sweep(instance)}


def timed_request(app: Flask, path: str, **request: Any) -> float:
    """Ask the app for an address, and return the seconds it took; RuntimeError if it refuses."""
    environ = EnvironBuilder(path, **request).get_environ()
    began = perf_counter()
    body, status, _ = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    took = perf_counter() - began
    if not status.startswith("20"):
        raise RuntimeError(f"{path} answered {status}: {b''.join(body)[:500]!r}")
    return took


def _time_claim(instance: BenchmarkInstance) -> float:
    began = perf_counter()
    with instance.services.db.writing() as session:
        claims = outbox.claim(session, instance.queue_name, instance.services.now(), CLAIM_SIZE)
    took = perf_counter() - began
    if len(claims) != CLAIM_SIZE:
        raise RuntimeError(f"{len(claims)} messages were claimed instead of {CLAIM_SIZE}")
    with instance.services.db.writing() as session:
        taken = [claim.message_id for claim in claims]
        freed = update(Message).where(Message.id.in_(taken))
        session.execute(freed.values(lease=None, leased_until=None))
    return took


def _time_sweep(instance: BenchmarkInstance) -> float:
    began = perf_counter()
    with instance.services.db.reading() as session:
        lanes = outbox.list_due_queues(session, instance.services.now())
    took = perf_counter() - began
    if instance.queue_name not in lanes:
        raise RuntimeError(f"{instance.queue_name} is not among {lanes}")
    return took


def sign_in(instance: BenchmarkInstance) -> str:
    """Return the cookie of a new member of the staff, who may do everything."""
    email = f"{secrets.generate_public_id()}@provider.test".lower()
    factories.create_staff(instance.services, email)
    with instance.services.db.writing() as session:
        return staff.complete_sign_in(session, email, "127.0.0.1", instance.services.now())


def order_body(number: int, path: str) -> dict[str, Any]:
    """Return what an ATS writes in an order, without the product."""
    return {
        "callback_url": f"https://groove-tech.workable.com/{path}/{number}",
        "candidate": {"email": f"{path}{number}@example.com", "first_name": "Lakita"},
    }
