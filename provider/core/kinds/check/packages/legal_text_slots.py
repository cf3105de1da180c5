"""The legal texts that types of screenings need, by country. A package fills a slot with a text.

`samples/legal/NAME.md` is the marked sample of a slot.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# The purposes of legal texts: each is a step of its own, in this order.
DISCLOSURE, RIGHTS, PRIVACY, AUTHORIZATION = PURPOSES = (
    "disclosure",
    "rights",
    "privacy",
    "authorization",
)


@dataclass(frozen=True)
class LegalTextSlot:
    """A text that candidates of a country, by its ISO 3166 code, read before a screening.

    The text with the slot's name as its key fills it. Where there is none, and unless
    `is_separate`, each text of the purpose does that no screening names. `meaning` is for warnings.
    """

    country: str
    purpose: str
    meaning: str
    is_separate: bool = False


LEGAL_TEXT_SLOTS: Mapping[str, LegalTextSlot] = {
    "uk-dbs-privacy": LegalTextSlot("GB", PRIVACY, "the privacy policy of DBS checks"),
    "us-driving-record-authorization": LegalTextSlot(
        "US", AUTHORIZATION, "the authorization of a driving record", is_separate=True
    ),
    "us-credit-authorization": LegalTextSlot(
        "US", AUTHORIZATION, "the authorization of a credit report", is_separate=True
    ),
}


def is_filled_by(slot: str, purpose: str, country: str) -> bool:
    """Tell whether a text of another key, which candidates of a country read, fills a slot."""
    entry = LEGAL_TEXT_SLOTS.get(slot)
    return (
        entry is not None
        and not entry.is_separate
        and (entry.purpose, entry.country) == (purpose, country)
    )
