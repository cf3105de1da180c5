"""A connection: what an adapter's functions know about the account that they work for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


@dataclass(frozen=True)
class Connection:
    """The settings and credentials of one account; `settings` has the defaults filled in.

    `access_token` is the token that the flow of the adapter has obtained; empty without a flow.
    """

    account_id: int
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    access_token: str = field(default="", repr=False)

    def secret(self, name: str) -> str:
        """Return a secret; empty if it is not set."""
        return self.secrets.get(name, "")

    def client_digest(self, *parts: str) -> str:
        """Return the digest that names the client of a budget, from what identifies it."""
        return sha256("\x00".join(parts).encode()).hexdigest()

    def known_secrets(self) -> tuple[str, ...]:
        """Return every credential, which no stored answer may contain."""
        return tuple(filter(None, (*self.secrets.values(), self.access_token)))
