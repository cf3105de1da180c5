"""`python -m tests.bench.serve bare|ours PORT` runs a measured app on our server.

Our app runs without the dispatcher, because the usual way has none; deliveries are measured apart.
It logs errors only, like the usual way's server.
"""

import json
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask, Response, request

from provider import logging_config
from provider.app import create_app, tune_interpreter
from provider.web.http_server import HttpServer

REQUEST_TIMEOUT_SECONDS = 120.0


def create_flask_app() -> Flask:
    """Return a Flask app with fixed responses."""
    app = Flask("bare")
    tests = {"tests": [{"id": f"{n:022}", "name": f"Test {n}"} for n in range(20)]}

    @app.get("/tests")
    def list_tests() -> Response:
        return Response(json.dumps(tests), mimetype="application/json")

    @app.get("/assessments/<assessment_id>")
    def get_assessment(assessment_id: str) -> Response:
        return Response(json.dumps({"status": "pending"}), mimetype="application/json")

    @app.post("/assessments")
    def create_assessment() -> Response:
        body = json.loads(request.get_data())
        response_body = json.dumps({"assessment_id": body["test_id"]})
        return Response(response_body, status=201, mimetype="application/json")

    return app


def create_provider_app() -> Flask:
    """Return our app, with the server's logging of errors."""
    logging_config.configure()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return create_app()


APPS: dict[str, Callable[[], Any]] = {"bare": create_flask_app, "ours": create_provider_app}

if __name__ == "__main__":
    name, port = sys.argv[1:]
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        server = HttpServer(APPS[name](), listener, REQUEST_TIMEOUT_SECONDS)
        tune_interpreter()
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        server.run()
