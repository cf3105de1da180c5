"""Accounts: the ATS connections of the customers, and their tokens."""

from provider.core.accounts.account import (
    Account,
    AccountProduct,
    AccountToken,
    Caller,
    TokenAuthenticator,
)

__all__ = [
    "Account",
    "AccountProduct",
    "AccountToken",
    "Caller",
    "TokenAuthenticator",
]
