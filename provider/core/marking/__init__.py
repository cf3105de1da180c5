"""Marking by staff: the tasks of the queue, the marks, and how two marks become one.

The package knows no kind. A kind whose orders have answers to mark implements `MarkedOrder`.
"""

from provider.core.marking.acts import (
    LEASE,
    MarkForm,
    claim,
    find_task,
    list_open_tasks,
    open_tasks,
    release,
    save_mark,
)
from provider.core.marking.marked_order import MarkedFile, MarkedOrder, MarkingUnit, load_shares
from provider.core.marking.own_mark import (
    CORRECTION_REASON_LENGTHS,
    DISPUTED_CORRECTION,
    correct_mark,
    find_own_mark,
    needs_reason,
)
from provider.core.marking.queue import (
    QUEUED,
    claim_next,
    is_claimed_by,
    is_free,
    is_marked_by,
    list_queued,
)
from provider.core.marking.second_look import REASON_LENGTHS, ask, find_second_look
from provider.core.marking.settings import (
    ONE_MARKER,
    MarkingSchema,
    MarkingSettings,
    RubricRow,
    RubricRowSchema,
)
from provider.core.marking.task import (
    ANSWER,
    DISPUTED,
    MARKED,
    OPEN,
    RECONCILED,
    SECOND_LOOK,
    WHOLE_ORDER,
    WITHDRAWN,
    Mark,
    MarkingTask,
)
from provider.core.marking.whole_order import (
    assign_whole_order,
    finish_whole_order,
    reopen_whole_order,
    settle_whole_order,
    unassign_whole_order,
)

__all__ = [
    "ANSWER",
    "CORRECTION_REASON_LENGTHS",
    "DISPUTED",
    "DISPUTED_CORRECTION",
    "LEASE",
    "MARKED",
    "ONE_MARKER",
    "OPEN",
    "QUEUED",
    "REASON_LENGTHS",
    "RECONCILED",
    "SECOND_LOOK",
    "WHOLE_ORDER",
    "WITHDRAWN",
    "Mark",
    "MarkForm",
    "MarkedFile",
    "MarkedOrder",
    "MarkingSchema",
    "MarkingSettings",
    "MarkingTask",
    "MarkingUnit",
    "RubricRow",
    "RubricRowSchema",
    "ask",
    "assign_whole_order",
    "claim",
    "claim_next",
    "correct_mark",
    "find_own_mark",
    "find_second_look",
    "find_task",
    "finish_whole_order",
    "is_claimed_by",
    "is_free",
    "is_marked_by",
    "list_open_tasks",
    "list_queued",
    "load_shares",
    "needs_reason",
    "open_tasks",
    "release",
    "reopen_whole_order",
    "save_mark",
    "settle_whole_order",
    "unassign_whole_order",
]
