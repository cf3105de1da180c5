"""The house that serves the current request; apart from it, for a command needs no Flask."""

from flask import current_app

from provider.house import Services


def current_services() -> Services:
    """Return the house that serves the current request."""
    services: Services = current_app.extensions["provider"]
    return services
