"""Fields that all product documents share: strict about types, plain about what they ask for."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from marshmallow import Schema, ValidationError, fields

T = TypeVar("T")
SLUG_ADVICE = "should be small letters, digits and single hyphens, such as cash-flow or '2'"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SLUG = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_MAX_DIGITS = 15  # on either side of the point
_ERROR_MESSAGES: dict[str, Any] = {"required": "should be provided", "null": "should not be empty"}


def find_unprintable(text: str) -> int | None:
    """Return where `text` holds a character that no page or database should see, or None."""
    found = _UNPRINTABLE.search(text)
    return found.start() if found else None


def clean_text(text: str) -> str:
    """Return `text` with a space for every character that may not be kept, stripped."""
    return _UNPRINTABLE.sub(" ", text).strip()


def is_slug(text: str) -> bool:
    """Tell whether `text` can be a key: small letters, digits, single - or _, at most 64."""
    return len(text) <= 64 and _SLUG.fullmatch(text) is not None


class DocumentSchema(Schema):
    """A mapping in a product document; unknown names are refused with the list of known ones."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        names = ", ".join(self.load_fields)
        self.error_messages["unknown"] = f"is not known here; the names are {names}"
        self.error_messages["type"] = "should be a mapping of names to values"


class StrictField(fields.Field[T]):
    """A field that takes exactly one type: a subclass says how it understands a value."""

    default_error_messages = _ERROR_MESSAGES

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> T:
        return self._parse(value)

    def _parse(self, value: Any) -> T:
        raise NotImplementedError


class Text(StrictField[str]):
    """Text of at most `most` characters, stripped; on one line unless `lines`."""

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


class Key(StrictField[str]):
    """A short name that stays the same when titles are reworded."""

    def _parse(self, value: Any) -> str:
        if isinstance(value, str) and is_slug(value):
            return value
        raise ValidationError(SLUG_ADVICE)


class Choice(StrictField[str]):
    """One of a few words."""

    def __init__(self, *choices: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = choices

    def _parse(self, value: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        raise ValidationError(f"should be one of {', '.join(self.choices)}")


class Flag(StrictField[bool]):
    """true or false, and nothing that merely looks like it."""

    def _parse(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValidationError("should be true or false")


class Number(StrictField[Decimal]):
    """An exact number between `least` and `most`; `above` leaves `least` itself out."""

    def __init__(
        self,
        minimum: int = -(10**15),
        maximum: int = 10**15,
        *,
        is_minimum_exclusive: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.minimum, self.maximum, self.is_minimum_exclusive = (
            minimum,
            maximum,
            is_minimum_exclusive,
        )

    def _parse(self, value: Any) -> Decimal:
        number = _parse_decimal(value)
        if self.is_minimum_exclusive and number <= self.minimum:
            raise ValidationError(f"should be more than {self.minimum}")
        if not self.minimum <= number <= self.maximum:
            raise ValidationError(f"should be between {self.minimum} and {self.maximum}")
        return number


class Integer(StrictField[int]):
    """A whole number between `least` and `most`."""

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
    """A list of at least `least` and at most `most` of something, called `things` in errors."""

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


def nested(schema: type[Schema], **kwargs: Any) -> fields.Nested:
    """Return a field that holds one mapping of this `shape`."""
    return fields.Nested(schema, error_messages=dict(_ERROR_MESSAGES), **kwargs)


def nested_list(
    schema: type[Schema], plural_noun: str, min_items: int, max_items: int, **kwargs: Any
) -> ListOf:
    """Return a field that holds a list of mappings of this `shape`."""
    return ListOf(nested(schema), plural_noun, min_items, max_items, **kwargs)


def require_unique(values: list[str], list_name: str, key_name: str = "key") -> None:
    """Raise ValidationError at the first entry of the list `where` whose `what` came before."""
    seen: set[str] = set()
    for index, value in enumerate(value.casefold() for value in values):
        if value in seen:
            raise ValidationError({list_name: {index: {key_name: ["is already used above"]}}})
        seen.add(value)


def _parse_decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValidationError("should be a number")
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        raise ValidationError("should be a number") from None
    if not number.is_finite():
        raise ValidationError("should be a number")
    digits = len(number.as_tuple().digits)
    if abs(number.adjusted()) > _MAX_DIGITS or digits > 2 * _MAX_DIGITS:
        raise ValidationError(f"should have at most {_MAX_DIGITS} digits on either side")
    return number


def _count_phrase(number: int, plural_noun: str) -> str:
    words = {1: "one", 2: "two", 3: "three"}
    return f"{words.get(number, number)} {plural_noun.removesuffix('s') if number == 1 else plural_noun}"
