"""The house that serves the current request; apart from it, for a command needs no Flask."""

from flask import current_app

from provider.house import House


def here() -> House:
    """Return the house that serves the current request."""
    house: House = current_app.extensions["provider"]
    return house
