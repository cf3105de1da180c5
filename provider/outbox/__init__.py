"""The outbox: each message is written in the transaction that makes it necessary.

A message waits in a *queue* (one per account, channel and host) under an *ordering key*. The
dispatcher leases the oldest unsettled message of each due key, sends it, and settles it. A *pause*
stops queues: their messages are not claimed, and none is lost.
"""

from provider.outbox.claims import (
    DEFAULT_LEASE,
    Claim,
    claim,
    has_delivered_since,
    release,
    store_body,
)
from provider.outbox.encryption import decrypt_payload
from provider.outbox.message import (
    DELIVERED,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    append,
    has_retries,
    history,
    is_in_channel,
    is_in_state,
    list_channels,
    list_due_queues,
    list_queues,
    list_waiting_queues,
    oldest_due_at,
    requeue,
    withdraw,
)
from provider.outbox.ordering_key import OrderingKey, is_about
from provider.outbox.pause import Pause, active_pauses, pause, probe, resume
from provider.outbox.queue_name import (
    CALLBACK,
    CONNECTOR,
    EMAIL,
    MEDIA,
    SPEECH,
    WRITER,
    QueueName,
)
from provider.outbox.response_text import MAX_RESPONSE_EXCERPT_LENGTH, hide_secrets
from provider.outbox.retention import (
    BODY_RETENTION,
    MAX_BODIES_PER_BATCH,
    drop_old_bodies,
    has_old_bodies,
)
from provider.outbox.settlement import AttemptResult, Outcome, settle

__all__ = [
    "BODY_RETENTION",
    "CALLBACK",
    "CONNECTOR",
    "DEFAULT_LEASE",
    "DELIVERED",
    "EMAIL",
    "MAX_BODIES_PER_BATCH",
    "MAX_RESPONSE_EXCERPT_LENGTH",
    "MEDIA",
    "PARKED",
    "SPEECH",
    "SUPERSEDED",
    "WAITING",
    "WRITER",
    "Attempt",
    "AttemptResult",
    "Claim",
    "Message",
    "OrderingKey",
    "Outcome",
    "Pause",
    "QueueName",
    "active_pauses",
    "append",
    "claim",
    "decrypt_payload",
    "drop_old_bodies",
    "has_delivered_since",
    "has_old_bodies",
    "has_retries",
    "hide_secrets",
    "history",
    "is_about",
    "is_in_channel",
    "is_in_state",
    "list_channels",
    "list_due_queues",
    "list_queues",
    "list_waiting_queues",
    "oldest_due_at",
    "pause",
    "probe",
    "release",
    "requeue",
    "resume",
    "settle",
    "store_body",
    "withdraw",
]
