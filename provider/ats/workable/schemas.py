"""The shapes on Workable's wire; the published description is made of them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma

from provider.ats.api import MISSING

DEEPEST = 20  # levels of nesting that `preferences` may have
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


class Wire(ma.Schema):
    """An object that accepts unknown fields, and takes null as absent."""

    class Meta:  # noqa: D106
        unknown = ma.EXCLUDE

    error_messages = {"type": "should be an object"}  # noqa: RUF012

    def on_bind_field(self, field_name: str, field_obj: ma.fields.Field[Any]) -> None:
        """Say of every missing field the same."""
        field_obj.error_messages["required"] = MISSING

    @ma.pre_load
    def _null_is_absent(self, data: Any, **_: object) -> Any:
        if isinstance(data, Mapping):
            return {name: value for name, value in data.items() if value is not None}
        return data


class Text(ma.fields.String):
    """Text that any database can hold and any letter can show: no NUL, no half characters."""

    def __init__(self, longest: int, **kwargs: Any) -> None:
        super().__init__(
            error_messages={"invalid": "should be a string"},
            validate=ma.validate.Length(max=longest, error="should have at most {max} characters"),
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        said = super()._deserialize(value, attr, data, **kwargs)
        if said is None or not _whole(said):
            raise ma.ValidationError("should not contain NUL or half characters")
        return said


class Identifier(Text):
    """An id: a string, or an integer that is taken as one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) >= 10**40:
                raise ma.ValidationError("should have at most 40 digits")
            value = str(value)
        return super()._deserialize(value, attr, data, **kwargs)


class Email(Text):
    """An e-mail address, judged mildly: the letter's way decides."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        said = super()._deserialize(value, attr, data, **kwargs).strip()
        if not _EMAIL.fullmatch(said):
            raise ma.ValidationError("should be an e-mail address")
        return said


class Address(Text):
    """An absolute http or https address without credentials or fragment."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        said = super()._deserialize(value, attr, data, **kwargs)
        try:
            parts = urlsplit(said)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good or not said.isascii() or re.search(r"[\s\x00-\x1f\x7f\\]", said):
            raise ma.ValidationError("should be an absolute https URL")
        if parts.username is not None or parts.fragment:
            raise ma.ValidationError("should be a URL without credentials and without a fragment")
        return said


class Anything(ma.fields.Dict):
    """A JSON object of the ATS's own; kept as it is."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise ma.ValidationError("should be an object")
        _check_tree(value, DEEPEST)
        return value


class CandidateIn(Wire):
    """Who the order is for."""

    first_name = Text(200, load_default="")
    last_name = Text(200, load_default="")
    phone = Text(100, load_default="")
    email = Email(254, required=True)


class OrderIn(Wire):
    """What all three orders have in common."""

    job_title = Text(500, load_default="")
    callback_url = Address(2000, required=True)
    candidate = ma.fields.Nested(CandidateIn, required=True)


class AssessmentIn(OrderIn):
    """The order of an assessment."""

    test_id = Identifier(200, required=True)
    job_shortcode = Identifier(200, load_default="")


class InterviewIn(OrderIn):
    """The order of a video interview."""

    interview_template_id = Identifier(200, required=True)
    job_id = Identifier(200, load_default="")
    preferences = Anything(load_default=dict)


class CheckIn(OrderIn):
    """The order of a background check."""

    package_id = Identifier(200, required=True)
    preferences = Anything(load_default=dict)


_string = ma.fields.String


class Listed(ma.Schema):
    """A product in a list."""

    id = _string(required=True)
    name = _string(required=True)


class Attachment(ma.Schema):
    """A PDF at a public address."""

    description = _string(required=True)
    url = _string(required=True)


class Scored(ma.Schema):
    """The result of an assessment or an interview."""

    score = _string()
    grade = _string(validate=ma.validate.OneOf(["failed", "passed", "excelled"]))
    summary = _string()
    details = ma.fields.Dict()
    duration = _string(metadata={"pattern": r"^\d{2,}:\d{2}:\d{2}$"})


class Finding(ma.Schema):
    """One screening's outcome."""

    name = _string(required=True)
    status = _string(required=True, validate=ma.validate.OneOf(["clear", "consider"]))


class Findings(ma.Schema):
    """The result of a check."""

    overall_status = _string(required=True, validate=ma.validate.OneOf(["clear", "consider"]))
    result = ma.fields.List(ma.fields.Nested(Finding), required=True)


class Status(ma.Schema):
    """What polling answers and every callback says."""

    status = _string(required=True)
    results_url = _string()
    grade = _string(validate=ma.validate.OneOf(["failed", "passed", "excelled"]))
    attachments = ma.fields.List(ma.fields.Nested(Attachment))


class AssessmentStatus(Status):
    """The status of an assessment, and its result."""

    assessment = ma.fields.Nested(Scored)


class InterviewStatus(Status):
    """The status of an interview, and its result."""

    interview = ma.fields.Nested(Scored)


class CheckStatus(Status):
    """The status of a check, and its result."""

    check = ma.fields.Nested(Findings)


class SharedLink(ma.Schema):
    """A public address of a report."""

    url = _string(required=True)
    ttl = _string(metadata={"pattern": r"^\d+$"})
    ttl_units = _string(validate=ma.validate.OneOf(["minutes", "days", "views"]))


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _check_tree(value: Any, depth: int) -> None:
    if depth == 0:
        raise ma.ValidationError(f"should have at most {DEEPEST} levels")
    if isinstance(value, str) and not _whole(value):
        raise ma.ValidationError("should not contain NUL or half characters")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise ma.ValidationError("should contain only finite numbers")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_tree(name, depth)
            _check_tree(inner, depth - 1)
    if isinstance(value, list):
        for inner in value:
            _check_tree(inner, depth - 1)
