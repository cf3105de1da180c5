"""Evaluation of SPF records (RFC 7208) for the addresses from which mail is sent."""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Protocol

Address = IPv4Address | IPv6Address

MAX_LOOKUPS = 10  # of one evaluation (RFC 7208, 4.6.4)
MAX_MAIL_HOSTS = 10  # of one `mx`
PASS, NEUTRAL = "+", "?"
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE)
_MECHANISM = re.compile(r"([+?~-]?)([a-z0-9]+)(?::([^/]+))?(?:/(\d{1,3}))?(?://(\d{1,3}))?", re.I)
_NETWORK = re.compile(r"([+?~-]?)ip([46]):(.+)", re.IGNORECASE)


class DnsSilent(Exception):
    """No DNS server has answered."""


class SpfUnclear(Exception):
    """A record cannot be evaluated, or is wrong; the message says which part."""


class Resolver(Protocol):
    """Questions to DNS. A name that does not exist has no records; DnsSilent without an answer."""

    def texts(self, name: str) -> Sequence[str]: ...

    def addresses(self, name: str) -> Sequence[Address]: ...

    def mail_hosts(self, name: str) -> Sequence[str]: ...


def find_spf_records(resolver: Resolver, domain: str) -> list[str]:
    """Return the SPF records of a domain; a receiver accepts one only."""
    return [text for text in resolver.texts(domain) if text.lower().split(" ")[0] == "v=spf1"]


def allows(resolver: Resolver, domain: str, address: Address) -> bool:
    """Return whether the domain's record passes mail from an address; SpfUnclear, DnsSilent."""
    return _Evaluation(resolver, address).result(domain) == PASS


class _Evaluation:
    """One run of RFC 7208's `check_host`, with its count of lookups."""

    def __init__(self, resolver: Resolver, address: Address) -> None:
        self._resolver = resolver
        self._address = address
        self._lookup_count = 0

    def result(self, domain: str) -> str:
        """Return the qualifier of the first mechanism that matches the address."""
        records = find_spf_records(self._resolver, domain)
        if len(records) != 1:
            raise SpfUnclear(f"{domain} has {len(records)} SPF records")
        redirect = ""
        for term in records[0].split()[1:]:
            if modifier := _MODIFIER.fullmatch(term):
                if modifier[1].lower() == "redirect":
                    redirect = modifier[2]
            elif qualifier := self._match(term, domain):
                return qualifier
        if not redirect:
            return NEUTRAL
        self._count_lookup()
        return self.result(_require_plain(redirect))

    def _match(self, term: str, domain: str) -> str:
        """Return the qualifier of a mechanism that matches; empty if it does not."""
        if network := _NETWORK.fullmatch(term):
            return (network[1] or PASS) if self._is_in(network[3], int(network[2])) else ""
        parts = _MECHANISM.fullmatch(term)
        if parts is None:
            raise SpfUnclear(f"“{term}” in the record of {domain}")
        name, value = parts[2].lower(), _require_plain(parts[3] or "")
        prefixes = int(parts[4] or 32), int(parts[5] or 128)
        matchers: dict[str, Callable[[], bool]] = {
            "all": lambda: True,
            "include": lambda: self.result(value) == PASS,
            "a": lambda: self._is_host([value or domain], prefixes),
            "mx": lambda: self._is_host(self._mail_hosts(value or domain), prefixes),
        }
        if name not in matchers or (name == "include" and not value):
            raise SpfUnclear(f"“{term}” in the record of {domain}")
        if name != "all":
            self._count_lookup()
        return (parts[1] or PASS) if matchers[name]() else ""

    def _mail_hosts(self, domain: str) -> Sequence[str]:
        hosts = self._resolver.mail_hosts(domain)
        if len(hosts) > MAX_MAIL_HOSTS:
            raise SpfUnclear(f"{domain} has more than {MAX_MAIL_HOSTS} mail hosts")
        return hosts

    def _is_host(self, hosts: Sequence[str], prefixes: tuple[int, int]) -> bool:
        """Return whether the address has the same first bits as an address of the hosts."""
        version = self._address.version
        prefix = prefixes[0] if version == 4 else prefixes[1]
        return any(
            self._is_in(f"{address}/{prefix}", version)
            for host in hosts
            for address in self._resolver.addresses(host)
            if address.version == version
        )

    def _is_in(self, text: str, version: int) -> bool:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise SpfUnclear(f"“{text}” is no network") from None
        if network.version != version:
            raise SpfUnclear(f"“{text}” is no IPv{version} network")
        return self._address in network

    def _count_lookup(self) -> None:
        self._lookup_count += 1
        if self._lookup_count > MAX_LOOKUPS:
            raise SpfUnclear(f"the record needs more than {MAX_LOOKUPS} lookups")


def _require_plain(domain: str) -> str:
    """Return a domain without macros, which need the sender and the greeting."""
    if "%" in domain:
        raise SpfUnclear(f"the macro “{domain}”")
    return domain
