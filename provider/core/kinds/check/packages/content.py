"""The content of a package (schema 1), and its validation.

    name, description?                    description is Markdown
    language?                             a BCP 47 tag such as de: of every text of the document
    valid_months?                         after so many months the check is to be renewed
    sections?                             [{key, title, text}], shown before the consent form
    screenings                            [{type?, key, name, description?, workforce?,
                                          barred_lists?, reason?, asks?, documents?,
                                          working_days?, performer?, connector?,
                                          questions?: [{key, text, kind?, options?, required?}],
                                          consent_texts?, retention_days?}]
    disclosure                            {key, version, text, sample?}, the text to consent to
    legal_texts?                          [{key, version, purpose, title, text, countries?,
                                          sample?}]

`type` is a name of SCREENING_TYPES; it gives the usual values of what a screening leaves out.
`asks` lists details by their names in DETAIL_FIELDS, `documents` are names of DOCUMENT_SLOTS. The
candidate is asked for these only. `reason` is one sentence that says why. `working_days` is the
expected time. `workforce` and `barred_lists` are names of SCREENING_OPTIONS, of some types only.
`questions` are for referees, of the kind text, choice (with `options`) or yes_no; without them the
type's usual questions are asked. `connector` is the key of one of the account's. `retention_days`
is how long the data of the screening is stored after the end of the check; the outcome stays.
`consent_texts` are keys of `legal_texts` that the screening needs, or the type's LEGAL_TEXT_SLOTS.

`legal_texts` are shown beside the disclosure: to candidates of `countries` (ISO 3166 codes), or to
all where there are none. One with the purpose `disclosure` replaces the disclosure for them, unless
a screening names it: it is then one more text.

`text` and `description` are Markdown. The author chooses `version`; each consent records it.
`sample: true` marks a disclosure that no lawyer has approved. Pages warn about it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from provider.core.kinds.check.packages.country_code import CountryCode
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.packages.legal_text_slots import (
    DISCLOSURE,
    LEGAL_TEXT_SLOTS,
    PURPOSES,
    is_filled_by,
)
from provider.core.kinds.check.packages.referee_questions import (
    RefereeQuestion,
    RefereeQuestionSchema,
)
from provider.core.kinds.check.packages.screening_options import SCREENING_OPTIONS, complete_options
from provider.core.kinds.check.packages.screening_types import (
    OTHER,
    PERFORMERS,
    SCREENING_TYPES,
    STAFF,
    ScreeningType,
)
from provider.core.products.documents import load_content
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
from provider.texts import LazyText
from provider.texts import Text as ShownText

# A screening takes these fields from its type where the document leaves them out.
USUAL_FIELDS = ("asks", "documents", "working_days", "performer", "consent_texts")
_TUPLES = ("asks", "documents", "consent_texts", "questions")


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
    consent_texts: tuple[str, ...] = ()
    working_days: int = SCREENING_TYPES[OTHER].working_days
    performer: str = STAFF
    connector: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def option_texts(self) -> list[tuple[LazyText, LazyText]]:
        """The label and the chosen value of each option."""
        return [
            (SCREENING_OPTIONS[name].label, SCREENING_OPTIONS[name].choices[value])
            for name, value in self.options.items()
        ]

    retention_days: int | None = None
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
    valid_months: int | None = None
    legal_texts: tuple[LegalText, ...] = ()

    def legal_texts_for(self, country: str) -> tuple[LegalText, ...]:
        """Return the texts for candidates of a country, by its ISO 3166 code, in their order."""
        return tuple(
            text for text in self.legal_texts if not text.countries or country in text.countries
        )

    def disclosure_for(self, country: str) -> Disclosure | LegalText:
        """Return the text that candidates of a country consent to, by its ISO 3166 code."""
        named = self.named_texts
        texts = [text for text in self.legal_texts_for(country) if text.key not in named]
        return next((text for text in texts if text.purpose == DISCLOSURE), self.disclosure)

    @property
    def named_texts(self) -> set[str]:
        """The keys of texts, and the slots, that the screenings name."""
        return {name for screening in self.screenings for name in screening.consent_texts}

    def find_texts(self, names: Collection[str], country: str) -> list[LegalText]:
        """Return the texts for candidates of a country that keys or LEGAL_TEXT_SLOTS name.

        A text that some screening names by its key fills no slot of another name.
        """
        texts, named = self.legal_texts_for(country), self.named_texts
        found: set[str] = set()
        for name in names:
            keys = {text.key for text in texts if text.key == name}
            found |= keys or {
                text.key
                for text in texts
                if text.key not in named and is_filled_by(name, text.purpose, country)
            }
        return [text for text in texts if text.key in found]

    def list_consent_texts(self, screening: Screening) -> list[LegalText]:
        """Return the texts of one screening for candidates of any country."""
        countries = {"", *(country for text in self.legal_texts for country in text.countries)}
        countries |= {slot.country for slot in LEGAL_TEXT_SLOTS.values()}
        names = screening.consent_texts
        keys = {text.key for country in countries for text in self.find_texts(names, country)}
        return [text for text in self.legal_texts if text.key in keys]

    @property
    def has_sample_text(self) -> bool:
        return self.disclosure.sample or any(text.sample for text in self.legal_texts)

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

    type = Choice(registry=SCREENING_TYPES, load_default=OTHER)
    key = Key(required=True)
    name = Title(120, required=True)
    description = Text(5_000, multiline=True, load_default="")
    workforce = Choice(*SCREENING_OPTIONS["workforce"].choices)
    barred_lists = Choice(*SCREENING_OPTIONS["barred_lists"].choices)
    reason = Text(300, load_default="")
    asks = ListOf(Choice(*DETAIL_FIELDS), "names", 0, len(DETAIL_FIELDS))
    documents = ListOf(Choice(*DOCUMENT_SLOTS), "names", 0, len(DOCUMENT_SLOTS))
    consent_texts = ListOf(Key(), "keys", 0, 30)
    working_days = Integer(1, 250)
    performer = Choice(*PERFORMERS)
    connector = Key(load_default="")
    questions = nested_list(RefereeQuestionSchema, "questions", 0, 20, load_default=())
    retention_days = Integer(1, 3650)

    usual_by = "type"

    def usual_values(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        usual = _find_type(entry)
        options = {name: SCREENING_OPTIONS[name].default for name in usual.options}
        return _usual_fields(usual) | options | {"reason": str(usual.reason)}

    def unused_fields(self, entry: Mapping[str, Any]) -> list[str]:
        options = _find_type(entry).options
        return [name for name in SCREENING_OPTIONS if name not in options]

    @validates_schema
    def _validate_questions(self, data: dict[str, Any], **_: Any) -> None:
        require_unique([question.key for question in data["questions"]], "questions")

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> Screening:
        given = {name: data.pop(name) for name in SCREENING_OPTIONS if name in data}
        data["options"] = complete_options(data["type"], given)
        data = _usual_fields(_find_type(data)) | data
        tuples = {name: tuple(data[name]) for name in _TUPLES}
        return Screening(**data | tuples)


def _find_type(entry: Mapping[str, Any]) -> ScreeningType:
    return SCREENING_TYPES.get(str(entry.get("type")), SCREENING_TYPES[OTHER])


def _usual_fields(usual: ScreeningType) -> dict[str, Any]:
    return {name: getattr(usual, name) for name in USUAL_FIELDS}


class LegalTextSchema(DocumentSchema):
    """One of the `legal_texts`."""

    key = Key(required=True)
    version = Text(40, required=True)
    purpose = Choice(*PURPOSES, required=True)
    title = Title(120, required=True)
    text = Text(50_000, multiline=True, required=True)
    countries = ListOf(CountryCode(), "countries", 0, 250, load_default=())
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
    valid_months = Integer(1, 120)
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
        _require_known_texts(data["screenings"], [text.key for text in data["legal_texts"]])
        _require_other_key(data)

    @post_load
    def _build(self, data: dict[str, Any], **_: Any) -> PackageContent:
        del data["schema"]
        tuples = {name: tuple(data[name]) for name in ("sections", "screenings", "legal_texts")}
        return PackageContent(**data | tuples)


def _require_known_texts(screenings: Sequence[Screening], keys: Collection[str]) -> None:
    """Raise ValidationError for a screening's text that `keys` lack; warnings name empty slots."""
    for index, screening in enumerate(screenings):
        slots = SCREENING_TYPES[screening.type].consent_texts
        for number, key in enumerate(screening.consent_texts):
            if key not in keys and key not in slots:
                problem = f"is {key}, which legal_texts does not have: add this text there"
                known = f", or name one of {', '.join(keys)}" if keys else ""
                path = {number: [problem + known]}
                raise ValidationError({"screenings": {index: {"consent_texts": path}}})


def _require_other_key(data: Mapping[str, Any]) -> None:
    """Raise ValidationError if a screening names a disclosure with the key of the package's.

    A candidate confirms both, and a consent has one text of each purpose and key.
    """
    key = data["disclosure"].key
    named = {name for screening in data["screenings"] for name in screening.consent_texts}
    for index, text in enumerate(data["legal_texts"]):
        if text.purpose == DISCLOSURE and text.key == key and key in named:
            problem = f"is {key}, like the key of disclosure: give this text another key"
            raise ValidationError({"legal_texts": {index: {"key": [problem]}}})


SCHEMA = PackageSchema()


def parse(content: Mapping[str, Any]) -> PackageContent:
    """Return the typed content of a version. Raises Invalid with the path of the error."""
    package: PackageContent = load_content(content, SCHEMA)
    return package


def load_screening(entry: Mapping[str, Any]) -> Screening:
    """Return the screening of an entry of `screenings`. Raises Invalid with the path."""
    screening: Screening = load_content(entry, ScreeningSchema())
    return screening
