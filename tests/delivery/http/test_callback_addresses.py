"""Allowed callback addresses, with a fake resolver and a record of connections."""

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.ats import CallbackRequest
from provider.delivery.channels.callback import send_callback
from provider.delivery.http import addresses
from provider.delivery.http.addresses import (
    AddressNotAllowed,
    Endpoint,
    IPAddress,
    Resolver,
    parse_endpoint,
)
from provider.delivery.http.client import HttpClient, RequestFailed
from tests.delivery.receivers import ResolvedAddresses

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:a00:1::f5ff:fffe",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
]
NUMBERS = [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "167772161",
    "0xa000001",
    "012.1",
    "0",
    "00",
    "0x0",
    "0300.0250.1",
    "3232235521",
    "2822734096",
    "127.0.0.1",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
]
NOT_PUBLIC = "The host's address is not a public one"


@pytest.fixture
def http_client() -> Iterator[HttpClient]:
    """An HTTP client as in production, without private addresses."""
    client = HttpClient(allow_private=False)
    yield client
    client.close()


def error_text(http_client: HttpClient, url: str = "https://groove-tech.workable.com/x") -> str:
    with pytest.raises(RequestFailed) as caught:
        send_callback(http_client, CallbackRequest("PUT", url), b"{}", {})
    return str(caught.value)


def test_public_addresses_are_tried_one_after_the_other(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    fake_resolver(lambda: PUBLIC)
    assert error_text(http_client) == "The receiver could not be reached"
    assert sorted(dialled_addresses) == sorted(PUBLIC)


def test_nat64_address_of_public_ipv4_is_connected_to(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    fake_resolver(lambda: ["64:ff9b::5db8:d70e"])
    error_text(http_client)
    assert dialled_addresses == ["64:ff9b::5db8:d70e"]


@pytest.mark.parametrize("address", SPECIAL)
def test_special_address_is_not_connected_to(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    address: str,
) -> None:
    fake_resolver(lambda: [address])
    assert error_text(http_client) == NOT_PUBLIC
    assert dialled_addresses == []


@pytest.fixture
def numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own parser of addresses, without DNS."""
    resolver = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: int) -> list[object]:
        return list(resolver(host, port, flags=socket.AI_NUMERICHOST, type=options["type"]))

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("host", NUMBERS)
def test_alternative_ip_notation_is_not_connected_to(
    http_client: HttpClient, dialled_addresses: list[str], numbers_only: None, host: str
) -> None:
    assert error_text(http_client, f"https://{host}/x") == NOT_PUBLIC
    assert dialled_addresses == []


@pytest.mark.parametrize(
    "host", ["①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "%31%32%37.0.0.1"]
)
def test_unicode_digits_are_not_connected_to(
    http_client: HttpClient, dialled_addresses: list[str], numbers_only: None, host: str
) -> None:
    error_text(http_client, f"https://{host}/x")
    assert dialled_addresses == []


def test_changing_dns_answers_never_reach_special_addresses(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    answers = cycle([[PUBLIC[0]], ["127.0.0.1"], [PUBLIC[1]], ["::1"], ["169.254.169.254"]])
    asked = fake_resolver(lambda: next(answers))
    errors = [error_text(http_client) for _ in range(1000)]
    assert len(asked) == 1000  # one lookup per request: the checked address is the one used
    assert dialled_addresses == PUBLIC * 200
    assert errors.count(NOT_PUBLIC) == 600


@pytest.mark.parametrize("special", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_special_address_rejects_all_addresses(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    special: str,
    index: int,
) -> None:
    fake_resolver(lambda: [*PUBLIC[:index], special, *PUBLIC[index:]])
    assert error_text(http_client) == NOT_PUBLIC
    assert dialled_addresses == []


@pytest.mark.parametrize("host", ["a.test", "127.0.0.1", "2130706433", "localhost", "[::1]"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "::1"])
def test_socket_is_refused_when_the_resolver_misses_a_special_address(
    http_client: HttpClient,
    dialled_addresses: list[str],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    address: str,
) -> None:
    def resolve(*_: object, **__: object) -> list[IPAddress]:
        return [ip_address(address)]

    monkeypatch.setattr(Resolver, "resolve", resolve)
    assert error_text(http_client, f"https://{host}/x") == NOT_PUBLIC
    assert dialled_addresses == []


@pytest.mark.parametrize("answers", [[], ["0x7f000001"], ["localhost"], [""]])
def test_invalid_dns_answer_is_not_connected_to(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    answers: list[str],
) -> None:
    fake_resolver(lambda: answers)
    assert error_text(http_client) == "The host's name was not found"
    assert dialled_addresses == []


def test_unknown_host_name_gives_error(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
) -> None:
    def unknown() -> list[str]:
        raise socket.gaierror

    fake_resolver(unknown)
    assert error_text(http_client) == "The host's name was not found"
    assert error_text(http_client, f"https://{'a' * 64}.test/") == "The host's name was not found"


@pytest.mark.parametrize(
    "url", ["http://groove-tech.workable.com/x", "https://groove-tech.workable.com:8443/x"]
)
def test_plain_http_and_other_ports_are_not_connected_to(
    http_client: HttpClient,
    dialled_addresses: list[str],
    fake_resolver: Callable[[ResolvedAddresses], list[str]],
    url: str,
) -> None:
    asked = fake_resolver(lambda: PUBLIC)
    assert error_text(http_client, url) == "The address is not https on port 443"
    assert (asked, dialled_addresses) == ([], [])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://groove.workable.com\\@evil.test/", "groove.workable.com"),
        ("https://groove.workable.com@evil.test/", "evil.test"),
        ("https://evil.test#@groove.workable.com/", "evil.test"),
        ("https://evil.test?@groove.workable.com/", "evil.test"),
        ("HTTPS://Groove.Workable.COM:443/", "groove.workable.com"),
        ("https://[::1]/", "::1"),
    ],
)
def test_parse_endpoint_of_ambiguous_url_returns_one_host(url: str, host: str) -> None:
    endpoint, _ = parse_endpoint(url)
    assert endpoint.host == host
    assert endpoint.is_standard_https


@given(st.from_regex(addresses.PLAIN_URL, fullmatch=True))
def test_plain_url_is_parsed_as_any_other(url: str) -> None:
    try:
        expected = addresses._parse(url)
    except AddressNotAllowed:
        with pytest.raises(AddressNotAllowed):
            parse_endpoint(url)
    else:
        assert parse_endpoint(url) == expected


@pytest.mark.parametrize(
    "url", ["", "x", "//a/b", "https:///b", "file:///etc/passwd", "https://[/"]
)
def test_parse_endpoint_of_invalid_url_raises(url: str) -> None:
    with pytest.raises(AddressNotAllowed, match="The address"):
        parse_endpoint(url)


@pytest.mark.parametrize(
    ("url", "endpoint", "header", "is_standard"),
    [
        ("https://A.test/x?y", Endpoint("https", "a.test", 443), "a.test", True),
        ("http://a.test", Endpoint("http", "a.test", 80), "a.test", False),
        ("https://a.test:80", Endpoint("https", "a.test", 80), "a.test:80", False),
        ("http://a.test:443", Endpoint("http", "a.test", 443), "a.test:443", False),
        ("https://[::1]:8443/x", Endpoint("https", "::1", 8443), "[::1]:8443", False),
    ],
)
def test_parse_endpoint_adds_default_port(
    url: str, endpoint: Endpoint, header: str, is_standard: bool
) -> None:
    parsed, target = parse_endpoint(url)
    assert (parsed, parsed.host_header) == (endpoint, header)
    assert parsed.is_standard_https == is_standard
    assert target == ("/x?y" if "?" in url else "/x" if url.endswith("/x") else "/")
