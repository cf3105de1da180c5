"""The countries of a document. The editor shows a country by its name, on a line of its own."""

import re
from typing import Any

from marshmallow import ValidationError

from provider.core.kinds.check.packages.countries import COUNTRY_CODES, country_names
from provider.core.products.line_fields import LineField
from provider.texts import DEFAULT_LANGUAGE, use_language

_LINE_WITH_CODE = re.compile(r".*\(([A-Za-z]{2})\)")


class CountryCode(LineField):
    """An ISO 3166 code of two letters, such as GB. Its line is “United Kingdom (GB)”."""

    default_error_messages = {"null": "should not be empty"}  # noqa: RUF012

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> str:
        if isinstance(value, str) and value in COUNTRY_CODES:
            return value
        raise ValidationError("should be the code of a country, such as GB, US or DE")

    def format_line(self, raw: Any) -> str | None:
        if not isinstance(raw, str) or not raw.strip() or "\n" in raw:
            return None
        name = _english_names().get(raw)
        return f"{name} ({raw})" if name else raw

    def parse_line(self, line: str) -> str:
        """Return the code of a name, of a code, or of a line with both; else the line."""
        match = _LINE_WITH_CODE.fullmatch(line)
        code = (match[1] if match else line).upper()
        if code in COUNTRY_CODES:
            return code
        codes = {name.casefold(): code for code, name in _english_names().items()}
        return codes.get(line.casefold(), line)


def _english_names() -> dict[str, str]:
    with use_language(DEFAULT_LANGUAGE):
        return country_names()
