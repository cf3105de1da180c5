"""Reads a page as a browser without scripts would: its links, and its forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

CHOICES = ("radio", "checkbox")
QUESTIONS = (*CHOICES, "text", "number", "textarea")


@dataclass
class Field:
    """One control of a form; `label` is what stands beside it."""

    name: str
    kind: str
    value: str = ""
    checked: bool = False
    id: str = ""
    label: str = ""


@dataclass
class Form:
    """A form that posts."""

    action: str
    fields: list[Field] = field(default_factory=list)

    def questions(self) -> dict[str, list[Field]]:
        """Return what a person can fill in, by name."""
        found: dict[str, list[Field]] = {}
        for each in self.fields:
            if each.kind in QUESTIONS:
                found.setdefault(each.name, []).append(each)
        return found

    def filled(self, answers: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        """Return what is sent with these answers: the rest as it stands, and the first button."""
        kept = [(each.name, each.value) for each in self.fields if self._stands(each, answers)]
        button = [(each.name, each.value) for each in self.fields if each.kind == "submit"][:1]
        said = [(name, value) for name, values in answers.items() for value in values]
        return kept + said + button

    def _stands(self, each: Field, answers: Mapping[str, list[str]]) -> bool:
        if each.kind == "submit" or each.name in answers:
            return False
        return each.checked or each.kind not in CHOICES


@dataclass
class Page:
    """A page that was read."""

    url: str
    text: str
    links: list[str]
    forms: list[Form]

    def form(self, path: str) -> Form | None:
        """Return the form that posts to an address with `path` in it."""
        return next((form for form in self.forms if path in (form.action or self.url)), None)


def read(html: str, url: str) -> Page:
    """Read a page."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return Page(url, " ".join("".join(reader.text).split()), reader.links, reader.finished())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self._forms: list[Form] = []
        self._open: Form | None = None
        self._area: Field | None = None
        self._label: list[str] | None = None  # what the open label says so far
        self._around: list[tuple[Field, list[str]]] = []  # controls inside of a label
        self._apart: dict[str, list[str]] = {}  # labels by the id of their control

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag == "form" and said.get("method", "").lower() == "post":
            self._open = Form(said.get("action", ""))
            self._forms.append(self._open)
        elif tag == "label":
            self._label = self._apart.setdefault(said["for"], []) if "for" in said else []
        elif self._open and tag in ("input", "textarea", "button") and said.get("name"):
            self._add(self._open, tag, said)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "label":
            self._label = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._area:
            self._area.value += data
        if self._label is not None:
            self._label.append(data)

    def finished(self) -> list[Form]:
        """Return the forms, each control with its label."""
        fields = [each for form in self._forms for each in form.fields]
        for each, said in [
            *((each, self._apart.get(each.id, [])) for each in fields),
            *self._around,
        ]:
            each.label = " ".join("".join(said).split()) or each.label
        return self._forms

    def _add(self, form: Form, tag: str, said: dict[str, str]) -> None:
        kind = {"textarea": "textarea", "button": "submit"}.get(tag) or said.get("type", "text")
        made = Field(
            said["name"], kind, said.get("value", ""), "checked" in said, said.get("id", "")
        )
        if kind in CHOICES and "value" not in said:
            made.value = "on"
        form.fields.append(made)
        if self._label is not None:
            self._around.append((made, self._label))
        self._area = made if tag == "textarea" else None
