"""The SPF and DKIM records of the sender's domain, asked of a real DNS server on loopback."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from provider.delivery.mail_domain import DnsResolver, check_mail_domain
from tests import factories

Check = Callable[..., list[tuple[bool, str]]]
TEXTS: dict[str, list[str]] = {
    "good.test.": ['"v=spf1 include:mail.test -all"', '"google-site-verification=x"'],
    "mail.test.": ['"v=spf1 mx ip6:2a00:1450::/32 ~all"'],
    "strict.test.": ['"v=spf1 a -all"'],
    "macro.test.": ['"v=spf1 exists:%{i}.list.test -all"'],
    "half.test.": ['"v=spf1 include:broken.test -all"'],
    "twice.test.": ['"v=spf1 -all"', '"V=SPF1 +all"'],
    "none.test.": ['"some text"'],
    "mail2026._domainkey.good.test.": ['"v=DKIM1; k=rsa; " "p=MIGfMA0"'],
    "revoked._domainkey.good.test.": ['"v=DKIM1; p="'],
}
OTHERS: dict[tuple[str, str], list[str]] = {
    ("smtp.test.", "A"): ["11.0.0.1"],
    ("smtp.test.", "AAAA"): ["2a00:1450::1"],
    ("mail.test.", "MX"): ["10 smtp.test."],
    ("strict.test.", "A"): ["11.0.0.2"],
    ("inside.test.", "A"): ["10.0.0.1"],
}


class _Handler(socketserver.BaseRequestHandler):
    """Answers questions; a record that it does not know does not exist."""

    def handle(self) -> None:
        data, socket = self.request
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        name = query.question[0].name
        record_type = dns.rdatatype.to_text(query.question[0].rdtype)
        records = (OTHERS | {(key, "TXT"): value for key, value in TEXTS.items()}).get(
            (name.to_text(), record_type)
        )
        if name.to_text() == "broken.test.":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif records is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        else:
            reply.answer.append(dns.rrset.from_text_list(name, 60, "IN", record_type, records))
        socket.sendto(reply.to_wire(), self.client_address)


@pytest.fixture
def check(tmp_path: Path) -> Iterator[Check]:
    """Return a function that checks a domain, with other variables of the environment."""
    server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def check(domain: str, **variables: str) -> list[tuple[bool, str]]:
        settings = factories.make_settings(
            tmp_path,
            PROVIDER_MAIL_FROM=f"Tests <tests@{domain}>",
            **{"PROVIDER_MAIL_URL": "smtps://u:p@smtp.test", **variables},
        )
        resolver = DnsResolver(("127.0.0.1", server.server_address[1]))
        return [(line.is_ok, line.text) for line in check_mail_domain(settings, resolver)]

    yield check
    server.shutdown()
    thread.join()
    server.server_close()


def test_spf_record_that_allows_the_mail_server_is_said(check: Check) -> None:
    ((is_ok, text),) = check("good.test")
    assert is_ok
    assert text == "The SPF record of good.test allows the mail server smtp.test"


def test_spf_record_without_the_mail_server_names_its_addresses(check: Check) -> None:
    ((is_ok, text),) = check("strict.test")
    assert not is_ok
    assert "does not allow the mail server smtp.test (11.0.0.1, 2a00:1450::1)" in text
    ((is_ok, _),) = check("strict.test", PROVIDER_MAIL_URL="smtps://u:p@11.0.0.2")
    assert is_ok


@pytest.mark.parametrize(
    ("domain", "server", "reason"),
    [
        ("macro.test", "smtp.test", "the macro “%{i}.list.test”"),
        ("half.test", "smtp.test", "a DNS server does not answer"),
        ("good.test", "nowhere.test", "the mail server has no address in DNS"),
        ("good.test", "inside.test", "it has an address of a private network"),
        ("good.test", "127.0.0.1", "it has an address of a private network"),
    ],
)
def test_spf_record_that_cannot_be_judged_is_no_failure(
    check: Check, domain: str, server: str, reason: str
) -> None:
    ((is_ok, text),) = check(domain, PROVIDER_MAIL_URL=f"smtps://u:p@{server}")
    assert is_ok
    assert f"not known whether it allows the mail server {server}: {reason}" in text


@pytest.mark.parametrize(
    ("domain", "problem"),
    [
        ("none.test", "none.test has no SPF record"),
        ("unknown.test", "unknown.test has no SPF record"),
        ("twice.test", "twice.test has 2 SPF records"),
    ],
)
def test_missing_or_repeated_spf_record_is_said(check: Check, domain: str, problem: str) -> None:
    ((is_ok, text),) = check(domain)
    assert not is_ok
    assert text.startswith(problem)


@pytest.mark.parametrize(
    ("selector", "is_found"), [("mail2026", True), ("revoked", False), ("other", False)]
)
def test_dkim_key_is_looked_for_under_the_selector(
    check: Check, selector: str, is_found: bool
) -> None:
    _, (is_ok, text) = check("good.test", PROVIDER_DKIM_SELECTOR=selector)
    assert is_ok == is_found
    assert f"{selector}._domainkey.good.test has " in text


def test_silent_dns_and_mail_in_files_say_nothing(check: Check) -> None:
    assert check("broken.test") == []
    assert check("none.test", PROVIDER_MAIL_URL="") == []
