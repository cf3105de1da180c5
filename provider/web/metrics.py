"""/metrics for Prometheus: the counters of all processes, and gauges from the database.

Any server process answers for all processes.
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
    services = current_services()
    if not has_metrics_token(services):
        # The same answer whether a token is set or not.
        abort(401, "/metrics needs PROVIDER_METRICS_TOKEN as its bearer token")
    gauges: DatabaseGauges = current_app.extensions[GAUGES_EXTENSION]
    text = services.metrics.written(
        _counts_of_all_processes(services), gauges.current(services.db, services.now())
    )
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _counts_of_all_processes(services: Services) -> Counts:
    try:
        return services.ledger.all(services.now())
    except Exception as error:
        log.warning("metrics_of_other_processes_failed", error=type(error).__name__)
        return services.ledger.known()


@routes.after_app_request
def _count_response(response: Response) -> Response:
    current_services().metrics.answered(request.endpoint, response.status_code)
    return response
