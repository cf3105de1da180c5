"""/health: the process is alive; /ready: it can work, and its outbox is moving."""

import hmac
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy.orm import Session

from provider import outbox, schema
from provider.errors import Unavailable
from provider.here import current_services
from provider.house import Services
from provider.outbox import QueueName
from provider.outbox.held import ACCOUNT, HOST, PauseView, list_pauses

routes = Blueprint("health", __name__)

MAX_DUE_AGE = timedelta(minutes=5)  # that a due message may wait before the server is not ready


@routes.get("/health")
def health() -> Response:
    """Say that the process is alive."""
    return jsonify(status="alive")


@routes.get("/ready")
def ready() -> tuple[Response, int]:
    """Say whether the database is of this version and no message waits too long."""
    services = current_services()
    problems, details = _check_readiness(services)
    said: dict[str, Any] = {"status": "unready" if problems else "ready"}
    if has_metrics_token(services):
        said |= {"problems": problems, **details}
    return jsonify(said), 503 if problems else 200


def _check_readiness(services: Services) -> tuple[list[str], dict[str, Any]]:
    now = services.now()
    try:
        schema.require_current(services.db)
        with services.db.reading() as session:
            oldest, held = oldest_unpaused_due_at(session, now), list_pauses(session)
    except Unavailable as error:
        return [str(error)], {}
    except Exception as error:
        return [f"The database does not answer ({type(error).__name__})"], {}
    age = (now - oldest).total_seconds() if oldest else 0.0
    problems = ["A message has been due for too long"] if age > MAX_DUE_AGE.total_seconds() else []
    paused = [_pause_to_json(one) for one in held if one.scope_type == ACCOUNT]
    hosts = [_pause_to_json(one) for one in held if one.scope_type == HOST]
    return problems, {
        "oldest_due_seconds": age,
        "paused_accounts": paused,
        "held_hosts": hosts,
    }


def oldest_unpaused_due_at(session: Session, now: datetime) -> datetime | None:
    """Return since when the oldest message is due that could go: a hold is a receiver's doing.

    But whose time is over, for long, should have been tried: then no courier is at work.
    """
    lanes = outbox.list_due_queues(session, now)
    held = outbox.active_pauses(
        session, {one for lane in lanes for one in QueueName.parse(lane).pause_scopes}
    )
    kept = {subject for subject, hold in held.items() if hold.retry_at > now - MAX_DUE_AGE}
    free = [lane for lane in lanes if not kept & set(QueueName.parse(lane).pause_scopes)]
    return outbox.oldest_due_at(session, free, now)


def _pause_to_json(pause: PauseView) -> dict[str, str]:
    told = {
        "account": pause.account_name,
        "channel": pause.channel,
        "host": pause.host,
        "reason": pause.reason,
    }
    moments = {"paused_at": pause.paused_at.isoformat(), "retry_at": pause.retry_at.isoformat()}
    return {name: value for name, value in told.items() if value} | moments


def has_metrics_token(services: Services) -> bool:
    """Say whether a request carries the token that opens details."""
    token = services.settings.metrics_token
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(sent.encode(), str(token).encode())
