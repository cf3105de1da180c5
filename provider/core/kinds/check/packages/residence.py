"""Where a check's candidate lives: the likely country, before she says it."""

from babel.core import get_global

from provider.core.kinds.check.packages.content import PackageContent
from provider.core.kinds.check.packages.countries import COUNTRY_CODES


def likely_country(content: PackageContent, timezone: str) -> str:
    """Return the country of the package's texts, or that of a time zone; empty if neither says."""
    countries = {country for text in content.legal_texts for country in text.countries}
    if len(countries) == 1:
        return countries.pop()
    country = str(get_global("zone_territories").get(timezone) or "")
    if countries and country not in countries:
        return ""
    return country if country in COUNTRY_CODES else ""
