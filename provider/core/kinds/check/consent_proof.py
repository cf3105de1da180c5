"""The proof of a consent as a PDF: who agreed, when, to which texts, from which browser.

Typst compiles it from the styles of the reports and `consent_proof.typ` beside this module. All
that it says is in rows that do not change, so that it is made anew at each download.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import typst

from provider import core
from provider.config import Settings
from provider.core import colours
from provider.core.kinds.check.packages.legal_text_record import text_digest
from provider.core.kinds.check.screening_status import COUNTRIES_WITH_COPY
from provider.core.kinds.check.shown_texts import disclosure_title, find_disclosure
from provider.core.kinds.check.tables.consent import Consent
from provider.core.labels import cut_at_word, format_datetime
from provider.core.markdown import markdown_to_text
from provider.core.pdf_seal import seal_pdf
from provider.core.typst_compiler import compile_pdf, list_fonts
from provider.storage.secrets import SecretBox
from provider.texts import current_language, gettext
from provider.texts.direction import language_direction
from provider.texts.typst import find_typst_texts

if TYPE_CHECKING:
    from provider.core.kinds.check.models import Check

log = structlog.get_logger(__name__)

STYLE_PATH = Path(core.__path__[0]) / "report_style.typ"
DOCUMENT_PATH = Path(__file__).with_name("consent_proof.typ")
MAX_FOOTER_PART_LENGTH = 50  # characters


def render_consent_proof(
    check: "Check", consent: Consent, secret_box: SecretBox, settings: Settings, now: datetime
) -> bytes:
    """Return the proof of a consent in the present language.

    It is sealed, with `now` as the time of the signature, if the settings have a key.
    """
    inputs = {"report": _to_json(check, consent, secret_box)}
    try:
        pdf = compile_pdf(_load_source(), inputs, "ua-1")
    except typst.TypstError as error:
        # PDF/UA forbids a character that no font has. Without the standard, typst draws a box.
        log.warning("evidence_without_standard", order=check.public_id, reason=error.message)
        pdf = compile_pdf(_load_source(), inputs, None)
    if settings.seal_file is None:
        return pdf
    return seal_pdf(pdf, settings.seal_file, settings.seal_password, now)


def list_evidence_texts(check: "Check", consent: Consent) -> Iterator[dict[str, str]]:
    """Yield each text that the candidate was shown, with its digest and when she went on.

    A consent from before texts were recorded has the disclosure alone.
    """
    content, digest = check.content, consent.disclosure_digest
    disclosure = find_disclosure(content, digest)
    disclosure_name = disclosure_title(disclosure) or gettext("Disclosure")
    bodies = {
        (text.key, text_digest(text.text)): (text.title, text.text) for text in content.legal_texts
    }
    bodies[disclosure.key, digest] = disclosure_name, disclosure.text
    for row in consent.texts:
        title, text = bodies.get((row.key, row.digest), (row.key, ""))
        shown_at = format_datetime(row.shown_at, check.timezone)
        yield _text_fields(title, f"{row.key} {row.version}", row.digest, shown_at, text)
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
    }


def _to_json(check: "Check", consent: Consent, secret_box: SecretBox) -> str:
    view, language = check.consent_view(secret_box, consent), current_language()
    given_at = consent.given_at.astimezone(UTC)
    fields = {
        "title": gettext("Proof of a consent"),
        "short_title": cut_at_word(check.content.name, MAX_FOOTER_PART_LENGTH),
        "candidate": check.candidate.name or view.name,
        "short_candidate": cut_at_word(check.candidate.name or view.name, MAX_FOOTER_PART_LENGTH),
        "account": check.account.display_name,
        "sentence": check.content.name,
        "reference": check.public_id,
        "accent": colours.fill_colour(check.account.branding.get("colour")),
        "fonts": list_fonts(),
        "finished_at": _date_fields(given_at),
        "language": language.partition("-")[0],
        "direction": language_direction(language),
        "author_language": check.content.language.partition("-")[0].lower(),
        "author_direction": language_direction(check.content.language)
        if check.content.language
        else "",
        "facts": list(_facts(check, consent, view.name)),
        "shown_texts": list(list_evidence_texts(check, consent)),
        "sample": view.sample,
        "texts": {message: gettext(message) for message in _list_messages()},
    }
    text = json.dumps(fields, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


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


def _date_fields(moment: datetime) -> dict[str, Any]:
    names = ("year", "month", "day", "hour", "minute", "second")
    return {name: getattr(moment, name) for name in names}


@cache
def _load_source() -> bytes:
    return b"\n".join((STYLE_PATH.read_bytes(), DOCUMENT_PATH.read_bytes()))


@cache
def _list_messages() -> list[str]:
    return [message for _, message in find_typst_texts(_load_source().decode())]
