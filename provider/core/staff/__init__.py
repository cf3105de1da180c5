"""Staff accounts, their permissions, and signing in to the console."""

from provider.core.staff.member import Staff
from provider.core.staff.passwords import verify_password
from provider.core.staff.permissions import ROLE_PERMISSIONS, ROLES, Permission
from provider.core.staff.sign_in import (
    STAFF_SESSION_LIFETIME,
    SignInAttempt,
    StaffSession,
    complete_sign_in,
    record_failed_sign_in,
    register_sign_in_attempt,
)

__all__ = [
    "ROLES",
    "ROLE_PERMISSIONS",
    "STAFF_SESSION_LIFETIME",
    "Permission",
    "SignInAttempt",
    "Staff",
    "StaffSession",
    "complete_sign_in",
    "record_failed_sign_in",
    "register_sign_in_attempt",
    "verify_password",
]
