"""Migrations that compute values, with rows in the tables that they change."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from provider import maintenance
from provider.core.kinds import KINDS
from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import decrypt_reason
from provider.core.kinds.check.tables.adverse_action import AdverseNotice
from provider.core.kinds.check.tables.dispute import DISPUTE_REASONS
from provider.core.kinds.check.tables.found_record import FoundRecord, RecordFacts
from provider.core.kinds.check.tables.vendor_order import VendorOrder
from provider.core.orders import STATUSES, compute_email_digest, orders_of_person, search
from provider.core.orders.filters import OrderFilters
from provider.core.orders.states import waiting_for
from provider.maintenance import schema_version
from provider.storage.database import Database
from provider.storage.secrets import SecretBox
from tests.factories import make_settings
from tests.maintenance.test_schema_version import SECRET_BOX, row_values


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database without tables."""
    if request.param == "sqlite":
        with closing(Database(f"sqlite:///{tmp_path / 'provider.db'}")) as db:
            yield db
        return
    with (
        request.getfixturevalue("postgres").empty_database() as url,
        closing(Database(url)) as db,
    ):
        yield db


def reflect_table(db: Database, name: str) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=db.engine)


def insert_rows(db: Database, name: str, *rows: dict[str, Any]) -> None:
    """Insert rows; columns that a row leaves out get made-up values."""
    table = reflect_table(db, name)
    with db.engine.begin() as connection:
        for number, row in enumerate(rows, 1):
            connection.execute(table.insert().values(row_values(table, number) | row))


def insert_parents(db: Database) -> None:
    insert_rows(db, "accounts", {})
    insert_rows(db, "products", {"current_version_id": None})
    insert_rows(db, "product_versions", {})
    insert_rows(db, "candidates", {})


def order_states() -> list[tuple[str, str, str]]:
    """Return kind, status and progress of every state that an order may have."""
    return [
        (kind, status, progress)
        for kind, status in product(KINDS, STATUSES)
        for progress in KINDS[kind].order_class.progress_table
        if progress not in ("marking", "asked", "outside")  # later versions have added them
    ]


def test_waiting_for_is_filled_for_orders_of_every_state(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0001")
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    rows = [
        {"kind": kind, "status": status, "progress": progress} | parents
        for kind, status, progress in order_states()
    ]
    insert_rows(empty_db, "orders", *rows)
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    orders = reflect_table(empty_db, "orders").c
    columns = (orders.kind, orders.status, orders.progress, orders.waiting_for)
    with empty_db.engine.connect() as connection:
        filled = [tuple(row) for row in connection.execute(sa.select(*columns).order_by(orders.id))]
    assert filled == [
        (kind, status, progress, waiting_for(_table(kind), status, progress))
        for kind, status, progress in order_states()
    ]


def _table(kind: str) -> Any:
    return KINDS[kind].order_class.progress_table


def test_messages_keep_their_ordering_keys(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0003")
    keys = ["Zz_-aaaaaaaaaaaaaaaaaa", "Zz_-aaaaaaaaaaaaaaaaaa/notes", "zz--aaaaaaaaaaaaaaaaaa"]
    insert_rows(empty_db, "messages", *({"ordering_key": key} for key in keys))
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    messages = reflect_table(empty_db, "messages").c
    with empty_db.engine.connect() as connection:
        stored = list(connection.scalars(sa.select(messages.ordering_key).order_by(messages.id)))
        by_code_points = list(
            connection.scalars(sa.select(messages.ordering_key).order_by(messages.ordering_key))
        )
    assert stored == keys
    assert by_code_points == sorted(keys)


def test_messages_begin_without_unsettled_claims(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0008", secret_box=SECRET_BOX)
    insert_rows(empty_db, "messages", {"ordering_key": "a"}, {"ordering_key": "b"})
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    messages = reflect_table(empty_db, "messages").c
    with empty_db.engine.connect() as connection:
        assert list(connection.scalars(sa.select(messages.unsettled_claims))) == [0, 0]


@pytest.mark.parametrize("version", ["0007", "0008"])
def test_digests_of_other_than_plain_addresses_are_computed(
    empty_db: Database, version: str
) -> None:
    schema_version.upgrade(empty_db, version)
    emails = (
        "Lakita+1@example.com",
        "jos\u00e9@example.com",
        "info@b\u00fccher.example",
        "anna@stra\u00dfe.example",
        " a@b.cd",
    )
    old_digest = b"old"
    insert_rows(
        empty_db,
        "candidates",
        *({"email": email, "email_digest": old_digest} for email in emails),
    )
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    candidates = reflect_table(empty_db, "candidates").c
    query = sa.select(candidates.email_digest).order_by(candidates.id)
    with empty_db.engine.connect() as connection:
        digests = list(connection.scalars(query))
    assert digests == [
        old_digest,
        *(compute_email_digest(SECRET_BOX, email) for email in emails[1:]),
    ]


def test_answers_are_kept_without_a_typed_text(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0008")
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    insert_rows(empty_db, "orders", {"kind": "assessment"} | parents)
    insert_rows(empty_db, "answers", {"order_id": 1, "value": "12.5"})
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    answers = reflect_table(empty_db, "answers").c
    with empty_db.engine.connect() as connection:
        rows = connection.execute(sa.select(answers.value, answers.typed)).all()
    assert [tuple(row) for row in rows] == [("12.5", None)]


def test_upgrade_without_keys_is_refused_and_changes_nothing(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0007")
    insert_rows(empty_db, "candidates", {"email": "jos\u00e9@example.com"})
    with pytest.raises(RuntimeError, match="it needs the secret keys"):
        schema_version.upgrade(empty_db)
    with empty_db.reading() as session:
        assert schema_version.current_version(session) == "0007"


def test_initialise_gives_the_keys_to_the_upgrade(empty_db: Database, tmp_path: Path) -> None:
    schema_version.upgrade(empty_db, "0007")
    insert_parents(empty_db)
    insert_rows(empty_db, "candidates", {"id": 2, "email": "jos\u00e9@B\u00dcCHER.example"})
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 2}
    insert_rows(empty_db, "orders", {"kind": "check"} | parents)
    database_url = empty_db.url.render_as_string(hide_password=False)
    settings = make_settings(tmp_path, PROVIDER_DATABASE_URL=database_url)
    maintenance.initialise(settings)
    secret_box = SecretBox(settings.secret_keys)
    with empty_db.reading() as session:
        (order,) = orders_of_person(session, secret_box, 1, "jose\u0301@xn--bcher-kva.example")
        assert order.candidate_id == 2


def test_saved_answers_are_older_than_every_number(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0008")
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    insert_rows(empty_db, "orders", {"kind": "assessment", "progress": "started"} | parents)
    insert_rows(empty_db, "answers", {"order_id": 1, "item_key": "sum", "value": "b"})
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    answers, orders = (reflect_table(empty_db, name).c for name in ("answers", "orders"))
    with empty_db.engine.connect() as connection:
        assert connection.execute(sa.select(answers.value, answers.number)).all() == [("b", 0)]
        assert connection.scalars(sa.select(orders.held_open_until)).all() == [None]
        assert connection.scalars(sa.select(orders.extra_time_seconds)).all() == [0]


def test_existing_orders_are_found_after_the_upgrade(
    empty_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema_version.upgrade(empty_db, "0023", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    insert_rows(
        empty_db,
        "candidates",
        {"id": 2, "email": "zoë@example.com", "first_name": "Zoë", "last_name": "Ｎúñez"},
    )
    parents = {"account_id": 1, "product_id": 1, "version_id": 1}
    texts = {"job_title": "Straßenbau", "job_reference": "", "external_key": "https://a.b/c?d=42"}
    texts["public_id"] = "Zz_-aaaaaaaaaaaaaaaaaa"
    insert_rows(
        empty_db,
        "orders",
        {"kind": "check", "candidate_id": 1} | parents,
        {"kind": "check", "candidate_id": 2} | parents | texts,
    )
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    monkeypatch.setattr(search, "SCANNED_ORDERS", -1)  # so that the index is read
    with empty_db.reading() as session:
        stored = session.get_one(search.OrderSearch, 2).words
        assert stored == search.join_words(
            ["zoë@example.com", "Zoë", "Ｎúñez", *map(str, texts.values())]
        )
        for query in ("zoe nunez", "STRASSENBAU", "d=42", "zz aaaa", "zoë@exam"):
            ids = search.find_order_ids(session, search.read_query(query), OrderFilters(), 9)
            assert ids == [2], query


def test_ratings_get_scorecards_that_are_in_once_completed(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0063", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    orders = [
        {"kind": "interview", "status": status, "started_at": start} | parents
        for status in ("completed", "pending")
    ]
    insert_rows(empty_db, "orders", *orders)
    early, first, last = (start + timedelta(hours=hours) for hours in (-1, 1, 2))
    rows = [
        (1, "why", "ann", first),
        (1, "how", "ann", last),
        (1, "who", "ben", first),
        (2, "why", "ann", first),
        (2, "how", "cat", early),  # before a reopening
    ]
    insert_rows(
        empty_db,
        "ratings",
        *(
            {"order_id": order, "question": question, "actor": actor, "rated_at": rated_at}
            for order, question, actor, rated_at in rows
        ),
    )
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    cards, ratings = (reflect_table(empty_db, name).c for name in ("scorecards", "ratings"))
    columns = (cards.order_id, cards.reviewer, cards.state, cards.submitted_at.is_not(None))
    with empty_db.engine.connect() as connection:
        query = sa.select(*columns).order_by(cards.order_id, cards.reviewer)
        assert [tuple(row) for row in connection.execute(query)] == [
            (1, "ann", "in", True),
            (1, "ben", "in", True),
            (2, "ann", "open", False),
        ]
        numbers = connection.scalars(sa.select(ratings.save_number)).all()
        assert list(numbers) == [1] * len(rows)


def test_texts_of_notices_and_sent_notices_get_their_digests(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0080", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    insert_rows(empty_db, "orders", {"kind": "check"} | parents)
    insert_rows(
        empty_db,
        "notice_texts",
        *(
            {"account_id": 1, "purpose": "pre_adverse", "number": number, "text": text}
            for number, text in ((1, "Old"), (2, "Größe"))
        ),
    )
    insert_rows(empty_db, "adverse_actions", {"order_id": 1}, {"order_id": 1})
    insert_rows(
        empty_db,
        "adverse_notices",
        *(
            {"order_id": 1, "action_id": 1, "purpose": "pre_adverse", "text_version": version}
            for version in ("2", "sample")
        ),
    )
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    digest = "aedc3f80989a6546962705852b2f4a481dbd1e490760693525c3724bacab3f50"
    notices = reflect_table(empty_db, "adverse_notices").c
    texts = reflect_table(empty_db, "notice_texts").c
    with empty_db.engine.connect() as connection:
        digests = connection.scalars(sa.select(notices.text_digest).order_by(notices.id)).all()
        assert digests == [digest, ""]
        query = sa.select(texts.digest, texts.language, texts.product_id).order_by(texts.id)
        assert connection.execute(query).all()[1] == (digest, "", None)


def test_consents_get_the_place_of_their_check(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0080", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    insert_rows(empty_db, "orders", {"kind": "check"} | parents, {"kind": "check"} | parents)
    case = {"order_id": 1, "country": "US", "subdivision": "CA", "wants_copy": True}
    insert_rows(empty_db, "check_cases", case)
    insert_rows(empty_db, "consents", {"order_id": 1}, {"order_id": 1}, {"order_id": 2})
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    consents = reflect_table(empty_db, "consents").c
    columns = (consents.country, consents.subdivision, consents.wants_copy)
    with empty_db.engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(*columns).order_by(consents.id))]
    assert rows == [("US", "CA", True), ("US", "CA", True), ("", "", False)]


def test_notes_of_events_lose_the_outcome(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0084", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    insert_rows(empty_db, "orders", {"kind": "check"} | parents)
    events = [
        ("outcome entered", "DBS: basic: to consider", "DBS: basic"),
        ("revised", "Identity: clear", "Identity"),
        ("outcome entered", "Identity", "Identity"),
        ("screening added", "Registers: to consider", "Registers: to consider"),
    ]
    rows = [{"order_id": 1, "type": event, "note": note} for event, note, _ in events]
    insert_rows(empty_db, "order_events", *rows)
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    table = reflect_table(empty_db, "order_events").c
    with empty_db.engine.connect() as connection:
        notes = list(connection.scalars(sa.select(table.note).order_by(table.id)))
    assert notes == [note for _, _, note in events]


def test_work_on_ended_checks_is_closed(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0085", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    statuses = ("consented", "completed", "cancelled")
    insert_rows(
        empty_db,
        "orders",
        *({"kind": "check", "status": status} | parents for status in statuses),
    )
    proposals = [("completion", 1), ("revision", 2), ("completion", 3)]
    insert_rows(
        empty_db,
        "decision_proposals",
        *(
            {"order_id": order_id, "purpose": purpose, "answer": "", "answered_at": None}
            for purpose, order_id in proposals
        ),
    )
    renewals = [{"order_id": order_id, "closed_at": None} for order_id in (1, 2)]
    insert_rows(empty_db, "check_renewals", *renewals)
    actions = [("withdrawn", 1), ("final", 2)]
    insert_rows(
        empty_db,
        "adverse_actions",
        *({"order_id": order_id, "state": state} for state, order_id in actions),
    )
    insert_rows(
        empty_db,
        "adverse_notices",
        {"order_id": 1, "action_id": 1, "purpose": "pre_adverse"},
        {"order_id": 1, "action_id": 1, "purpose": "adverse_withdrawn"},
        {"order_id": 2, "action_id": 2, "purpose": "pre_adverse"},
    )
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)

    def read(name: str, column: str, key: str = "id") -> list[Any]:
        table = reflect_table(empty_db, name).c
        with empty_db.engine.connect() as connection:
            return list(connection.scalars(sa.select(table[column]).order_by(table[key])))

    assert read("decision_proposals", "answer") == ["", "", "withdrawn"]
    closed = read("check_renewals", "closed_at", "order_id")
    assert [moment is not None for moment in closed] == [True, False]
    undeliverable = read("adverse_notices", "undeliverable_at")
    assert [moment is not None for moment in undeliverable] == [False, True, True]


def test_facts_of_records_and_reasons_are_encrypted(empty_db: Database) -> None:
    schema_version.upgrade(empty_db, "0086", secret_box=SECRET_BOX)
    insert_parents(empty_db)
    parents = {"account_id": 1, "product_id": 1, "version_id": 1, "candidate_id": 1}
    insert_rows(empty_db, "orders", {"kind": "check", "public_id": "o"} | parents)
    kinds = [("conviction", "high", date(2017, 3, 1)), ("pending charge", "medium", None)]
    insert_rows(
        empty_db,
        "found_records",
        *(
            {"public_id": kind, "order_id": 1, "kind": kind, "severity": severity}
            | {"occurred_on": day}
            for kind, severity, day in kinds
        ),
    )
    insert_rows(
        empty_db,
        "disputes",
        *({"public_id": reason, "order_id": 1, "reason": reason} for reason in DISPUTE_REASONS),
    )
    insert_rows(empty_db, "adverse_actions", {"order_id": 1}, {"order_id": 1})
    notices = [{"public_id": "a", "other_way": "By post"}, {"public_id": "b", "other_way": ""}]
    insert_rows(empty_db, "adverse_notices", *({"order_id": 1} | row for row in notices))
    insert_rows(empty_db, "connectors", {})
    digest = b"d" * 32
    insert_rows(empty_db, "vendor_orders", {"public_id": "v", "answer_digest": digest})
    schema_version.upgrade(empty_db, secret_box=SECRET_BOX)
    with Session(empty_db.engine) as session:
        records = session.scalars(sa.select(FoundRecord).order_by(FoundRecord.id)).all()
        facts = [record.decrypt_facts(SECRET_BOX, "o") for record in records]
        assert facts == [RecordFacts(*row) for row in kinds]
        assert len({len(record.facts_encrypted) for record in records}) == 1
        check = session.scalars(sa.select(Check)).one()
        assert [decrypt_reason(SECRET_BOX, check, row) for row in check.disputes] == [
            *DISPUTE_REASONS
        ]
        assert len({len(row.reason_encrypted) for row in check.disputes}) == 1
        notices_now = session.scalars(sa.select(AdverseNotice).order_by(AdverseNotice.id))
        ways = [check.decrypt_other_way(SECRET_BOX, notice) for notice in notices_now]
        assert ways == ["By post", ""]
        vendor_order = session.scalars(sa.select(VendorOrder)).one()
        assert vendor_order.get_answer_digest(SECRET_BOX) == digest
