"""SPF records, evaluated as RFC 7208 says, with a resolver that has its records in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from provider.delivery.spf import MAX_LOOKUPS, Address, SpfUnclear, allows

DOMAIN = "example.com"


@dataclass
class Records:
    """The records of DNS; `questions` counts those about SPF records."""

    spf: Mapping[str, str]
    hosts: Mapping[str, list[str]] = field(default_factory=dict)
    mail: Mapping[str, list[str]] = field(default_factory=dict)
    questions: int = 0

    def texts(self, name: str) -> list[str]:
        self.questions += 1
        return [f"v=spf1 {self.spf[name]}".rstrip(), "another text"] if name in self.spf else []

    def addresses(self, name: str) -> list[Address]:
        return [ip_address(text) for text in self.hosts.get(name, [])]

    def mail_hosts(self, name: str) -> list[str]:
        return self.mail.get(name, [])


HOSTS = {
    DOMAIN: ["192.0.2.10", "2001:db8::10"],
    "smtp.example.com": ["192.0.2.20"],
    "mx.example.com": ["192.0.2.30", "2001:db8::30"],
}
MAIL = {DOMAIN: ["mx.example.com"], "other.example": ["smtp.example.com"]}


@pytest.mark.parametrize(
    ("record", "address", "is_allowed"),
    [
        ("ip4:192.0.2.1 -all", "192.0.2.1", True),
        ("ip4:192.0.2.1 -all", "192.0.2.2", False),
        ("ip4:192.0.2.0/24 ~all", "192.0.2.255", True),
        ("ip4:192.0.2.0/24 ~all", "192.0.3.0", False),
        ("ip6:2001:db8::/32 -all", "2001:db8:1::1", True),
        ("ip6:2001:db8::/32 -all", "2001:db9::1", False),
        ("ip4:192.0.2.1 -all", "2001:db8::1", False),
        ("a -all", "192.0.2.10", True),
        ("a -all", "2001:db8::10", True),
        ("a -all", "192.0.2.11", False),
        ("a/24 -all", "192.0.2.11", True),
        ("a//64 -all", "2001:db8::11", True),
        ("a//64 -all", "192.0.2.11", False),
        ("a:smtp.example.com -all", "192.0.2.20", True),
        ("a:smtp.example.com -all", "192.0.2.10", False),
        ("mx -all", "192.0.2.30", True),
        ("mx -all", "2001:db8::30", True),
        ("mx -all", "192.0.2.10", False),
        ("mx:other.example/24 -all", "192.0.2.99", True),
        ("+all", "192.0.2.1", True),
        ("all", "192.0.2.1", True),
        ("?all", "192.0.2.1", False),
        ("", "192.0.2.1", False),
        ("-ip4:192.0.2.1 +all", "192.0.2.1", False),
        ("-ip4:192.0.2.1 +all", "192.0.2.2", True),
        ("IP4:192.0.2.1 -ALL", "192.0.2.1", True),
        ("ip4:192.0.2.1 exp=why.example.com -all", "192.0.2.1", True),
        ("include:pass.example -all", "192.0.2.1", True),
        ("include:pass.example -all", "192.0.2.2", False),
        # A refusal within an include only means that the include does not match.
        ("include:pass.example ip4:192.0.2.2 -all", "192.0.2.2", True),
        ("redirect=pass.example", "192.0.2.1", True),
        ("redirect=pass.example", "192.0.2.2", False),
        ("redirect=pass.example ?all", "192.0.2.1", False),
    ],
)
def test_spf_record_passes_the_addresses_of_its_mechanisms(
    record: str, address: str, is_allowed: bool
) -> None:
    spf = {DOMAIN: record, "pass.example": "ip4:192.0.2.1 -all"}
    resolver = Records(spf, HOSTS, MAIL)
    assert allows(resolver, DOMAIN, ip_address(address)) is is_allowed


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("ptr -all", "“ptr” in the record"),
        ("exists:x.example -all", "“exists:x.example” in the record"),
        ("include:%{d}.example -all", "macro"),
        ("redirect=%{d}.example", "macro"),
        ("include -all", "“include” in the record"),
        ("include:empty.example -all", "empty.example has 0 SPF records"),
        ("redirect=empty.example", "empty.example has 0 SPF records"),
        ("ip4:300.0.0.1 -all", "no network"),
        ("ip4:2001:db8::1 -all", "no IPv4 network"),
        ("a/40 -all", "no network"),
        ("nonsense -all", "“nonsense” in the record"),
        ("mx:many.example -all", "more than 10 mail hosts"),
    ],
)
def test_spf_record_that_cannot_be_evaluated_says_why(record: str, reason: str) -> None:
    mail = {"many.example": [f"mx{number}.example" for number in range(11)]}
    resolver = Records({DOMAIN: record}, HOSTS, mail)
    with pytest.raises(SpfUnclear, match=reason):
        allows(resolver, DOMAIN, ip_address("192.0.2.1"))


def test_spf_record_with_ten_lookups_is_evaluated_and_eleven_not() -> None:
    def chain(length: int) -> Records:
        links = {f"{number}.test": f"include:{number + 1}.test -all" for number in range(length)}
        return Records({**links, f"{length}.test": "ip4:192.0.2.1 -all"})

    address = ip_address("192.0.2.1")
    assert allows(chain(MAX_LOOKUPS), "0.test", address)
    too_long = chain(MAX_LOOKUPS + 1)
    with pytest.raises(SpfUnclear, match="more than 10 lookups"):
        allows(too_long, "0.test", address)
    assert too_long.questions == MAX_LOOKUPS + 1


def test_spf_record_that_includes_itself_ends() -> None:
    resolver = Records({DOMAIN: f"include:{DOMAIN} -all"})
    with pytest.raises(SpfUnclear, match="more than 10 lookups"):
        allows(resolver, DOMAIN, ip_address("192.0.2.1"))
