import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Executable, func, select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from provider import outbox
from provider.errors import Conflict
from provider.outbox import (
    DEFAULT_LEASE,
    DELIVERED,
    MEDIA_LEASE,
    PARKED,
    SUPERSEDED,
    Attempt,
    AttemptResult,
    Claim,
    Message,
    Outcome,
    is_in_state,
)
from provider.outbox.claims import _claim_query
from provider.outbox.message import _DUE_QUEUES_QUERY, _LAST_WAITING_QUERY, _OLDEST_DUE_QUERY
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both
LANE = "1/callback"


def put(
    services: Services, key: str = "a", sequence: int = 1, lane: str = LANE, **more: bool
) -> int:
    with services.db.writing() as session:
        return outbox.append(
            session,
            queue=lane,
            ordering_key=key,
            sequence=sequence,
            topic="status",
            payload={"n": sequence},
            now=services.now(),
            **more,
        )


def claim(services: Services, lane: str = LANE, most: int = 100) -> list[Claim]:
    with services.db.writing() as session:
        return outbox.claim(session, lane, services.now(), most)


def settle(services: Services, taken: Claim, outcome: Outcome) -> bool:
    with services.db.writing() as session:
        return bool(factories.settle_attempt(services, session, taken, outcome))


def state(services: Services, message_id: int) -> str:
    with services.db.reading() as session:
        return session.get_one(Message, message_id).state


def test_only_the_oldest_unsettled_message_of_a_key_is_claimed(services: Services) -> None:
    for sequence in (1, 2, 3):
        put(services, "a", sequence)
    put(services, "b", 7)
    assert {(c.ordering_key, c.sequence) for c in claim(services)} == {("a", 1), ("b", 7)}


def test_a_claimed_message_is_not_claimed_again_while_its_lease_lasts(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    assert len(claim(services)) == 1
    assert claim(services) == []
    clock.advance(DEFAULT_LEASE - timedelta(seconds=1))
    assert claim(services) == []
    clock.advance(timedelta(seconds=1))
    assert len(claim(services)) == 1


def test_a_successor_follows_once_its_predecessor_is_settled(services: Services) -> None:
    put(services, sequence=1)
    put(services, sequence=2)
    (first,) = claim(services)
    assert settle(services, first, Outcome("delivered", status_code=200))
    assert [c.sequence for c in claim(services)] == [2]


def test_a_parked_message_lets_its_successor_go(services: Services) -> None:
    put(services, sequence=1)
    put(services, sequence=2)
    (first,) = claim(services)
    settle(services, first, Outcome("rejected", status_code=410))
    assert [c.sequence for c in claim(services)] == [2]


def test_a_message_that_waits_keeps_its_successor_but_no_other_key(
    services: Services, clock: ManualClock
) -> None:
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


def test_who_lost_the_lease_settles_nothing(services: Services, clock: ManualClock) -> None:
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


@pytest.mark.parametrize(
    ("lane", "lease"), [(LANE, DEFAULT_LEASE), ("1/email", DEFAULT_LEASE), ("1/media", MEDIA_LEASE)]
)
def test_a_recording_is_leased_for_longer_than_what_is_sent(
    services: Services, clock: ManualClock, lane: str, lease: timedelta
) -> None:
    put(services, lane=lane)
    claim(services, lane)
    clock.advance(lease - timedelta(seconds=1))
    assert claim(services, lane) == []
    clock.advance(timedelta(seconds=1))
    assert len(claim(services, lane)) == 1


def test_rendered_bytes_are_kept_under_the_lease_only(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    (slow,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    (quick,) = claim(services)
    with services.db.writing() as session:
        assert not outbox.store_body(session, slow, b"slow")
        assert outbox.store_body(session, quick, b"quick")
    settle(services, quick, Outcome("retry"))
    assert [c.body for c in claim(services)] == [b"quick"]


def test_a_freed_lease_can_be_claimed_at_once(services: Services) -> None:
    put(services)
    (taken,) = claim(services)
    with services.db.writing() as session:
        outbox.release(session, taken)
    assert len(claim(services)) == 1


def test_an_older_parked_status_is_superseded_by_a_later_delivered_one(services: Services) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    other = put(services, "b", sequence=1, supersedes_earlier=True)
    for taken in claim(services):
        settle(services, taken, Outcome("rejected", status_code=410))
    (later,) = claim(services)
    settle(services, later, Outcome("delivered", status_code=200))
    assert (state(services, old), state(services, other)) == (SUPERSEDED, PARKED)
    with (
        pytest.raises(Conflict, match="superseded"),
        services.db.writing() as session,
    ):
        outbox.requeue(session, session.get_one(Message, old), services.now())


def test_a_parked_letter_is_not_superseded_by_a_later_one(services: Services) -> None:
    old = put(services, sequence=1)
    put(services, sequence=2)
    settle(services, claim(services)[0], Outcome("rejected"))
    settle(services, claim(services)[0], Outcome("delivered"))
    assert state(services, old) == PARKED


def test_a_parked_message_can_be_sent_again_and_goes_before_its_successors(
    services: Services,
) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected"))
    with services.db.writing() as session:
        outbox.requeue(session, session.get_one(Message, old), services.now())
    assert [c.sequence for c in claim(services)] == [1]


def test_every_attempt_is_kept_with_its_answer_cut_to_size(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    (taken,) = claim(services)
    began = clock.now()
    clock.advance(timedelta(milliseconds=250))
    with services.db.writing() as session:
        refused = Outcome("retry", status_code=500, response_excerpt="no\x00" + "x" * 5000)
        outbox.settle(session, [AttemptResult(taken, refused, began, clock.now())], clock.now())
    with services.db.reading() as session:
        kept = session.scalars(select(Attempt)).one()
        assert (kept.number, kept.duration_ms, kept.status_code, kept.started_at) == (
            1,
            250,
            500,
            began,
        )
        assert len(kept.response_excerpt) == outbox.MAX_RESPONSE_EXCERPT_LENGTH
        assert kept.response_excerpt.startswith("no�x")


def test_lanes_and_ages_are_told(services: Services, clock: ManualClock) -> None:
    began: datetime = clock.now()
    put(services, "a", lane="1/callback")
    put(services, "b", lane="2/email")
    with services.db.reading() as session:
        assert sorted(outbox.list_due_queues(session, clock.now())) == ["1/callback", "2/email"]
        assert outbox.list_due_queues(session, clock.now() - timedelta(seconds=1)) == []
        assert outbox.oldest_due_at(session, ["1/callback", "2/email"], clock.now()) == began
        assert outbox.oldest_due_at(session, [], clock.now()) is None


def fail_after_writing(services: Services) -> None:
    with services.db.writing() as session:
        outbox.append(
            session,
            queue=LANE,
            ordering_key="a",
            sequence=1,
            topic="status",
            payload={},
            now=services.now(),
        )
        session.flush()
        raise ZeroDivisionError


def test_a_message_is_written_with_its_transaction_or_not_at_all(services: Services) -> None:
    called: list[set[str]] = []
    services.db.on_commit.append(called.append)
    with pytest.raises(ZeroDivisionError):
        fail_after_writing(services)
    assert (called, claim(services)) == ([], [])
    put(services)
    assert called == [{LANE}]


def plan(services: Services, statement: Executable) -> str:
    """Return how SQLite would find the rows of a statement."""
    assert isinstance(statement, ClauseElement)
    told = {"of_lane": LANE, "lane": LANE, "key": "a", "most": 5, "until": None, "batch": "b"}
    with services.db.reading() as session:
        compiled = statement.compile(
            session.connection(), compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        values = [
            compiled.params.get(name) or told.get(name) for name in compiled.positiontup or ()
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
        (_LAST_WAITING_QUERY.statement, {"ix_messages_head"}),
        (
            select(Message.id).where(is_in_state(PARKED)).order_by(Message.id.desc()),
            {"ix_messages_state"},
        ),
    ],
)
def test_what_the_courier_asks_is_found_by_its_indexes_however_much_there_is(
    services: Services, statement: Executable, indexes: set[str]
) -> None:
    said = plan(services, statement)
    assert set(re.findall(r"ix_messages_\w+", said)) == indexes
    assert "SCAN messages USING" not in said.replace("SCAN messages USING COVERING", "")
    assert "SCAN other" not in said


def test_what_is_due_longest_goes_first(services: Services, clock: ManualClock) -> None:
    put(services, "a")
    settle(services, claim(services)[0], Outcome("retry", retry_after=timedelta(minutes=2)))
    clock.advance(timedelta(minutes=1))
    put(services, "b")
    clock.advance(timedelta(minutes=2))
    assert [taken.ordering_key for taken in claim(services, most=1)] == ["b"]


def test_what_an_order_sends_elsewhere_keeps_nothing_back(services: Services) -> None:
    put(services, sequence=0, lane="1/email")  # the order's letter, which has not gone yet
    put(services, sequence=1)
    assert [taken.sequence for taken in claim(services)] == [1]


def test_a_status_that_was_overtaken_is_not_sent_again(services: Services) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    (later,) = claim(services)
    settle(
        services, later, Outcome("retry", retry_after=timedelta(minutes=5))
    )  # it may have arrived
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, old), services.now())
    assert state(services, old) == SUPERSEDED


def test_a_status_that_a_later_one_may_overtake_at_this_moment_is_not_sent_again(
    services: Services,
) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    assert claim(services)  # it is on its way
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, old), services.now())


def test_a_status_is_not_sent_again_where_a_courier_died_with_a_later_one(
    services: Services, clock: ManualClock
) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    put(services, sequence=2, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    with services.db.writing() as session:
        (later,) = outbox.claim(session, LANE, services.now(), 10)
        outbox.store_body(session, later, b"it may have arrived")
    clock.advance(DEFAULT_LEASE)
    with services.db.writing() as session:  # another takes it up, and may not send it now
        (later,) = outbox.claim(session, LANE, services.now(), 10)
        outbox.release(session, later)
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, old), services.now())


def test_what_another_lane_of_the_same_key_tried_overtakes_nothing(services: Services) -> None:
    old = put(services, sequence=1, supersedes_earlier=True)
    settle(services, claim(services)[0], Outcome("rejected", status_code=422))
    put(services, sequence=2, supersedes_earlier=True, lane="1/email")
    settle(
        services, claim(services, "1/email")[0], Outcome("retry", retry_after=timedelta(minutes=5))
    )
    with services.db.writing() as session:
        assert outbox.requeue(session, session.get_one(Message, old), services.now())


def test_both_tries_of_one_courier_may_end_at_once_and_one_counts(
    services: Services, clock: ManualClock
) -> None:
    put(services)
    (lost,) = claim(services)
    clock.advance(DEFAULT_LEASE)
    (held,) = claim(services)
    at = services.now()
    with services.db.writing() as session:
        both = [
            AttemptResult(held, Outcome("delivered"), at, at),
            AttemptResult(lost, Outcome("rejected"), at, at),
        ]
        assert outbox.settle(session, both, at) == {held.lease}
    with services.db.reading() as session:
        assert session.scalars(select(Attempt.outcome)).all() == ["delivered"]


def test_what_waits_behind_another_is_due_with_it(services: Services, clock: ManualClock) -> None:
    put(services, sequence=1)
    (first,) = claim(services)
    put(services, sequence=2)
    settle(services, first, Outcome("retry", retry_after=timedelta(hours=2)))
    put(services, sequence=3)
    with services.db.reading() as session:
        due = session.scalars(select(Message.due_at)).all()
        assert set(due) == {clock.now() + timedelta(hours=2)}
    clock.advance(timedelta(hours=2))
    (again,) = claim(services)
    settle(services, again, Outcome("delivered"))
    assert [taken.sequence for taken in claim(services)] == [2]
