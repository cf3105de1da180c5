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
    RATE_INTERVIEWS = "mark answers or rate interviews"
    DECIDE_CHECKS = "decide checks, or see a candidate’s details"
    EDIT_PRODUCTS = "edit, import, publish or archive products"
    MANAGE_DELIVERIES = "send deliveries again"
    MANAGE_ACCOUNTS = "change accounts"
    CREATE_ACCOUNTS = "create accounts"
    MANAGE_STAFF = "invite colleagues, or change their roles"
    MANAGE_OWNERS = "make somebody an owner, or change an owner"


_SEES_ORDERS = frozenset({Permission.VIEW_ORDERS, Permission.VIEW_PRODUCTS})
_VIEWER = _SEES_ORDERS | {
    Permission.VIEW_RESULTS,
    Permission.VIEW_DELIVERIES,
    Permission.VIEW_MESSAGE_BODIES,
    Permission.VIEW_ACCOUNTS,
}
_OPERATOR = _VIEWER | {
    Permission.MANAGE_ORDERS,
    Permission.RATE_INTERVIEWS,
    Permission.DECIDE_CHECKS,
    Permission.EDIT_PRODUCTS,
    Permission.MANAGE_DELIVERIES,
}
# Role → its permissions. `staff.role` stores the name.
ROLE_PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "owner": frozenset(Permission),
    "admin": frozenset(Permission) - {Permission.MANAGE_OWNERS},
    "operator": _OPERATOR,
    "author": frozenset(
        {Permission.VIEW_PRODUCTS, Permission.VIEW_ACCOUNTS, Permission.EDIT_PRODUCTS}
    ),
    "reviewer": _SEES_ORDERS | {Permission.VIEW_RESULTS, Permission.RATE_INTERVIEWS},
    "adjudicator": _SEES_ORDERS | {Permission.VIEW_RESULTS, Permission.DECIDE_CHECKS},
    # The content of a message may be a result, so support does not see it.
    "support": _SEES_ORDERS
    | {
        Permission.VIEW_DELIVERIES,
        Permission.VIEW_ACCOUNTS,
        Permission.MANAGE_ORDERS,
        Permission.MANAGE_DELIVERIES,
    },
    "viewer": _VIEWER,
}
# Permissions that concern all accounts: a person who is limited to some has none of them.
INSTANCE_PERMISSIONS = frozenset(
    {
        Permission.CREATE_ACCOUNTS,
        Permission.EDIT_PRODUCTS,
        Permission.MANAGE_STAFF,
        Permission.MANAGE_OWNERS,
    }
)
ROLES = tuple(ROLE_PERMISSIONS)
OWNER = "owner"
# The work of each role, for those who choose one.
ROLE_DESCRIPTIONS: Mapping[str, str] = {
    "owner": "everything, and decides who else is an owner",
    "admin": "everything but owners: accounts, colleagues, the audit log",
    "operator": "runs the day: orders, ratings, checks, products, deliveries",
    "author": "writes and publishes products; sees no candidates",
    "reviewer": "marks answers, rates interviews, and sees results",
    "adjudicator": "decides checks, and sees results",
    "support": "helps candidates: orders, links, deliveries; sees no results",
    "viewer": "sees orders and results, and changes nothing",
}
