"""Staff accounts, their permissions, and signing in to the console."""

from provider.core.staff.changes import change_password, change_role, disable, enable
from provider.core.staff.member import Staff
from provider.core.staff.passwords import verify_password
from provider.core.staff.permissions import ROLE_PERMISSIONS, ROLES, Permission
from provider.core.staff.sign_in import (
    SLOT_RETRY_SECONDS,
    STAFF_SESSION_LIFETIME,
    StaffSession,
    complete_sign_in,
    record_failed_sign_in,
    record_throttled_sign_in,
    register_sign_in_attempt,
    remember_sign_in,
    sign_in_slot,
)
from provider.core.staff.throttle import KNOWN_ORIGIN_LIFETIME, SignInAttempt, SignInThrottled

__all__ = [
    "KNOWN_ORIGIN_LIFETIME",
    "ROLES",
    "ROLE_PERMISSIONS",
    "SLOT_RETRY_SECONDS",
    "STAFF_SESSION_LIFETIME",
    "Permission",
    "SignInAttempt",
    "SignInThrottled",
    "Staff",
    "StaffSession",
    "change_password",
    "change_role",
    "complete_sign_in",
    "disable",
    "enable",
    "record_failed_sign_in",
    "record_throttled_sign_in",
    "register_sign_in_attempt",
    "remember_sign_in",
    "sign_in_slot",
    "verify_password",
]
