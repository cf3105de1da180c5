"""What a package's content says (schema 1).

    name, description?                    description is Markdown
    sections?                             [{key, title, text}], read by the candidate first
    screenings                            [{key, name, description?, asks?}], each gets a finding
    disclosure                            {key, version, text, sample?}, what is consented to

`asks` names what a screening needs to know, from PARTICULARS; the form asks for that and no more.

`text` and `description` are Markdown. `version` is text of the author's, kept with each consent.
`sample: true` marks a disclosure that no lawyer has seen: pages warn that it is not for real use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import post_load, validates_schema

from provider.kinds.check.particulars import PARTICULARS
from provider.kinds.document import load
from provider.kinds.fields import Choice, Flag, Key, Many, Shape, Text, Whole, part, parts, unlike


@dataclass(frozen=True)
class Section:
    """Something the candidate reads before deciding."""

    key: str
    title: str
    text: str


@dataclass(frozen=True)
class Screening:
    """One thing that is looked into; it ends clear or to be considered."""

    key: str
    name: str
    description: str = ""
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disclosure:
    """The text a candidate consents to; `sample` ones are not for real use."""

    key: str
    version: str
    text: str
    sample: bool = False


@dataclass(frozen=True)
class PackageContent:
    """A package, ready to be consented to and worked through."""

    name: str
    screenings: tuple[Screening, ...]
    disclosure: Disclosure
    description: str = ""
    sections: tuple[Section, ...] = ()

    @property
    def asked(self) -> list[str]:
        """What the screenings need to know, each once, in the order of PARTICULARS."""
        return [name for name in PARTICULARS if any(name in each.asks for each in self.screenings)]


class SectionShape(Shape):
    """One of the `sections`."""

    key = Key(required=True)
    title = Text(120, required=True)
    text = Text(20_000, lines=True, required=True)

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Section:
        return Section(**data)


class ScreeningShape(Shape):
    """One of the `screenings`."""

    key = Key(required=True)
    name = Text(120, required=True)
    description = Text(5_000, lines=True, load_default="")
    asks = Many(Choice(*PARTICULARS), "names", 0, len(PARTICULARS), load_default=())

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Screening:
        return Screening(**data | {"asks": tuple(data["asks"])})


class DisclosureShape(Shape):
    """The `disclosure`."""

    key = Key(required=True)
    version = Text(40, required=True)
    text = Text(50_000, lines=True, required=True)
    sample = Flag(load_default=False)

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> Disclosure:
        return Disclosure(**data)


class PackageShape(Shape):
    """A package's content."""

    schema = Whole(1, 1, load_default=1)
    name = Text(120, required=True)
    description = Text(10_000, lines=True, load_default="")
    sections = parts(SectionShape, "sections", 0, 20, load_default=())
    screenings = parts(ScreeningShape, "screenings", 1, 50, required=True)
    disclosure = part(DisclosureShape, required=True)

    @validates_schema
    def _agrees(self, data: dict[str, Any], **_: Any) -> None:
        unlike([section.key for section in data["sections"]], "sections")
        unlike([screening.key for screening in data["screenings"]], "screenings")
        unlike([screening.name for screening in data["screenings"]], "screenings", "name")

    @post_load
    def _made(self, data: dict[str, Any], **_: Any) -> PackageContent:
        del data["schema"]
        tuples = {name: tuple(data[name]) for name in ("sections", "screenings")}
        return PackageContent(**data | tuples)


SCHEMA = PackageShape()


def parse(content: Mapping[str, Any]) -> PackageContent:
    """Return the typed package of a version's content; Invalid names the path of the error."""
    package: PackageContent = load(content, SCHEMA)
    return package
