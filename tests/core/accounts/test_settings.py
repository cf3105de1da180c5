"""The settings of every account: what their parsers accept, and the texts that read them."""

import pytest

from provider.core.accounts import Account
from provider.core.accounts.setting_texts import contact_url
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.errors import Invalid


def new_account() -> Account:
    return Account(
        name="Groove Tech",
        ats="workable",
        callback_hosts=["*.workable.com"],
        expire_after_seconds=604_800,
        timezone="UTC",
        sandbox=False,
        branding={},
        options={},
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("callback_hosts", "*.example.com,hooks.example.org"),
        ("callback_rate", "0.5"),
        ("callback_rate", "none"),
        ("request_rate", "20"),
        ("request_rate", "none"),
        ("expire_after", "90s"),
        ("expire_after", "36h"),
        ("expire_after", "14d"),
        ("timezone", "Europe/Athens"),
        ("shared_ttl", "3 views"),
        ("shared_ttl", "none"),
        ("sandbox", "yes"),
        ("second_person", "consider"),
        ("notice_days", "7"),
        ("sandbox_outcomes", "assessment/reasoning=fail, words=slow"),
        ("sandbox_outcomes", "none"),
        ("brand.display_name", "Groove & Co"),
        ("brand.colour", "#0a5cff"),
        ("brand.support_address", "help@groove.example"),
        ("brand.support_address", "none"),
        ("brand.privacy_address", "https://groove.example/privacy?lang=en#top"),
    ],
)
def test_setting_reads_the_text_that_it_was_given(key: str, text: str) -> None:
    account = new_account()
    COMMON_SETTINGS[key].change(account, text)
    assert COMMON_SETTINGS[key].read(account) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("reasoning", "should look like PRODUCT=OUTCOME, PRODUCT=OUTCOME, or none"),
        ("=pass", "should look like"),
        ("reasoning=", "should look like"),
        ("reasoning=pass,", "should look like"),
        ("reasoning=won", "has no outcome “won”: there are pass, fail, slow, decline"),
        ("reasoning=pass, reasoning=fail", "names “reasoning” twice"),
        (",".join(f"test-{number}=pass" for number in range(51)), "at most 50 products"),
    ],
)
def test_sandbox_outcomes_that_are_wrong_are_refused(text: str, problem: str) -> None:
    account = new_account()
    with pytest.raises(Invalid, match=f"sandbox_outcomes .*{problem}"):
        COMMON_SETTINGS["sandbox_outcomes"].change(account, text)
    assert account.options == {}


@pytest.mark.parametrize(
    "text",
    [
        "help",
        "help@localhost",
        "http://groove.example",
        "javascript:alert(1)",
        "https://user@groove.example",
        'https://groove.example/"onclick="',
        "https://groove.example/a b",
        "https://localhost",
        "help@groove.example\nBcc: all@groove.example",
        '"a"@groove.example',
        f"https://groove.example/{'a' * 300}",
    ],
)
def test_contact_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"brand\.support_address should be an e-mail address, or"):
        COMMON_SETTINGS["brand.support_address"].change(new_account(), text)


def test_contact_url_writes_to_an_address_or_opens_a_page() -> None:
    assert contact_url("help@groove.example") == "mailto:help@groove.example"
    assert contact_url("https://groove.example/help") == "https://groove.example/help"
