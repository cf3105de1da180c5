"""`/metrics` for Prometheus: the counters of this process, and gauges from the database."""

from flask import Blueprint, Response, abort, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from provider.metrics.exposition import MISSING_TOKEN_MESSAGE
from provider.services import current_services
from provider.web.health import has_metrics_token

routes = Blueprint("metrics", __name__)


@routes.get("/metrics")
def metrics() -> Response:
    services = current_services()
    if not has_metrics_token(services):
        # The same answer whether a token is set or not.
        abort(401, MISSING_TOKEN_MESSAGE)
    text = generate_latest(services.metrics.registry)
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def count_response(response: Response) -> Response:
    current_services().metrics.record_request(request.endpoint, response.status_code)
    return response
