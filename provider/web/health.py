"""/health: the process is alive; /ready: it can work, and its outbox is moving."""

import hmac
from typing import Any

from flask import Blueprint, Response, jsonify, request

from provider.core.pauses import (
    ACCOUNT,
    HOST,
    MAX_DUE_AGE,
    PauseView,
    list_pauses,
    oldest_unpaused_due_at,
)
from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.services import Services, current_services

routes = Blueprint("health", __name__)


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
        schema_version.require_current(services.db)
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
