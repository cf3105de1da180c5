"""The legal texts of a check that the candidate goes through, in the order of the steps."""

from dataclasses import dataclass

from provider.core.kinds.check.packages.content import Disclosure, LegalText, PackageContent
from provider.core.kinds.check.packages.legal_text_slots import AUTHORIZATION, DISCLOSURE, PURPOSES
from provider.core.kinds.check.packages.package import text_digest


@dataclass(frozen=True)
class ShownText:
    """A text as the candidate reads it. `screenings` are the names of those that need it."""

    key: str
    version: str
    purpose: str
    title: str
    text: str
    sample: bool
    screenings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return text_digest(self.text)


def list_shown_texts(content: PackageContent, country: str) -> list[ShownText]:
    """Return the texts for a candidate of a country: her disclosure first, then by purpose.

    A text that several screenings need is there once.
    """
    disclosure = content.disclosure_for(country)
    first = ShownText(
        disclosure.key,
        disclosure.version,
        DISCLOSURE,
        disclosure_title(disclosure),
        disclosure.text,
        disclosure.sample,
    )
    others = [
        ShownText(
            text.key,
            text.version,
            text.purpose,
            text.title,
            text.text,
            text.sample,
            _list_screenings(content, country, text),
        )
        for text in content.legal_texts_for(country)
        if text is not disclosure
    ]
    return [first, *sorted(others, key=lambda text: PURPOSES.index(text.purpose))]


def _list_screenings(content: PackageContent, country: str, text: LegalText) -> tuple[str, ...]:
    return tuple(
        screening.name
        for screening in content.screenings
        if text in content.find_texts(screening.consent_texts, country)
    )


def disclosure_title(disclosure: Disclosure | LegalText) -> str:
    """Return the title; empty for the package's general disclosure, which has none."""
    return disclosure.title if isinstance(disclosure, LegalText) else ""


def find_disclosure(content: PackageContent, digest: str) -> Disclosure | LegalText:
    """Return the disclosure with the digest of a consent.

    The present country does not tell: a reopened check may have consents from several countries.
    """
    for text in content.legal_texts:
        if text.purpose == DISCLOSURE and text_digest(text.text) == digest:
            return text
    return content.disclosure


def list_step_texts(content: PackageContent, country: str) -> list[ShownText]:
    """Return the texts with a page of their own: an authorization stands beside the signature."""
    texts = list_shown_texts(content, country)
    return [text for text in texts if text.purpose != AUTHORIZATION]


def list_authorizations(content: PackageContent, country: str) -> list[ShownText]:
    texts = list_shown_texts(content, country)
    return [text for text in texts if text.purpose == AUTHORIZATION]
