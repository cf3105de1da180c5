"""/health: the process is alive; /ready: it can work, and its outbox is moving."""

import hmac
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import Session

from provider import outbox, schema
from provider.errors import Unready
from provider.house import House, here
from provider.outbox import Lane

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
    if _may_know(house):
        said |= {"problems": problems, **details}
    return jsonify(said), 503 if problems else 200


def _look(house: House) -> tuple[list[str], dict[str, Any]]:
    now = house.now()
    try:
        schema.require_current(house.db)
        with house.db.reading() as session:
            oldest = outbox.oldest_due(session, _open_lanes(session, now), now)
    except Unready as error:
        return [str(error)], {}
    except Exception as error:
        return [f"The database does not answer ({type(error).__name__})"], {}
    age = (now - oldest).total_seconds() if oldest else 0.0
    problems = ["A message has been due for too long"] if age > STALE.total_seconds() else []
    return problems, {"oldest_due_seconds": age}


def _open_lanes(session: Session, at: datetime) -> list[str]:
    """Return the lanes with something due that could go: a hold is a receiver's doing, not ours."""
    lanes = outbox.due_lanes(session, at)
    held = outbox.holding(session, {one for lane in lanes for one in Lane.read(lane).subjects})
    return [lane for lane in lanes if not held.keys() & set(Lane.read(lane).subjects)]


def _may_know(house: House) -> bool:
    token = house.settings.metrics_token
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(sent.encode(), str(token).encode())
