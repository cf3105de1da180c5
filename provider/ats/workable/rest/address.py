"""The address of an account's API at Workable."""

from collections.abc import Mapping
from typing import Any


def api_base(settings: Mapping[str, Any]) -> str:
    """Return the setting `api_base`, or the address of the account's subdomain."""
    return settings["api_base"] or f"https://{settings['subdomain']}.workable.com/spi/v3"
