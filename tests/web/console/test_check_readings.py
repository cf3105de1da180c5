"""The audit log of who read the findings of a check."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.check import Check
from provider.services import Services
from tests import check_factories
from tests.check_status_factories import dispute
from tests.factories import ManualClock
from tests.web.console.test_checks import check_path
from tests.web.console_client import ConsoleClient
from tests.web.test_check_access import revise


@pytest.fixture
def order_id(services: Services) -> str:
    return check_factories.completed_check(services)


def readings(services: Services) -> list[tuple[str, Any]]:
    with services.db.reading() as session:
        query = select(AuditEntry).where(AuditEntry.action == Action.CHECK_FINDINGS_SHOWN)
        entries = session.scalars(query.order_by(AuditEntry.id))
        return [(entry.actor.partition("@")[0], entry.after) for entry in entries]


def test_each_part_is_recorded_once_a_person_and_day(
    services: Services, client: FlaskClient, order_id: str, clock: ManualClock
) -> None:
    dispute_id = dispute(services, order_id)
    evening = clock.now().replace(hour=23, minute=50) + timedelta(days=1)
    clock.advance(evening - clock.now())
    paths = (
        check_path(order_id),
        check_path(order_id, "screenings/jobs/"),
        check_path(order_id, "revise/jobs"),
        f"/console/disputes/{dispute_id}/",
    )
    outcomes = {"part": "outcomes"}
    parts = [
        outcomes,
        {"part": "screening", "screening": "jobs"},
        {"part": "dispute", "dispute": dispute_id},
    ]
    console = ConsoleClient.signed_in(services, client)
    for _ in range(2):
        for path in paths:
            console.get_text(path)
    assert readings(services) == [("operator", part) for part in parts]
    clock.advance(timedelta(minutes=15))
    console.get_text(paths[0])
    assert readings(services)[3:] == [("operator", outcomes)]
    ConsoleClient.signed_in(services, client, "viewer").get_text(paths[0])
    assert readings(services)[4:] == [("viewer", outcomes)]


def test_check_without_findings_records_no_reading(services: Services, client: FlaskClient) -> None:
    order_id = check_factories.place_check(services)
    ConsoleClient.signed_in(services, client).get_text(check_path(order_id))
    assert readings(services) == []


def test_refused_reader_leaves_no_entry(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    ConsoleClient.signed_in(services, client, "viewer")
    assert client.get(check_path(order_id, "screenings/jobs/")).status_code == 403
    ConsoleClient.signed_in(services, client, "admin")
    assert client.get(check_path(order_id, "screenings/unknown/")).status_code == 404
    assert readings(services) == []


def test_corrections_of_a_reopened_check_are_recorded(
    services: Services, client: FlaskClient, order_id: str
) -> None:
    revise(services, order_id)
    with services.db.writing() as session:
        check = Check.find(session, order_id, lock=True)
        check.reopen(session, services.secret_box, "ann@provider.test", "Redo", services.now())
        assert (check.findings, len(check.revisions)) == ([], 1)
    ConsoleClient.signed_in(services, client, "viewer").get_text(check_path(order_id))
    assert readings(services) == []
    page = ConsoleClient.signed_in(services, client).get_text(check_path(order_id))
    assert 'id="corrections"' in page
    assert readings(services) == [("operator", {"part": "outcomes"})]
