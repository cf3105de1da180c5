"""Which hosts a callback may go to: exact names, or `*.example.com` for all below it."""

from collections.abc import Iterable


def allowed(host: str, patterns: Iterable[str]) -> bool:
    """Say whether a host name is on a list of names and `*.` patterns."""
    host = host.rstrip(".").lower()
    return any(_fits(host, pattern.rstrip(".").lower()) for pattern in patterns)


def _fits(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern
