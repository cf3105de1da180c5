"""Marking: people give points to the answers without an automatic score.

A submitted test with such answers stays pending and waits for the staff. `record_mark` stores the
points of one marker. `score_when_marked` completes the order once every answer has its points.
"""

from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from provider.core.kinds.assessment.marks import Mark
from provider.core.kinds.assessment.models import Assessment
from provider.errors import Invalid, NotFound
from provider.storage.secrets import SecretBox

MAX_COMMENT_LENGTH = 5000  # characters


def record_mark(
    assessment: Assessment,
    item_key: str,
    marker: str,
    points: Decimal,
    now: datetime,
    *,
    comment: str = "",
    is_final: bool = False,
) -> Mark:
    """Store the points of one marker for an answer, in place of the marker's earlier ones.

    Raises Conflict for a test that is not waiting for marks, NotFound for an item that nobody marks
    or that has no answer, and Invalid for points outside the item's range. The caller holds the
    order's lock, and calls `score_when_marked` afterwards.
    """
    assessment.require_submitted()
    item = assessment.content.find_item(item_key)
    if item is None or not item.needs_marking or item_key not in assessment.saved_answers:
        raise NotFound("There is no answer to mark")
    if not points.is_finite() or not 0 <= points <= item.points:
        raise Invalid("The points should be from 0 to %(maximum)s", maximum=str(item.points))
    marks = {(mark.item_key, mark.marker): mark for mark in assessment.marks}
    mark = marks.get((item_key, marker))
    if mark is None:
        mark = Mark(item_key=item_key, marker=marker)
        assessment.marks.append(mark)
    mark.points, mark.comment = str(points), comment.strip()[:MAX_COMMENT_LENGTH]
    mark.is_final, mark.marked_at = is_final, now
    return mark


def score_when_marked(
    session: Session, assessment: Assessment, secret_box: SecretBox, actor: str, now: datetime
) -> bool:
    """Complete a submitted test whose answers all have their points; return whether it is so.

    Raises Conflict for a test that is not waiting for marks.
    """
    assessment.require_submitted()
    if assessment.unmarked_items:
        return False
    assessment.complete_with_marks(session, secret_box, actor, now)
    return True
