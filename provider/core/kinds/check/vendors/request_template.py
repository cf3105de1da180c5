"""Request templates of connectors: JSON whose texts have placeholders such as `{{ order.id }}`.

The template is parsed as JSON first, and a placeholder is replaced within a parsed text. So no
value can change the structure of a request, and there is no expression language.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.errors import Invalid

MAX_TEMPLATE_LENGTH = 20_000  # characters
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
# Structured details, such as an address, have parts: `candidate.address.postcode`.
_NAME = re.compile(r"[a-z]+(\.\w+)+", re.ASCII)
CANDIDATE_FIELDS = ("first_name", "last_name", "email", *DETAIL_FIELDS)
VALUE_NAMES = (
    *(f"candidate.{name}" for name in CANDIDATE_FIELDS),
    *("order.id", "order.callback_url"),
    *("screening.key", "screening.name", "screening.type"),
)
REFERENCE = "vendor.reference"  # in the address for polling, beside the id of the order


def parse_template(text: str) -> Any:
    """Return the JSON of a template. Raises Invalid for other text and unknown placeholders."""
    if len(text) > MAX_TEMPLATE_LENGTH:
        raise Invalid("A template has at most %(maximum)d characters", maximum=MAX_TEMPLATE_LENGTH)
    try:
        template = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("The template is no JSON: check quotes, commas and brackets") from None
    for line in _texts(template):
        for name in _PLACEHOLDER.findall(line):
            known = any(name == value or name.startswith(f"{value}.") for value in VALUE_NAMES)
            if not known or not _NAME.fullmatch(name):
                raise Invalid("There is no such placeholder: %(name)s", name=name)
        if "{{" in _PLACEHOLDER.sub("", line):
            raise Invalid("The template has “{{” without “}}”")
    return template


def fill_template(template: Any, values: Mapping[str, Any]) -> Any:
    """Return the JSON with each placeholder's value; `values` are nested by the parts of names.

    A text that is one placeholder becomes the value, also a structured one. Raises Invalid for a
    value that is not there: the screening does not ask the candidate for it.
    """
    if isinstance(template, dict):
        return {key: fill_template(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill_template(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := _PLACEHOLDER.fullmatch(template):
        return _look_up(values, whole[1])
    return _PLACEHOLDER.sub(lambda match: _to_text(_look_up(values, match[1])), template)


def fill_url(url: str, reference: str, order_id: str) -> str:
    """Return the address for polling with the escaped reference and id."""
    values = {REFERENCE: reference, "order.id": order_id}
    return _PLACEHOLDER.sub(lambda match: quote(values[match[1]], safe=""), url)


def check_url_placeholders(url: str) -> None:
    """Raise Invalid for a placeholder that the address for polling cannot have."""
    unknown = set(_PLACEHOLDER.findall(url)) - {REFERENCE, "order.id"}
    if unknown:
        raise Invalid("There is no such placeholder: %(name)s", name=min(unknown))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if "{{" in key:
                raise Invalid("A placeholder stands in a value, not in the name of a field")
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _look_up(values: Mapping[str, Any], name: str) -> Any:
    value: Any = values
    for part in name.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            raise Invalid(
                "The request needs “%(name)s”, and the screening does not ask for it", name=name
            )
    return value


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
