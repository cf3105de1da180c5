"""The parts that a request may use, put together once by the app."""

from dataclasses import dataclass
from datetime import datetime

from provider.accounts import Doorkeeper
from provider.clock import Clock
from provider.config import Settings
from provider.db import Database
from provider.limits import Limits
from provider.links import Links
from provider.media import Media
from provider.meter import Ledger, Meter
from provider.orders.glance import Catalogue
from provider.vault import Vault


@dataclass(frozen=True)
class House:
    """Settings, database, vault, clock and all that one running server remembers and writes to."""

    settings: Settings
    db: Database
    vault: Vault
    clock: Clock
    doorkeeper: Doorkeeper
    catalogue: Catalogue
    links: Links
    media: Media
    meter: Meter
    ledger: Ledger
    limits: Limits

    @classmethod
    def build(cls, settings: Settings, clock: Clock | None = None) -> "House":
        """Put a house together from its settings."""
        db, meter = Database(settings.database_url), Meter()
        return cls(
            settings=settings,
            db=db,
            vault=Vault(settings.secret_keys),
            clock=clock or Clock(),
            doorkeeper=Doorkeeper(db),
            catalogue=Catalogue(db),
            links=Links(settings.base_url),
            media=Media(
                settings.media_url or f"file:{settings.instance / 'media'}",
                signed=settings.signed_downloads,
            ),
            meter=meter,
            ledger=Ledger(db, meter),
            limits=Limits(settings.limits_url),
        )

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return self.clock.now()
