"""What a package allows and its author probably did not mean."""

from collections.abc import Iterator

from provider.core.kinds.check.packages.content import PackageContent
from provider.core.kinds.check.packages.legal_text_slots import (
    AUTHORIZATION,
    DISCLOSURE,
    LEGAL_TEXT_SLOTS,
    PRIVACY,
    RIGHTS,
)
from provider.core.kinds.check.packages.screening_types import CONNECTOR, SCREENING_TYPES, STAFF
from provider.core.products.documents import DocumentWarning
from provider.core.products.markdown_warnings import find_markdown_warnings

# What the law of a country asks for, by the code of the country.
NEEDED_PURPOSES = {"US": (DISCLOSURE, RIGHTS, AUTHORIZATION), "GB": (PRIVACY,)}
# A text of these purposes that a screening names is not the one of the package.
_OF_THE_PACKAGE = (DISCLOSURE, AUTHORIZATION)
_TEXT_NAMES = {
    DISCLOSURE: "a stand-alone disclosure",
    RIGHTS: "a summary of rights",
    AUTHORIZATION: "an authorization",
    PRIVACY: "a privacy policy",
}


def find_warnings(content: PackageContent) -> Iterator[DocumentWarning]:
    """Warn where candidates may not see what the author meant, or not what the law asks for."""
    yield from _find_in_texts(content)
    yield from _find_samples(content)
    yield from _find_missing_texts(content)
    yield from _find_empty_slots(content)
    yield from _find_missing_language(content)
    yield from _find_in_screenings(content)


def _find_in_texts(content: PackageContent) -> Iterator[DocumentWarning]:
    texts = [("description", content.description), ("disclosure.text", content.disclosure.text)]
    for index, section in enumerate(content.sections):
        texts.append((f"sections[{index}].text", section.text))
    for index, text in enumerate(content.legal_texts):
        texts.append((f"legal_texts[{index}].text", text.text))
    for index, screening in enumerate(content.screenings):
        texts.append((f"screenings[{index}].description", screening.description))
    return find_markdown_warnings(texts)


def _find_samples(content: PackageContent) -> Iterator[DocumentWarning]:
    problem = "is a sample that no lawyer has approved; only sandbox accounts can order this"
    if content.disclosure.sample:
        yield DocumentWarning("disclosure.sample", problem)
    for index, text in enumerate(content.legal_texts):
        if text.sample:
            yield DocumentWarning(f"legal_texts[{index}].sample", problem)


def _find_missing_texts(content: PackageContent) -> Iterator[DocumentWarning]:
    """Warn of the purposes that no text serves, in the countries that the package is for."""
    countries = _find_countries(content)
    for country, needed in NEEDED_PURPOSES.items():
        purposes = {
            text.purpose
            for text in content.legal_texts_for(country)
            if text.purpose not in _OF_THE_PACKAGE or text.key not in content.named_texts
        }
        for purpose in needed:
            if country in countries and purpose not in purposes:
                name = _TEXT_NAMES[purpose]
                problem = f"has no text with the purpose {purpose} for {country}: {name}"
                yield DocumentWarning("legal_texts", problem)


def _find_empty_slots(content: PackageContent) -> Iterator[DocumentWarning]:
    """Warn of the texts of a type of screening that the package lacks, in its countries."""
    countries = _find_countries(content)
    for index, screening in enumerate(content.screenings):
        for name in screening.consent_texts:
            slot = LEGAL_TEXT_SLOTS.get(name)
            if slot is None or slot.country not in countries:
                continue
            # A purpose that no text has gets a warning of its own.
            purposes = {text.purpose for text in content.legal_texts_for(slot.country)}
            needed = NEEDED_PURPOSES.get(slot.country, ())
            has_warning = slot.purpose in needed and slot.purpose not in purposes
            if (slot.is_separate or not has_warning) and not content.find_texts(
                (name,), slot.country
            ):
                problem = (
                    f"has no text {name} for {slot.country}: {slot.meaning}; add it to "
                    f"legal_texts, with the purpose {slot.purpose}"
                )
                yield DocumentWarning(f"screenings[{index}].consent_texts", problem)


def _find_missing_language(content: PackageContent) -> Iterator[DocumentWarning]:
    names_texts = any(
        screening.consent_texts
        and screening.consent_texts != SCREENING_TYPES[screening.type].consent_texts
        for screening in content.screenings
    )
    if names_texts and not content.language:
        problem = "should be provided, because screenings name legal texts: screen readers need it"
        yield DocumentWarning("language", problem)


def _find_countries(content: PackageContent) -> set[str]:
    """Return the countries that the package is for: those of its types and of its texts."""
    countries = {SCREENING_TYPES[screening.type].country for screening in content.screenings}
    return countries | {country for text in content.legal_texts for country in text.countries}


def _find_in_screenings(content: PackageContent) -> Iterator[DocumentWarning]:
    for index, screening in enumerate(content.screenings):
        path = f"screenings[{index}]"
        if screening.performer == CONNECTOR and not screening.connector:
            problem = "should be provided, because a connector does this screening"
            yield DocumentWarning(f"{path}.connector", problem)
        if screening.connector and screening.performer != CONNECTOR:
            problem = f"is not used: the performer of this screening is {screening.performer}"
            yield DocumentWarning(f"{path}.connector", problem)
        if screening.performer != STAFF and not screening.asks and not screening.documents:
            problem = f"is empty, so the {screening.performer} learns nothing about the candidate"
            yield DocumentWarning(f"{path}.asks", problem)
