"""The scheduled work of every kind whose orders inherit from `TimedOrder`."""

from provider.core.kinds.base import ScheduledWork
from provider.core.orders import close_overdue_orders, has_orders_to_close

CLOSE_ATTEMPTS = ScheduledWork(has_orders_to_close, close_overdue_orders)
