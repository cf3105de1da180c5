"""Builds the two Flask apps, and starts the threads of a server: the one place that joins all."""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, request
from flask_wtf import CSRFProtect

from provider import config, logging_config, web
from provider.ats import ADAPTERS, gateway, hooks
from provider.ats.callbacks import STATUS_SUBSCRIBERS
from provider.ats.http_api import ContractApi
from provider.core.staff import openid
from provider.delivery import InProcessDispatcher
from provider.delivery.ats_gateway import ApiGateway
from provider.delivery.openid import OpenIdConnector
from provider.delivery.runners.heartbeat import start_heartbeat
from provider.maintenance import schema_version
from provider.services import Services
from provider.web import check_hooks, host_check, request_time
from provider.web.body_limits import MAX_BODY_BYTES
from provider.web.client_address import TrustedProxies

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = structlog.get_logger()

# A thread that renders an e-mail keeps the interpreter's lock so long. A request needs the lock
# again after each of its reads and writes, and would wait for Python's default of 5 ms each time.
SWITCH_INTERVAL_SECONDS = 0.001
PRIVATE_UMASK = 0o077  # what the server writes is for its own user alone


class ProviderFlask(Flask):
    """Flask that logs an error with its endpoint: a path may contain a candidate's token."""

    def log_exception(self, exc_info: Any) -> None:
        view_args = request.view_args or {}
        order = view_args.get("order_id") or view_args.get("public_id")
        log.error("request_failed", endpoint=request.endpoint, order=order, exc_info=exc_info)


class ContractFlask(ProviderFlask):
    """The app of the contract's endpoints, which passes a page's path on to the app of the pages.

    Only the pages have sessions, CSRF tokens and templates: an ATS's call runs none of that code.
    """

    pages: Flask

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        # A path with more slashes at its beginning is a page's path, too.
        if web.is_page_path("/" + environ["PATH_INFO"].lstrip("/")):
            request_time.record_begin(environ, self.pages.extensions["provider"].now())
            return self.pages.wsgi_app(environ, start_response)
        return super().wsgi_app(environ, start_response)


def create_app(services: Services | None = None) -> ContractFlask:
    """Build the app that answers every URL; without services, from the environment's settings."""
    services = services or Services.build(
        config.load_settings(), status_subscribers=STATUS_SUBSCRIBERS
    )
    app, api = _create_contract_app(services)
    app.pages = _create_pages_app(services, api)
    if proxy_count := services.settings.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, proxy_count)  # type: ignore[method-assign]
    return app


def serve(listener: socket.socket) -> None:
    """Serve at a bound socket until SIGTERM or SIGINT; then finish what runs, and return."""
    from provider.web.http_server import HttpServer  # late: another WSGI server needs no waitress

    app, stop = start()
    settings = app.extensions["provider"].settings
    try:
        server = HttpServer(app, listener, settings.request_timeout.total_seconds())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        server.run()
    finally:
        stop()


def start() -> tuple[ContractFlask, Callable[[], None]]:
    """Build the app of a server's process, and start its threads; return a function to stop them.

    On SQLite the dispatcher runs in this process. On PostgreSQL every commit defers a job for
    `provider worker`. The threads also stop when the main thread ends.
    """
    os.umask(PRIVATE_UMASK)  # another server than ours may not have done it
    logging_config.configure()
    app = create_app()
    services: Services = app.extensions["provider"]
    schema_version.require_current(services.db)
    services.media.check_in_background()
    # Before the scheduled work, which would close attempts whose time an outage took.
    stop_heartbeat = start_heartbeat(services)
    stop_runner = (
        _start_dispatcher(services) if services.db.is_sqlite else _start_job_notifier(services)
    )
    tune_interpreter()

    def stop() -> None:
        stop_heartbeat()
        stop_runner()

    return app, stop


def tune_interpreter() -> None:
    """Let threads take turns more often, and exclude all present objects from garbage collection.

    These objects live until the process ends. A full collection over them would stop every request
    for 0.1 to 0.2 seconds. From now on the thresholds are Python's own, which `provider.cli` has
    raised.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.set_threshold(700, 10, 10)
    gc.freeze()


def _start_dispatcher(services: Services) -> Callable[[], None]:
    return InProcessDispatcher(services).start().stop


def _start_job_notifier(services: Services) -> Callable[[], None]:
    # Imported here, because only the extra `scale` installs it.
    from provider.delivery.runners.notifier import JobNotifier

    notifier = JobNotifier(services.db).start_in_server()
    services.db.on_commit.append(notifier.notify)
    return notifier.stop


def _create_contract_app(services: Services) -> tuple[ContractFlask, ContractApi]:
    app = ContractFlask("provider.ats", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        API_TITLE="provider",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    app.extensions["provider"] = services
    host_check.register(app)
    api = ContractApi(
        app,
        spec_kwargs={
            "servers": openapi_servers(services),
            "components": {
                "securitySchemes": {
                    scheme: {"type": "http", "scheme": scheme} for scheme in ("bearer", "basic")
                }
            },
            "info": {
                "description": "Order tests, video interviews and background checks, "
                "and learn what became of them."
            },
        },
    )
    for adapter in ADAPTERS.values():
        adapter.register_routes(app, api)
    app.register_blueprint(hooks.build_blueprint())
    app.register_blueprint(check_hooks.routes)
    web.register_monitoring(app)
    return app, api


def _create_pages_app(services: Services, api: ContractApi) -> Flask:
    secure = services.settings.is_https
    keys = services.secret_box.derive_keys("cookies")
    app = ProviderFlask("provider.web", template_folder="templates", static_folder="static")
    app.config.update(
        SECRET_KEY=keys[0],
        SECRET_KEY_FALLBACKS=keys[1:],
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        SESSION_COOKIE_NAME="__Host-form" if secure else "form",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_SAMESITE="Lax",
        # The strict check needs a referrer, and our pages send none.
        WTF_CSRF_SSL_STRICT=False,
        WTF_CSRF_TIME_LIMIT=None,
        BOOTSTRAP_SERVE_LOCAL=True,
    )
    app.extensions["provider"] = services
    app.extensions["openapi"] = api.spec
    app.extensions[gateway.EXTENSION_KEY] = ApiGateway
    app.extensions[openid.EXTENSION_KEY] = OpenIdConnector
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    host_check.register(app)
    CSRFProtect(app)
    web.register_pages(app)
    return app


def openapi_servers(services: Services) -> list[dict[str, str]]:
    """Return the `servers` of the OpenAPI description."""
    base = services.settings.base_url
    return [{"url": base}, {"url": f"{base}/workable"}]
