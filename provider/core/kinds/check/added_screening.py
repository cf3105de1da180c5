"""Adding a screening to a running check, within what the candidate has agreed to."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from provider.core.kinds.check.added_email import enqueue_added_email
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.content import Screening, load_screening
from provider.core.kinds.check.packages.legal_text_record import text_digest
from provider.core.kinds.check.packages.legal_text_slots import LEGAL_TEXT_SLOTS
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES, STAFF, ScreeningType
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid

MAX_NAME_LENGTH, MAX_REASON_LENGTH = 120, 300  # characters
MAX_SCREENINGS = 50


def list_addable_types(check: Check) -> Mapping[str, ScreeningType]:
    """Return the types that need no detail, document or legal text beyond the consent's.

    A type that the package lacks must not need texts of its own, but for those that were read.
    """
    screenings = check.content.screenings
    agreed_details = set(check.content.requested_details)
    agreed_documents = {name for screening in screenings for name in screening.documents}
    agreed_types = {screening.type for screening in screenings}
    return {
        name: entry
        for name, entry in SCREENING_TYPES.items()
        if agreed_details.issuperset(entry.asks)
        and agreed_documents.issuperset(entry.documents)
        and (name in agreed_types or not entry.needs_own_texts)
        and _find_texts(check, name) is not None
        and entry.performer == STAFF
    }


def _find_screening(check: Check, type_name: str) -> Screening | None:
    """Return the package's first screening of a type."""
    return next((entry for entry in check.content.screenings if entry.type == type_name), None)


def _find_texts(check: Check, type_name: str) -> list[str] | None:
    """Return the keys of the texts for a screening of a type; None unless the last consent has all.

    A type of the package has the package's texts. Another one has those of its slots: of the
    country of the consent, or of every country where the candidate named none.
    """
    if not check.consents:
        return None
    consent = check.consents[-1]
    agreed = {(text.key, text.digest) for text in consent.texts}
    screening = _find_screening(check, type_name)
    names = screening.consent_texts if screening else SCREENING_TYPES[type_name].consent_texts
    texts = check.content.find_texts(names, consent.country)
    if any((text.key, text_digest(text.text)) not in agreed for text in texts):
        return None
    if screening is None:
        needed = [
            name
            for name in names
            if consent.country in ("", LEGAL_TEXT_SLOTS[name].country)
            and not check.content.find_texts((name,), consent.country)
        ]
        if needed:
            return None
    return [text.key for text in texts]


def add_screening(
    session: Session,
    check: Check,
    screening_type: str,
    name: str,
    reason: str,
    staff: str,
    now: datetime,
) -> Screening:
    """Add a screening that staff do, and tell the candidate, with its name and the reason.

    The ATS gets the name with the outcome.

    Raises Invalid for a type beyond the consent, and Conflict for a name that the check has.
    """
    check.require_consented()
    if screening_type not in list_addable_types(check):
        raise Invalid("The candidate has not agreed to this: choose another type of screening")
    usual = SCREENING_TYPES[screening_type]
    name, reason = (" ".join(clean_line(text).split()) for text in (name, reason))
    name = name or usual.label.english
    if len(name) > MAX_NAME_LENGTH:
        raise Invalid("A name has at most %(maximum)d characters", maximum=MAX_NAME_LENGTH)
    if not 1 <= len(reason) <= MAX_REASON_LENGTH:
        raise Invalid("Write a reason of at most %(maximum)d characters", maximum=MAX_REASON_LENGTH)
    if name.casefold() in {screening.name.casefold() for screening in check.screenings}:
        raise Conflict("This check has a screening with this name already")
    if len(check.screenings) >= MAX_SCREENINGS:
        raise Conflict("A check has at most %(maximum)d screenings", maximum=MAX_SCREENINGS)
    definition = {
        "key": _free_key(check),
        "name": name,
        "type": screening_type,
        "reason": reason,
        "asks": list(usual.asks),
        "documents": list(usual.documents),
        "consent_texts": _find_texts(check, screening_type),
        "working_days": usual.working_days,
        "performer": STAFF,
    }
    if (agreed := _find_screening(check, screening_type)) is not None:
        definition |= agreed.options
    screening = load_screening(definition)
    check.tasks.append(
        ScreeningTask(
            account_id=check.account_id,
            key=screening.key,
            screening_type=screening.type,
            performer=screening.performer,
            due_on=check.account.working_days.due_date(now, screening.working_days),
            definition=definition,
            created_at=now,
        )
    )
    session.flush()
    check.update_progress(session)
    check.record_event(session, "screening added", staff, now, f"{name}: {reason}")
    enqueue_added_email(session, check, screening.key, now)
    return screening


def _free_key(check: Check) -> str:
    used = {screening.key for screening in check.screenings}
    return next(
        key for number in range(1, MAX_SCREENINGS + 2) if (key := f"added-{number}") not in used
    )
