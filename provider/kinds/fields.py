"""Fields that all product documents share: strict about types, plain about what they ask for."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from marshmallow import Schema, ValidationError, fields

T = TypeVar("T")
SLUG_ADVICE = "should be small letters, digits and single hyphens, such as cash-flow or '2'"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SLUG = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
_MOST_DIGITS = 15  # on either side of the point
_MESSAGES: dict[str, Any] = {"required": "should be provided", "null": "should not be empty"}


def unprintable(text: str) -> int | None:
    """Return where `text` holds a character that no page or database should see, or None."""
    found = _UNPRINTABLE.search(text)
    return found.start() if found else None


def cleaned(text: str) -> str:
    """Return `text` with a space for every character that may not be kept, stripped."""
    return _UNPRINTABLE.sub(" ", text).strip()


def is_slug(text: str) -> bool:
    """Tell whether `text` can be a key: small letters, digits, single - or _, at most 64."""
    return len(text) <= 64 and _SLUG.fullmatch(text) is not None


class Shape(Schema):
    """A mapping in a product document; unknown names are refused with the list of known ones."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        names = ", ".join(self.load_fields)
        self.error_messages["unknown"] = f"is not known here; the names are {names}"
        self.error_messages["type"] = "should be a mapping of names to values"


class Strict(fields.Field[T]):
    """A field that takes exactly one type: a subclass says how it understands a value."""

    default_error_messages = _MESSAGES

    def _deserialize(self, value: Any, *_args: Any, **_more: Any) -> T:
        return self._understand(value)

    def _understand(self, value: Any) -> T:
        raise NotImplementedError


class Text(Strict[str]):
    """Text of at most `most` characters, stripped; on one line unless `lines`."""

    def __init__(self, most: int, *, lines: bool = False, **more: Any) -> None:
        super().__init__(**more)
        self.most, self.lines = most, lines

    def _understand(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("should be text; put a number, true or false in quotes")
        text = value.strip()
        if not text:
            raise ValidationError("should not be empty")
        if len(text) > self.most:
            raise ValidationError(f"should have at most {self.most} characters")
        if unprintable(text) is not None:
            raise ValidationError("should not hold control characters")
        if not self.lines and "\n" in text:
            raise ValidationError("should be on one line")
        return text


class Key(Strict[str]):
    """A short name that stays the same when titles are reworded."""

    def _understand(self, value: Any) -> str:
        if isinstance(value, str) and is_slug(value):
            return value
        raise ValidationError(SLUG_ADVICE)


class Choice(Strict[str]):
    """One of a few words."""

    def __init__(self, *choices: str, **more: Any) -> None:
        super().__init__(**more)
        self.choices = choices

    def _understand(self, value: Any) -> str:
        if isinstance(value, str) and value in self.choices:
            return value
        raise ValidationError(f"should be one of {', '.join(self.choices)}")


class Flag(Strict[bool]):
    """true or false, and nothing that merely looks like it."""

    def _understand(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValidationError("should be true or false")


class Number(Strict[Decimal]):
    """An exact number between `least` and `most`; `above` leaves `least` itself out."""

    def __init__(
        self, least: int = -(10**15), most: int = 10**15, *, above: bool = False, **more: Any
    ) -> None:
        super().__init__(**more)
        self.least, self.most, self.above = least, most, above

    def _understand(self, value: Any) -> Decimal:
        number = _exact(value)
        if self.above and number <= self.least:
            raise ValidationError(f"should be more than {self.least}")
        if not self.least <= number <= self.most:
            raise ValidationError(f"should be between {self.least} and {self.most}")
        return number


class Whole(Strict[int]):
    """A whole number between `least` and `most`."""

    def __init__(self, least: int, most: int, **more: Any) -> None:
        super().__init__(**more)
        self.least, self.most = least, most

    def _understand(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError("should be a whole number")
        if not self.least <= value <= self.most:
            raise ValidationError(f"should be between {self.least} and {self.most}")
        return value


class Many(fields.List[Any]):
    """A list of at least `least` and at most `most` of something, called `things` in errors."""

    default_error_messages = _MESSAGES

    def __init__(
        self, inner: fields.Field[Any], things: str, least: int, most: int, **more: Any
    ) -> None:
        super().__init__(inner, **more)
        self.things, self.least, self.most = things, least, most

    def _deserialize(self, value: Any, *args: Any, **more: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("should be a list")
        if len(value) < self.least:
            raise ValidationError(f"should have at least {_count(self.least, self.things)}")
        if len(value) > self.most:
            raise ValidationError(f"should have at most {_count(self.most, self.things)}")
        return super()._deserialize(value, *args, **more)


def part(shape: type[Schema], **more: Any) -> fields.Nested:
    """Return a field that holds one mapping of this `shape`."""
    return fields.Nested(shape, error_messages=dict(_MESSAGES), **more)


def parts(shape: type[Schema], things: str, least: int, most: int, **more: Any) -> Many:
    """Return a field that holds a list of mappings of this `shape`."""
    return Many(part(shape), things, least, most, **more)


def unlike(values: list[str], where: str, what: str = "key") -> None:
    """Raise ValidationError at the first entry of the list `where` whose `what` came before."""
    seen: set[str] = set()
    for index, value in enumerate(value.casefold() for value in values):
        if value in seen:
            raise ValidationError({where: {index: {what: ["is already used above"]}}})
        seen.add(value)


def _exact(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValidationError("should be a number")
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        raise ValidationError("should be a number") from None
    if not number.is_finite():
        raise ValidationError("should be a number")
    digits = len(number.as_tuple().digits)
    if abs(number.adjusted()) > _MOST_DIGITS or digits > 2 * _MOST_DIGITS:
        raise ValidationError(f"should have at most {_MOST_DIGITS} digits on either side")
    return number


def _count(number: int, things: str) -> str:
    words = {1: "one", 2: "two", 3: "three"}
    return f"{words.get(number, number)} {things.removesuffix('s') if number == 1 else things}"
