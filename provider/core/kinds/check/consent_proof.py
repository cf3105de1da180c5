"""The proof of a consent as a PDF: who agreed, when, to which texts, from which browser.

All that it says is in rows that do not change, so that it is made anew at each download.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from provider.config import Settings
from provider.core.formats import format_datetime
from provider.core.kinds.check.check_pdf import CheckPdf
from provider.core.kinds.check.packages.legal_text_record import text_digest
from provider.core.kinds.check.screening_status import COUNTRIES_WITH_COPY
from provider.core.kinds.check.shown_texts import (
    disclosure_title,
    find_disclosure,
    list_shown_texts,
)
from provider.core.kinds.check.tables.consent import Consent
from provider.core.markdown import markdown_to_text
from provider.core.pdf_seal import seal_pdf
from provider.storage.secrets import SecretBox
from provider.texts import gettext

if TYPE_CHECKING:
    from provider.core.kinds.check.models import Check

PROOF = CheckPdf(Path(__file__).with_name("consent_proof.typ"))


def render_consent_proof(
    check: "Check", consent: Consent, secret_box: SecretBox, settings: Settings, now: datetime
) -> bytes:
    """Return the proof of a consent in the present language.

    It is sealed, with `now` as the time of the signature, if the settings have a key.
    """
    view, content = check.consent_view(secret_box, consent), check.content
    fields = {
        "title": gettext("Proof of a consent"),
        "short_title": content.name,
        "sentence": content.name,
        "candidate": check.candidate.name or view.name,
        "facts": list(_facts(check, consent, view.name)),
        "shown_texts": list(list_evidence_texts(check, consent)),
        "sample": view.sample,
    }
    pdf = PROOF.render(check, consent.given_at, fields, author_language=content.language)
    if settings.seal_file is None:
        return pdf
    return seal_pdf(pdf, settings.seal_file, settings.seal_password, now)


def list_evidence_texts(check: "Check", consent: Consent) -> Iterator[dict[str, str]]:
    """Yield each text that the candidate was shown, with its digest and when she went on.

    `screenings` are the names of those that need the text; empty for one of the whole package.
    A consent from before texts were recorded has the disclosure alone.
    """
    content, digest = check.content, consent.disclosure_digest
    disclosure = find_disclosure(content, digest)
    disclosure_name = disclosure_title(disclosure) or gettext("Disclosure")
    general = content.disclosure
    bodies = {(general.key, text_digest(general.text)): (gettext("Disclosure"), general.text)}
    bodies |= {
        (text.key, text_digest(text.text)): (text.title, text.text) for text in content.legal_texts
    }
    bodies[disclosure.key, digest] = disclosure_name, disclosure.text
    screenings = {
        (text.purpose, text.key): ", ".join(text.screenings)
        for text in list_shown_texts(content, consent.country)
    }
    for row in consent.texts:
        title, text = bodies.get((row.key, row.digest), (row.key, ""))
        shown_at = format_datetime(row.shown_at, check.timezone)
        yield {
            **_text_fields(title, f"{row.key} {row.version}", row.digest, shown_at, text),
            "screenings": screenings.get((row.purpose, row.key), ""),
        }
    if not consent.texts:
        given_at = format_datetime(consent.given_at, check.timezone)
        version = consent.disclosure_version
        yield _text_fields(disclosure_name, version, digest, given_at, disclosure.text)


def _text_fields(title: str, version: str, digest: str, shown_at: str, text: str) -> dict[str, str]:
    return {
        "title": title,
        "version": version,
        "digest": digest,
        "shown_at": shown_at,
        "text": markdown_to_text(text),
        "screenings": "",
    }


def _facts(check: "Check", consent: Consent, name: str) -> Iterator[tuple[str, str]]:
    yield gettext("Agreed by"), name
    yield gettext("On"), format_datetime(consent.given_at, check.timezone)
    yield "UTC", consent.given_at.astimezone(UTC).isoformat(timespec="seconds")
    yield gettext("Network address"), consent.ip_address or gettext("Not known")
    yield gettext("Browser"), consent.user_agent or gettext("Not known")
    yield gettext("Background check"), check.content.name
    if consent.country:
        yield gettext("Lives in"), " ".join(filter(None, (consent.country, consent.subdivision)))
    if consent.wants_copy or consent.country in COUNTRIES_WITH_COPY:
        wants_copy = gettext("Yes") if consent.wants_copy else gettext("No")
        yield gettext("Asked for a copy of the report"), wants_copy
