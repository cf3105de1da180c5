"""The arguments of `provider account set`."""

import sys
from collections.abc import Sequence

import click

from provider.ats.account_settings import CALLBACK_TOKEN


def read_settings(arguments: Sequence[str]) -> dict[str, str]:
    """Return the texts of arguments KEY=VALUE by key; a callback token `-` is read from stdin."""
    texts = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise click.UsageError(f"“{argument}” should look like KEY=VALUE")
        texts[key.strip()] = value.strip()
    if CALLBACK_TOKEN in texts:
        texts[CALLBACK_TOKEN] = read_callback_token(texts[CALLBACK_TOKEN])
    return texts


def read_callback_token(text: str) -> str:
    """Return a token, or the line of stdin for `-`."""
    return sys.stdin.readline().strip() if text == "-" else text
