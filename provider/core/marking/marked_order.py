"""What a kind brings whose orders have answers to mark."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from provider.core.marking.settings import MarkingSettings, RubricRow
from provider.core.marking.task import ANSWER, DISPUTED, MARKED, RECONCILED, MarkingTask
from provider.errors import NotFound
from provider.storage.secrets import SecretBox

# The library is imported at the first use, as in `core/markdown.py`.
if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class MarkedFile:
    """A file that is the answer: its key in media storage, its type, the name of a download."""

    media_key: str
    content_type: str
    download_name: str


@dataclass(frozen=True)
class MarkingUnit:
    """What a marker sees of an answer. `language` is that of the product.

    Without a `rubric` the marker gives 0 to `max_points`. With `has_file` the answer is a file, and
    `answer` says what kind of one. A lost answer is one from before a reopening that was not kept.
    """

    key: str
    prompt_html: "Markup"
    language: str
    answer: str
    max_points: Decimal
    rubric: tuple[RubricRow, ...] = ()
    has_file: bool = False
    is_picture: bool = False
    is_lost: bool = False


class MarkedOrder:
    """A mix-in for an order class."""

    @property
    def marking(self) -> MarkingSettings:
        """The settings of the product."""
        raise NotImplementedError

    def marking_title(self, key: str) -> str:
        """Return the question of a task as text. Raises NotFound for an unknown key."""
        raise NotImplementedError

    def marking_unit(self, key: str) -> MarkingUnit:
        """Return the present answer to a question. Raises NotFound for an unknown key."""
        raise NotImplementedError

    def unit_of_task(self, task: MarkingTask) -> MarkingUnit:
        """Return the answer of a task, also of one from before a reopening, as it was then."""
        return self.marking_unit(task.unit)

    def marked_file(self, session: Session, task: MarkingTask) -> MarkedFile:
        """Return the file that is the answer of a task.

        Raises NotFound for an answer that is no file, and Gone for a deleted file.
        """
        raise NotFound("There is no such file")

    def tell_second_look(self, session: Session, now: datetime) -> None:
        """Tell the candidate that the request for a second look is answered."""
        raise NotImplementedError

    def finish_marking(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Complete the order: every answer has its mark."""
        raise NotImplementedError


def load_shares(session: Session, order_ids: Iterable[int]) -> Mapping[int, Mapping[str, Fraction]]:
    """Return the share of the points that each marked answer earned, by order id and unit."""
    query = select(
        MarkingTask.order_id, MarkingTask.unit, MarkingTask.points, MarkingTask.max_points
    ).where(
        MarkingTask.order_id.in_(list(order_ids)),
        MarkingTask.purpose == ANSWER,
        or_(
            MarkingTask.state.in_((MARKED, RECONCILED)),
            and_(MarkingTask.state == DISPUTED, MarkingTask.points.is_not(None)),
        ),
    )
    shares: dict[int, dict[str, Fraction]] = {}
    for order_id, unit, points, max_points in session.execute(query):
        shares.setdefault(order_id, {})[unit] = Fraction(points or 0) / Fraction(max_points)
    return shares
