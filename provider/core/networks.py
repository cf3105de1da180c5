"""Addresses of clients, and the network to which limits apply."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# The first bits of an IPv6 address are its network. A host chooses the other bits itself.
IPV6_PREFIX_BITS = 64


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address as proxies write it, also with a port or a zone; None for other text."""
    text = text.strip().strip('"')
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.7:443
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def network_of(text: str) -> str:
    """Return the network of an address: an IPv4 address itself, the /64 of an IPv6 address.

    The result is "" for text that is no address, such as the name of a Unix socket.
    """
    address = parse_address(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), IPV6_PREFIX_BITS), strict=False))
    return str(address or "")
