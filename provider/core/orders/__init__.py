"""Orders: placing them, their statuses and results, and the links that open them."""

from provider.core.orders.accommodation import Accommodation
from provider.core.orders.attempt_ends import CLOSE_ATTEMPTS, RECORD_PAUSES, close_overdue_orders
from provider.core.orders.candidate import (
    Candidate,
    compute_email_digest,
    has_email,
    normalise_email,
)
from provider.core.orders.erased_order import ErasedOrder, is_erased
from provider.core.orders.evidence import Bar, Evidence
from provider.core.orders.expiry import EXPIRE_ORDERS, expire_overdue_orders
from provider.core.orders.given_time import GivenTime
from provider.core.orders.history import OrderEvent, Result
from provider.core.orders.link import INVITE, PDF, REPORT, SHARED, Link, OrderSession
from provider.core.orders.order import RULE_KEY_PREFIX, Order
from provider.core.orders.order_counts import COUNT_ORDERS, PERIOD_DAYS, OrderCounts
from provider.core.orders.order_messages import INVITATION
from provider.core.orders.order_visit import OrderVisit
from provider.core.orders.person import is_order_of_person, orders_of_person
from provider.core.orders.placement import Placement, place
from provider.core.orders.reminders import SEND_REMINDERS
from provider.core.orders.states import (
    CANCELLED,
    COMPLETED,
    CONSENTED,
    DECLINED,
    EXPIRED,
    FINAL_STATUSES,
    OPEN_STATUSES,
    PENDING,
    PROGRESS_STATES,
    STATUSES,
    WAITING_FOR,
    ProgressTable,
    progress_state,
)
from provider.core.orders.statistics import Statistics, collect_statistics
from provider.core.orders.status_change import SUBSCRIBERS_KEY, StatusChange, StatusSubscriber
from provider.core.orders.timed_order import TimedOrder

__all__ = [
    "CANCELLED",
    "CLOSE_ATTEMPTS",
    "COMPLETED",
    "CONSENTED",
    "COUNT_ORDERS",
    "DECLINED",
    "EXPIRED",
    "EXPIRE_ORDERS",
    "FINAL_STATUSES",
    "INVITATION",
    "INVITE",
    "OPEN_STATUSES",
    "PDF",
    "PENDING",
    "PERIOD_DAYS",
    "PROGRESS_STATES",
    "RECORD_PAUSES",
    "REPORT",
    "RULE_KEY_PREFIX",
    "SEND_REMINDERS",
    "SHARED",
    "STATUSES",
    "SUBSCRIBERS_KEY",
    "WAITING_FOR",
    "Accommodation",
    "Bar",
    "Candidate",
    "ErasedOrder",
    "Evidence",
    "GivenTime",
    "Link",
    "Order",
    "OrderCounts",
    "OrderEvent",
    "OrderSession",
    "OrderVisit",
    "Placement",
    "ProgressTable",
    "Result",
    "Statistics",
    "StatusChange",
    "StatusSubscriber",
    "TimedOrder",
    "close_overdue_orders",
    "collect_statistics",
    "compute_email_digest",
    "expire_overdue_orders",
    "has_email",
    "is_erased",
    "is_order_of_person",
    "normalise_email",
    "orders_of_person",
    "place",
    "progress_state",
]
