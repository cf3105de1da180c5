"""Marshmallow fields for the adapters' requests: unknown fields pass, used fields are strict."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import marshmallow as ma

from provider.ats.http_api import MISSING_MESSAGE

MAX_NESTING_LEVELS = 20  # of a JSON object that we store for the ATS
TYPE_LABELS = {"string": "a string", "integer": "an integer"}

_EMAIL_PATTERN = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f<>()\[\],;:\\\"]+")
# ASCII without space, control characters and backslash.
_PRINTABLE_PATTERN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
# A host name or an IP address, in characters on which all URL parsers agree.
_HOST_PATTERN = re.compile(r"(?!.*\.\.)[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?|[0-9a-f:.]+")


class RequestSchema(ma.Schema):
    """An object that ignores unknown fields and treats null as absent."""

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


class Email(Text):
    """An e-mail address; the check is loose, since only delivery proves an address."""

    format = "email"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        address: str = super()._deserialize(value, attr, data, **kwargs).strip()
        if not _EMAIL_PATTERN.fullmatch(address):
            raise ma.ValidationError("should be an e-mail address")
        return address


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
    """A JSON object of the ATS's own; stored unchanged."""

    def __init__(self, description: str) -> None:
        metadata = {"type": ["object", "null"], "description": description}
        super().__init__(load_default=dict, metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ma.ValidationError("should be an object")
        _validate_json(value, MAX_NESTING_LEVELS)
        return value


def _openapi_type(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _is_storable_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _validate_json(value: Any, levels_left: int) -> None:
    if levels_left == 0:
        raise ma.ValidationError(f"should have at most {MAX_NESTING_LEVELS} levels")
    if isinstance(value, str) and not _is_storable_text(value):
        raise ma.ValidationError("should not contain NUL or half characters")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ma.ValidationError("should contain only finite numbers")
    if isinstance(value, dict):
        for name, inner in value.items():
            _validate_json(name, levels_left)
            _validate_json(inner, levels_left - 1)
    if isinstance(value, list):
        for inner in value:
            _validate_json(inner, levels_left - 1)
