"""`/health`: the process is alive. `/ready`: the database works and the outbox is moving."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from provider.core import scheduled
from provider.core.pauses import (
    ACCOUNT,
    HOST,
    MAX_DUE_AGE,
    PauseView,
    list_pauses,
    oldest_unpaused_due_at,
)
from provider.core.scheduled import ScheduledWorkState
from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.metrics.exposition import is_metrics_token
from provider.services import Services, current_services

routes = Blueprint("health", __name__)


@routes.get("/health")
def health() -> Response:
    return jsonify(status="alive")


@routes.get("/ready")
def ready() -> tuple[Response, int]:
    """Answer 200 when the schema is current and no message is overdue, else 503.

    Problems, pauses and scheduled work are added for requests with the metrics token.
    """
    services = current_services()
    problems, details = _check_readiness(services)
    body: dict[str, Any] = {"status": "unready" if problems else "ready"}
    if has_metrics_token(services):
        body |= {"problems": problems, **details}
    return jsonify(body), 503 if problems else 200


def _check_readiness(services: Services) -> tuple[list[str], dict[str, Any]]:
    """Return the problems, and the details of the outbox (empty when the database fails)."""
    now = services.now()
    try:
        schema_version.require_current(services.db)
        with services.db.reading() as session:
            oldest_due_at = oldest_unpaused_due_at(session, now)
            pauses = list_pauses(session)
            states = scheduled.list_states(session)
    except Unavailable as error:
        return [str(error)], {}
    except Exception as error:
        return [f"The database does not answer ({type(error).__name__})"], {}
    age_seconds = (now - oldest_due_at).total_seconds() if oldest_due_at else 0.0
    is_overdue = age_seconds > MAX_DUE_AGE.total_seconds()
    problems = ["A message has been due for too long"] if is_overdue else []
    return problems, {
        "oldest_due_seconds": age_seconds,
        "paused_accounts": [_pause_to_json(p) for p in pauses if p.scope_type == ACCOUNT],
        "paused_hosts": [_pause_to_json(p) for p in pauses if p.scope_type == HOST],
        "scheduled_work": [_work_to_json(state) for state in states],
    }


def _pause_to_json(pause: PauseView) -> dict[str, str]:
    """Return a pause without its empty values; times are in ISO 8601."""
    texts = {
        "account": pause.account_name,
        "channel": pause.channel,
        "host": pause.host,
        "reason": pause.reason,
    }
    times = {"paused_at": pause.paused_at.isoformat(), "retry_at": pause.retry_at.isoformat()}
    return {name: text for name, text in texts.items() if text} | times


def _work_to_json(state: ScheduledWorkState) -> dict[str, str]:
    """Return a work without its empty values; times are in ISO 8601."""
    started_at, finished_at = state.last_started_at, state.last_finished_at
    values = {
        "name": state.name,
        "last_started_at": started_at.isoformat() if started_at else "",
        "last_finished_at": finished_at.isoformat() if finished_at else "",
        "last_error": state.last_error,
    }
    return {name: value for name, value in values.items() if value}


def has_metrics_token(services: Services) -> bool:
    authorization = request.headers.get("Authorization", "")
    return is_metrics_token(authorization, services.settings.metrics_token)
