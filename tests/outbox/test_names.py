"""Names of queues with their pause scopes, and ordering keys with their subject and writer."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.outbox import CALLBACK, EMAIL, MEDIA, Message, OrderingKey, QueueName
from provider.services import Services
from provider.storage.secrets import generate_public_id

QUEUE = str(QueueName(1, CALLBACK, "ats.test"))


@pytest.mark.parametrize(
    ("name", "queue_name", "destination"),
    [
        ("7/callback/a.test:8443", QueueName(7, CALLBACK, "a.test:8443"), "a.test:8443"),
        ("7/email", QueueName(7, EMAIL), "email"),
        ("7/media", QueueName(7, MEDIA), "media"),
    ],
)
def test_queue_name_is_parsed_and_lists_its_pause_scopes(
    name: str, queue_name: QueueName, destination: str
) -> None:
    assert (QueueName.parse(name), str(queue_name)) == (queue_name, name)
    assert queue_name.destination == destination
    account_scope = f"account/7/{queue_name.channel}"
    assert queue_name.pause_scopes == (f"destination/{destination}", account_scope, f"queue/{name}")


@pytest.mark.parametrize(
    ("text", "key"),
    [("Ab-_1", OrderingKey("Ab-_1")), ("Ab-_1/notes", OrderingKey("Ab-_1", "notes"))],
)
def test_key_text_is_subject_and_writer(text: str, key: OrderingKey) -> None:
    assert OrderingKey.parse(text) == key
    assert str(key) == text


def append(session: Session, services: Services, key: OrderingKey, sequence: int = 1) -> None:
    outbox.append(
        session,
        queue=QUEUE,
        ordering_key=str(key),
        sequence=sequence,
        topic="note",
        payload={},
        now=services.now(),
    )


@pytest.mark.both
def test_history_has_every_writers_messages_and_no_others(services: Services) -> None:
    subject = "Zz_-" + generate_public_id()[4:]
    # Ids that begin like the subject, or that sort just before and after it.
    others = [f"{subject[:-1]}{end}" for end in "-0Az_" if end != subject[-1]]
    writers = ("", "0", "notes", "Notes", "~")
    with services.db.writing() as session:
        for other in (*others, subject.swapcase()):
            append(session, services, OrderingKey(other))
            append(session, services, OrderingKey(other, "notes"))
        for writer in writers:
            append(session, services, OrderingKey(subject, writer))
    with services.db.reading() as session:
        messages = outbox.history(session, subject)
        assert [message.ordering_key for message in messages] == [
            str(OrderingKey(subject, writer)) for writer in writers
        ]
        assert {message.subject for message in messages} == {subject}
        subjects = select(outbox.subject_of(Message.ordering_key)).where(
            outbox.is_about_any([subject, others[0]])
        )
        assert set(session.scalars(subjects)) == {subject, others[0]}
        assert session.scalars(select(Message).where(outbox.is_about_any([]))).all() == []


@pytest.mark.both
def test_claim_takes_the_first_message_of_each_writer(services: Services) -> None:
    keys = [OrderingKey("order"), OrderingKey("order", "notes")]
    with services.db.writing() as session:
        for key in keys:
            for sequence in (1, 2):
                append(session, services, key, sequence)
    with services.db.writing() as session:
        claims = outbox.claim(session, QUEUE, services.now(), 10)
    assert {(claim.ordering_key, claim.sequence) for claim in claims} == {
        (str(key), 1) for key in keys
    }
    assert {claim.subject for claim in claims} == {"order"}


@pytest.mark.sqlite
def test_history_query_uses_its_index(services: Services) -> None:
    query = select(Message.id).where(outbox.is_about_any(["a" * 22]))
    with services.db.reading() as session:
        text = str(query.compile(session.connection(), compile_kwargs={"literal_binds": True}))
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert ["ix_messages_history" in str(step) for step in plan] == [True]
