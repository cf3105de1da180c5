"""Marshmallow fields of product documents. They do not convert types, unlike marshmallow's own."""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, TypeVar

from marshmallow import Schema, ValidationError, fields

from provider.core.products.odd_characters import name_character
from provider.core.text_cleaning import remove_invisible

T = TypeVar("T")
SLUG_ADVICE = "should be small letters, digits and single hyphens, such as cash-flow or '2'"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SLUG = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_MAX_DIGITS = 15  # on each side of the decimal point
_ERROR_MESSAGES: dict[str, Any] = {"required": "should be provided", "null": "should not be empty"}


def find_unprintable(text: str) -> int | None:
    """Return the position of the first control character, surrogate or noncharacter, or None.

    Databases refuse some of these characters, and browsers show none of them.
    """
    match = _UNPRINTABLE.search(text)
    return match.start() if match else None


def clean_text(text: str) -> str:
    """Replace unprintable characters with spaces, and strip the text."""
    return _UNPRINTABLE.sub(" ", text).strip()


def is_slug(text: str) -> bool:
    """Tell whether `text` is a key: small letters, digits, single - or _, at most 64 characters."""
    return len(text) <= 64 and _SLUG.fullmatch(text) is not None


class DocumentSchema(Schema):
    """A mapping in a product document. The error for an unknown name lists the known names."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        names = ", ".join(field.data_key or name for name, field in self.load_fields.items())
        self.error_messages["unknown"] = f"is not known here; the names are {names}"
        self.error_messages["type"] = "should be a mapping of names to values"

    # The field that decides the usual values of others, such as the type of an entry.
    usual_by: ClassVar[str] = ""

    def usual_values(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what an entry counts as where it leaves a field out, as its `usual_by` says."""
        return {}

    def unused_fields(self, entry: Mapping[str, Any]) -> Collection[str]:
        """Return the fields that an entry cannot have, as its `usual_by` says."""
        return ()


class StrictField(fields.Field[T]):
    """A field for one type. A subclass implements `_parse`."""

    default_error_messages = _ERROR_MESSAGES

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> T:
        return self._parse(value)

    def _parse(self, value: Any) -> T:
        raise NotImplementedError


class Text(StrictField[str]):
    """Text of at most `max_length` characters, stripped. It is one line unless `multiline`."""

    def __init__(self, max_length: int, *, multiline: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length, self.multiline = max_length, multiline

    def _parse(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("should be text; put a number, true or false in quotes")
        text = value.strip()
        if not text:
            raise ValidationError("should not be empty")
        if len(text) > self.max_length:
            raise ValidationError(f"should have at most {self.max_length} characters")
        if find_unprintable(text) is not None:
            raise ValidationError("should not hold control characters")
        if not self.multiline and "\n" in text:
            raise ValidationError("should be on one line")
        return text


class Title(Text):
    """A name or a title: one line, from which invisible characters are removed."""

    def _parse(self, value: Any) -> str:
        return super()._parse(remove_invisible(value) if isinstance(value, str) else value)


class Key(StrictField[str]):
    """A short name that identifies an element in all versions of a document."""

    def _parse(self, value: Any) -> str:
        if isinstance(value, str) and is_slug(value):
            return value
        raise ValidationError(SLUG_ADVICE)


class LanguageTag(StrictField[str]):
    """A BCP 47 tag of a language, with script and region if needed: de, pt-BR, zh-Hant."""

    _PATTERN = re.compile(
        r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|\d{3}))?",
        re.IGNORECASE,
    )

    def _parse(self, value: Any) -> str:
        match = self._PATTERN.fullmatch(value) if isinstance(value, str) else None
        if not match or not _is_known_language(match["language"].lower()):
            raise ValidationError("should be the code of a language, such as en, de, pt-BR or he")
        script, region = match["script"] or "", match["region"] or ""
        parts = match["language"].lower(), script.title(), region.upper()
        return "-".join(part for part in parts if part)


class Choice(StrictField[str]):
    """One of several fixed words, or one of the keys that a registry has at the time."""

    def __init__(
        self, *choices: str, registry: Mapping[str, object] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._choices, self._registry = choices, registry

    @property
    def choices(self) -> tuple[str, ...]:
        return self._choices if self._registry is None else tuple(self._registry)

    def _parse(self, value: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        raise ValidationError(f"should be one of {', '.join(self.choices)}")


class Flag(StrictField[bool]):
    """true or false. Values such as `yes` or 1 are errors."""

    def _parse(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValidationError("should be true or false")


class Number(StrictField[Decimal]):
    """A number from `minimum` to `maximum`, both included unless `is_minimum_exclusive`."""

    def __init__(
        self,
        minimum: int = -(10**15),
        maximum: int = 10**15,
        *,
        is_minimum_exclusive: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.minimum, self.maximum = minimum, maximum
        self.is_minimum_exclusive = is_minimum_exclusive

    def _parse(self, value: Any) -> Decimal:
        number = _parse_decimal(value)
        if self.is_minimum_exclusive and number <= self.minimum:
            raise ValidationError(f"should be more than {self.minimum}")
        if not self.minimum <= number <= self.maximum:
            raise ValidationError(f"should be between {self.minimum} and {self.maximum}")
        return number


class Integer(StrictField[int]):
    """A whole number from `minimum` to `maximum`, both included."""

    def __init__(self, minimum: int, maximum: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum, self.maximum = minimum, maximum

    def _parse(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("should be a whole number")
        if not self.minimum <= value <= self.maximum:
            raise ValidationError(f"should be between {self.minimum} and {self.maximum}")
        return value


class ListOf(fields.List[Any]):
    """A list of `min_items` to `max_items` elements. Errors call them `plural_noun`."""

    default_error_messages = _ERROR_MESSAGES

    def __init__(
        self,
        inner: fields.Field[Any],
        plural_noun: str,
        min_items: int,
        max_items: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(inner, **kwargs)
        self.plural_noun, self.min_items, self.max_items = plural_noun, min_items, max_items

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("should be a list")
        if len(value) < self.min_items:
            raise ValidationError(
                f"should have at least {_count_phrase(self.min_items, self.plural_noun)}"
            )
        if len(value) > self.max_items:
            raise ValidationError(
                f"should have at most {_count_phrase(self.max_items, self.plural_noun)}"
            )
        return super()._deserialize(value, *args, **kwargs)


class SchemaChoice(fields.Field[Any]):
    """A mapping, loaded by the one of `schemas` that its field `kind` names."""

    @property
    def schemas(self) -> Mapping[str, Schema]:
        raise NotImplementedError

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ValidationError("should be a mapping of names to values")
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in self.schemas:
            raise ValidationError({"kind": [f"should be one of {', '.join(self.schemas)}"]})
        return self.schemas[kind].load(value)


class PartChoice(fields.Field[Any]):
    """A mapping, loaded by the one of `schemas` whose name is the first that it has as a field."""

    schemas: Mapping[str, Schema]

    def find_kind(self, value: Any) -> str:
        """Return the name of the schema that loads a value; empty for another value."""
        names = (name for name in self.schemas if isinstance(value, dict) and name in value)
        return next(names, "")

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        kind = self.find_kind(value)
        if not kind:
            raise ValidationError(f"should be a mapping with {' or '.join(self.schemas)}")
        return self.schemas[kind].load(value)


def _is_known_language(code: str) -> bool:
    from babel import Locale  # takes a tenth of a second, and few documents name a language

    return code in Locale("en").languages


def nested(schema: type[Schema], **kwargs: Any) -> fields.Nested:
    return fields.Nested(schema, error_messages=dict(_ERROR_MESSAGES), **kwargs)


def nested_list(
    schema: type[Schema], plural_noun: str, min_items: int, max_items: int, **kwargs: Any
) -> ListOf:
    return ListOf(nested(schema), plural_noun, min_items, max_items, **kwargs)


def require_unique(
    values: list[str], list_name: str, key_name: str = "key", *, ignore_case: bool = True
) -> None:
    """Raise ValidationError for the first repeated value.

    `list_name` and `key_name` are the path of the error: list_name[index].key_name.
    """
    seen_values: set[str] = set()
    for index, value in enumerate(value.casefold() if ignore_case else value for value in values):
        if value in seen_values:
            raise ValidationError({list_name: {index: {key_name: ["is already used above"]}}})
        seen_values.add(value)


def _parse_decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValidationError("should be a number")
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        raise ValidationError(_number_advice(str(value))) from None
    if not number.is_finite():
        raise ValidationError("should be a number")
    digits = len(number.as_tuple().digits)
    if abs(number.adjusted()) > _MAX_DIGITS or digits > 2 * _MAX_DIGITS:
        raise ValidationError(f"should have at most {_MAX_DIGITS} digits on either side")
    return number


def _number_advice(text: str) -> str:
    character = re.search(r"[^\d.+eE-]", text, re.ASCII)
    if character is None or not re.search(r"\d", text):
        return "should be a number"
    return (
        f"should be a number such as -1234.5; {name_character(character[0])} is in the way of one"
    )


def _count_phrase(number: int, plural_noun: str) -> str:
    number_words = {1: "one", 2: "two", 3: "three"}
    noun = plural_noun.removesuffix("s") if number == 1 else plural_noun
    return f"{number_words.get(number, number)} {noun}"
