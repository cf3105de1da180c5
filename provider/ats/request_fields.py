"""Marshmallow fields for the adapters' requests.

Unknown fields pass. A field that an invitation needs is strict. Any other field is taken where it
can be read: it never refuses an order, and its name is in the result's `unread_fields`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

import marshmallow as ma

from provider.ats.http_api import MISSING_MESSAGE
from provider.core.email_address import mend_address, split_address
from provider.core.text_cleaning import clean_line

MAX_NESTING_LEVELS = 20  # of a JSON object that we store for the ATS
TYPE_LABELS = {"string": "a string", "integer": "an integer"}

# ASCII without space, control characters and backslash.
_PRINTABLE_PATTERN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
# A host name or an IP address, in characters on which all URL parsers agree.
_HOST_PATTERN = re.compile(r"(?!.*\.\.)[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?|[0-9a-f:.]+")


UNREAD_FIELDS = "unread_fields"


@dataclass(frozen=True)
class PartlyRead:
    """The rest of a value that a lenient field could not read, or only in part."""

    value: Any


class RequestSchema(ma.Schema):
    """An object that ignores unknown fields and treats null as absent.

    `unread_fields` of the result has the paths of the lenient fields that were dropped or cut.
    """

    class Meta:  # noqa: D106
        unknown = ma.EXCLUDE

    error_messages = {"type": "should be an object"}  # noqa: RUF012

    def on_bind_field(self, field_name: str, field_obj: ma.fields.Field[Any]) -> None:
        """Give every required field the same message."""
        field_obj.error_messages["required"] = MISSING_MESSAGE

    @ma.pre_load
    def _drop_nulls(self, data: Any, **_: object) -> Any:
        if isinstance(data, Mapping):
            return {name: value for name, value in data.items() if value is not None}
        return data

    @ma.post_load
    def _collect_unread_fields(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        unread_fields: list[str] = []
        for name, field in self.load_fields.items():
            value = data.get(name)
            if isinstance(value, PartlyRead):
                data[name] = value.value
                unread_fields.append(name)
            elif isinstance(field, ma.fields.Nested) and isinstance(value, dict):
                unread_fields += [f"{name}.{inner}" for inner in value.pop(UNREAD_FIELDS)]
        return {**data, UNREAD_FIELDS: tuple(unread_fields)}


class Text(ma.fields.String):
    """Text without NUL (PostgreSQL refuses it) and without lone surrogates (UTF-8 has none)."""

    types: ClassVar[tuple[str, ...]] = ("string",)
    format: ClassVar[str | None] = None

    def __init__(self, max_length: int, description: str, **kwargs: Any) -> None:
        types = self.types if kwargs.get("required") else (*self.types, "null")
        metadata: dict[str, Any] = {"type": _openapi_type(types), "description": description}
        if self.format:
            metadata["format"] = self.format
        super().__init__(
            error_messages={
                "invalid": f"should be {' or '.join(TYPE_LABELS[t] for t in self.types)}"
            },
            validate=ma.validate.Length(
                max=max_length, error="should have at most {max} characters"
            ),
            metadata=metadata,
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is None or not _is_storable_text(text):
            raise ma.ValidationError("should not contain NUL or half characters")
        return text


class Identifier(Text):
    """An id: a string, or an integer that becomes a string."""

    types = ("string", "integer")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) >= 10**40:
                raise ma.ValidationError("should have at most 40 digits")
            value = str(value)
        return super()._deserialize(value, attr, data, **kwargs)


class OptionalText(ma.fields.String):
    """Text that no order depends on: cleaned, cut at `max_length`, and "" if it cannot be read."""

    types: ClassVar[tuple[str, ...]] = ("string",)

    def __init__(self, max_length: int, description: str) -> None:
        self.max_length = max_length
        metadata = {
            "type": [*self.types, "null"],
            "description": description,
            "maxLength": max_length,
        }
        super().__init__(load_default="", metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = _number_to_text(value)
        if not isinstance(value, str):
            return PartlyRead("")
        text = clean_line(value)
        return text if len(text) <= self.max_length else PartlyRead(text[: self.max_length])


class OptionalIdentifier(OptionalText):
    """An id that no order depends on: a string, or an integer that becomes a string."""

    types = ("string", "integer")


class Email(Text):
    """An e-mail address to which mail can be addressed; slips of typing are mended first."""

    format = "email"

    def __init__(self, max_length: int, description: str, **kwargs: Any) -> None:
        super().__init__(max_length, description, **kwargs)
        self.validators = [*self.validators, _require_mailable]

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return mend_address(super()._deserialize(value, attr, data, **kwargs))


class HttpUrl(Text):
    """An absolute http or https address without credentials or fragment."""

    format = "uri"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        url = super()._deserialize(value, attr, data, **kwargs)
        try:
            parts = urlsplit(url)
            is_http = parts.scheme in ("http", "https") and parts.port != 0
        except ValueError:
            is_http = False
        if (
            not is_http
            or not _PRINTABLE_PATTERN.fullmatch(url)
            or not _HOST_PATTERN.fullmatch(parts.hostname or "")
        ):
            raise ma.ValidationError("should be an absolute https URL")
        if parts.username is not None or parts.fragment:
            raise ma.ValidationError("should be a URL without credentials and without a fragment")
        return url


class JsonObject(ma.fields.Dict):
    """A JSON object of the ATS's own; stored unchanged, or {} if it cannot be stored."""

    def __init__(self, description: str) -> None:
        metadata = {"type": ["object", "null"], "description": description}
        super().__init__(load_default=dict, metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        is_readable = isinstance(value, dict) and _is_storable_json(value, MAX_NESTING_LEVELS)
        return value if is_readable else PartlyRead({})


def _require_mailable(address: str) -> None:
    if split_address(address) is None:
        raise ma.ValidationError("should be an e-mail address")


def _number_to_text(number: float) -> str | None:
    # Python refuses to write an integer of more than 4300 digits.
    return str(number) if abs(number) < 10**40 else None  # NaN is no JSON; infinity is too large


def _openapi_type(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _is_storable_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _is_storable_json(value: Any, levels_left: int) -> bool:
    if levels_left == 0:
        return False
    if isinstance(value, str):
        return _is_storable_text(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(
            _is_storable_text(name) and _is_storable_json(inner, levels_left - 1)
            for name, inner in value.items()
        )
    if isinstance(value, list):
        return all(_is_storable_json(inner, levels_left - 1) for inner in value)
    return True
