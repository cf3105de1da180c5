"""Delivery alerts: one for each account and destination that fails, and one for the mail server."""

from provider.core.alerts.acts import acknowledge_alert, snooze_alert
from provider.core.alerts.alert import (
    SNOOZES,
    DeliveryAlert,
    list_ended_alerts,
    list_open_alerts,
    snooze_end,
)
from provider.core.alerts.causes import (
    MAIL_SERVER,
    Trouble,
    find_mail_server_pause,
    find_troubles,
    is_about_missing_media,
    kind_cause_of,
    title_of,
)
from provider.core.alerts.watch import (
    ALERT_BEGAN,
    ALERT_CONTINUES,
    ALERT_ENDED,
    ALERT_TOPICS,
    DROP_OLD_ALERTS,
    WATCH_DELIVERIES,
    unwanted_reason,
)

__all__ = [
    "ALERT_BEGAN",
    "ALERT_CONTINUES",
    "ALERT_ENDED",
    "ALERT_TOPICS",
    "DROP_OLD_ALERTS",
    "MAIL_SERVER",
    "SNOOZES",
    "WATCH_DELIVERIES",
    "DeliveryAlert",
    "Trouble",
    "acknowledge_alert",
    "find_mail_server_pause",
    "find_troubles",
    "is_about_missing_media",
    "kind_cause_of",
    "list_ended_alerts",
    "list_open_alerts",
    "snooze_alert",
    "snooze_end",
    "title_of",
    "unwanted_reason",
]
