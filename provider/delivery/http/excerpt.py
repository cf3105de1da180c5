"""The beginning of a response's body as text, without the secrets that the receiver repeats."""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache

from provider.outbox import hide_secrets

SECRET_HEADER = re.compile("auth|cookie|key|password|secret|signature|token", re.IGNORECASE)


def create_excerpt(
    body: bytes, sent_headers: Mapping[str, str], max_bytes: int, other_secrets: Iterable[str] = ()
) -> str:
    """Return at most `max_bytes` of UTF-8 with a star for each character of a secret.

    Secrets are the credentials in `sent_headers` and the others that are given.
    """
    # Twice as much is searched: a secret that begins within the excerpt is seen whole.
    text = body[: 2 * max_bytes].decode("utf-8", "replace")
    if not text:
        return ""
    text = hide_secrets(text, (*_secrets(sent_headers), *other_secrets))
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _secrets(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the last word of each header with credentials; of Basic ones also user and password."""
    for name, value in headers.items():
        if _has_secret(name):
            scheme, _, credentials = value.rpartition(" ")
            yield credentials
            if scheme.lower() == "basic":
                with suppress(ValueError):  # not base64
                    yield from b64decode(credentials).decode("utf-8", "replace").split(":", 1)


@lru_cache(maxsize=64)
def _has_secret(header_name: str) -> bool:
    return bool(SECRET_HEADER.search(header_name))
