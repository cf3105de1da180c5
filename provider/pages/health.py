"""/health: the process is alive; /ready: it can work, and its outbox is moving."""

import hmac
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import Session

from provider import outbox, schema
from provider.errors import Unready
from provider.here import here
from provider.house import House
from provider.outbox import Lane
from provider.outbox.held import ACCOUNT, HOST, Held, all_held

routes = Blueprint("health", __name__)

STALE = timedelta(minutes=5)  # that a due message may wait before the server is not ready


@routes.get("/health")
def health() -> Response:
    """Say that the process is alive."""
    return jsonify(status="alive")


@routes.get("/ready")
def ready() -> tuple[Response, int]:
    """Say whether the database is of this version and no message waits too long."""
    house = here()
    problems, details = _look(house)
    said: dict[str, Any] = {"status": "unready" if problems else "ready"}
    if may_know(house):
        said |= {"problems": problems, **details}
    return jsonify(said), 503 if problems else 200


def _look(house: House) -> tuple[list[str], dict[str, Any]]:
    now = house.now()
    try:
        schema.require_current(house.db)
        with house.db.reading() as session:
            oldest, held = oldest_due(session, now), all_held(session)
    except Unready as error:
        return [str(error)], {}
    except Exception as error:
        return [f"The database does not answer ({type(error).__name__})"], {}
    age = (now - oldest).total_seconds() if oldest else 0.0
    problems = ["A message has been due for too long"] if age > STALE.total_seconds() else []
    paused = [_told(one) for one in held if one.on == ACCOUNT]
    hosts = [_told(one) for one in held if one.on == HOST]
    return problems, {
        "oldest_due_seconds": age, "paused_accounts": paused, "held_hosts": hosts,
    }  # fmt: skip


def oldest_due(session: Session, at: datetime) -> datetime | None:
    """Return since when the oldest message is due that could go: a hold is a receiver's doing.

    But whose time is over, for long, should have been tried: then no courier is at work.
    """
    lanes = outbox.due_lanes(session, at)
    held = outbox.holding(session, {one for lane in lanes for one in Lane.read(lane).subjects})
    kept = {subject for subject, hold in held.items() if hold.until > at - STALE}
    free = [lane for lane in lanes if not kept & set(Lane.read(lane).subjects)]
    return outbox.oldest_due(session, free, at)


def _told(one: Held) -> dict[str, str]:
    told = {"account": one.account, "to": one.sink, "host": one.host, "why": one.why}
    moments = {"since": one.since.isoformat(), "next_try": one.until.isoformat()}
    return {name: value for name, value in told.items() if value} | moments


def may_know(house: House) -> bool:
    """Say whether a request carries the token that opens details."""
    token = house.settings.metrics_token
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(sent.encode(), str(token).encode())
