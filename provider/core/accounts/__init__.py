"""Accounts: the customers' ATS connections and their tokens."""

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
