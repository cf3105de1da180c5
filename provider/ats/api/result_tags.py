"""Tags that tell a result: `PRODUCT: passed`. One tag for each product, replaced by a later one."""

from provider.ats.api.writer import OrderSummary
from provider.core.orders import CANCELLED, COMPLETED, DECLINED, EXPIRED

MAX_TAG_LENGTH = 255
GRADE_WORDS = ("failed", "passed", "excelled")
OUTCOME_WORDS = ("clear", "consider")
RESULT_WORDS = {*GRADE_WORDS, *OUTCOME_WORDS, COMPLETED, DECLINED, EXPIRED, CANCELLED}


def result_tag(summary: OrderSummary, *, tells_outcome: bool = True) -> str:
    """Return the tag of an order; without `tells_outcome` it only tells the status."""
    word = (tells_outcome and (summary.grade or summary.outcome)) or summary.status
    return f"{summary.product}: {word}"[:MAX_TAG_LENGTH]


def is_result_tag(tag: str, product: str) -> bool:
    """Return whether a tag is one of ours about a product."""
    return tag.startswith(f"{product}: ") and tag.removeprefix(f"{product}: ") in RESULT_WORDS
