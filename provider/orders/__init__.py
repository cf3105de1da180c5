"""What can be ordered and what was ordered: place, become, reopen."""

from provider.orders.evidence import Evidence, Take
from provider.orders.link import INVITE, PDF, REPORT, SHARED, Link, OrderSession
from provider.orders.order import (
    CANCELLED,
    COMPLETED,
    CONSENTED,
    DECLINED,
    EXPIRED,
    FINAL,
    PENDING,
    PROGRESS,
    STATUSES,
    Candidate,
    Event,
    Order,
    Result,
    expire_due,
    expiry_due,
)
from provider.orders.place import Placement, place
from provider.orders.product import DRAFT, PUBLISHED, Product, Version, listed
from provider.orders.sitting import Sitting, close_due, sitting_due

__all__ = [
    "CANCELLED",
    "COMPLETED",
    "CONSENTED",
    "DECLINED",
    "DRAFT",
    "EXPIRED",
    "FINAL",
    "INVITE",
    "PDF",
    "PENDING",
    "PROGRESS",
    "PUBLISHED",
    "REPORT",
    "SHARED",
    "STATUSES",
    "Candidate",
    "Event",
    "Evidence",
    "Link",
    "Order",
    "OrderSession",
    "Placement",
    "Product",
    "Result",
    "Sitting",
    "Take",
    "Version",
    "close_due",
    "expire_due",
    "expiry_due",
    "listed",
    "place",
    "sitting_due",
]
