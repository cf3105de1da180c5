"""create_app and serve: the one place that joins everything."""

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
from provider.ats.callbacks import STATUS_SUBSCRIBERS
from provider.ats.http_api import ContractApi
from provider.delivery import InProcessDispatcher
from provider.maintenance import schema_version
from provider.services import Services

log = structlog.get_logger()

MAX_REQUEST_BYTES = 1024 * 1024


class Cookies(SecureCookieSessionInterface):
    """Flask's sessions; a request without a cookie, like an ATS's, derives no keys."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)


class Forms(CSRFProtect):  # type: ignore[misc]
    """CSRF protection of unsafe methods; a GET skips the check, which would cost time."""

    def protect(self, apply_exemptions: bool = False) -> None:
        if request.method not in current_app.config["WTF_CSRF_METHODS"]:
            return
        super().protect(apply_exemptions)


class ProviderFlask(Flask):
    """Flask that logs an error with its endpoint: a path may contain a candidate's token."""

    session_interface = Cookies()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the view unchanged: no view is a coroutine, and the check costs time."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        view_args = request.view_args or {}
        order = view_args.get("order_id") or view_args.get("public_id")
        log.error("request_failed", endpoint=request.endpoint, order=order, exc_info=exc_info)


def create_app(services: Services | None = None) -> Flask:
    """Build the Flask app; without services, from the environment's settings."""
    services = services or Services.build(
        config.load_settings(), status_subscribers=STATUS_SUBSCRIBERS
    )
    app = ProviderFlask("provider.web", template_folder="templates", static_folder="static")
    app.config.update(_flask_config(services))
    app.extensions["provider"] = services
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    if services.settings.is_https:
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    csrf = Forms(app)
    api = _create_api(app)
    for adapter in ADAPTERS.values():
        adapter.register_routes(app, api)
    for name, blueprint in app.blueprints.items():
        if name.startswith(tuple(ADAPTERS)):
            csrf.exempt(blueprint)
    web.register_pages(app)
    _register_error_handler(app, api)
    return app


def serve() -> Flask:
    """Build the app of a `provider serve` process, and start its threads.

    On SQLite the dispatcher runs in this process. On PostgreSQL every commit defers a job for
    `provider worker`.
    """
    logging_config.configure()
    app = create_app()
    services: Services = app.extensions["provider"]
    schema_version.require_current(services.db)
    services.media.check_in_background()
    stop = _start_dispatcher(services) if services.db.is_sqlite else _start_job_notifier(services)
    # Granian's worker processes never run `atexit`. They are multiprocessing's, whose finalizers
    # run while threads can still be started, which a clean stop needs.
    Finalize(None, stop, exitpriority=10)
    freeze_gc()
    return app


def freeze_gc() -> None:
    """Exclude all present objects from garbage collection: they live until the process ends.

    A full collection over them would stop every request for 0.1 to 0.2 seconds.
    """
    gc.collect()
    gc.freeze()


def _start_dispatcher(services: Services) -> Callable[[], None]:
    return InProcessDispatcher(services).start(exit_when_orphaned=True).stop


def _start_job_notifier(services: Services) -> Callable[[], None]:
    # Late: from the extra `scale`.
    from provider.delivery.runners.notifier import JobNotifier

    notifier = JobNotifier(services.db).start_in_server()
    services.db.on_commit.append(notifier.ring)
    return notifier.stop


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
        # The strict check needs a referrer, and our pages send none.
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
    """Return the `servers` of the OpenAPI description."""
    base = services.settings.base_url
    return [{"url": base}, {"url": f"{base}/workable"}]


def _register_error_handler(app: Flask, api: ContractApi) -> None:
    """Answer a page's path with an error page, and others with the contract's JSON."""

    @app.errorhandler(HTTPException)
    def _handle_http_exception(error: HTTPException) -> Response:
        if web.is_page_path(request.path):
            return web.render_error_page(error)
        return api.handle_http_exception(error)
