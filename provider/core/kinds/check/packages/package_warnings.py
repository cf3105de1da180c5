"""What a package allows and its author probably did not mean."""

from collections.abc import Iterator

from provider.core.kinds.check.packages.content import (
    AUTHORIZATION,
    DISCLOSURE,
    PRIVACY,
    RIGHTS,
    PackageContent,
)
from provider.core.kinds.check.packages.screening_types import CONNECTOR, SCREENING_TYPES, STAFF
from provider.core.products.documents import DocumentWarning
from provider.core.products.markdown_warnings import find_markdown_warnings

# What the law of a country asks for, by the code of the country.
NEEDED_PURPOSES = {"US": (DISCLOSURE, RIGHTS, AUTHORIZATION), "GB": (PRIVACY,)}
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
    countries = {SCREENING_TYPES[screening.type].country for screening in content.screenings}
    countries |= {country for text in content.legal_texts for country in text.countries}
    for country, needed in NEEDED_PURPOSES.items():
        purposes = {text.purpose for text in content.legal_texts_for(country)}
        for purpose in needed:
            if country in countries and purpose not in purposes:
                name = _TEXT_NAMES[purpose]
                problem = f"has no text with the purpose {purpose} for {country}: {name}"
                yield DocumentWarning("legal_texts", problem)


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
