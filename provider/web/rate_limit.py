"""A limit on requests from one network, for pages that check a link's token or a password."""

from werkzeug.exceptions import TooManyRequests

from provider.core.networks import network_of, parse_address
from provider.services import current_services
from provider.web.client_address import client_address

# Requests from one network; a whole office may share one address.
MAX_REQUESTS = 600
WINDOW_SECONDS = 60


def limit_by_address() -> None:
    """Raise TooManyRequests when the client's network sent too many requests.

    A loopback address is not limited. It belongs to a proxy that is not configured as one, and
    stands for every client behind it.
    """
    network = _rate_limit_network(client_address())
    if not network:
        return
    services = current_services()
    now = services.now()
    state = services.rate_limiter.hit(f"address/{network}", MAX_REQUESTS, WINDOW_SECONDS, now)
    if state.remaining < 0:
        raise TooManyRequests(retry_after=state.seconds_until_reset(now))


def _rate_limit_network(address_text: str) -> str:
    address = parse_address(address_text)
    # A Unix socket has no address.
    return "" if address is None or address.is_loopback else network_of(address_text)
