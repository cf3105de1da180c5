"""The outbox: what must go out is written in the transaction that makes it necessary.

A message waits in a *lane* (where it goes) under a *key* (what must stay in order); the courier
claims the oldest unsettled message of each due key by a lease, sends it, and settles it. A *hold*
says why lanes wait: nothing of theirs is claimed, and nothing is lost.
"""

from provider.outbox.claim import (
    LEASE,
    LONG_LEASE,
    Claim,
    Ended,
    Outcome,
    claim,
    delivered_since,
    free,
    keep_rendered,
    settle,
)
from provider.outbox.hold import Hold, hold, holding, lift, probe
from provider.outbox.lane import CALLBACK, MAIL, MEDIA, Lane
from provider.outbox.message import (
    ANSWER_KEPT,
    DELIVERED,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    append,
    due_lanes,
    in_state,
    lanes,
    oldest_due,
    send_again,
    story,
)

__all__ = [
    "ANSWER_KEPT",
    "CALLBACK",
    "DELIVERED",
    "LEASE",
    "LONG_LEASE",
    "MAIL",
    "MEDIA",
    "PARKED",
    "SUPERSEDED",
    "WAITING",
    "Attempt",
    "Claim",
    "Ended",
    "Hold",
    "Lane",
    "Message",
    "Outcome",
    "append",
    "claim",
    "delivered_since",
    "due_lanes",
    "free",
    "hold",
    "holding",
    "in_state",
    "keep_rendered",
    "lanes",
    "lift",
    "oldest_due",
    "probe",
    "send_again",
    "settle",
    "story",
]
