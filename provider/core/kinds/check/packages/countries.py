"""The countries of candidates: ISO 3166 codes, and names in the language of the page."""

import re
from operator import itemgetter

from babel import Locale

from provider.texts import current_language

# Codes of two letters in Babel's data that ISO 3166 gives to no country.
_NO_COUNTRIES = frozenset("AC CP CQ DG EA EU EZ IC QO TA UN XA XB XK ZZ".split())  # noqa: SIM905
COUNTRY_CODES: tuple[str, ...] = tuple(
    sorted(
        code
        for code in map(str, Locale("en").territories)
        if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRIES
    )
)


def country_names() -> dict[str, str]:
    """Return code → name of each country in the current language, sorted by name."""
    territories = Locale.parse(current_language()).territories
    names = {code: str(territories.get(code, code)) for code in COUNTRY_CODES}
    return dict(sorted(names.items(), key=itemgetter(1)))
