"""Messages of the outbox: names of their queues and keys, states, requeueing, indexes used."""

import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Executable, func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from provider import outbox
from provider.errors import Conflict
from provider.outbox import (
    CALLBACK,
    DEFAULT_LEASE,
    DELIVERED,
    EMAIL,
    MEDIA,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    AttemptResult,
    Message,
    OrderingKey,
    Outcome,
    QueueName,
    is_in_state,
)
from provider.outbox.claims import _claim_query
from provider.outbox.message import _DUE_QUEUES_QUERY, _LAST_WAITING_QUERY, _OLDEST_DUE_QUERY
from provider.services import Services
from provider.storage.secrets import generate_public_id
from tests.factories import ManualClock
from tests.outbox.messages import QUEUE, claim, put, requeue, row, settle, state

pytestmark = pytest.mark.both


def test_claim_takes_oldest_unsettled_message_of_each_key(services: Services) -> None:
    for sequence in (1, 2, 3):
        put(services, "a", sequence)
    put(services, "b", 7)
    assert {(c.ordering_key, c.sequence) for c in claim(services)} == {("a", 1), ("b", 7)}


def test_claim_skips_message_until_its_lease_expires(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    assert len(claim(services)) == 1
    assert claim(services) == []
    clock.advance(DEFAULT_LEASE - timedelta(seconds=1))
    assert claim(services) == []
    clock.advance(timedelta(seconds=1))
    assert len(claim(services)) == 1


def test_claim_takes_successor_after_delivery(services: Services) -> None:
    put(services, sequence=1)
    put(services, sequence=2)
    (first,) = claim(services)
    assert settle(services, first, Outcome("delivered", status_code=200))
    assert [c.sequence for c in claim(services)] == [2]


def test_claim_takes_successor_after_rejection(services: Services) -> None:
    put(services, sequence=1)
    put(services, sequence=2)
    (first,) = claim(services)
    settle(services, first, Outcome("rejected", status_code=410))
    assert [c.sequence for c in claim(services)] == [2]


def test_waiting_retry_blocks_only_its_own_key(services: Services, clock: ManualClock) -> None:
    put(services, "a", 1)
    put(services, "a", 2)
    (first,) = claim(services)
    settle(services, first, Outcome("retry", retry_after=timedelta(minutes=5)))
    put(services, "b", 1)
    (other,) = claim(services)
    assert other.ordering_key == "b"
    settle(services, other, Outcome("delivered"))
    clock.advance(timedelta(minutes=5))
    assert [(c.ordering_key, c.sequence, c.attempts) for c in claim(services)] == [("a", 1, 1)]


def test_settle_with_lost_lease_writes_nothing(services: Services, clock: ManualClock) -> None:
    message = put(services)
    (slow,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    (quick,) = claim(services)
    assert not settle(services, slow, Outcome("rejected"))
    assert state(services, message) == "waiting"
    assert settle(services, quick, Outcome("delivered"))
    assert not settle(services, slow, Outcome("rejected"))
    assert state(services, message) == DELIVERED
    with services.db.reading() as session:
        assert session.scalar(select(func.count(Attempt.id))) == 1


@pytest.mark.parametrize("lease", [DEFAULT_LEASE, timedelta(minutes=15)])
def test_claim_lasts_for_its_lease(
    services: Services, clock: ManualClock, lease: timedelta
) -> None:
    put(services)
    with services.db.writing() as session:
        outbox.claim(session, QUEUE, services.now(), 1, lease)
    clock.advance(lease - timedelta(seconds=1))
    assert claim(services) == []
    clock.advance(timedelta(seconds=1))
    assert len(claim(services)) == 1


def test_store_body_requires_valid_lease(services: Services, clock: ManualClock) -> None:
    put(services)
    (slow,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    (quick,) = claim(services)
    with services.db.writing() as session:
        assert not outbox.store_body(session, slow, b"slow")
        assert outbox.store_body(session, quick, b"quick")
    settle(services, quick, Outcome("retry"))
    assert [claimed.get_body(services.secret_box) for claimed in claim(services)] == [b"quick"]


def test_released_message_can_be_claimed_at_once(services: Services) -> None:
    put(services)
    (claimed,) = claim(services)
    with services.db.writing() as session:
        outbox.release(session, claimed)
    assert len(claim(services)) == 1


def test_later_delivery_supersedes_parked_status(services: Services) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    other = put(services, "b", sequence=1, supersedes_earlier=True)
    for claimed in claim(services):
        settle(services, claimed, Outcome("rejected", status_code=410))
    (later,) = claim(services)
    settle(services, later, Outcome("delivered", status_code=200))
    assert (state(services, old), state(services, other)) == (SUPERSEDED, PARKED)
    with (
        pytest.raises(Conflict, match="superseded"),
        services.db.writing() as session,
    ):
        outbox.requeue(session, session.get_one(Message, old), services.now())


def test_later_delivery_does_not_supersede_parked_email(services: Services) -> None:
    old = put(services, sequence=1)
    put(services, sequence=2)
    settle(services, claim(services)[0], Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("delivered"))
    assert state(services, old) == PARKED


def test_requeued_message_precedes_its_successors(
    services: Services,
) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected"))
    with services.db.writing() as session:
        outbox.requeue(session, session.get_one(Message, old), services.now())
    assert [c.sequence for c in claim(services)] == [1]


def test_settle_stores_attempt_with_truncated_response(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    (claimed,) = claim(services)
    started_at = clock.now()
    clock.advance(timedelta(milliseconds=250))
    with services.db.writing() as session:
        failed = Outcome("retry", status_code=500, response_excerpt="no\x00" + "x" * 5000)
        result = AttemptResult(claimed, failed, started_at, clock.now())
        outbox.settle(session, [result], clock.now())
    with services.db.reading() as session:
        attempt = session.scalars(select(Attempt)).one()
        assert (attempt.number, attempt.duration_ms, attempt.status_code) == (1, 250, 500)
        assert attempt.started_at == started_at
        assert len(attempt.response_excerpt) == outbox.MAX_RESPONSE_EXCERPT_LENGTH
        assert attempt.response_excerpt.startswith("no�x")


@pytest.mark.both
def test_settle_stores_text_that_no_database_can_encode(services: Services) -> None:
    # An error here would fail every later cycle, because each repeats the unsettled results.
    put(services)
    (claimed,) = claim(services)
    with services.db.writing() as session:
        failed = Outcome("retry", error="a file named \udcff")
        result = AttemptResult(claimed, failed, services.now(), services.now())
        assert outbox.settle(session, [result], services.now()) == {claimed.lease}
    with services.db.reading() as session:
        assert session.scalars(select(Attempt.error)).one() == "a file named ?"


@pytest.mark.both
def test_pause_stores_a_reason_that_no_database_can_encode(services: Services) -> None:
    with services.db.writing() as session:
        outbox.pause(session, "destination/media", "\udcff\x00", services.now(), services.now())
    with services.db.reading() as session:
        (stored,) = outbox.active_pauses(session, ["destination/media"]).values()
    assert stored.reason == "?\N{REPLACEMENT CHARACTER}"


def test_due_queues_and_oldest_due_time_are_listed(services: Services, clock: ManualClock) -> None:
    appended_at: datetime = clock.now()
    put(services, "a", queue="1/callback")
    put(services, "b", queue="2/email")
    with services.db.reading() as session:
        assert sorted(outbox.list_due_queues(session, clock.now())) == ["1/callback", "2/email"]
        assert outbox.list_due_queues(session, clock.now() - timedelta(seconds=1)) == []
        assert outbox.oldest_due_at(session, ["1/callback", "2/email"], clock.now()) == appended_at
        assert outbox.oldest_due_at(session, [], clock.now()) is None


def append_and_fail(services: Services) -> None:
    with services.db.writing() as session:
        outbox.append(
            session,
            queue=QUEUE,
            ordering_key="a",
            sequence=1,
            topic="status",
            payload={},
            now=services.now(),
        )
        session.flush()
        raise ZeroDivisionError


def test_append_is_rolled_back_with_its_transaction(services: Services) -> None:
    signalled: list[set[str]] = []
    services.db.on_commit.append(signalled.append)
    with pytest.raises(ZeroDivisionError):
        append_and_fail(services)
    assert (signalled, claim(services)) == ([], [])
    put(services)
    assert signalled == [{QUEUE}]


def plan(services: Services, statement: Executable) -> str:
    """Return SQLite's query plan of a statement."""
    assert isinstance(statement, ClauseElement)
    params = {
        "in_queue": QUEUE,
        "queue": QUEUE,
        "ordering_key": "a",
        "until": None,
        "batch": "b",
    }
    with services.db.reading() as session:
        compiled = statement.compile(
            session.connection(), compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        values = [
            compiled.params.get(name) or params.get(name) for name in compiled.positiontup or ()
        ]
        steps = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {compiled}", tuple(values)
        )
        return "\n".join(row[3] for row in steps)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        (_claim_query(20).statement, {"ix_messages_due", "ix_messages_head"}),
        (_DUE_QUEUES_QUERY, {"ix_messages_due"}),
        (_OLDEST_DUE_QUERY, {"ix_messages_due"}),
        (_LAST_WAITING_QUERY, {"ix_messages_head"}),
        (
            select(Message.id).where(is_in_state(PARKED)).order_by(Message.id.desc()),
            {"ix_messages_state"},
        ),
    ],
)
def test_dispatcher_queries_use_the_expected_indexes(
    services: Services, statement: Executable, indexes: set[str]
) -> None:
    query_plan = plan(services, statement)
    assert set(re.findall(r"ix_messages_\w+", query_plan)) == indexes
    assert "SCAN messages USING" not in query_plan.replace("SCAN messages USING COVERING", "")
    assert "SCAN other" not in query_plan


def test_claim_takes_longest_due_message_first(services: Services, clock: ManualClock) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=2)))
    clock.advance(timedelta(minutes=1))
    put(services, "b")
    clock.advance(timedelta(minutes=2))
    assert [claimed.ordering_key for claimed in claim(services, limit=1)] == ["b"]


def test_waiting_email_does_not_block_callback_of_same_order(services: Services) -> None:
    put(services, sequence=0, queue="1/email")  # the order's invitation, not sent yet
    put(services, sequence=1)
    assert [claimed.sequence for claimed in claim(services)] == [1]


def test_requeue_after_attempt_of_later_status_supersedes(services: Services) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    (later,) = claim(services)
    # A failed attempt may have arrived all the same.
    settle(services, later, Outcome("retry", retry_after=timedelta(minutes=5)))
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, old), services.now())
    assert state(services, old) == SUPERSEDED


def test_requeue_while_later_status_is_leased_supersedes(
    services: Services,
) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    assert claim(services)  # the later status is being sent
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, old), services.now())


def test_requeue_after_crash_with_later_status_supersedes(
    services: Services, clock: ManualClock
) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    with services.db.writing() as session:
        (later,) = outbox.claim(session, QUEUE, services.now(), 10)
        outbox.store_body(session, later, b"it may have arrived")
    clock.advance(DEFAULT_LEASE)
    with services.db.writing() as session:  # another dispatcher claims it and releases it unsent
        (later,) = outbox.claim(session, QUEUE, services.now(), 10)
        outbox.release(session, later)
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, old), services.now())


def test_attempt_in_other_queue_does_not_prevent_requeue(services: Services) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    put(services, sequence=2, supersedes_earlier=True, queue="1/email")
    settle(
        services, claim(services, "1/email")[0], Outcome("retry", retry_after=timedelta(minutes=5))
    )
    with services.db.writing() as session:
        assert outbox.requeue(session, session.get_one(Message, old), services.now())


def test_settle_with_two_results_of_a_message_counts_valid_one(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    (lost,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    (valid,) = claim(services)
    now = services.now()
    with services.db.writing() as session:
        results = [
            AttemptResult(valid, Outcome("delivered"), now, now),
            AttemptResult(lost, Outcome("rejected"), now, now),
        ]
        assert outbox.settle(session, results, now) == {valid.lease}
    with services.db.reading() as session:
        assert session.scalars(select(Attempt.outcome)).all() == ["delivered"]


def test_message_behind_a_retry_is_due_with_it(services: Services, clock: ManualClock) -> None:
    put(services, sequence=1)
    (first,) = claim(services)
    put(services, sequence=2)
    settle(services, first, Outcome("retry", retry_after=timedelta(hours=2)))
    put(services, sequence=3)
    with services.db.reading() as session:
        due_times = session.scalars(select(Message.due_at)).all()
        assert set(due_times) == {clock.now() + timedelta(hours=2)}
    clock.advance(timedelta(hours=2))
    (again,) = claim(services)
    settle(services, again, Outcome("delivered"))
    assert [claimed.sequence for claimed in claim(services)] == [2]


# Requeueing, and queries for states, queues and due times


def park(services: Services, key: str = "a", *, supersedes_earlier: bool = False) -> int:
    """Return the id of a rejected message."""
    message = put(services, key, supersedes_earlier=supersedes_earlier)
    (claimed,) = claim(services)
    assert claimed.message_id == message
    settle(services, claimed, Outcome("rejected", status_code=422))
    return message


def test_requeued_message_is_due_now_and_unsettled(services: Services, clock: ManualClock) -> None:
    message, other = park(services), park(services, "b")
    clock.advance(timedelta(hours=1))
    signalled: list[set[str]] = []
    services.db.on_commit.append(signalled.append)
    assert requeue(services, message)
    requeued = row(services, message)
    assert (requeued.state, requeued.due_at) == (WAITING, clock.now())
    assert requeued.settled_at is None
    assert signalled == [{QUEUE}]
    untouched = row(services, other)
    assert (untouched.state, untouched.due_at) == (PARKED, clock.now() - timedelta(hours=1))


def test_requeue_of_superseded_message_sets_settled_time(
    services: Services, clock: ManualClock
) -> None:
    old = park(services, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("retry"))
    clock.advance(timedelta(hours=1))
    assert not requeue(services, old)
    assert (row(services, old).state, row(services, old).settled_at) == (SUPERSEDED, clock.now())


@pytest.mark.parametrize(
    ("old", "later", "key"), [(True, False, "a"), (False, True, "a"), (True, True, "b")]
)
def test_requeue_ignores_attempts_that_supersede_nothing(
    services: Services, old: bool, later: bool, key: str
) -> None:
    parked = park(services, supersedes_earlier=old)
    put(services, key, 2, supersedes_earlier=later)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    assert requeue(services, parked)


def test_requeue_ignores_attempts_of_earlier_messages(services: Services) -> None:
    put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    first = claim(services)[0]
    settle(services, first, Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("rejected"))
    with services.db.reading() as session:
        last = session.scalars(select(Message.id).where(Message.sequence == 2)).one()
    assert requeue(services, last)


def test_message_with_sequence_zero_is_never_delayed(services: Services) -> None:
    put(services, sequence=1)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=2)))
    put(services, sequence=0)
    assert [claimed.sequence for claimed in claim(services)] == [0]


@pytest.mark.parametrize(("key", "queue"), [("b", QUEUE), ("a", "1/email")])
def test_new_message_waits_only_behind_own_key_and_queue(
    services: Services, key: str, queue: str
) -> None:
    put(services, "a", 1)
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=2)))
    message = put(services, key, 2, queue)
    assert row(services, message).due_at == services.now()


def test_new_message_behind_a_due_one_is_due_when_appended(
    services: Services, clock: ManualClock
) -> None:
    put(services, sequence=1)
    clock.advance(timedelta(minutes=1))
    message = put(services, sequence=2)
    assert row(services, message).due_at == clock.now() == row(services, message).created_at


def test_history_is_ordered_by_creation(services: Services, clock: ManualClock) -> None:
    second = put(services, sequence=2)
    first = put(services, sequence=1, queue="1/email")
    put(services, "b")
    with services.db.reading() as session:
        assert [message.id for message in outbox.history(session, "a")] == [second, first]


def test_is_in_state_selects_messages_by_state(services: Services) -> None:
    delivered = put(services, "a")
    settle(services, claim(services)[0], Outcome("delivered"))
    parked = park(services, "b")
    waiting = put(services, "c")

    def select_ids(*states: str) -> list[int]:
        with services.db.reading() as session:
            query = select(Message.id).where(is_in_state(*states)).order_by(Message.id)
            return list(session.scalars(query))

    assert select_ids(DELIVERED) == [delivered]
    assert select_ids(PARKED) == [parked]
    assert select_ids(PARKED, WAITING) == [parked, waiting]
    assert select_ids(DELIVERED, PARKED) == [delivered, parked]
    assert select_ids() == []


def test_list_queues_and_list_due_queues_differ_by_due_messages(
    services: Services, clock: ManualClock
) -> None:
    with services.db.reading() as session:
        assert outbox.list_queues(session) == outbox.list_due_queues(session, clock.now()) == []
    for key, queue in (("a", QUEUE), ("b", "2/callback"), ("c", "3/email"), ("d", QUEUE)):
        put(services, key, queue=queue)
    settle(services, claim(services, "3/email")[0], Outcome("delivered"))
    settle(
        services, claim(services, "2/callback")[0], Outcome("retry", retry_after=timedelta(hours=1))
    )
    with services.db.reading() as session:
        assert outbox.list_queues(session) == [QUEUE, "2/callback", "3/email"]
        assert outbox.list_due_queues(session, clock.now()) == [QUEUE]
    clock.advance(timedelta(hours=1))
    with services.db.reading() as session:
        assert outbox.list_due_queues(session, clock.now()) == [QUEUE, "2/callback"]


def test_leased_message_is_not_due(services: Services, clock: ManualClock) -> None:
    put(services)
    claim(services)
    for wait, queues, oldest in ((timedelta(0), [], None), (DEFAULT_LEASE, [QUEUE], clock.now())):
        clock.advance(wait)
        with services.db.reading() as session:
            assert outbox.list_due_queues(session, clock.now()) == queues
            assert outbox.oldest_due_at(session, [QUEUE], clock.now()) == oldest


def test_oldest_due_at_covers_only_the_given_queues(services: Services, clock: ManualClock) -> None:
    start = clock.now()
    for seconds, queue in enumerate(("3/email", "2/email", "1/email", "2/email")):
        clock.current_time = start + timedelta(seconds=seconds)
        put(services, queue, seconds, queue)
    with services.db.reading() as session:
        for queues, oldest in ((["1/email", "2/email"], 1), (["1/email"], 2), (["4/email"], None)):
            due_at = outbox.oldest_due_at(session, queues, clock.now())
            assert due_at == (None if oldest is None else start + timedelta(seconds=oldest))


def test_retried_message_is_due_since_its_retry_time(
    services: Services, clock: ManualClock
) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(hours=1)))
    put(services, "b")
    appended_at = clock.now()
    clock.advance(timedelta(hours=2))
    with services.db.reading() as session:
        assert outbox.oldest_due_at(session, [QUEUE], clock.now()) == appended_at


# Names of queues with their pause scopes, and ordering keys with their subject and writer


HOST_QUEUE = str(QueueName(1, CALLBACK, "ats.test"))


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
        queue=HOST_QUEUE,
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


@pytest.mark.both
def test_claim_takes_the_first_message_of_each_writer(services: Services) -> None:
    keys = [OrderingKey("order"), OrderingKey("order", "notes")]
    with services.db.writing() as session:
        for key in keys:
            for sequence in (1, 2):
                append(session, services, key, sequence)
    with services.db.writing() as session:
        claims = outbox.claim(session, HOST_QUEUE, services.now(), 10)
    assert {(claim.ordering_key, claim.sequence) for claim in claims} == {
        (str(key), 1) for key in keys
    }
    assert {claim.subject for claim in claims} == {"order"}


@pytest.mark.sqlite
def test_history_query_uses_its_index(services: Services) -> None:
    query = select(Message.id).where(outbox.is_about(Message.ordering_key, "a" * 22))
    with services.db.reading() as session:
        text = str(query.compile(session.connection(), compile_kwargs={"literal_binds": True}))
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
    assert ["ix_messages_history" in str(step) for step in plan] == [True]
