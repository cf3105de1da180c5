"""Records, rules, and completed checks that are to consider, for tests of decisions."""

from datetime import date
from typing import Any

from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.check_case import CheckCase
from provider.core.kinds.check.tables.found_record import FoundRecord, RecordFacts
from provider.services import Services
from provider.storage import secrets
from tests import check_factories, factories

RIGHTS = {
    "key": "rights",
    "version": "1",
    "purpose": "rights",
    "title": "A summary of your rights",
    "text": "You may **dispute** what is wrong.\n\nYou may ask for a copy.",
}
# Monday to Friday without a holiday, in the middle of a week: Wednesday, 13 January 2027.
RULES: list[dict[str, Any]] = [
    {"record_kind": "driving", "severity": "low", "disposition": "clear"},
    {"record_kind": "conviction", "max_age_years": 7, "disposition": "consider"},
    {"record_kind": "conviction", "disposition": "clear"},
]


def place_sandbox_order(services: Services, name: str = "Groove Tech", **fields: Any) -> str:
    """Return a check of a sandbox that waits for its candidate."""
    content = {"legal_texts": [RIGHTS]} | fields.pop("content", {})
    account_id, _ = factories.create_account(services, name, timezone="Europe/Athens", sandbox=True)
    package = check_factories.create_package(services, **content)
    return factories.place_order(services, account_id, package, "check", **fields)


def place_sandbox_check(
    services: Services, name: str = "Groove Tech", country: str = "US", **content: Any
) -> str:
    """Return a check of a sandbox, with the candidate's consent and country."""
    check_id = place_sandbox_order(services, name, content=content)
    check_factories.give_consent(services, check_id)
    set_country(services, check_id, country)
    return check_id


def set_country(services: Services, check_id: str, country: str, subdivision: str = "") -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        if check.case is None:
            check.case = CheckCase(order_id=check.id)
        check.case.country, check.case.subdivision = country, subdivision


def add_record(
    services: Services,
    check_id: str,
    screening: str = "record",
    kind: str = "conviction",
    severity: str = "medium",
    occurred_on: date | None = None,
) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        record = FoundRecord(
            public_id=secrets.generate_public_id(),
            screening=screening,
            actor="sam@provider.test",
            recorded_at=services.now(),
        )
        box, facts = services.secret_box, RecordFacts(kind, severity, occurred_on)
        record.set_facts(box, check_id, facts)
        record.public_text = box.encrypt("", record.row_path(check_id, "public_text"))
        check.records.append(record)


def consider_check(services: Services, **fields: Any) -> str:
    """Return a completed check of a sandbox in which one screening is to consider."""
    check_id = place_sandbox_check(services, **fields)
    check_factories.record_findings(services, check_id)
    check_factories.complete_check(services, check_id)
    return check_id


def set_option(services: Services, name: str, value: Any) -> None:
    """Set an option of the only account."""
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        account.options = account.options | {name: value}
