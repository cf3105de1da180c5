"""The setting `sandbox_outcomes`: what happens to a sandbox's orders, by product.

The account's options have it: an outcome for each product, named as KIND/KEY. `core/sandbox.py`
plays the outcomes, and finds the products that somebody has typed.
"""

from collections.abc import Mapping
from typing import Any

from provider.core.accounts.account import Account
from provider.errors import Invalid

SETTING = "sandbox_outcomes"
OUTCOMES = ("pass", "fail", "slow", "decline", "expire", "bounce")
MAX_PRODUCTS = 50
NONE = "none"


def outcomes_by_product(options: Mapping[str, Any]) -> dict[str, str]:
    return dict(options.get(SETTING, {}))


def store_outcomes(account: Account, outcomes: Mapping[str, str]) -> None:
    account.options = account.options | {SETTING: dict(outcomes)}


def set_sandbox_outcomes(account: Account, text: str) -> None:
    """Change the setting; Invalid describes a valid value. The products are not looked up here."""
    parts = [] if text.strip() in ("", NONE) else text.split(",")
    outcomes: dict[str, str] = {}
    for part in parts:
        product, equals, outcome = (word.strip() for word in part.partition("="))
        if not (product and equals and outcome):
            raise Invalid(f"{SETTING} should look like PRODUCT=OUTCOME, PRODUCT=OUTCOME, or none")
        if outcome.lower() not in OUTCOMES:
            raise Invalid(f"{SETTING} has no outcome “{outcome}”: there are {', '.join(OUTCOMES)}")
        if product in outcomes:
            raise Invalid(f"{SETTING} names “{product}” twice: leave one of them out")
        outcomes[product] = outcome.lower()
    if len(outcomes) > MAX_PRODUCTS:
        raise Invalid(f"{SETTING} should name at most {MAX_PRODUCTS} products")
    store_outcomes(account, outcomes)


def read_sandbox_outcomes(account: Account) -> str:
    """Return the text from which `set_sandbox_outcomes` makes the present value."""
    outcomes = outcomes_by_product(account.options)
    return ", ".join(f"{product}={outcome}" for product, outcome in outcomes.items()) or NONE
