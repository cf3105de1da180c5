"""A package that asks for candidate details, and checks of it in every state."""

from typing import Any

from provider.core.kinds.check import Check
from provider.services import Services
from tests import factories

PACKAGE_CONTENT: dict[str, Any] = {
    "schema": 1,
    "description": "A look at your identity and your last jobs.",
    "sections": [{"key": "rights", "title": "Your rights", "text": "You can say no."}],
    "screenings": [
        {
            "key": "identity",
            "name": "Identity",
            "description": "Compares a register with what you say.",
            "asks": ["full_name", "date_of_birth"],
        },
        {"key": "jobs", "name": "Employment history", "asks": ["full_name", "employers"]},
        {"key": "record", "name": "Criminal record"},
    ],
    "disclosure": {"key": "jobs", "version": "3", "text": "# Terms\n\nWe may **ask** around."},
}
# The details of the package as objects and lists of objects.
FORM_VALUES: dict[str, Any] = {
    "full_name": {"given": "Lakita Jane", "family": "Marrero-Quux"},
    "date_of_birth": {"date": "1990-02-28"},
    "employers": [
        {
            "name": "Zyxwv Bakery",
            "town": "Athens",
            "country": "GR",
            "role": "baker",
            "from": "2015-03",
            "until": "2019-05",
            "may_ask": "yes",
        },
        {
            "name": "Xylofon Ltd",
            "town": "Patras",
            "country": "GR",
            "role": "clerk",
            "from": "2019-06",
            "may_ask": "no",
        },
    ],
}
# The same as people read it.
STORED_DETAILS = {
    "full_name": "Lakita Jane, Marrero-Quux",
    "date_of_birth": "28 February 1990",
    "employers": (
        "Zyxwv Bakery, Athens, Greece, baker, From: 2015-03, Until: 2019-05, "
        "May we ask them now? Yes\n"
        "Xylofon Ltd, Patras, Greece, clerk, From: 2019-06, May we ask them now? No"
    ),
}
SIGNED_NAME = "Lakita J. Marrero"
FINDING_NOTE = "A conviktion in 2017\nfor selling quassia"
REPORT_TEXT = "One employer names another end:\nMay 2019."  # for the customer, not for the ATS
OUTCOMES = {"identity": "clear", "jobs": "consider", "record": "clear"}
# Parts of the candidate details and notes that no response and no message may contain.
SECRET_WORDS = ("Quux", "1990-02-28", "Zyxwv", "Xylofon", "conviktion", "quassia")


def create_package(
    services: Services, key: str = "screened", name: str = "Full screening", **content: Any
) -> str:
    return factories.create_product(services, "check", PACKAGE_CONTENT | content, key, name)


def place_check(services: Services, product_id: str | None = None, **fields: Any) -> str:
    """Return the public id of a check that waits for its candidate."""
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    return factories.place_order(
        services, account_id, product_id or create_package(services), "check", **fields
    )


def give_consent(
    services: Services, public_id: str, name: str = SIGNED_NAME, **values: Any
) -> None:
    """Sign as the candidate, without the documents that the package may need."""
    with services.db.writing() as session:
        Check.find(session, public_id).give_consent(
            session,
            services.secret_box,
            name,
            FORM_VALUES | values,
            ip_address="192.0.2.7",
            user_agent="A browser/1.0",
            now=services.now(),
            needs_documents=False,
        )


def form_fields(details: dict[str, Any], **more: str) -> dict[str, str]:
    """Return details as the fields of their forms, by the names of the controls."""
    fields = dict(more)
    for name, value in details.items():
        rows = value if isinstance(value, list) else [value]
        if not rows:
            fields[f"{name}.none"] = "1"
        for number, row in enumerate(rows):
            fields |= {f"{name}.{number}.{key}": text for key, text in row.items()}
    return fields


def record_findings(
    services: Services,
    public_id: str,
    outcomes: dict[str, str] = OUTCOMES,
    report_text: str = REPORT_TEXT,
) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        for key, status in outcomes.items():
            is_clear = status == "clear"
            check.record_finding(
                session,
                services.secret_box,
                key,
                status,
                "" if is_clear else FINDING_NOTE,
                "sam@provider.test",
                services.now(),
                report_text="" if is_clear else report_text,
            )


def complete_check(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        check.conclude(session, services.secret_box, "sam@provider.test", services.now())


def completed_check(services: Services, **fields: Any) -> str:
    """Return the public id of a completed check."""
    public_id = place_check(services, **fields)
    give_consent(services, public_id)
    record_findings(services, public_id)
    complete_check(services, public_id)
    return public_id
