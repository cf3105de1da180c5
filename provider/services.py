"""The container of everything that a request, a command or a dispatcher uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from provider.clock import Clock
from provider.config import Settings
from provider.core.accounts import TokenAuthenticator
from provider.core.orders import SUBSCRIBERS_KEY, StatusSubscriber
from provider.core.orders.queries import ProductListCache
from provider.core.urls import UrlBuilder
from provider.metrics import DatabaseGauges, MetricsRecorder
from provider.storage.database import Database
from provider.storage.media import MediaStore
from provider.storage.rate_limit import RateLimiter
from provider.storage.secrets import SecretBox


@dataclass(frozen=True)
class Services:
    """The services of one process; built once from the settings."""

    settings: Settings
    db: Database
    secret_box: SecretBox
    clock: Clock
    authenticator: TokenAuthenticator
    product_lists: ProductListCache
    urls: UrlBuilder
    media: MediaStore
    metrics: MetricsRecorder
    rate_limiter: RateLimiter

    @classmethod
    def build(
        cls,
        settings: Settings,
        clock: Clock | None = None,
        *,
        status_subscribers: Sequence[StatusSubscriber],
    ) -> "Services":
        """Build the services. `status_subscribers` get every change of a status."""
        secret_box, clock = SecretBox(settings.secret_keys), clock or Clock()
        db = Database(settings.database_url, secret_box)
        db.session_info[SUBSCRIBERS_KEY] = tuple(status_subscribers)
        return cls(
            settings=settings,
            db=db,
            secret_box=secret_box,
            clock=clock,
            authenticator=TokenAuthenticator(db),
            product_lists=ProductListCache(db),
            urls=UrlBuilder(settings.base_url),
            media=MediaStore(
                settings.media_url,
                presigned_urls=settings.signed_downloads,
                min_free_bytes=settings.min_free_bytes,
            ),
            metrics=MetricsRecorder(DatabaseGauges(db, clock)),
            rate_limiter=RateLimiter(settings.limits_url),
        )

    def now(self) -> datetime:
        return self.clock.now()

    def start_metrics_server(self, host: str, port: int) -> None:
        """Serve `/metrics` in the background; for a process without a web server."""
        from provider.metrics.exposition import MetricsServer  # late: commands load no HTTP server

        MetricsServer(self.metrics.registry, self.settings.metrics_token, host, port).start()


def current_services() -> Services:
    """Return the services of the Flask app that handles the current request."""
    from flask import current_app  # late: workers and commands load no Flask

    services: Services = current_app.extensions["provider"]
    return services
