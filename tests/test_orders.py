import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider import kinds
from provider.errors import Conflict, NotFound
from provider.house import House
from provider.kinds import KINDS
from provider.kinds.assessment import Assessment
from provider.orders import Candidate, Event, Link, Order, expire_due
from provider.outbox import Message
from tests import cast
from tests.cast import HandClock

pytestmark = pytest.mark.both


@pytest.fixture
def placed(house: House) -> str:
    account, _ = cast.account(house)
    return cast.order(house, account, cast.test(house))


def change(house: House, public_id: str, act: Callable[[Session, Order], object]) -> None:
    with house.db.writing() as session:
        act(session, Order.find(session, public_id))


def become(house: House, public_id: str, status: str) -> None:
    change(house, public_id, lambda s, o: o.become(s, status, actor="x", at=house.now()))


def news(house: House) -> list[str]:
    with house.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.topic == "status").order_by(Message.id)
        ).all()
        return [row.payload["status"] for row in rows]


def story(house: House) -> list[tuple[str, str]]:
    with house.db.reading() as session:
        return [(e.word, e.actor) for e in session.scalars(select(Event).order_by(Event.id))]


def test_placing_writes_the_story_and_the_invitation_but_no_news(house: House, placed: str) -> None:
    assert story(house) == [("placed", "ats")]
    assert news(house) == []
    with house.db.reading() as session:
        letter = session.scalars(select(Message)).one()
        assert (letter.topic, letter.lane) == ("invitation", "1/mail")
        assert session.scalar(select(func.count(Link.id))) == 1


def test_no_secret_and_no_link_stands_readable_in_the_database(house: House, placed: str) -> None:
    secret = cast.invitation(house, placed).rsplit("/", 1)[1]
    raw = b"".join(path.read_bytes() for path in house.settings.instance.glob("provider.db*"))
    assert secret.encode() not in raw


def test_candidates_are_found_again_by_digest_whatever_the_case(house: House, placed: str) -> None:
    with house.db.reading() as session:
        digest = house.vault.index("Lakita_Marrero@GMAIL.com", "candidate e-mail")
        assert session.scalar(select(func.count()).where(Candidate.email_digest == digest)) == 1


def test_submit_and_expire_at_the_same_moment_one_wins(house: House, placed: str) -> None:
    """Both look before either writes, as two processes may."""
    with house.db.reading() as session:
        stale = Assessment.find(session, placed)
        assert stale.account
        assert stale.candidate
        session.expunge_all()
    change(house, placed, lambda session, order: order.expire(session, house.now()))
    with (
        pytest.raises(Conflict, match="same moment"),
        house.db.writing() as session,
    ):
        stale.become(session, "cancelled", actor="sam", at=house.now())
    assert cast.status(house, placed) == "expired"
    assert news(house) == ["expired"]
    assert [word for word, _ in story(house)] == ["placed", "expired"]


def test_many_threads_that_end_an_order_end_it_once(house: House, placed: str) -> None:
    with house.db.writing() as session:
        Assessment.find(session, placed).start(session, house.now())
    start, outcomes = threading.Barrier(12), []

    def run(act: Callable[[Session, Assessment], None]) -> None:
        start.wait()
        try:
            with house.db.writing() as session:
                act(session, Assessment.find(session, placed))
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    def submit(session: Session, order: Assessment) -> None:
        order.submit(session, house.vault, house.now())

    def cancel(session: Session, order: Assessment) -> None:
        order.cancel(session, "sam", "a mistake", house.now())

    threads = [threading.Thread(target=run, args=(a,)) for a in (submit, cancel) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 11 + ["won"]
    assert len(news(house)) == 1


@pytest.mark.parametrize("status", ["completed", "declined", "expired", "cancelled"])
def test_what_has_ended_changes_only_through_reopen(house: House, placed: str, status: str) -> None:
    become(house, placed, status)
    for wanted in ("completed", "declined", "expired", "cancelled", "consented"):
        with pytest.raises(Conflict, match="cannot become"):
            become(house, placed, wanted)
    change(house, placed, lambda s, o: o.reopen(s, house.vault, "sam", "why not", house.now()))
    assert cast.status(house, placed) == "pending"
    assert news(house) == [status, "pending"]


def test_reopening_invites_again_by_the_same_link_with_full_time(
    house: House, placed: str, clock: HandClock
) -> None:
    link = cast.invitation(house, placed)
    at = clock.pass_(timedelta(days=8))
    with house.db.writing() as session:
        assert expire_due(session, at) == 1
    change(house, placed, lambda s, o: o.reopen(s, house.vault, "sam", "was ill", at))
    assert cast.invitation(house, placed) == link
    with house.db.reading() as session:
        order = Order.find(session, placed)
        assert order.expires_at == at + timedelta(days=7)
        letters = session.scalar(select(func.count()).where(Message.topic == "invitation"))
        assert letters == 2


def test_an_open_order_cannot_be_reopened(house: House, placed: str) -> None:
    with pytest.raises(Conflict, match="has ended"):
        change(house, placed, lambda s, o: o.reopen(s, house.vault, "sam", "x", house.now()))


def test_revisions_number_the_news(house: House, placed: str) -> None:
    change(house, placed, lambda s, o: o.decline(s, " no time ", house.now()))
    change(house, placed, lambda s, o: o.reopen(s, house.vault, "sam", "x", house.now()))
    change(house, placed, lambda s, o: o.cancel(s, "sam", "y", house.now()))
    with house.db.reading() as session:
        news = select(Message).where(Message.topic == "status").order_by(Message.id)
        rows = session.scalars(news).all()
        assert [(m.sequence, m.payload["status"]) for m in rows] == [
            (1, "declined"),
            (2, "pending"),
            (3, "cancelled"),
        ]
        declined = session.scalars(select(Event).where(Event.word == "declined")).one()
        assert (declined.note, declined.revision) == ("no time", 1)


def test_orders_expire_in_batches_by_the_accounts_days(house: House, clock: HandClock) -> None:
    account, _ = cast.account(house, expire_after=3600)
    test = cast.test(house)
    for number in range(5):
        cast.order(house, account, test, callback_url=f"https://a.workable.com/{number}")
    with house.db.writing() as session:
        assert not kinds.something_due(session, clock.now())
        assert kinds.pass_time(session, house.vault, clock.now()) == 0
    at = clock.pass_(timedelta(hours=1))
    with house.db.writing() as session:
        assert kinds.something_due(session, at)
        assert kinds.pass_time(session, house.vault, at) == 5
    assert news(house) == ["expired"] * 5


def test_an_attempt_begun_before_the_deadline_keeps_its_full_time(
    house: House, placed: str, clock: HandClock
) -> None:
    late = clock.pass_(timedelta(days=7) - timedelta(minutes=1))
    with house.db.writing() as session:
        Assessment.find(session, placed).start(session, late)
    at = clock.pass_(timedelta(minutes=19))
    with house.db.writing() as session:
        assert kinds.pass_time(session, house.vault, at) == 0
        Assessment.find(session, placed).save("sum", {"answer": "b"}, at)
    assert cast.status(house, placed) == "pending"


def test_at_the_deadline_what_was_saved_is_scored(
    house: House, placed: str, clock: HandClock
) -> None:
    with house.db.writing() as session:
        order = Assessment.find(session, placed)
        order.start(session, clock.now())
        order.save("sum", {"answer": "b"}, clock.now())
    at = clock.pass_(timedelta(minutes=20))
    with house.db.writing() as session, pytest.raises(Conflict, match="time"):
        Assessment.find(session, placed).save("half", {"answer": "3.5"}, at)
    at = clock.pass_(timedelta(hours=5))
    with house.db.writing() as session:
        assert kinds.something_due(session, at)
        assert kinds.pass_time(session, house.vault, at) == 1
    with house.db.reading() as session:
        result = Assessment.find(session, placed).result
        assert result
        assert (result.score, result.grade, result.duration) == (25.0, "failed", 1200)
        assert ("completed", "system") in story_of(session)


def story_of(session: Session) -> list[tuple[str, str]]:
    return [(e.word, e.actor) for e in session.scalars(select(Event))]


def test_a_test_without_a_limit_stays_open_a_day_once_begun(house: House, clock: HandClock) -> None:
    account, _ = cast.account(house)
    order = cast.order(house, account, cast.test(house, time_limit=None))
    at = clock.pass_(timedelta(days=7) - timedelta(minutes=1))
    with house.db.writing() as session:
        begun = Assessment.find(session, order)
        begun.start(session, at)
        assert begun.attempt_ends_at == at + timedelta(days=1)


def test_what_is_submitted_never_expires(house: House, placed: str, clock: HandClock) -> None:
    cast.finish(house, placed)
    at = clock.pass_(timedelta(days=400))
    with house.db.writing() as session:
        assert kinds.pass_time(session, house.vault, at) == 0
    assert cast.status(house, placed) == "completed"


def test_starting_twice_gives_no_second_clock(house: House, placed: str, clock: HandClock) -> None:
    with house.db.writing() as session:
        Assessment.find(session, placed).start(session, clock.now())
    at = clock.pass_(timedelta(minutes=5))
    with house.db.writing() as session:
        order = Assessment.find(session, placed)
        order.start(session, at)
        assert order.started_at == at - timedelta(minutes=5)


def test_answers_can_be_changed_and_emptied_until_submitted(house: House, placed: str) -> None:
    with house.db.writing() as session:
        order = Assessment.find(session, placed)
        order.start(session, house.now())
        order.save("half", {"answer": "1"}, house.now())
        order.save("half", {"answer": "3.5"}, house.now())
        order.save("sum", {"answer": "a"}, house.now())
        order.save("sum", {}, house.now())
        assert set(order.given) == {"half"}
        with pytest.raises(NotFound):
            order.save("nothing", {"answer": "1"}, house.now())
        order.submit(session, house.vault, house.now())
    with house.db.writing() as session, pytest.raises(Conflict):
        Assessment.find(session, placed).submit(session, house.vault, house.now())


def test_an_order_is_not_started_after_its_deadline_even_if_nobody_expired_it(
    house: House, placed: str, clock: HandClock
) -> None:
    at = clock.pass_(timedelta(days=7))
    with house.db.writing() as session, pytest.raises(Conflict, match="no longer open"):
        Assessment.find(session, placed).start(session, at)
    with pytest.raises(Conflict, match="no longer open"):
        change(house, placed, lambda s, o: o.decline(s, "", at))


def test_every_kinds_find_refuses_the_other_kinds_ids(house: House) -> None:
    account, _ = cast.account(house)
    products = {
        "assessment": cast.test(house),
        "interview": cast.interview(house),
        "check": cast.package(house),
    }
    ids = {
        kind: cast.order(
            house, account, product, kind, callback_url=f"https://a.workable.com/{kind}"
        )
        for kind, product in products.items()
    }
    with house.db.reading() as session:
        for kind, parts in KINDS.items():
            for other, public_id in ids.items():
                if kind == other:
                    assert type(parts.order.find(session, public_id)) is parts.order
                else:
                    with pytest.raises(NotFound):
                        parts.order.find(session, public_id)


@pytest.mark.parametrize("bad", ["", "x" * 23, "a\x00b", "nothing", "é" * 30])
def test_an_id_that_cannot_be_is_not_found(house: House, placed: str, bad: str) -> None:
    with house.db.reading() as session, pytest.raises(NotFound):
        Order.find(session, bad)
