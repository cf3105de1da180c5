"""The content of a package (schema 1), and its validation.

    name, description?                    description is Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    sections?                             [{key, title, text}], shown before the consent form
    screenings                            [{key, name, type?, description?, reason?, asks?,
                                          documents?, working_days?, performer?, connector?,
                                          questions?: [{key, text, kind?, options?, required?}]}]
    disclosure                            {key, version, text, sample?}, the text to consent to
    legal_texts?                          [{key, version, purpose, title, text, countries?,
                                          sample?}]

`type` is a name of SCREENING_TYPES; it gives the usual values of what a screening leaves out.
`asks` lists details by their names in DETAIL_FIELDS, `documents` are names of DOCUMENT_SLOTS. The
candidate is asked for these only. `reason` is one sentence that says why. `working_days` is the
expected time. `questions` are for referees, of the kind text, choice (with `options`) or yes_no;
without them the type's usual questions are asked. `connector` is the key of one of the account's.

`legal_texts` are shown beside the disclosure: to candidates of `countries` (ISO 3166 codes), or to
all where there are none.

`text` and `description` are Markdown. The author chooses `version`; each consent records it.
`sample: true` marks a disclosure that no lawyer has approved. Pages warn about it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import post_load, validates_schema

from provider.core.kinds.check.candidate_details import DETAIL_FIELDS
from provider.core.kinds.check.countries import COUNTRY_CODES
from provider.core.kinds.check.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.referee_questions import RefereeQuestion, RefereeQuestionSchema
from provider.core.kinds.check.screening_types import OTHER, PERFORMERS, SCREENING_TYPES, STAFF
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
from provider.texts import Text as ShownText

# The purposes of legal texts: each is a step of its own, in this order.
DISCLOSURE, RIGHTS, PRIVACY, AUTHORIZATION = PURPOSES = (
    "disclosure",
    "rights",
    "privacy",
    "authorization",
)
# What a screening takes from its type, where the document leaves it out.
USUAL_FIELDS = ("asks", "documents", "working_days", "performer")


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
    type: str = OTHER
    reason: str = ""
    documents: tuple[str, ...] = ()
    working_days: int = SCREENING_TYPES[OTHER].working_days
    performer: str = STAFF
    connector: str = ""
    questions: tuple[RefereeQuestion, ...] = ()

    @property
    def reason_text(self) -> ShownText:
        """Why the details and documents are needed: the author's sentence, or that of the type."""
        return self.reason or SCREENING_TYPES[self.type].reason


@dataclass(frozen=True)
class LegalText:
    """A text beside the disclosure. A sample is for sandbox accounts only."""

    key: str
    version: str
    purpose: str
    title: str
    text: str
    countries: tuple[str, ...] = ()
    sample: bool = False


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
    legal_texts: tuple[LegalText, ...] = ()

    def legal_texts_for(self, country: str) -> tuple[LegalText, ...]:
        """Return the texts for candidates of a country, by its ISO 3166 code, in their order."""
        return tuple(
            text for text in self.legal_texts if not text.countries or country in text.countries
        )

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
    type = Choice(*SCREENING_TYPES, load_default=OTHER)
    reason = Text(300, load_default="")
    asks = ListOf(Choice(*DETAIL_FIELDS), "names", 0, len(DETAIL_FIELDS))
    documents = ListOf(Choice(*DOCUMENT_SLOTS), "names", 0, len(DOCUMENT_SLOTS))
    working_days = Integer(1, 250)
    performer = Choice(*PERFORMERS)
    connector = Key(load_default="")
    questions = nested_list(RefereeQuestionSchema, "questions", 0, 20, load_default=())

    @validates_schema
    def _validate_questions(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([question.key for question in data["questions"]], "questions")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Screening:
        usual = SCREENING_TYPES[data["type"]]
        data = {name: getattr(usual, name) for name in USUAL_FIELDS} | data
        tuples = {name: tuple(data[name]) for name in ("asks", "documents", "questions")}
        return Screening(**data | tuples)


class LegalTextSchema(DocumentSchema):
    """One of the `legal_texts`."""

    key = Key(required=True)
    version = Text(40, required=True)
    purpose = Choice(*PURPOSES, required=True)
    title = Title(120, required=True)
    text = Text(50_000, multiline=True, required=True)
    countries = ListOf(Choice(*COUNTRY_CODES), "codes", 0, 250, load_default=())
    sample = Flag(load_default=False)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> LegalText:
        return LegalText(**data | {"countries": tuple(data["countries"])})


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
    legal_texts = nested_list(LegalTextSchema, "legal_texts", 0, 30, load_default=())

    @validates_schema
    def _validate_consistency(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([section.key for section in data["sections"]], "sections")
        require_unique([screening.key for screening in data["screenings"]], "screenings")
        require_unique([screening.name for screening in data["screenings"]], "screenings", "name")
        require_unique([text.key for text in data["legal_texts"]], "legal_texts")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> PackageContent:
        del data["schema"]
        tuples = {name: tuple(data[name]) for name in ("sections", "screenings", "legal_texts")}
        return PackageContent(**data | tuples)


SCHEMA = PackageSchema()


def parse(content: Mapping[str, Any]) -> PackageContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    package: PackageContent = load_content(content, SCHEMA)
    return package


def load_screening(entry: Mapping[str, Any]) -> Screening:
    """Return the screening of an entry of `screenings`. Raises Invalid with the path."""
    screening: Screening = load_content(entry, ScreeningSchema())
    return screening


def find_warnings(content: PackageContent) -> Iterator[DocumentWarning]:
    """Warn where candidates may not see what the author meant."""
    texts = [("description", content.description), ("disclosure.text", content.disclosure.text)]
    for index, section in enumerate(content.sections):
        texts.append((f"sections[{index}].text", section.text))
    for index, text in enumerate(content.legal_texts):
        texts.append((f"legal_texts[{index}].text", text.text))
    for index, screening in enumerate(content.screenings):
        texts.append((f"screenings[{index}].description", screening.description))
    return find_markdown_warnings(texts)
