"""Subscriptions: what an ATS must be asked for, before it sends events to our addresses."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Any

from provider.ats.api.connection import Connection
from provider.ats.api.http import ApiRequest, ApiResponse

SubscriptionSteps = Generator[ApiRequest, ApiResponse, Sequence[str]]


class Subscriptions(ABC):
    """The subscriptions of an account at its ATS."""

    @abstractmethod
    def is_wanted(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the account's settings want events."""

    @abstractmethod
    def keep(
        self, connection: Connection, addresses: Mapping[str, str], now: datetime
    ) -> SubscriptionSteps:
        """Yield the requests that make the subscriptions right; return the events created now.

        `addresses` maps each event to our address. Raises UnreadableAnswer.
        """
