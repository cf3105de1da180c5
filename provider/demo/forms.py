"""Reads a page as a browser without scripts would: its links, and its forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

CHOICE_INPUT_TYPES = ("radio", "checkbox")
QUESTION_INPUT_TYPES = (*CHOICE_INPUT_TYPES, "text", "number", "textarea")


@dataclass
class Field:
    """One control of a form; `label` is what stands beside it."""

    name: str
    input_type: str
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
            if each.input_type in QUESTION_INPUT_TYPES:
                found.setdefault(each.name, []).append(each)
        return found

    def form_data(self, answers: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        """Return what is sent with these answers: the rest as it stands, and the first button."""
        kept = [
            (each.name, each.value)
            for each in self.fields
            if self._is_sent_unchanged(each, answers)
        ]
        button = [(each.name, each.value) for each in self.fields if each.input_type == "submit"][
            :1
        ]
        said = [(name, value) for name, values in answers.items() for value in values]
        return kept + said + button

    def _is_sent_unchanged(self, control: Field, answers: Mapping[str, list[str]]) -> bool:
        if control.input_type == "submit" or control.name in answers:
            return False
        return control.checked or control.input_type not in CHOICE_INPUT_TYPES


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


def parse_page(html: str, url: str) -> Page:
    """Read a page."""
    reader = _PageParser()
    reader.feed(html)
    reader.close()
    return Page(url, " ".join("".join(reader.text).split()), reader.links, reader.labelled_forms())


class _PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self._forms: list[Form] = []
        self._current_form: Form | None = None
        self._current_textarea: Field | None = None
        self._current_label: list[str] | None = None  # what the open label says so far
        self._wrapped_fields: list[tuple[Field, list[str]]] = []  # controls inside of a label
        self._labels_by_id: dict[str, list[str]] = {}  # labels by the id of their control

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag == "form" and said.get("method", "").lower() == "post":
            self._current_form = Form(said.get("action", ""))
            self._forms.append(self._current_form)
        elif tag == "label":
            self._current_label = (
                self._labels_by_id.setdefault(said["for"], []) if "for" in said else []
            )
        elif self._current_form and tag in ("input", "textarea", "button") and said.get("name"):
            self._add_field(self._current_form, tag, said)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._current_form = None
        elif tag == "label":
            self._current_label = None
        elif tag == "textarea":
            self._current_textarea = None

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._current_textarea:
            self._current_textarea.value += data
        if self._current_label is not None:
            self._current_label.append(data)

    def labelled_forms(self) -> list[Form]:
        """Return the forms, each control with its label."""
        fields = [each for form in self._forms for each in form.fields]
        for each, said in [
            *((each, self._labels_by_id.get(each.id, [])) for each in fields),
            *self._wrapped_fields,
        ]:
            each.label = " ".join("".join(said).split()) or each.label
        return self._forms

    def _add_field(self, form: Form, tag: str, attributes: dict[str, str]) -> None:
        kind = {"textarea": "textarea", "button": "submit"}.get(tag) or attributes.get(
            "type", "text"
        )
        made = Field(
            attributes["name"],
            kind,
            attributes.get("value", ""),
            "checked" in attributes,
            attributes.get("id", ""),
        )
        if kind in CHOICE_INPUT_TYPES and "value" not in attributes:
            made.value = "on"
        form.fields.append(made)
        if self._current_label is not None:
            self._wrapped_fields.append((made, self._current_label))
        self._current_textarea = made if tag == "textarea" else None
