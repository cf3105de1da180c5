"""The list of all scheduled works, which both runners run. A new work is one line here.

The works of orders and kinds are in `core/kinds/__init__.py`.
"""

from provider.core import kinds
from provider.core.alerts import DROP_OLD_ALERTS, WATCH_DELIVERIES
from provider.core.marking.digest import TELL_MARKERS
from provider.core.sandbox import PLAY_SANDBOX
from provider.core.scheduled import ScheduledWork
from provider.delivery.inbox import DROP_OLD_EVENTS, READ_EVENTS
from provider.delivery.keep_tokens import KEEP_TOKENS
from provider.delivery.rounds import READ_SOURCES
from provider.delivery.subscriptions import KEEP_SUBSCRIPTIONS
from provider.delivery.sweep import SEND_DUE_MESSAGES
from provider.delivery.vendor_polling import POLL_VENDORS
from provider.maintenance.bulk_erasure import ERASE_IN_BULK
from provider.maintenance.offboarding import OFFBOARD_ACCOUNTS
from provider.maintenance.prune_bodies import PRUNE_BODIES
from provider.maintenance.retention import RETENTION

SCHEDULED_WORKS: tuple[ScheduledWork, ...] = (
    *kinds.SCHEDULED_WORKS,
    PLAY_SANDBOX,
    SEND_DUE_MESSAGES,
    WATCH_DELIVERIES,
    DROP_OLD_ALERTS,
    TELL_MARKERS,
    READ_SOURCES,
    READ_EVENTS,
    DROP_OLD_EVENTS,
    KEEP_TOKENS,
    KEEP_SUBSCRIPTIONS,
    POLL_VENDORS,
    PRUNE_BODIES,
    ERASE_IN_BULK,
    RETENTION,
    OFFBOARD_ACCOUNTS,
)
