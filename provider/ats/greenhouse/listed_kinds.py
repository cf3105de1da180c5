"""The kinds of products on an account's list of tests."""

from collections.abc import Mapping
from typing import Any

from provider.core.kinds import KINDS

KIND_OPTIONS = {"interview": "interviews", "check": "checks"}  # other kinds are always listed


def listed_kinds(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kinds that an account with these options may order."""
    return tuple(
        kind for kind in KINDS if kind not in KIND_OPTIONS or options.get(KIND_OPTIONS[kind])
    )
