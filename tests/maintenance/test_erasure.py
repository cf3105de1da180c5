"""Erasing orders: nothing of a candidate stays in a table, a file of the database, or the media."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Table, select, update

from provider.core import audit
from provider.core.connections import SourceCursor, WebhookEvent
from provider.core.connections.webhook_event import add_event
from provider.core.kinds import KINDS
from provider.core.orders import ErasedOrder, Order
from provider.errors import Conflict, NotFound, Unavailable
from provider.maintenance import Erasure, erase_order
from provider.outbox import DELIVERED, PARKED, Attempt, Message
from provider.services import Services
from provider.storage.database import Base
from tests import factories
from tests.check_factories import SIGNED_NAME
from tests.core.orders.test_accommodation import ask_for
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import registered_dummy
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES

pytestmark = pytest.mark.both

PERSON_ID = 7719377193  # at the ATS
ACTOR = "sam@provider.test"
PERSON = {
    "email": "zenobia.quill@example.com",
    "first_name": "Zenobia",
    "last_name": "Quillfeather",
    "phone": "+44 7700 900923",
}
CALLBACK_URL = "https://groove-tech.workable.com/assessments/zq77193"
# Words that the factories write about the candidate, and those of `PERSON`.
PERSONAL_WORDS = (
    *PERSON.values(),
    "zq77193",
    SIGNED_NAME,
    "Clear and to the point.",  # the note of a rating
    "192.0.2.7",  # the address at the consent
)
# Tables without a column about a candidate. An erasure deletes the stored pages of source_cursors.
# Words that only the search has: folded, and compressed in its index.
SEARCH_WORDS = ("zenobia", "quillfeather", "zq77193")
TABLES_WITHOUT_CANDIDATES = {
    "account_logos",
    "account_products",
    "account_secrets",
    "account_tokens",
    "accounts",
    "adjudication_matrices",
    "api_budgets",
    "api_tokens",
    "audit_log",
    "bulk_run_orders",
    "bulk_runs",
    "connect_states",
    "connectors",
    "delivery_alerts",
    "notice_texts",
    "delivery_pauses",
    "disclosures",
    "drafts",
    "draft_files",
    "email_texts",
    "erased_orders",
    "heartbeats",
    "legal_texts",
    "offboardings",
    "order_counts",
    "product_files",
    "product_versions",
    "products",
    "rules",
    "saved_views",
    "scheduled_work",
    "sign_in_attempts",
    "sign_in_challenges",
    "source_cursors",
    "staff",
    "staff_known_origins",
    "staff_links",
    "staff_one_time_secrets",
    "staff_passkeys",
    "staff_recovery_codes",
    "staff_sessions",
}
ERASED_ROOTS = {"arrivals", "candidates", "messages", "orders", "webhook_events"}


def erase(services: Services, order_id: str, *, give_up: bool = False) -> Erasure:
    return erase_order(
        services.db,
        services.media,
        services.secret_box,
        order_id,
        actor=ACTOR,
        now=services.now(),
        give_up_deliveries=give_up,
    )


def deliver_everything(services: Services, state: str = DELIVERED) -> None:
    """Settle every message, each with an attempt whose answer repeats the candidate's name."""
    with services.db.writing() as session:
        for message_id in session.scalars(select(Message.id)):
            session.add(
                Attempt(
                    message_id=message_id,
                    number=1,
                    started_at=services.now(),
                    duration_ms=1,
                    outcome="delivered",
                    response_excerpt=f"Thank you, {PERSON['first_name']}",
                )
            )
        session.execute(update(Message).values(state=state, settled_at=services.now()))


def completed_order(services: Services, kind: str) -> str:
    """Return a completed order whose messages are all delivered."""
    account_id, _ = factories.create_account(services)
    product = KIND_FACTORIES[kind].create_product(services)
    order_id = factories.place_order(
        services, account_id, product, kind, callback_url=CALLBACK_URL, **PERSON
    )
    KIND_FACTORIES[kind].complete(services, order_id)
    deliver_everything(services)
    return order_id


def table_texts(services: Services) -> str:
    with services.db.reading() as session:
        return "\n".join(
            str(row)
            for table in Base.metadata.sorted_tables
            for row in session.execute(select(table))
        )


def database_bytes(services: Services) -> bytes:
    """Return the bytes of the SQLite database and its side files."""
    folder = Path(services.settings.instance)
    return b"".join(path.read_bytes() for path in folder.glob("provider.db*"))


def depends_on_erased(table: Table) -> bool:
    return table.name in ERASED_ROOTS or any(
        depends_on_erased(key.column.table)
        for key in table.foreign_keys
        if key.column.table is not table
    )


def test_every_table_is_erased_or_has_no_candidates() -> None:
    erased = {table.name for table in Base.metadata.sorted_tables if depends_on_erased(table)}
    assert erased & TABLES_WITHOUT_CANDIDATES == set()
    assert erased | TABLES_WITHOUT_CANDIDATES == set(Base.metadata.tables)


@pytest.mark.parametrize("kind", KINDS)
def test_erased_order_leaves_only_its_figures(services: Services, kind: str) -> None:
    order_id = completed_order(services, kind)
    before = table_texts(services)
    assert all(word in before for word in (*PERSON.values(), "zq77193"))
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.result
        expected = (order.status, order.result.score, order.result.grade, order.finished_at)

    if services.db.is_sqlite:
        services.db.truncate_wal()
        assert all(word.encode() in database_bytes(services) for word in SEARCH_WORDS)

    erasure = erase(services, order_id)

    texts = table_texts(services)
    words = (*PERSONAL_WORDS, *SEARCH_WORDS)
    assert [word for word in words if word in texts] == []
    if services.db.is_sqlite:
        content = database_bytes(services)
        assert [word for word in words if word.encode() in content] == []
    assert list(services.media.list_files()) == []
    assert erasure.files == (3 if kind == "interview" else 0)
    assert {"orders", "candidates", "messages", "attempts", "results"} <= erasure.rows.keys()
    with services.db.reading() as session:
        row = session.scalars(select(ErasedOrder)).one()
        assert (row.status, row.score, row.grade, row.finished_at) == expected
        assert (row.public_id, row.erased_at) == (order_id, services.now())
        entry = session.scalars(select(audit.AuditEntry)).one()
    assert (entry.actor, entry.action, entry.subject) == (
        ACTOR,
        "order.erased",
        f"order:{order_id}",
    )
    with pytest.raises(NotFound):
        erase(services, order_id)


def test_erased_order_leaves_no_accommodation(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    ask_for(services, order_id, percent=50)
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, ACTOR, "hired", services.now())
    deliver_everything(services)
    assert erase(services, order_id).rows["accommodations"] == 1


def test_erasing_keeps_the_other_orders_of_the_account(services: Services) -> None:
    order_id = completed_order(services, "interview")
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        account_id, product = order.account_id, order.product.public_id
    other = factories.place_order(services, account_id, product, "interview")
    KIND_FACTORIES["interview"].complete(services, other)
    erase(services, order_id)
    with services.db.reading() as session:
        order = Order.find(session, other)
        assert order.result
        assert order.candidate.first_name == "Lakita"
        assert session.scalar(select(Message.id).limit(1))
    assert len(list(services.media.list_files())) == 3


def test_ats_asks_for_erased_order_gets_404_and_409(
    services: Services, client: FlaskClient
) -> None:
    _, token = factories.create_account(services)
    product = factories.create_test(services)
    headers = {"Authorization": f"Bearer {token}"}
    body = {
        "test_id": product,
        "callback_url": CALLBACK_URL,
        "candidate": {"email": PERSON["email"], "first_name": PERSON["first_name"]},
    }
    order_id = client.post("/assessments", json=body, headers=headers).get_json()["assessment_id"]
    factories.finish_test(services, order_id)
    deliver_everything(services)
    erase(services, order_id)
    assert client.get(f"/assessments/{order_id}", headers=headers).status_code == 404
    repeated = client.post("/assessments", json=body, headers=headers)
    assert (repeated.status_code, repeated.get_json()["message"]) == (
        409,
        "The data of this order was erased; place a new order instead",
    )
    body["callback_url"] = CALLBACK_URL.upper().replace("HTTPS", "https")
    assert client.post("/assessments", json=body, headers=headers).status_code == 201


def test_open_order_is_not_erased(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    deliver_everything(services)
    with pytest.raises(Conflict, match=f"Order {order_id} is open: cancel it first"):
        erase(services, order_id)


@pytest.mark.parametrize("state", ["waiting", PARKED])
def test_undelivered_result_is_erased_only_when_given_up(services: Services, state: str) -> None:
    order_id = completed_order(services, "assessment")
    with services.db.writing() as session:
        callbacks = Message.queue.contains("/callback/")
        session.execute(update(Message).where(callbacks).values(state=state, settled_at=None))
    with pytest.raises(Conflict, match="has not got 1 of the messages"):
        erase(services, order_id)
    assert factories.order_status(services, order_id) == "completed"
    erase(services, order_id, give_up=True)
    with services.db.reading() as session:
        assert session.scalars(select(Message)).all() == []


def test_order_on_hold_is_not_erased(services: Services) -> None:
    order_id = completed_order(services, "assessment")
    with services.db.writing() as session:
        Order.find(session, order_id).hold(session, ACTOR, "A dispute", services.now())
    with pytest.raises(Conflict, match="is on hold"):
        erase(services, order_id, give_up=True)
    with services.db.writing() as session, pytest.raises(Conflict, match="is on hold already"):
        Order.find(session, order_id).hold(session, ACTOR, "Again", services.now())
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        order.release(session, ACTOR, "Settled", services.now())
        assert [event.type for event in order.events][-2:] == ["held", "released"]
    erase(services, order_id)


def test_message_on_its_way_holds_the_erasure_up(services: Services, clock: ManualClock) -> None:
    order_id = completed_order(services, "assessment")
    lease = {"lease": "a", "leased_until": services.now()}
    with services.db.writing() as session:
        session.execute(update(Message).values(lease))
    clock.advance(timedelta(seconds=-1))
    with pytest.raises(Conflict, match="is being delivered: try again in a minute"):
        erase(services, order_id, give_up=True)
    clock.advance(timedelta(seconds=1))
    erase(services, order_id)


def test_interrupted_erasure_can_be_repeated(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = completed_order(services, "interview")
    with monkeypatch.context() as patch:
        patch.setattr(services.media, "delete_folder", unavailable)
        with pytest.raises(Unavailable):
            erase(services, order_id)
    assert factories.order_status(services, order_id) == "completed"
    with monkeypatch.context() as patch:  # the process dies between files and rows
        patch.setattr(services.db, "writing", unavailable)
        with pytest.raises(Unavailable):
            erase(services, order_id)
    assert list(services.media.list_files()) == []
    erase(services, order_id)
    assert "Zenobia" not in table_texts(services)


def unavailable(*_: object, **__: object) -> None:
    raise Unavailable("The storage does not answer")


@pytest.fixture
def world(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ApiWorld]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        world = ApiWorld.of_dummy(services, clock, fake)
        world.add_known_rule()
        fake.add(PERSON_ID, email=PERSON["email"], name="Zenobia Quillfeather")
        yield world


def test_candidate_of_a_rule_is_not_ordered_for_again(world: ApiWorld, services: Services) -> None:
    world.read()
    (order_id,) = world.order_ids()
    with services.db.writing() as session:
        assert add_event(session, world.account_id, "event-1", str(PERSON_ID), services.now())
        session.execute(update(WebhookEvent).values(done_at=services.now()))
    factories.finish_test(services, order_id)
    deliver_everything(services)
    erasure = erase(services, order_id)
    assert (erasure.rows["arrivals"], erasure.rows["webhook_events"]) == (1, 1)
    world.read_next()
    assert (world.order_ids(), world.arrivals()) == ([], [])
    assert str(PERSON_ID) not in table_texts(services)


def test_page_of_a_running_round_is_forgotten(world: ApiWorld, services: Services) -> None:
    world.read()
    (order_id,) = world.order_ids()
    factories.finish_test(services, order_id)
    deliver_everything(services)
    page = {"page": 2, "entries": [PERSON]}
    with services.db.writing() as session:
        session.execute(update(SourceCursor).values(page_state=page, lease="a"))
    erase(services, order_id)
    assert PERSON["email"] not in table_texts(services)
    cursor = world.cursor()
    assert (cursor.page_state, cursor.lease) == (None, None)
