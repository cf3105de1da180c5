"""Patterns of allowed callback hosts: exact names, or `*.example.com` for its subdomains."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

# All other characters are refused, because URL parsers disagree on which of them end a host.
HOST_CHARACTERS = re.compile(r"[a-z0-9._:-]+")


def is_allowed_host(host: str, patterns: Iterable[str]) -> bool:
    """Tell whether a host name or IP address matches one of the patterns."""
    return _matches_any(host, tuple(patterns))


@lru_cache(maxsize=4096)  # every callback asks, and most go to a few hosts
def _matches_any(host: str, patterns: tuple[str, ...]) -> bool:
    host = host.rstrip(".").lower()
    return bool(HOST_CHARACTERS.fullmatch(host)) and any(
        _matches_pattern(host, pattern.rstrip(".").lower()) for pattern in patterns
    )


def is_too_broad(pattern: str) -> bool:
    """Tell whether a pattern has fewer than two labels after the star, such as `*.com`."""
    return pattern.startswith("*") and len([part for part in pattern.split(".") if part]) < 3


def host_of(url: str) -> str:
    """Return the host of a URL, with the port unless it is the default port of the scheme.

    The result is normalised. Otherwise each spelling of a host would have its own rate limit.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    name = f"[{host}]" if ":" in host else host
    default_port = {"https": 443, "http": 80}.get(parts.scheme)
    return name if parts.port in (None, default_port) else f"{name}:{parts.port}"


def _matches_pattern(host: str, pattern: str) -> bool:
    if is_too_broad(pattern):  # an older program accepted it
        return False
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and not host.startswith(".")
    return host == pattern
