"""The content of a package (schema 1), and its validation.

    name, description?                    description is Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    sections?                             [{key, title, text}], shown before the consent form
    screenings                            [{key, name, description?, asks?}], each gets a finding
    disclosure                            {key, version, text, sample?}, the text to consent to

`asks` lists the details that a screening needs, by their names in DETAIL_FIELDS. The consent form
asks for these details only.

`text` and `description` are Markdown. The author chooses `version`; each consent records it.
`sample: true` marks a disclosure that no lawyer has approved. Pages warn about it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import post_load, validates_schema

from provider.core.kinds.check.candidate_details import DETAIL_FIELDS
from provider.core.products.documents import DocumentWarning, load_content
from provider.core.products.markdown_warnings import find_markdown_warnings
from provider.core.products.schema_fields import (
    Choice,
    DocumentSchema,
    Flag,
    Integer,
    Key,
    LanguageTag,
    ListOf,
    Text,
    Title,
    nested,
    nested_list,
    require_unique,
)


@dataclass(frozen=True)
class InformationSection:
    """A text that the candidate reads before the consent form."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Screening:
    """One part of a check. Its finding is clear or to consider."""

    key: str
    name: str
    description: str = ""
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disclosure:
    """The text that a candidate consents to. A sample is for sandbox accounts only."""

    key: str
    version: str
    text: str
    sample: bool = False


@dataclass(frozen=True)
class PackageContent:
    """The parsed content of a package."""

    name: str
    screenings: tuple[Screening, ...]
    disclosure: Disclosure
    description: str = ""
    sections: tuple[InformationSection, ...] = ()
    language: str = ""

    @property
    def requested_details(self) -> list[str]:
        """The names of the details that the screenings need, in the order of DETAIL_FIELDS."""
        needed = {name for screening in self.screenings for name in screening.asks}
        return [name for name in DETAIL_FIELDS if name in needed]


class InformationSectionSchema(DocumentSchema):
    """One of the `sections`."""

    key = Key(required=True)
    title = Title(120, required=True)
    text = Text(20_000, multiline=True, required=True)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> InformationSection:
        return InformationSection(**data)


class ScreeningSchema(DocumentSchema):
    """One of the `screenings`."""

    key = Key(required=True)
    name = Title(120, required=True)
    description = Text(5_000, multiline=True, load_default="")
    asks = ListOf(Choice(*DETAIL_FIELDS), "names", 0, len(DETAIL_FIELDS), load_default=())

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Screening:
        return Screening(**data | {"asks": tuple(data["asks"])})


class DisclosureSchema(DocumentSchema):
    """The `disclosure`."""

    key = Key(required=True)
    version = Text(40, required=True)
    text = Text(50_000, multiline=True, required=True)
    sample = Flag(load_default=False)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Disclosure:
        return Disclosure(**data)


class PackageSchema(DocumentSchema):
    """The content of a package."""

    schema = Integer(1, 1, load_default=1)
    name = Title(120, required=True)
    language = LanguageTag(load_default="")
    description = Text(10_000, multiline=True, load_default="")
    sections = nested_list(InformationSectionSchema, "sections", 0, 20, load_default=())
    screenings = nested_list(ScreeningSchema, "screenings", 1, 50, required=True)
    disclosure = nested(DisclosureSchema, required=True)

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([section.key for section in data["sections"]], "sections")
        require_unique([screening.key for screening in data["screenings"]], "screenings")
        require_unique([screening.name for screening in data["screenings"]], "screenings", "name")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> PackageContent:
        del data["schema"]
        tuples = {name: tuple(data[name]) for name in ("sections", "screenings")}
        return PackageContent(**data | tuples)


SCHEMA = PackageSchema()


def parse(content: Mapping[str, Any]) -> PackageContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    package: PackageContent = load_content(content, SCHEMA)
    return package


def find_warnings(content: PackageContent) -> Iterator[DocumentWarning]:
    """Warn where candidates may not see what the author meant."""
    texts = [("description", content.description), ("disclosure.text", content.disclosure.text)]
    for index, section in enumerate(content.sections):
        texts.append((f"sections[{index}].text", section.text))
    for index, screening in enumerate(content.screenings):
        texts.append((f"screenings[{index}].description", screening.description))
    return find_markdown_warnings(texts)
