"""`python -m tests.bench.serve bare|ours PORT`: what is measured, on one and the same server.

Ours is without the courier: the usual way has none either, and what it sends is measured apart.
"""

import json
import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from provider import logging_config
from provider.app import create_app, freeze_gc
from provider.cli.server import _create_granian


def create_flask_app() -> Flask:
    """Flask and nothing else: an answer that is ready, and a body that is read."""
    app = Flask("bare")
    tests = {"tests": [{"id": f"{n:022}", "name": f"Test {n}"} for n in range(20)]}

    @app.get("/tests")
    def listed() -> Response:
        return Response(json.dumps(tests), mimetype="application/json")

    @app.get("/assessments/<assessment_id>")
    def polled(assessment_id: str) -> Response:
        return Response(json.dumps({"status": "pending"}), mimetype="application/json")

    @app.post("/assessments")
    def placed() -> Response:
        wish = json.loads(request.get_data())
        answer = json.dumps({"assessment_id": wish["test_id"]})
        return Response(answer, status=201, mimetype="application/json")

    return app


def create_provider_app() -> Flask:
    """Our app, its log and its memory as the server has them."""
    logging_config.configure()
    app = create_app()
    freeze_gc()
    return app


APPS: dict[str, Callable[[], Any]] = {"bare": create_flask_app, "ours": create_provider_app}

if __name__ == "__main__":
    name, port = sys.argv[1:]
    multiprocessing.set_start_method("fork", force=True)
    _create_granian("127.0.0.1", int(port)).serve(target_loader=APPS[name], wrap_loader=False)
