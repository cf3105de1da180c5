"""The permissions of the console, and the roles as sets of permissions.

A view or a template asks for a permission, never for a role.
"""

from collections.abc import Mapping
from enum import Enum


class Permission(Enum):
    """Something that staff may do. The value completes the sentence "Your role may not …"."""

    VIEW_ORDERS = "see orders"
    VIEW_RESULTS = "see results"
    VIEW_DELIVERIES = "see deliveries"
    VIEW_MESSAGE_BODIES = "see the content of messages"
    VIEW_PRODUCTS = "see products"
    VIEW_ACCOUNTS = "see accounts"
    VIEW_AUDIT_LOG = "see the audit log"
    MANAGE_ORDERS = "cancel or reopen orders, or see a candidate’s link"
    RATE_INTERVIEWS = "rate interviews"
    DECIDE_CHECKS = "decide checks, or see a candidate’s details"
    EDIT_PRODUCTS = "publish or archive products"
    MANAGE_DELIVERIES = "send deliveries again"
    MANAGE_ACCOUNTS = "connect accounts, or change their rules"


_VIEWER = frozenset(
    {
        Permission.VIEW_ORDERS,
        Permission.VIEW_RESULTS,
        Permission.VIEW_DELIVERIES,
        Permission.VIEW_MESSAGE_BODIES,
        Permission.VIEW_PRODUCTS,
        Permission.VIEW_ACCOUNTS,
    }
)
_OPERATOR = _VIEWER | {
    Permission.MANAGE_ORDERS,
    Permission.RATE_INTERVIEWS,
    Permission.DECIDE_CHECKS,
    Permission.EDIT_PRODUCTS,
    Permission.MANAGE_DELIVERIES,
}
# Role → its permissions. `staff.role` stores the name.
ROLE_PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "admin": frozenset(Permission),
    "operator": _OPERATOR,
    "viewer": _VIEWER,
}
ROLES = tuple(ROLE_PERMISSIONS)
