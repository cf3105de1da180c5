"""Accounts: the ATS connections of the customers, and their tokens."""

from provider.core.accounts.account import (
    Account,
    AccountProduct,
    AccountToken,
    Caller,
    TokenAuthenticator,
)
from provider.core.accounts.logo import AccountLogo
from provider.core.accounts.offboarding import Offboarding

__all__ = [
    "Account",
    "AccountLogo",
    "AccountProduct",
    "AccountToken",
    "Caller",
    "Offboarding",
    "TokenAuthenticator",
]
