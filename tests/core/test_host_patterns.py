"""Patterns of allowed callback hosts."""

import pytest

from provider.core.host_patterns import host_of, is_allowed_host, is_too_broad

PATTERNS = ["*.workable.com", "hooks.example.org", "127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "host",
    [
        "groove-tech.workable.com",
        "a.b.workable.com",
        "GROOVE.Workable.COM",
        "hooks.example.org",
        "hooks.example.org.",
        "127.0.0.1",
        "::1",
        "under_score.workable.com",
    ],
)
def test_is_allowed_host_matching_host_is_allowed(host: str) -> None:
    assert is_allowed_host(host, PATTERNS)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "workable.com",
        ".workable.com",
        "evilworkable.com",
        "workable.com.evil.example",
        "x.hooks.example.org",
        "hooks.example.org.evil.example",
        "127.0.0.2",
        "127.0.0.1.nip.io",
        "*.workable.com",
    ],
)
def test_is_allowed_host_other_host_is_refused(host: str) -> None:
    assert not is_allowed_host(host, PATTERNS)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example\\.workable.com",
        "evil.example/.workable.com",
        "evil.example?.workable.com",
        "evil.example#.workable.com",
        "evil.example@x.workable.com",
        "evil.example\n.workable.com",
        "evil.example .workable.com",
        "evil.example%2f.workable.com",
        "x.workable.com\n",
        "evil。example.workable.com",
    ],
)
def test_is_allowed_host_ambiguous_host_is_refused(host: str) -> None:
    assert not is_allowed_host(host, PATTERNS)


def test_is_allowed_host_empty_list_or_pattern_allows_nothing() -> None:
    assert not is_allowed_host("workable.com", [])
    assert not is_allowed_host("workable.com", ["", "*", "*.", "."])
    assert not is_allowed_host("", ["", "*", "*.", "."])


@pytest.mark.parametrize("pattern", ["*.com", "*.co", "*.co.", "*.CO", "*.", "*", "*..com"])
def test_is_allowed_host_star_before_one_label_allows_nothing(pattern: str) -> None:
    assert is_too_broad(pattern)
    assert not is_allowed_host("example.com", [pattern])
    assert not is_allowed_host("a.example.co", [pattern])


@pytest.mark.parametrize("pattern", ["*.workable.com", "*.example.co.uk", "hooks", "127.0.0.1"])
def test_is_too_broad_other_pattern_is_not(pattern: str) -> None:
    assert not is_too_broad(pattern)


def test_is_allowed_host_pattern_ignores_case_and_trailing_dot() -> None:
    assert is_allowed_host("a.example.com", ["*.Example.COM."])
    assert is_allowed_host("example.com", ["Example.com."])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.workable.com/x", "a.workable.com"),
        ("https://a.workable.com./x", "a.workable.com"),
        ("https://a.workable.com:/x", "a.workable.com"),
        ("https://a.workable.com:443", "a.workable.com"),
        ("https://a.workable.com:0000443", "a.workable.com"),
        ("http://a.workable.com:80/", "a.workable.com"),
        ("http://a.workable.com:0443/", "a.workable.com:443"),
        ("https://a.workable.com.:8443/", "a.workable.com:8443"),
        ("https://[2001:DB8::1]:443/", "[2001:db8::1]"),
        ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
        ("https://user:password@a.workable.com", "a.workable.com"),
        ("nowhere", ""),
    ],
)
def test_host_of_url_is_normalised(url: str, host: str) -> None:
    assert host_of(url) == host
