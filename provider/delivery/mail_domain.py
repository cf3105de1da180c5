"""The SPF and DKIM records of the sender's domain, by which receivers judge our e-mails."""

from email.utils import parseaddr
from urllib.parse import urlsplit

from provider.ats.api import CheckLine
from provider.config import Settings

DNS_TIMEOUT_SECONDS = 3.0
SPF_PREFIX = "v=spf1"


class DnsSilent(Exception):
    """No DNS server has answered."""


def check_mail_domain(
    settings: Settings, nameservers: tuple[str, int] | None = None
) -> list[CheckLine]:
    """Return a sentence for each record; none where mail is stored in files, or DNS is silent.

    `nameservers` is one address and its port in place of the machine's own.
    """
    if settings.mail_url is None:
        return []
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    server = urlsplit(settings.mail_url).hostname or ""
    try:
        lines = [_spf_line(domain, server, _read_texts(domain, nameservers))]
        if selector := settings.dkim_selector:
            name = f"{selector}._domainkey.{domain}"
            lines.append(_dkim_line(name, _read_texts(name, nameservers)))
    except DnsSilent:
        return []
    return lines


def _spf_line(domain: str, server: str, texts: list[str]) -> CheckLine:
    records = [text for text in texts if text.lower().startswith(SPF_PREFIX)]
    if not records:
        return CheckLine(
            False,
            f"{domain} has no SPF record, so that invitations may count as spam: publish one that "
            f"names the mail server {server}",
        )
    if len(records) > 1:
        text = f"{domain} has {len(records)} SPF records: receivers accept one only"
        return CheckLine(False, text)
    return CheckLine(True, f"{domain} has an SPF record; it should name the mail server {server}")


def _dkim_line(name: str, texts: list[str]) -> CheckLine:
    keys = [tag.strip() for text in texts for tag in text.split(";") if tag.strip()[:2] == "p="]
    if any(len(key) > len("p=") for key in keys):  # an empty key is a revoked one (RFC 6376)
        return CheckLine(True, f"{name} has a DKIM key")
    return CheckLine(
        False, f"{name} has no DKIM key: publish the one with which the mail server signs"
    )


def _read_texts(name: str, nameservers: tuple[str, int] | None) -> list[str]:
    """Return the TXT records of a name; DnsSilent if no server answers."""
    import dns.exception  # late: only `account check` asks DNS
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=nameservers is None)
    if nameservers is not None:
        resolver.nameservers, resolver.port = [nameservers[0]], nameservers[1]
    resolver.lifetime = DNS_TIMEOUT_SECONDS
    try:
        answer = resolver.resolve(name, "TXT")
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError):
        raise DnsSilent from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
