"""The beginning of a response's body as text, without the secrets that the receiver repeats."""

import re
from collections.abc import Mapping
from functools import lru_cache

from provider.logging_config import TOKEN_PATTERN

SECRET_HEADER = re.compile("auth|cookie|key|password|secret|signature|token", re.IGNORECASE)


def create_excerpt(body: bytes, sent_headers: Mapping[str, str], max_bytes: int) -> str:
    """Return at most `max_bytes` of UTF-8 with a star for each character of a secret.

    Secrets are the credentials in `sent_headers`, and whatever looks like a token of this server.
    """
    # Twice as much is searched: a secret that begins within the excerpt is seen whole.
    text = body[: 2 * max_bytes].decode("utf-8", "replace")
    if not text:
        return ""
    # Each star replaces one character, or a part of a later secret would move into the excerpt.
    for secret in _secrets(sent_headers):
        text = text.replace(secret, "*" * len(secret))
    text = TOKEN_PATTERN.sub(lambda match: match[1] + "*" * (len(match[0]) - len(match[1])), text)
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _secrets(headers: Mapping[str, str]) -> list[str]:
    """Return the last word of each header with credentials, the longest first."""
    secrets = [value.rpartition(" ")[2] for name, value in headers.items() if _has_secret(name)]
    return sorted(filter(None, secrets), key=len, reverse=True)


@lru_cache(maxsize=64)
def _has_secret(header_name: str) -> bool:
    return bool(SECRET_HEADER.search(header_name))
