"""Parses the links and forms of an HTML page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

CHOICE_INPUT_TYPES = ("radio", "checkbox")
QUESTION_INPUT_TYPES = (*CHOICE_INPUT_TYPES, "text", "number", "textarea")


@dataclass
class Field:
    """One control of a form, with the text of its label."""

    name: str
    input_type: str
    value: str = ""
    checked: bool = False
    id: str = ""
    label: str = ""


@dataclass
class Form:
    """A form with method POST."""

    action: str
    fields: list[Field] = field(default_factory=list)

    def questions(self) -> dict[str, list[Field]]:
        """Return the fields that a person can fill in, by name."""
        fields_by_name: dict[str, list[Field]] = {}
        for control in self.fields:
            if control.input_type in QUESTION_INPUT_TYPES:
                fields_by_name.setdefault(control.name, []).append(control)
        return fields_by_name

    def form_data(self, answers: Mapping[str, list[str]]) -> list[tuple[str, str]]:
        """Return the form's data: unchanged fields, the answers and the first button."""
        unchanged = [
            (control.name, control.value)
            for control in self.fields
            if self._is_sent_unchanged(control, answers)
        ]
        buttons = [
            (control.name, control.value)
            for control in self.fields
            if control.input_type == "submit"
        ]
        answered = [(name, value) for name, values in answers.items() for value in values]
        return unchanged + answered + buttons[:1]

    def _is_sent_unchanged(self, control: Field, answers: Mapping[str, list[str]]) -> bool:
        if control.input_type == "submit" or control.name in answers:
            return False
        return control.checked or control.input_type not in CHOICE_INPUT_TYPES


@dataclass
class Page:
    """A parsed page."""

    url: str
    text: str
    links: list[str]
    forms: list[Form]

    def form(self, path: str) -> Form | None:
        """Return the form whose action contains `path`; a form without action posts to the page."""
        return next((form for form in self.forms if path in (form.action or self.url)), None)


def parse_page(html: str, url: str) -> Page:
    parser = _PageParser()
    parser.feed(html)
    parser.close()
    return Page(url, " ".join("".join(parser.text).split()), parser.links, parser.labelled_forms())


class _PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self._forms: list[Form] = []
        self._current_form: Form | None = None
        self._current_textarea: Field | None = None
        self._current_label: list[str] | None = None  # text of the open label so far
        self._wrapped_fields: list[
            tuple[Field, list[str]]
        ] = []  # controls inside a label, with its text
        self._labels_by_id: dict[str, list[str]] = {}  # id of a control → text of its label

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "form" and attributes.get("method", "").lower() == "post":
            self._current_form = Form(attributes.get("action", ""))
            self._forms.append(self._current_form)
        elif tag == "label":
            self._current_label = (
                self._labels_by_id.setdefault(attributes["for"], []) if "for" in attributes else []
            )
        elif (
            self._current_form and tag in ("input", "textarea", "button") and attributes.get("name")
        ):
            self._add_field(self._current_form, tag, attributes)

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
        """Return the forms; set the label of each control first."""
        controls = [control for form in self._forms for control in form.fields]
        for control, label in [
            *((control, self._labels_by_id.get(control.id, [])) for control in controls),
            *self._wrapped_fields,
        ]:
            control.label = " ".join("".join(label).split()) or control.label
        return self._forms

    def _add_field(self, form: Form, tag: str, attributes: dict[str, str]) -> None:
        input_type = {"textarea": "textarea", "button": "submit"}.get(tag) or attributes.get(
            "type", "text"
        )
        control = Field(
            attributes["name"],
            input_type,
            attributes.get("value", ""),
            "checked" in attributes,
            attributes.get("id", ""),
        )
        if input_type in CHOICE_INPUT_TYPES and "value" not in attributes:
            control.value = "on"
        form.fields.append(control)
        if self._current_label is not None:
            self._wrapped_fields.append((control, self._current_label))
        self._current_textarea = control if tag == "textarea" else None
