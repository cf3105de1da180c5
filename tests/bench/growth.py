"""What stays as quick with many orders: the contract's calls, the courier's work, the console."""

from collections.abc import Callable
from itertools import count, cycle
from statistics import median
from time import perf_counter
from typing import Any

from flask import Flask
from sqlalchemy import update
from werkzeug.test import EnvironBuilder, run_wsgi_app

from provider import accounts, outbox, vault
from provider.app import create_app
from provider.outbox import Message
from tests import cast
from tests.bench.ground import Ground
from tests.bench.table import Figure

CLAIMED = 16  # at once, as the courier does
MOST = 1.3

Act = Callable[[], float]  # does a thing once, and returns the seconds it took


def growth(small: Ground, large: Ground, sizes: str, rounds: int) -> list[Figure]:
    """Return how many times longer each thing takes on the large house, taking turns."""
    figures = _compare(_acts(small), _acts(large), f"{sizes}: ", rounds)
    for ground in (small, large):
        ground.revive()
    quick, slow = _courier(small), _courier(large)
    return figures + _compare(quick, slow, f"{sizes}, all of them due: ", rounds)


def _compare(quick: dict[str, Act], slow: dict[str, Act], sizes: str, rounds: int) -> list[Figure]:
    figures = []
    for name in quick:
        pairs = [(quick[name](), slow[name]()) for _ in range(rounds)]
        # The first ones warm up: plans, caches, pages of the disk.
        less, more = (median(times[rounds // 5 :]) * 1e3 for times in zip(*pairs, strict=True))
        beside = f"{less:.2f} ms and {more:.2f} ms"
        figures.append(Figure(f"{sizes}{name}", more / less, MOST, most=True, beside=beside))
    return figures


def _acts(ground: Ground) -> dict[str, Act]:
    app = create_app(ground.house)
    pending, completed = (cycle(ground.sample(status)) for status in ("pending", "completed"))
    wishes = (wish(number, "grown") | {"test_id": ground.tests[0]} for number in count())
    bearer = {"Authorization": f"Bearer {ground.token}"}
    staff = {"Cookie": f"staff={sign_in(ground)}"}

    def get(path: Callable[[], str], headers: dict[str, str] = bearer) -> Act:
        return lambda: call(app, path(), headers=headers)

    return {
        "`GET /tests`": get(lambda: "/tests"),
        "`POST /assessments`": lambda: call(
            app, "/assessments", method="POST", headers=bearer, json=next(wishes)
        ),
        "`GET /assessments/:id`, pending": get(lambda: f"/assessments/{next(pending)}"),
        "the same, completed": get(lambda: f"/assessments/{next(completed)}"),
        "its shared link": get(lambda: f"/assessments/{next(completed)}/shared-link"),
        "newest 50 in the console": get(lambda: "/console/orders/", staff),
        **_courier(ground),
    }


def _courier(ground: Ground) -> dict[str, Act]:
    """Return what the courier asks of the outbox: a batch to send, and where something is due."""
    return {"claim": lambda: _claim(ground), "the sweep": lambda: _sweep(ground)}


def call(app: Flask, path: str, **request: Any) -> float:
    """Ask the app for an address, and return the seconds it took; RuntimeError if it refuses."""
    environ = EnvironBuilder(path, **request).get_environ()
    began = perf_counter()
    body, status, _ = run_wsgi_app(app.wsgi_app, environ, buffered=True)
    took = perf_counter() - began
    if not status.startswith("20"):
        raise RuntimeError(f"{path} answered {status}: {b''.join(body)[:500]!r}")
    return took


def _claim(ground: Ground) -> float:
    began = perf_counter()
    with ground.house.db.writing() as session:
        claims = outbox.claim(session, ground.lane, ground.house.now(), CLAIMED)
    took = perf_counter() - began
    if len(claims) != CLAIMED:
        raise RuntimeError(f"{len(claims)} messages were claimed instead of {CLAIMED}")
    with ground.house.db.writing() as session:
        taken = [claim.message_id for claim in claims]
        freed = update(Message).where(Message.id.in_(taken))
        session.execute(freed.values(lease=None, leased_until=None))
    return took


def _sweep(ground: Ground) -> float:
    began = perf_counter()
    with ground.house.db.reading() as session:
        lanes = outbox.due_lanes(session, ground.house.now())
    took = perf_counter() - began
    if ground.lane not in lanes:
        raise RuntimeError(f"{ground.lane} is not among {lanes}")
    return took


def sign_in(ground: Ground) -> str:
    """Return the cookie of a new member of the staff, who may do everything."""
    email = f"{vault.public_id()}@provider.test".lower()
    cast.staff(ground.house, email)
    with ground.house.db.writing() as session:
        return accounts.enter(session, email, "127.0.0.1", ground.house.now())


def wish(number: int, path: str) -> dict[str, Any]:
    """Return what an ATS writes in an order, without the product."""
    return {
        "callback_url": f"https://groove-tech.workable.com/{path}/{number}",
        "candidate": {"email": f"{path}{number}@example.com", "first_name": "Lakita"},
    }
