"""Marshmallow schemas of Greenhouse's requests and responses; OpenAPI is generated from them."""

import marshmallow as ma

from provider.ats.request_fields import (
    Email,
    HttpUrl,
    Identifier,
    OptionalIdentifier,
    OptionalText,
    RequestSchema,
)


class GreenhouseCandidateIn(RequestSchema):
    """The person who gets the test.

    `resume_url` is not read: the link changes with each call and expires after seven days.
    """

    first_name = OptionalText(200, "Used in the report")
    last_name = OptionalText(200, "Used in the invitation and in the report")
    preferred_name = OptionalText(200, "Used in the invitation, in place of the first name")
    phone_number = OptionalText(100, "Shown to the staff")
    email = Email(254, "Where the invitation goes", required=True)
    greenhouse_profile_url = OptionalText(2000, "The candidate in Greenhouse")


class SendTestIn(RequestSchema):
    """The order of a test."""

    partner_test_id = Identifier(200, "The test's id, from list_tests", required=True)
    candidate = ma.fields.Nested(
        GreenhouseCandidateIn, required=True, metadata={"description": "Who is invited"}
    )
    url = HttpUrl(
        2000,
        "Address of our PATCH when the order ends: https, on a host that the account allows; it "
        "identifies the order",
        required=True,
    )


class ErrorIn(RequestSchema):
    """Greenhouse's report about a wrong response of ours."""

    api_call = OptionalText(100, "The endpoint")
    errors = ma.fields.Raw(load_default=list, metadata={"description": "What is wrong"})
    partner_interview_id = OptionalIdentifier(200, "The order, from send_test")


class ListedTest(ma.Schema):
    """A test in the list."""

    partner_test_id = ma.fields.String(
        required=True, metadata={"description": "What to order it by"}
    )
    partner_test_name = ma.fields.String(
        required=True, metadata={"description": "What people read"}
    )


class SentTest(ma.Schema):
    """The id of an order."""

    partner_interview_id = ma.fields.String(
        required=True, metadata={"description": "Keep it, to ask again"}
    )


class TestStatus(ma.Schema):
    """The status of an order, and its result."""

    __test__ = False  # not a class of tests

    partner_status = ma.fields.String(
        required=True, metadata={"description": "`complete`; any other value means: not complete"}
    )
    partner_profile_url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Where people read the report", "format": "uri"},
    )
    partner_score = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "Percent"}
    )
    metadata = ma.fields.Dict(
        required=True,
        metadata={
            "description": "Figures under readable names",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
    )


class ErrorReceived(ma.Schema):
    """The answer to an error report."""

    status = ma.fields.Integer(required=True, metadata={"description": "200"})
