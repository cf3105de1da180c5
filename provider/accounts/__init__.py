"""Who may come in: accounts with their tokens, and the staff."""

from provider.accounts.account import (
    Account,
    AccountProduct,
    AccountToken,
    Caller,
    TokenAuthenticator,
)
from provider.accounts.staff import (
    ROLES,
    Staff,
    StaffSession,
    complete_sign_in,
    register_sign_in_attempt,
    verify_password,
)

__all__ = [
    "ROLES",
    "Account",
    "AccountProduct",
    "AccountToken",
    "Caller",
    "Staff",
    "StaffSession",
    "TokenAuthenticator",
    "complete_sign_in",
    "register_sign_in_attempt",
    "verify_password",
]
