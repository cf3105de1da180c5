"""Text of a receiver that an attempt stores, without the secrets that the receiver repeats."""

import json
from collections.abc import Iterable
from urllib.parse import quote

from provider.logging_config import TOKEN_PATTERN

HIDDEN = "[hidden]"


def hide_secrets(text: str, known_secrets: Iterable[str] = ()) -> str:
    """Replace known secrets, and whatever looks like a token of this program.

    Known secrets are also found as they are written in a URL or in JSON.
    """
    # The longest first: a secret may be a part of another one.
    for secret in sorted(_written_forms(known_secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return TOKEN_PATTERN.sub(rf"\1{HIDDEN}", text)


def _written_forms(known_secrets: Iterable[str]) -> set[str]:
    return {
        form
        for secret in known_secrets
        if secret
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])
    }
