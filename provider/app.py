"""create_app: the one place that joins everything."""

import gc
from collections.abc import Callable
from multiprocessing.util import Finalize
from typing import Any

import structlog
from flask import Flask, Request, Response, current_app, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf import CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from provider import config, logging_config, web
from provider.ats import ADAPTERS
from provider.ats.http_api import ContractApi
from provider.delivery import InProcessDispatcher
from provider.maintenance import schema_version
from provider.metrics.flusher import MetricsFlusher
from provider.services import Services

log = structlog.get_logger()

MAX_REQUEST_BYTES = 1024 * 1024  # bytes that a request may carry


class Cookies(SecureCookieSessionInterface):
    """Flask's sessions; whoever brings no cookie, as machines do, needs no keys made ready."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return what the request's cookie says, or an empty session."""
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)


class Forms(CSRFProtect):  # type: ignore[misc]
    """Asks forms for their token; who only reads needs none, and is asked first of all."""

    def protect(self, apply_exemptions: bool = False) -> None:
        """Refuse a form that was not ours."""
        if request.method not in current_app.config["WTF_CSRF_METHODS"]:
            return
        super().protect(apply_exemptions)


class ProviderFlask(Flask):
    """Flask, but what goes wrong is logged by its endpoint: a path may hold a candidate's token."""

    session_interface = Cookies()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is: none of ours is a coroutine, and to look takes time."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Log an error that nobody expected."""
        named = request.view_args or {}
        order = named.get("order_id") or named.get("public_id")
        log.error("a request failed", endpoint=request.endpoint, order=order, exc_info=exc_info)


def create_app(services: Services | None = None) -> Flask:
    """Build the server around a house; by default one built from the environment's settings."""
    services = services or Services.build(config.load_settings())
    app = ProviderFlask("provider.web", template_folder="templates", static_folder="static")
    app.config.update(_flask_config(services))
    app.extensions["provider"] = services
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    if services.settings.is_https:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    csrf = Forms(app)
    api = _create_api(app)
    for dialect in ADAPTERS.values():
        dialect.register_routes(app, api)
    for name, blueprint in app.blueprints.items():
        if name.startswith(tuple(ADAPTERS)):
            csrf.exempt(blueprint)
    web.register_pages(app)
    _register_error_handler(app, api)
    return app


def serve() -> Flask:
    """Build the server of a process of `provider serve`.

    On SQLite the courier is in it; on PostgreSQL `provider worker` delivers, told of every commit.
    """
    logging_config.configure()
    app = create_app()
    services: Services = app.extensions["provider"]
    schema_version.require_current(services.db)
    services.media.check_in_background()
    stop = _start_dispatcher(services) if services.db.is_sqlite else _start_job_notifier(services)
    bookkeeper = MetricsFlusher(services.ledger, services.clock).start()
    # A worker of granian's never runs `atexit`, but it is one of multiprocessing's; here its
    # threads can still start what a clean end needs.
    Finalize(None, stop, exitpriority=10)
    Finalize(None, bookkeeper.stop, exitpriority=9)  # after what still counts
    freeze_gc()
    return app


def freeze_gc() -> None:
    """Have what is loaded by now left alone by the garbage collector: it stays until the end.

    To walk it all takes a tenth of a second or two, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()


def _start_dispatcher(services: Services) -> Callable[[], None]:
    return InProcessDispatcher(services).start(exit_when_orphaned=True).stop


def _start_job_notifier(services: Services) -> Callable[[], None]:
    from provider.delivery.runners.notifier import (
        JobNotifier,  # late, for it needs the extra `scale`
    )

    doorbell = JobNotifier(services.db).start_in_server()
    services.db.on_commit.append(doorbell.ring)
    return doorbell.stop


def _flask_config(services: Services) -> dict[str, Any]:
    secure = services.settings.is_https
    keys = services.secret_box.derive_keys("cookies")
    return {
        "SECRET_KEY": keys[0],
        "SECRET_KEY_FALLBACKS": keys[1:],
        "MAX_CONTENT_LENGTH": MAX_REQUEST_BYTES,
        "SESSION_COOKIE_NAME": "__Host-form" if secure else "form",
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_SAMESITE": "Lax",
        # Our pages send no referrer, which is all that the strict check would look at.
        "WTF_CSRF_SSL_STRICT": False,
        "WTF_CSRF_TIME_LIMIT": None,
        "BOOTSTRAP_SERVE_LOCAL": True,
    }


def _create_api(app: Flask) -> ContractApi:
    services: Services = app.extensions["provider"]
    app.config.update(
        API_TITLE="provider",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    return ContractApi(
        app,
        spec_kwargs={
            "servers": openapi_servers(services),
            "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
            "info": {
                "description": "Order tests, video interviews and background checks, "
                "and learn what became of them."
            },
        },
    )


def openapi_servers(services: Services) -> list[dict[str, str]]:
    """Return the addresses of the contract's endpoints, as the description names them."""
    base = services.settings.base_url
    return [{"url": base}, {"url": f"{base}/workable"}]


def _register_error_handler(app: Flask, api: ContractApi) -> None:
    """Answer people with a page and machines with the contract's JSON."""

    @app.errorhandler(HTTPException)
    def _failed(error: HTTPException) -> Response:
        if web.is_page_path(request.path):
            return web.render_error_page(error)
        return api.handle_http_exception(error)
