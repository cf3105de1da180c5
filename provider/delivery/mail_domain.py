"""The SPF and DKIM records of the sender's domain, by which receivers judge our e-mails."""

from collections.abc import Sequence
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from provider.ats.api import CheckLine
from provider.config import Settings
from provider.delivery.spf import (
    Address,
    DnsSilent,
    Resolver,
    SpfUnclear,
    allows,
    find_spf_records,
)

DNS_TIMEOUT_SECONDS = 3.0


class DnsResolver:
    """Asks the machine's DNS servers, or one server at an address and a port."""

    def __init__(self, server: tuple[str, int] | None = None) -> None:
        self._server = server
        self._answers: dict[tuple[str, str], list[Any]] = {}  # each question is asked once

    def texts(self, name: str) -> list[str]:
        strings = [record.strings for record in self._ask(name, "TXT")]
        return [b"".join(parts).decode("utf-8", "replace") for parts in strings]

    def addresses(self, name: str) -> list[Address]:
        records = [*self._ask(name, "A"), *self._ask(name, "AAAA")]
        return [ip_address(record.address) for record in records]

    def mail_hosts(self, name: str) -> list[str]:
        return [record.exchange.to_text() for record in self._ask(name, "MX")]

    def _ask(self, name: str, record_type: str) -> list[Any]:
        if (name, record_type) not in self._answers:
            self._answers[name, record_type] = self._ask_server(name, record_type)
        return self._answers[name, record_type]

    def _ask_server(self, name: str, record_type: str) -> list[Any]:
        import dns.exception  # late: only `account check` asks DNS
        import dns.resolver

        resolver = dns.resolver.Resolver(configure=self._server is None)
        if self._server is not None:
            resolver.nameservers, resolver.port = [self._server[0]], self._server[1]
        resolver.lifetime = DNS_TIMEOUT_SECONDS
        try:
            return list(resolver.resolve(name, record_type))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            raise DnsSilent from None


def check_mail_domain(settings: Settings, resolver: Resolver | None = None) -> list[CheckLine]:
    """Return a sentence for each record; none where mail is stored in files, or DNS is silent."""
    if settings.mail_url is None:
        return []
    resolver = resolver or DnsResolver()
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    server = urlsplit(settings.mail_url).hostname or ""
    try:
        lines = [_spf_line(resolver, domain, server)]
        if selector := settings.dkim_selector:
            name = f"{selector}._domainkey.{domain}"
            lines.append(_dkim_line(name, resolver.texts(name)))
    except DnsSilent:
        return []
    return lines


def _spf_line(resolver: Resolver, domain: str, server: str) -> CheckLine:
    records = find_spf_records(resolver, domain)
    if not records:
        return CheckLine(
            False,
            f"{domain} has no SPF record, so that invitations may count as spam: publish one that "
            f"names the mail server {server}",
        )
    if len(records) > 1:
        text = f"{domain} has {len(records)} SPF records: receivers accept one only"
        return CheckLine(False, text)
    try:
        refused = _refused_addresses(resolver, domain, server)
    except DnsSilent:
        reason = "a DNS server does not answer"
    except SpfUnclear as error:
        reason = str(error)
    else:
        if not refused:
            return CheckLine(True, f"The SPF record of {domain} allows the mail server {server}")
        addresses = ", ".join(map(str, refused))
        return CheckLine(
            False,
            f"The SPF record of {domain} does not allow the mail server {server} ({addresses}): "
            "add it, or what its operator names if mail leaves from other addresses",
        )
    return CheckLine(
        True,
        f"{domain} has an SPF record. It is not known whether it allows the mail server {server}: "
        f"{reason}",
    )


def _refused_addresses(resolver: Resolver, domain: str, server: str) -> Sequence[Address]:
    """Return the addresses of the mail server that the record does not pass; SpfUnclear."""
    try:
        addresses: Sequence[Address] = [ip_address(server)]
    except ValueError:
        addresses = resolver.addresses(server)
    if not addresses:
        raise SpfUnclear("the mail server has no address in DNS")
    if not all(address.is_global for address in addresses):
        raise SpfUnclear("it has an address of a private network, and mail leaves from another")
    return [address for address in addresses if not allows(resolver, domain, address)]


def _dkim_line(name: str, texts: Sequence[str]) -> CheckLine:
    keys = [tag.strip() for text in texts for tag in text.split(";") if tag.strip()[:2] == "p="]
    if any(len(key) > len("p=") for key in keys):  # an empty key is a revoked one (RFC 6376)
        return CheckLine(True, f"{name} has a DKIM key")
    return CheckLine(
        False, f"{name} has no DKIM key: publish the one with which the mail server signs"
    )
