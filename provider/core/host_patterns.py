"""Which hosts a callback may go to: exact names, or `*.example.com` for all below it."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

# Nothing else, for what reads an address may take another sign for the end of the host.
HOST_CHARACTERS = re.compile(r"[a-z0-9._:-]+")


def is_allowed_host(host: str, patterns: Iterable[str]) -> bool:
    """Say whether a plain host name or address is on a list of names and `*.` patterns."""
    host = host.rstrip(".").lower()
    return bool(HOST_CHARACTERS.fullmatch(host)) and any(
        _matches_pattern(host, pattern.rstrip(".").lower()) for pattern in patterns
    )


def host_of(url: str) -> str:
    """Return the host that an address leads to, with its port where that is not the usual one.

    However it is written: one place is one host, or each would have a pace of its own.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    name = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return name if parts.port in (None, usual) else f"{name}:{parts.port}"


def _matches_pattern(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and not host.startswith(".")
    return host == pattern
