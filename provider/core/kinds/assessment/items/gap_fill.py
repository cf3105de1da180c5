"""`gap_fill`: a text with gaps, each of which takes a text or one of several options."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.assessment.items.base import (
    INCORRECT,
    MAX_TEXT_LENGTH,
    ItemKind,
    KeyedFieldsItem,
    OutlineRow,
    PartialItemSchema,
    repeated_texts,
)
from provider.core.kinds.assessment.items.options import (
    UNKNOWN_OPTION,
    Option,
    OptionSchema,
    require_unique_parts,
    same_looks,
)
from provider.core.kinds.assessment.text_folding import fold, fold_key
from provider.core.markdown import literal_html, markdown_to_text, render_markdown
from provider.core.products.schema_fields import (
    DocumentSchema,
    Flag,
    Key,
    ListOf,
    Text,
    nested_list,
    require_unique,
)
from provider.errors import Invalid

# The library is imported at the first use, as in `core/markdown.py`.
if TYPE_CHECKING:
    from markupsafe import Markup

_GAP = re.compile(r"\{\{([a-z0-9_-]+)\}\}")


@dataclass(frozen=True)
class Gap:
    """One gap. It takes one of its `options`, or without options a text."""

    key: str
    accepted: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    case_sensitive: bool = False

    @property
    def right_texts(self) -> tuple[str, ...]:
        """The right answers as the report shows them."""
        correct = tuple(option.text for option in self.options if option.correct)
        return correct or self.accepted

    def fold(self, text: str) -> str:
        return fold(text, case_sensitive=self.case_sensitive)

    def is_right(self, answer: str | None) -> bool:
        if answer is None:
            return False
        if self.options:
            return any(option.correct for option in self.options if option.key == answer)
        is_strict = self.case_sensitive
        accepted_texts = {fold_key(text, case_sensitive=is_strict) for text in self.accepted}
        return self.fold(answer) in accepted_texts

    def format(self, answer: str) -> str:
        texts = {option.key: option.text for option in self.options}
        return texts.get(answer, answer)

    def parse(self, text: str) -> str:
        """Return the answer that a field means; raises Invalid."""
        if self.options:
            if text not in {option.key for option in self.options}:
                raise Invalid(UNKNOWN_OPTION)
            return text
        text = " ".join(text.split())
        if len(text) > MAX_TEXT_LENGTH:
            raise Invalid(
                "This answer is too long. Write at most %(maximum)d characters",
                maximum=MAX_TEXT_LENGTH,
            )
        return text


@dataclass(frozen=True, kw_only=True)
class GapFill(KeyedFieldsItem):
    """A text with gaps `{{KEY}}`. The answer has a text or the key of an option for each gap.

    `plain` says that neither the prompt nor the text is Markdown.
    """

    kind = "gap_fill"
    text: str
    gaps: tuple[Gap, ...]
    partial: bool = True

    @property
    def field_keys(self) -> tuple[str, ...]:
        return tuple(gap.key for gap in self.gaps)

    def text_pieces(self) -> Iterator[tuple["Markup", Gap | None]]:
        """Yield the text as pieces of HTML, each with the gap that follows it; the last has none.

        The tags of a piece may be closed in another one.
        """
        from markupsafe import Markup

        gaps = {gap.key: gap for gap in self.gaps}
        *pieces, last = _split(_to_html(self.text, plain=self.plain))
        for html, key in zip(pieces[::2], pieces[1::2], strict=True):
            yield Markup(html), gaps[key]  # noqa: S704 - a part of safe HTML
        yield Markup(last), None  # noqa: S704 - as above

    def is_answered(self, value: Any) -> bool:
        return value is not None and len(value) == len(self.gaps)

    def score(self, value: Any) -> Fraction:
        """Return the share of the gaps that are filled with a right answer."""
        right_count = sum(gap.is_right(value.get(gap.key)) for gap in self.gaps)
        share = Fraction(right_count, len(self.gaps))
        return share if self.partial or share == 1 else INCORRECT

    def format_answer(self, value: Any) -> str:
        """Return the text with the answers in brackets."""
        answers = {gap.key: gap.format(value[gap.key]) for gap in self.gaps if gap.key in value}
        return self._fill(answers)

    @property
    def solution(self) -> str | None:
        right_texts = {gap.key: " / ".join(gap.right_texts) for gap in self.gaps}
        return self._fill(right_texts) if any(right_texts.values()) else None

    @property
    def scoring_problem(self) -> tuple[str, str] | None:
        if all(gap.right_texts for gap in self.gaps):
            return None
        return "gaps", "should each have accepted texts, or an option that is correct"

    def trial_answers(self) -> Iterator[Any]:
        yield {gap.key: self._trial_answer(gap, is_right=True) for gap in self.gaps}
        yield {gap.key: self._trial_answer(gap, is_right=False) for gap in self.gaps}

    def outline(self) -> Iterator[OutlineRow]:
        yield OutlineRow(self._fill({gap.key: gap.key for gap in self.gaps}))
        for gap in self.gaps:
            others = [option.text for option in gap.options if not option.correct]
            right = " / ".join(gap.right_texts)
            yield OutlineRow(gap.key, "; ".join([f"Correct: {right}"] * bool(right) + others))

    def markdown_texts(self) -> Iterator[tuple[str, str]]:
        yield from super().markdown_texts()
        if not self.plain:
            yield "text", self.text

    def text_warnings(self) -> Iterator[tuple[str, str]]:
        for index, gap in enumerate(self.gaps):
            path = f"gaps[{index}]."
            yield from same_looks(gap.options, f"{path}options")
            texts = [gap.fold(text) for text in gap.accepted]
            problem = "is the same answer as one above"
            yield from repeated_texts(texts, f"{path}accepted[{{}}]", problem)

    def _parse_texts(self, texts: dict[str, str]) -> dict[str, str]:
        gaps = {gap.key: gap for gap in self.gaps}
        return {key: gaps[key].parse(text) for key, text in texts.items()}

    def _fill(self, texts: dict[str, str]) -> str:
        text = self.text if self.plain else markdown_to_text(self.text)
        return _GAP.sub(lambda match: f"[{texts.get(match[1]) or '…'}]", text)

    def _trial_answer(self, gap: Gap, *, is_right: bool) -> str:
        if gap.options:
            wanted = [option.key for option in gap.options if option.correct == is_right]
            return (wanted or [gap.options[0].key])[0]
        return gap.accepted[0] if is_right and gap.accepted else "A scripted answer"


class GapSchema(DocumentSchema):
    """One of the `gaps`: either `accepted` texts or `options`."""

    key = Key(required=True)
    accepted = ListOf(Text(MAX_TEXT_LENGTH), "texts", 1, 50, load_default=())
    options = nested_list(OptionSchema, "options", 2, 30, load_default=())
    case_sensitive = Flag(load_default=False)

    @validates_schema
    def _require_one_kind(self, data: dict[str, Any], **_: Any) -> None:
        if data["accepted"] and data["options"]:
            raise ValidationError("should be left out of a gap with options", "accepted")
        require_unique_parts(data["options"], "options")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Gap:
        lists = {name: tuple(data[name]) for name in ("accepted", "options")}
        return Gap(**data | lists)


class GapFillSchema(PartialItemSchema):
    """`gap_fill`: the text has each gap once."""

    item_class = GapFill

    text = Text(10_000, multiline=True, required=True)
    gaps = nested_list(GapSchema, "gaps", 1, 30, required=True)

    @validates_schema
    def _require_each_gap_once(self, data: dict[str, Any], **_: Any) -> None:
        keys = [gap.key for gap in data["gaps"]]
        require_unique(keys, "gaps")
        text = data["text"] if data["plain"] else markdown_to_text(data["text"])
        # A gap in the address or the title of a link is in one of the two only.
        for shown in (text, _to_html(data["text"], plain=data["plain"])):
            found = _GAP.findall(shown)
            for key in [key for key in keys if found.count(key) != 1]:
                raise ValidationError(f"should have {{{{{key}}}}} once", "text")
            for key in set(found) - set(keys):
                raise ValidationError(f"has {{{{{key}}}}}, which is none of the gaps", "text")


KIND = ItemKind(
    GapFillSchema(),
    {
        "kind": "gap_fill",
        "key": "water",
        "prompt": "Complete the sentence.",
        "text": "At sea level water **boils** at {{degrees}} °C and {{state}} at 0 °C.",
        "points": 2,
        "partial": True,
        "gaps": [
            {"key": "degrees", "accepted": ["100", "hundred"]},
            {
                "key": "state",
                "options": [
                    {"key": "freezes", "text": "freezes", "correct": True},
                    {"key": "melts", "text": "evaporates"},
                ],
            },
        ],
    },
)


def _to_html(text: str, *, plain: bool) -> "Markup":
    return literal_html(text) if plain else render_markdown(text)


def _split(html: "Markup") -> list[str]:
    """Return pieces of HTML and keys of gaps in turn."""
    return _GAP.split(str(html))
