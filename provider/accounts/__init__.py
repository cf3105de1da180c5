"""Who may come in: accounts with their tokens, and the staff."""

from provider.accounts.account import Account, AccountProduct, AccountToken, Caller, Doorkeeper
from provider.accounts.staff import ROLES, Staff, StaffSession, enter, knock, matches

__all__ = [
    "ROLES",
    "Account",
    "AccountProduct",
    "AccountToken",
    "Caller",
    "Doorkeeper",
    "Staff",
    "StaffSession",
    "enter",
    "knock",
    "matches",
]
