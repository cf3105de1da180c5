"""Which documents the screenings of a check need, and which of them are missing."""

from collections import Counter
from collections.abc import Iterable

from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.tables.check_document import RECEIVED, CheckDocument
from provider.texts import Text


def needed_slots(screenings: Iterable[Screening]) -> dict[str, list[Text]]:
    """Return the slots that screenings need, each with the reasons, in the slots' order."""
    reasons: dict[str, list[Text]] = {name: [] for name in DOCUMENT_SLOTS}
    for screening in screenings:
        for name in screening.documents:
            if screening.reason_text not in reasons[name]:
                reasons[name].append(screening.reason_text)
    return {name: texts for name, texts in reasons.items() if texts}


def find_missing(slots: Iterable[str], documents: Iterable[CheckDocument]) -> list[str]:
    """Return the slots without a readable document, or without enough different ones."""
    sent = {(entry.slot, entry.label) for entry in documents if entry.state == RECEIVED}
    counts = Counter(slot for slot, _ in sent)
    return [name for name in slots if counts[name] < DOCUMENT_SLOTS[name].min_choices]
