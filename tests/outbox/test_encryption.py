"""Messages at rest: no file holds their content, bodies age, and responses hold no secret."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update

from provider import outbox
from provider.core.orders import INVITE, Link, Order
from provider.delivery.dispatcher import Dispatcher
from provider.errors import Unavailable
from provider.outbox import (
    BODY_RETENTION,
    DELIVERED,
    EMAIL,
    PARKED,
    Claim,
    Message,
    Outcome,
    drop_old_bodies,
)
from provider.outbox.response_text import hide_secrets
from provider.outbox.retention import MAX_BODIES_PER_BATCH
from provider.services import Services
from provider.storage import secrets
from provider.storage.database import Database
from provider.storage.secrets import SecretBox
from tests import check_factories, factories
from tests.factories import ManualClock, settle_attempt
from tests.outbox.messages import QUEUE, put, row

BODY = b"Dear Lakita"


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


def send(services: Services, outcome: Outcome, body: bytes = BODY) -> Claim:
    """Claim the oldest message, store its body and settle it."""
    with services.db.writing() as session:
        (claim,) = outbox.claim(session, QUEUE, services.now(), 1)
        outbox.store_body(session, claim, body)
        settle_attempt(services, session, claim, outcome)
        return claim


def database_bytes(services: Services) -> bytes:
    """Return the bytes of the database file and of its WAL file."""
    path = Path(str(services.db.url.database))
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


# Content at rest


@pytest.mark.sqlite
def test_files_hold_neither_invitation_token_nor_consent_name(
    services: Services, dispatcher: Dispatcher
) -> None:
    check = check_factories.place_check(services)
    check_factories.give_consent(services, check, "Canary Signature")
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, check), INVITE)
        assert link
        token = link.get_token(services.secret_box)
    dispatcher.drain(*factories.queue_names(services, channel=EMAIL))

    with services.db.reading() as session:
        emails = session.scalars(
            select(Message).where(Message.ordering_key == check, Message.topic != "status")
        ).all()
        content = b"".join(email.get_body(services.secret_box) or b"" for email in emails)
    stored = database_bytes(services)
    for canary in (token.encode(), b"Canary Signature"):
        assert canary in content, "the e-mails hold what the files must not hold"
        assert canary not in stored
    assert check.encode() in stored, "the search finds what is stored in clear"


@pytest.mark.both
def test_content_is_encrypted_and_read_with_secret_box(services: Services) -> None:
    message_id = put(services)
    claim = send(services, Outcome("retry"))
    message = row(services, message_id)
    assert message.get_payload(services.secret_box) == {"n": 1}
    assert claim.get_payload(services.secret_box) == {"n": 1}
    assert message.get_body(services.secret_box) == BODY
    assert message.body_encrypted
    assert BODY not in message.body_encrypted


@pytest.mark.parametrize("column", ["payload_encrypted", "body_encrypted"])
def test_ciphertext_of_another_row_is_refused(services: Services, column: str) -> None:
    first, second = put(services, "a"), put(services, "b")
    for _ in range(2):
        send(services, Outcome("delivered"))
    with services.db.writing() as session:
        stolen = getattr(session.get_one(Message, first), column)
        session.execute(update(Message).where(Message.id == second).values({column: stolen}))
    message = row(services, second)
    read = message.get_payload if column == "payload_encrypted" else message.get_body
    with pytest.raises(Unavailable, match="does not belong to its row"):
        read(services.secret_box)


def test_ciphertext_of_another_column_is_refused(services: Services) -> None:
    message_id = put(services)
    with services.db.writing() as session:
        message = session.get_one(Message, message_id)
        message.body_encrypted = message.payload_encrypted
    with pytest.raises(Unavailable, match="does not belong to its row"):
        row(services, message_id).get_body(services.secret_box)


def test_new_first_key_reads_messages_of_the_old_one(services: Services) -> None:
    message_id = put(services)
    send(services, Outcome("retry"))
    rotated = SecretBox([b"n" * 32, b"k" * 32])
    message = row(services, message_id)
    assert (message.get_payload(rotated), message.get_body(rotated)) == ({"n": 1}, BODY)
    with pytest.raises(Unavailable, match="lacks the key"):
        message.get_body(SecretBox([b"n" * 32]))


def test_append_in_database_without_secret_box_is_refused(services: Services) -> None:
    db = Database(str(services.db.url))
    with pytest.raises(RuntimeError, match="secret box"), db.writing() as session:
        outbox.append(
            session,
            queue=QUEUE,
            ordering_key="a",
            sequence=0,
            topic="status",
            payload={},
            now=services.now(),
        )
    db.close()


@pytest.mark.both
def test_unreadable_message_is_parked_and_blocks_nothing(
    services: Services, dispatcher: Dispatcher
) -> None:
    account, _ = factories.create_account(services)
    test = factories.create_test(services)
    url = "https://groove-tech.workable.com/assessments/"
    first, second = (
        factories.place_order(services, account, test, callback_url=f"{url}{number}")
        for number in range(2)
    )
    with services.db.writing() as session:
        (message,) = outbox.history(session, first)
        message.body_encrypted = b"\0" * 40
    dispatcher.drain(f"{account}/email")
    with services.db.reading() as session:
        (refused,), (sent,) = outbox.history(session, first), outbox.history(session, second)
        assert (refused.state, sent.state) == (PARKED, DELIVERED)
        assert "could not be rendered" in refused.attempt_history[0].error


# Retention


@pytest.mark.both
def test_old_body_of_delivered_message_becomes_its_digest(
    services: Services, clock: ManualClock
) -> None:
    message_id = put(services)
    send(services, Outcome("delivered"))
    clock.advance(BODY_RETENTION - timedelta(seconds=1))
    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == 0
    assert row(services, message_id).get_body(services.secret_box) == BODY
    clock.advance(timedelta(seconds=1))
    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == 1
        assert drop_old_bodies(session, services.now()) == 0
    message = row(services, message_id)
    assert message.get_body(services.secret_box) is None
    assert message.body_digest == hashlib.sha256(BODY).digest()
    assert message.get_payload(services.secret_box) == {"n": 1}


@pytest.mark.both
def test_old_body_of_parked_message_is_sent_again_unchanged(
    services: Services, clock: ManualClock
) -> None:
    message_id = put(services)
    send(services, Outcome("rejected"))
    clock.advance(2 * BODY_RETENTION)
    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == 0
        assert outbox.requeue(session, session.get_one(Message, message_id), services.now())
    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == 0
        (claim,) = outbox.claim(session, QUEUE, services.now(), 1)
    assert claim.get_body(services.secret_box) == BODY


@pytest.mark.both
def test_old_body_of_superseded_message_is_dropped(services: Services, clock: ManualClock) -> None:
    first = put(services, sequence=1, supersedes_earlier=True)
    send(services, Outcome("rejected"))
    put(services, sequence=2, supersedes_earlier=True)
    send(services, Outcome("delivered"))
    clock.advance(BODY_RETENTION)
    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == 2
    assert row(services, first).body_encrypted is None


def test_drop_of_old_bodies_uses_index_and_a_limit(services: Services, clock: ManualClock) -> None:
    statements: list[tuple[str, Any]] = []
    put(services)
    send(services, Outcome("delivered"))
    with services.db.writing() as session:
        template = session.scalars(select(Message)).one()
        row = {column.key: getattr(template, column.key) for column in Message.__table__.columns}
        copies = [
            row | {"id": number, "public_id": secrets.generate_public_id()}
            for number in range(2, MAX_BODIES_PER_BATCH + 3)
        ]
        session.execute(Message.__table__.insert(), copies)  # type: ignore[attr-defined]
    clock.advance(BODY_RETENTION)

    @event.listens_for(services.db.engine, "before_cursor_execute")
    def record(_c: object, _cursor: object, sql: str, params: Any, *_: object) -> None:
        statements.append((sql, params))

    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == MAX_BODIES_PER_BATCH
    with services.db.writing() as session:
        assert drop_old_bodies(session, services.now()) == 2
    (sql, params) = next(entry for entry in statements if entry[0].startswith("UPDATE"))
    with services.db.reading() as session:
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", params).all()
    assert "ix_messages_body" in str(plan)


# Responses


TOKEN = "prv_" + "Az09_-" * 7 + "x"
STARS = "*" * len(TOKEN)


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        ("no secret here", ["cb-token"], "no secret here"),
        ("it was cb-token!", ["cb-token"], "it was ********!"),
        (f"see /c/{TOKEN}/ now", [], f"see /c/{STARS}/ now"),
        ("?t=p%40ss%2Fw", ["p@ss/w"], "?t=**********"),
        (r'{"t": "a\"b"}', ['a"b'], '{"t": "****"}'),
        ("longer-secret", ["longer", "longer-secret"], "*" * 13),
        ("nothing known", ["", ""], "nothing known"),
    ],
)
def test_hide_secrets_finds_known_and_token_shaped(
    text: str, known: list[str], expected: str
) -> None:
    assert hide_secrets(text, known) == expected


@pytest.mark.both
def test_settled_attempt_stores_no_token(services: Services) -> None:
    put(services)
    send(services, Outcome("rejected", response_excerpt=f"a {TOKEN}", error=f"b {TOKEN} " * 100))
    with services.db.reading() as session:
        (attempt,) = session.scalars(select(Message)).one().attempt_history
    assert attempt.response_excerpt == f"a {STARS}"
    assert TOKEN not in attempt.error
    assert len(attempt.error) <= outbox.MAX_RESPONSE_EXCERPT_LENGTH
