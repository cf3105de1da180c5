"""Text of a receiver, as attempts and pauses store it: without secrets, and not too long."""

import json
from collections.abc import Iterable
from urllib.parse import quote

from provider.logging_config import TOKEN_PATTERN

MAX_RESPONSE_EXCERPT_LENGTH = 2048  # bytes of a response that an attempt stores


def to_storable_text(text: str) -> str:
    """Return text that every database can store: an error would fail each later cycle."""
    text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate, as in the name of a file
    # Tokens are replaced before the cut, which may leave a part of one.
    return hide_secrets(text)[:MAX_RESPONSE_EXCERPT_LENGTH]


def hide_secrets(text: str, known_secrets: Iterable[str] = ()) -> str:
    """Star known secrets, and whatever looks like a token of this program.

    Known secrets are also found as they are written in a URL or in JSON. The text keeps its length:
    a shorter one would move a part of a later secret to where the text is cut.
    """
    # The longest first: a secret may be a part of another one.
    for secret in sorted(_written_forms(known_secrets), key=len, reverse=True):
        text = text.replace(secret, "*" * len(secret))
    return TOKEN_PATTERN.sub(lambda match: match[1] + "*" * (len(match[0]) - len(match[1])), text)


def _written_forms(known_secrets: Iterable[str]) -> set[str]:
    return {
        form
        for secret in known_secrets
        if secret
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
    }
