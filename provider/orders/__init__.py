"""What can be ordered and what was ordered: place, become, reopen."""

from provider.orders.evidence import Evidence, VideoAnswer
from provider.orders.link import INVITE, PDF, REPORT, SHARED, Link, OrderSession
from provider.orders.order import (
    CANCELLED,
    COMPLETED,
    CONSENTED,
    DECLINED,
    EXPIRED,
    FINAL_STATUSES,
    PENDING,
    PROGRESS_STATES,
    STATUSES,
    Candidate,
    Order,
    OrderEvent,
    Result,
    expire_overdue_orders,
    has_orders_to_expire,
)
from provider.orders.place import Placement, place
from provider.orders.product import (
    DRAFT,
    PUBLISHED,
    Product,
    ProductVersion,
    list_published_products,
)
from provider.orders.sitting import TimedOrder, close_overdue_orders, has_orders_to_close

__all__ = [
    "CANCELLED",
    "COMPLETED",
    "CONSENTED",
    "DECLINED",
    "DRAFT",
    "EXPIRED",
    "FINAL_STATUSES",
    "INVITE",
    "PDF",
    "PENDING",
    "PROGRESS_STATES",
    "PUBLISHED",
    "REPORT",
    "SHARED",
    "STATUSES",
    "Candidate",
    "Evidence",
    "Link",
    "Order",
    "OrderEvent",
    "OrderSession",
    "Placement",
    "Product",
    "ProductVersion",
    "Result",
    "TimedOrder",
    "VideoAnswer",
    "close_overdue_orders",
    "expire_overdue_orders",
    "has_orders_to_close",
    "has_orders_to_expire",
    "list_published_products",
    "place",
]
