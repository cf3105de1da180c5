"""/metrics: what all processes counted, and what the database holds, for Prometheus.

Any one process that serves answers for all.
"""

import structlog
from flask import Blueprint, Response, abort, current_app, request
from prometheus_client import CONTENT_TYPE_LATEST

from provider.metrics.database import DatabaseGauges
from provider.metrics.samples import Counts
from provider.services import Services, current_services
from provider.web.health import has_metrics_token

GAUGES_EXTENSION = "database_gauges"

log = structlog.get_logger()
routes = Blueprint("metrics", __name__)

routes.record(lambda state: state.app.extensions.setdefault(GAUGES_EXTENSION, DatabaseGauges()))


@routes.get("/metrics")
def metrics() -> Response:
    """Tell it to whoever has the token; to others not even whether there is one."""
    services = current_services()
    if not has_metrics_token(services):
        abort(401, "/metrics wants PROVIDER_METRICS_TOKEN as its bearer token")
    gauges: DatabaseGauges = current_app.extensions[GAUGES_EXTENSION]
    told = services.metrics.written(
        _counts_of_all_processes(services), gauges.current(services.db, services.now())
    )
    return Response(told, content_type=CONTENT_TYPE_LATEST)


def _counts_of_all_processes(services: Services) -> Counts:
    try:
        return services.ledger.all(services.now())
    except Exception as error:
        log.warning("the metrics are without other processes'", error=type(error).__name__)
        return services.ledger.known()


@routes.after_app_request
def _count_response(response: Response) -> Response:
    current_services().metrics.answered(request.endpoint, response.status_code)
    return response
