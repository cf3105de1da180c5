"""Text of a receiver that an attempt stores, without the secrets that the receiver repeats."""

import json
from collections.abc import Iterable
from urllib.parse import quote

from provider.logging_config import TOKEN_PATTERN


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
