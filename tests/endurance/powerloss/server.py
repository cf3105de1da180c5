"""The server as a process under the shim: as it always is, but for the clock and a witness.

`python -m tests.endurance.powerloss.server ROOT CALLBACK_HOST SYNCHRONOUS`; tells its address in one
line of JSON and goes on until it is killed. Its instance folder is ROOT/instance.
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

CLOCK_SPEED_FACTOR = 60  # a lease is over in a second


class AcceleratedClock(Clock):
    """A clock that runs faster than the real one."""

    def __init__(self) -> None:
        self._started_at, self._started_monotonic = super().now(), time.monotonic()

    def now(self) -> datetime:
        return self._started_at + timedelta(
            seconds=CLOCK_SPEED_FACTOR * (time.monotonic() - self._started_monotonic)
        )


class AcknowledgementRecorder:
    """Writes every promise down the moment before it is given; tells the tests invitations."""

    def __init__(self, services: Services, app: Any) -> None:
        self._services, self._app = services, app
        path = services.settings.instance.parent / ACKNOWLEDGEMENT_FILE
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = Response.from_app(self._app, environ, buffered=True)
        door = (environ["REQUEST_METHOD"], environ["PATH_INFO"].rpartition("/")[2])
        if door == ("POST", "assessments") and answer.status_code == 201:
            order = json.loads(answer.get_data())["assessment_id"]
            self.record(order=order, status="pending")
            with suppress(Unavailable):  # nothing can be read just now
                answer.headers["X-Invitation"] = factories.invitation_url(self._services, order)
        if door == ("POST", "decline") and answer.status_code == 303:
            self.record(order=environ["PATH_INFO"].split("/")[3], status="declined")
        return answer(environ, start_response)

    def record(self, **fields: Any) -> None:
        os.write(self._file, json.dumps(fields).encode() + b"\n")


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Say nothing."""


def set_synchronous(db: Database, synchronous: str) -> None:
    """Let SQLite sync less, or as always (FULL): there is no setting for it."""

    @event.listens_for(db.engine, "connect")
    def _connected(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}").close()


def main(root: Path, host: str, synchronous: str) -> None:
    """Make everything from nothing below the root, and serve."""
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
    services = Services.build(settings, AcceleratedClock())
    set_synchronous(services.db, synchronous)
    schema_version.upgrade(services.db)
    account, token = factories.create_account(services, hosts=[host])
    product = factories.create_test(services)
    server.app = AcknowledgementRecorder(services, create_app(services))
    server.app.record(account=account)
    InProcessDispatcher(services, sweep_interval_seconds=0.2).start()
    print(json.dumps({"url": url, "token": token, "test": product}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
