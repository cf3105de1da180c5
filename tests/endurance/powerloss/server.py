"""A server process under the shim, with a fast clock and recorded acknowledgements.

`python -m tests.endurance.powerloss.server ROOT CALLBACK_HOST SYNCHRONOUS` prints its URL, token
and test as a line of JSON, and runs until it is killed. Its instance folder is ROOT/instance.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from provider import config, logging_config
from provider.app import create_app
from provider.clock import Clock
from provider.delivery import InProcessDispatcher
from provider.errors import Unavailable
from provider.maintenance import schema_version
from provider.services import Services
from provider.storage.database import Database
from tests import factories
from tests.endurance.powerloss.replay import ACKNOWLEDGEMENT_FILE

CLOCK_SPEED_FACTOR = 60  # leases expire within a second


class AcceleratedClock(Clock):
    """A clock that runs CLOCK_SPEED_FACTOR times as fast as the real one."""

    def __init__(self) -> None:
        self._started_at, self._started_monotonic = super().now(), time.monotonic()

    def now(self) -> datetime:
        return self._started_at + timedelta(
            seconds=CLOCK_SPEED_FACTOR * (time.monotonic() - self._started_monotonic)
        )


class AcknowledgementRecorder:
    """Writes each acknowledgement to a file right before the response is sent.

    The response to an order also carries its invitation link, for the driver.
    """

    def __init__(self, services: Services, app: Any) -> None:
        self._services, self._app = services, app
        path = services.settings.instance.parent / ACKNOWLEDGEMENT_FILE
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = Response.from_app(self._app, environ, buffered=True)
        action = (environ["REQUEST_METHOD"], environ["PATH_INFO"].rpartition("/")[2])
        if action == ("POST", "assessments") and response.status_code == 201:
            order = json.loads(response.get_data())["assessment_id"]
            self.record(order=order, status="pending")
            with suppress(Unavailable):  # the disk may be failing
                response.headers["X-Invitation"] = factories.invitation_url(self._services, order)
        if action == ("POST", "decline") and response.status_code == 303:
            self.record(order=environ["PATH_INFO"].split("/")[3], status="declined")
        return response(environ, start_response)

    def record(self, **fields: Any) -> None:
        os.write(self._file, json.dumps(fields).encode() + b"\n")


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Write no access log."""


def set_synchronous(db: Database, synchronous: str) -> None:
    """Set SQLite's `synchronous` for new connections; the program has no setting for it."""

    @event.listens_for(db.engine, "connect")
    def _connected(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}").close()


def main(root: Path, host: str, synchronous: str) -> None:
    logging_config.configure()
    server = make_server(
        "127.0.0.1", 0, lambda *_: (), threaded=True, request_handler=_QuietRequestHandler
    )
    url = f"http://127.0.0.1:{server.server_port}"
    settings = config.load_settings(
        {
            "PROVIDER_INSTANCE": str(root / "instance"),
            "PROVIDER_BASE_URL": url,
            "PROVIDER_PRIVATE_CALLBACKS": "allow",
            "PROVIDER_RETRY_SCHEDULE": "5s,30s",
        }
    )
    services = factories.build_services(settings, AcceleratedClock())
    set_synchronous(services.db, synchronous)
    schema_version.upgrade(services.db)
    account_id, token = factories.create_account(services, hosts=[host])
    product = factories.create_test(services)
    server.app = AcknowledgementRecorder(services, create_app(services))
    server.app.record(account=account_id)
    InProcessDispatcher(services, factories.quick_works(0.2)).start()
    print(json.dumps({"url": url, "token": token, "test": product}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
