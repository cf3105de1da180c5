"""Marshmallow schemas of Workable's requests and responses; OpenAPI is generated from them."""

from typing import Any

import marshmallow as ma

from provider.ats.request_fields import (
    MAX_NESTING_LEVELS,
    Email,
    HttpUrl,
    Identifier,
    JsonObject,
    OptionalIdentifier,
    OptionalText,
    RequestSchema,
)

PREFERENCES = f"Values of the ATS's own, kept with the order; at most {MAX_NESTING_LEVELS} levels"
INTERVIEW_PREFERENCES = (
    "Values that override the template where it allows that: think_seconds, answer_seconds, takes, "
    "time_limit, may_be_paused, practice. A value that changes nothing is noted on the order; "
    f"at most {MAX_NESTING_LEVELS} levels"
)
DETAIL_VALUE_TYPES = ["string", "number", "boolean", "null"]  # JSON types in `details`
GRADES = ("failed", "passed", "excelled")
OUTCOMES = ("clear", "consider")
SCORED_STATUSES = ("pending", "completed", "rejected", "declined", "expired")
CHECK_STATUSES = ("pending", "consented", "completed", "rejected", "expired")


class CandidateIn(RequestSchema):
    """The person for whom the order is."""

    first_name = OptionalText(200, "Used in the invitation and in the report")
    last_name = OptionalText(200, "Used in the invitation and in the report")
    phone = OptionalText(100, "Shown to the staff")
    email = Email(254, "Where the invitation goes", required=True)


class OrderIn(RequestSchema):
    """The fields that all three kinds of order share."""

    job_title = OptionalText(500, "The job that the candidate applied to")
    callback_url = HttpUrl(
        2000,
        "Where every change of the status is PUT: https, on a host that the account allows; "
        "an order is known again by it",
        required=True,
    )
    candidate = ma.fields.Nested(
        CandidateIn, required=True, metadata={"description": "Who is invited"}
    )


class AssessmentIn(OrderIn):
    """The order of an assessment."""

    test_id = Identifier(200, "The test's id, from /tests", required=True)
    job_shortcode = OptionalIdentifier(200, "The job, as the ATS calls it")


class InterviewIn(OrderIn):
    """The order of a video interview."""

    interview_template_id = Identifier(
        200, "The template's id, from /interview-templates", required=True
    )
    job_id = OptionalIdentifier(200, "The job, as the ATS calls it")
    preferences = JsonObject(INTERVIEW_PREFERENCES)


class CheckIn(OrderIn):
    """The order of a background check."""

    package_id = Identifier(200, "The package's id, from /packages", required=True)
    preferences = JsonObject(PREFERENCES)


def _string_field(description: str, *, required: bool = False, **metadata: Any) -> ma.fields.String:
    return ma.fields.String(required=required, metadata={"description": description, **metadata})


def _enum_field(values: tuple[str, ...], description: str, *, required: bool = False) -> Any:
    return _string_field(description, required=required, enum=list(values))


class Listed(ma.Schema):
    """A product in a list."""

    id = _string_field("What to order it by", required=True)
    name = _string_field("What people read", required=True)


class Attachment(ma.Schema):
    """A PDF at a public address."""

    description = _string_field("What it is", required=True)
    url = _string_field("A public address of the PDF", required=True, format="uri")


class Scored(ma.Schema):
    """The result of an assessment or an interview."""

    score = _string_field("Percent, at most two decimals", pattern=r"^\d{1,3}(\.\d{1,2})?$")
    grade = _enum_field(GRADES, "Left out where there is no grade")
    summary = _string_field("One sentence")
    details = ma.fields.Dict(
        metadata={
            "description": "Figures under readable names, at most two levels, no arrays",
            "additionalProperties": {
                "type": [*DETAIL_VALUE_TYPES, "object"],
                "additionalProperties": {"type": DETAIL_VALUE_TYPES},
            },
        }
    )
    duration = _string_field("How long it took, HH:MM:SS", pattern=r"^\d{2,}:[0-5]\d:[0-5]\d$")


class Finding(ma.Schema):
    """One screening's outcome."""

    name = _string_field("What was looked at", required=True)
    status = _enum_field(OUTCOMES, "What was found", required=True)


class Findings(ma.Schema):
    """The result of a check."""

    overall_status = _enum_field(OUTCOMES, "consider, if one screening says so", required=True)
    result = ma.fields.List(
        ma.fields.Nested(Finding),
        required=True,
        metadata={"description": "Every screening's outcome"},
    )


class Status(ma.Schema):
    """The body of a poll's response and of every callback."""

    results_url = _string_field("Where people read the report; only when completed", format="uri")
    attachments = ma.fields.List(
        ma.fields.Nested(Attachment),
        metadata={"description": "The report as a PDF; only when completed"},
    )


class ScoredStatus(Status):
    """The fields that assessments and interviews share."""

    status = _enum_field(
        SCORED_STATUSES,
        "A refusal is `rejected`, or `declined` for an account that is switched so",
        required=True,
    )
    grade = _enum_field(GRADES, "The result's grade once more, for an account that is switched so")


class AssessmentStatus(ScoredStatus):
    """The status of an assessment, and its result."""

    assessment = ma.fields.Nested(Scored, metadata={"description": "Only when completed"})


class InterviewStatus(ScoredStatus):
    """The status of an interview, and its result."""

    interview = ma.fields.Nested(Scored, metadata={"description": "Only when completed"})


class CheckStatus(Status):
    """The status of a check, and its result."""

    status = _enum_field(CHECK_STATUSES, "`rejected` is the candidate's refusal", required=True)
    check = ma.fields.Nested(Findings, metadata={"description": "Only when completed"})


class SharedLink(ma.Schema):
    """A public address of a report."""

    url = _string_field("A public address of the report", required=True, format="uri")
    ttl = _string_field("How long it opens; without it, for good", pattern=r"^\d+$")
    ttl_units = _enum_field(("minutes", "days", "views"), "What `ttl` counts")
