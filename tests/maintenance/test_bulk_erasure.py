"""Erasing several orders by a bulk run: each once, also after a crash; who may, and what stays."""

import os
import signal
from collections.abc import Sequence

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update

from provider.config import Settings
from provider.core.orders import Order
from provider.core.orders.bulk_run import DONE, REFUSED, WAITING, BulkRow, BulkRun
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.core.orders.edit_conflict import seen_digest
from provider.core.staff import Staff
from provider.maintenance.bulk_erasure import ERASE, ERASE_IN_BULK
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.maintenance.backup_processes import run_in_process
from tests.maintenance.test_erasure import PERSON, completed_order, table_texts
from tests.web.console_client import ORDERS_PATH, ConsoleClient

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"


@pytest.fixture
def order_ids(services: Services) -> list[str]:
    """Return an order that can be erased, and one that is open."""
    factories.create_staff(services)
    ended = completed_order(services, "assessment")
    with services.db.reading() as session:
        order = Order.find(session, ended)
        account_id, product = order.account_id, order.product.public_id
    url = "https://groove-tech.workable.com/assessments/2"
    return [ended, factories.place_order(services, account_id, product, callback_url=url)]


def create_run(services: Services, order_ids: Sequence[str]) -> str:
    with services.db.writing() as session:
        seen = [
            (order_id, seen_digest(session, Order.find(session, order_id)))
            for order_id in order_ids
        ]
        return BulkRun.create(session, ERASE, {}, seen, ACTOR, services.now()).public_id


def outcomes(services: Services) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        query = select(BulkRow.state, BulkRow.problem).order_by(BulkRow.id)
        return [(row.state, row.problem) for row in session.execute(query)]


def erase_until_killed(settings: Settings) -> None:
    """Erase in a process that is killed after the erasure, before the row's outcome."""
    services = factories.build_services(settings, ManualClock())
    services.db.truncate_wal = lambda: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    ERASE_IN_BULK.run(services)


def test_run_erases_what_has_ended_and_says_why_not(
    services: Services, order_ids: list[str]
) -> None:
    run_id = create_run(services, order_ids)
    PERFORM_BULK_RUNS.run(services)  # leaves the rows to the other work
    assert [state for state, _ in outcomes(services)] == [WAITING] * 2
    ERASE_IN_BULK.run(services)
    PERFORM_BULK_RUNS.run(services)
    assert outcomes(services) == [
        (DONE, ""),
        (REFUSED, f"Order {order_ids[1]} is open: cancel it first"),
    ]
    assert PERSON["last_name"] not in table_texts(services)
    with services.db.reading() as session:
        assert BulkRun.find(session, run_id).finished_at == services.now()


def test_order_that_changed_since_the_preview_is_kept(
    services: Services, order_ids: list[str]
) -> None:
    create_run(services, order_ids[:1])
    with services.db.writing() as session:
        order = Order.find(session, order_ids[0])
        order.revoke_links(session, services.secret_box, ACTOR, "A leaked link", services.now())
    ERASE_IN_BULK.run(services)
    assert outcomes(services) == [(REFUSED, f"Changed meanwhile: All links revoked by {ACTOR}")]
    assert PERSON["last_name"] in table_texts(services)


def test_actor_who_lost_the_permission_erases_nothing(
    services: Services, order_ids: list[str]
) -> None:
    create_run(services, order_ids[:1])
    with services.db.writing() as session:
        session.execute(update(Staff).values(role="operator"))
    ERASE_IN_BULK.run(services)
    assert outcomes(services) == [(REFUSED, f"{ACTOR} may not do this any more")]
    assert PERSON["last_name"] in table_texts(services)


def test_row_of_an_erasure_before_a_crash_counts_as_done(
    services: Services, order_ids: list[str]
) -> None:
    create_run(services, order_ids[:1])
    assert run_in_process(erase_until_killed, services.settings) == -signal.SIGKILL
    assert PERSON["last_name"] not in table_texts(services)
    assert outcomes(services) == [(WAITING, "")]
    ERASE_IN_BULK.run(services)
    assert outcomes(services) == [(DONE, "")]


def test_erasing_several_orders_is_confirmed_by_a_word(
    services: Services, client: FlaskClient, order_ids: list[str]
) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    assert "Erase the candidates’ data" in console.get_text(ORDERS_PATH)
    page = f"{ORDERS_PATH}bulk/?action=erase&order={order_ids[0]}&order={order_ids[1]}"
    text = console.get_text(page)
    assert "Erase the candidates’ data: 1 order?" in text
    assert "is open: cancel it first" in text
    form = {"action": "erase", "orders": console.read_field(page, "orders")}
    response = console.submit(f"{ORDERS_PATH}bulk/", page=page, confirmation="yes", **form)
    assert response.status_code == 400
    assert "Type the word “erase” to confirm." in response.text
    response = console.submit(f"{ORDERS_PATH}bulk/", page=page, confirmation="Erase", **form)
    ERASE_IN_BULK.run(services)
    PERFORM_BULK_RUNS.run(services)
    outcome = console.get_text(response.location)
    assert "Finished: 1 of 1 done" in outcome
    assert f"<code>{order_ids[0]}</code>" in outcome
    assert "Undo…" not in outcome
    assert "This cannot be undone" in console.get_text(f"{response.location}/undo")


def test_erasing_several_orders_is_not_offered_to_operators(
    services: Services, client: FlaskClient, order_ids: list[str]
) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert "Erase the candidates’ data" not in console.get_text(ORDERS_PATH)
    console.get_text(f"{ORDERS_PATH}bulk/?action=erase&order={order_ids[0]}", 403)
