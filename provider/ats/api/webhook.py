"""Webhooks: an ATS tells that something about a record has changed. A webhook does no I/O.

An event only names its record: the record is read again, and its present state is judged. So a
repeated event, or an older one that arrives later, does no harm.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from provider.ats.api.connection import Connection
from provider.ats.api.http import ApiRequest, ApiResponse
from provider.core.connections import Record

LookupSteps = Generator[ApiRequest, ApiResponse, Record | None]


@dataclass(frozen=True)
class Event:
    """`id` is the same whenever the ATS sends the event again. `record_key` names its record."""

    id: str
    record_key: str


class Webhook(ABC):
    """The events that an ATS sends to our address, and the requests for the record behind one.

    `event_names` are the last part of the addresses to give to the ATS.
    """

    event_names: ClassVar[tuple[str, ...]] = ("events",)

    @abstractmethod
    def signing_keys(self, connection: Connection) -> Sequence[str]:
        """Return the keys that may have signed; an empty one never signs."""

    @abstractmethod
    def is_signed(self, body: bytes, headers: Mapping[str, str], key: str) -> bool:
        """Return whether the key signed these bytes. The names of `headers` are in lower case."""

    @abstractmethod
    def read(
        self, body: bytes, headers: Mapping[str, str], connection: Connection
    ) -> Sequence[Event]:
        """Return the events of a signed body, none for a trial; UnreadableAnswer if it has none."""

    @abstractmethod
    def lookup(self, record_key: str, connection: Connection) -> LookupSteps:
        """Yield the requests that read a record; return it, or None if it cannot be read."""
