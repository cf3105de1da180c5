"""The client's address behind any number of trusted proxies."""

from typing import Any

import pytest
from flask import Flask, Response

from provider.core.networks import network_of
from provider.web.client_address import TrustedProxies, client_address

# (proxies, X-Forwarded-For, the client's address); the connection comes from 10.0.0.1.
CASES = [
    (0, "203.0.113.9", "10.0.0.1"),
    (1, "", "10.0.0.1"),
    (1, "203.0.113.9", "203.0.113.9"),
    (1, "192.0.2.66, 203.0.113.9", "203.0.113.9"),
    (2, "192.0.2.66, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
    (2, "203.0.113.9,10.0.0.2", "203.0.113.9"),
    (2, "203.0.113.9", "203.0.113.9"),
    (3, "192.0.2.66, 203.0.113.9, 10.0.0.3, 10.0.0.2", "203.0.113.9"),
    (1, "203.0.113.9:51234", "203.0.113.9"),
    (1, "2001:db8::7", "2001:db8::7"),
    (1, "[2001:db8::7]:51234", "2001:db8::7"),
    (1, "[2001:DB8:0::7]", "2001:db8::7"),
    (1, '"[2001:db8::7]:443"', "2001:db8::7"),
    (1, "fe80::1%eth0", "fe80::1"),
    (1, "::ffff:203.0.113.9", "203.0.113.9"),
    (1, "unknown", "10.0.0.1"),
    (2, "unknown, 203.0.113.9", "203.0.113.9"),
    (1, "<script>", "10.0.0.1"),
    (1, ",,", "10.0.0.1"),
]


def behind_proxies(app: Any, proxy_count: int) -> Any:
    return TrustedProxies(app, proxy_count) if proxy_count else app


@pytest.mark.parametrize(("proxy_count", "forwarded", "address"), CASES)
def test_client_address_is_what_the_farthest_trusted_proxy_saw(
    proxy_count: int, forwarded: str, address: str
) -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: Response(client_address()))
    app.wsgi_app = behind_proxies(app.wsgi_app, proxy_count)  # type: ignore[method-assign]
    response = app.test_client().get(
        "/",
        headers={"X-Forwarded-For": forwarded},
        environ_base={"REMOTE_ADDR": "10.0.0.1"},
    )
    assert response.text == address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("/run/provider.sock", ""),
    ],
)
def test_network_of_ipv6_is_its_first_64_bits(address: str, network: str) -> None:
    assert network_of(address) == network
