import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.core import kinds
from provider.core.kinds import KINDS
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Candidate, Link, Order, OrderEvent, expire_overdue_orders
from provider.errors import Conflict, NotFound
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both


@pytest.fixture
def placed(services: Services) -> str:
    account, _ = factories.create_account(services)
    return factories.place_order(services, account, factories.create_test(services))


def change(services: Services, public_id: str, act: Callable[[Session, Order], object]) -> None:
    with services.db.writing() as session:
        act(session, Order.find(session, public_id))


def become(services: Services, public_id: str, status: str) -> None:
    change(
        services, public_id, lambda s, o: o.change_status(s, status, actor="x", now=services.now())
    )


def news(services: Services) -> list[str]:
    with services.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.topic == "status").order_by(Message.id)
        ).all()
        return [row.payload["status"] for row in rows]


def story(services: Services) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        return [
            (e.type, e.actor) for e in session.scalars(select(OrderEvent).order_by(OrderEvent.id))
        ]


def test_placing_writes_the_story_and_the_invitation_but_no_news(
    services: Services, placed: str
) -> None:
    assert story(services) == [("placed", "ats")]
    assert news(services) == []
    with services.db.reading() as session:
        letter = session.scalars(select(Message)).one()
        assert (letter.topic, letter.queue) == ("invitation", "1/email")
        assert session.scalar(select(func.count(Link.id))) == 1


def test_no_secret_and_no_link_stands_readable_in_the_database(
    services: Services, placed: str
) -> None:
    secret = factories.invitation_url(services, placed).rsplit("/", 1)[1]
    raw = b"".join(path.read_bytes() for path in services.settings.instance.glob("provider.db*"))
    assert secret.encode() not in raw


def test_candidates_are_found_again_by_digest_whatever_the_case(
    services: Services, placed: str
) -> None:
    with services.db.reading() as session:
        digest = services.secret_box.blind_index("Lakita_Marrero@GMAIL.com", "candidate e-mail")
        assert session.scalar(select(func.count()).where(Candidate.email_digest == digest)) == 1


def test_submit_and_expire_at_the_same_moment_one_wins(services: Services, placed: str) -> None:
    """Both look before either writes, as two processes may."""
    with services.db.reading() as session:
        stale = Assessment.find(session, placed)
        assert stale.account
        assert stale.candidate
        session.expunge_all()
    change(services, placed, lambda session, order: order.expire(session, services.now()))
    with (
        pytest.raises(Conflict, match="same moment"),
        services.db.writing() as session,
    ):
        stale.change_status(session, "cancelled", actor="sam", now=services.now())
    assert factories.order_status(services, placed) == "expired"
    assert news(services) == ["expired"]
    assert [word for word, _ in story(services)] == ["placed", "expired"]


def test_many_threads_that_end_an_order_end_it_once(services: Services, placed: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, placed).start(session, services.now())
    start, outcomes = threading.Barrier(12), []

    def run(act: Callable[[Session, Assessment], None]) -> None:
        start.wait()
        try:
            with services.db.writing() as session:
                act(session, Assessment.find(session, placed))
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    def submit(session: Session, order: Assessment) -> None:
        order.submit(session, services.secret_box, services.now())

    def cancel(session: Session, order: Assessment) -> None:
        order.cancel(session, "sam", "a mistake", services.now())

    threads = [threading.Thread(target=run, args=(a,)) for a in (submit, cancel) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 11 + ["won"]
    assert len(news(services)) == 1


@pytest.mark.parametrize("status", ["completed", "declined", "expired", "cancelled"])
def test_what_has_ended_changes_only_through_reopen(
    services: Services, placed: str, status: str
) -> None:
    become(services, placed, status)
    for wanted in ("completed", "declined", "expired", "cancelled", "consented"):
        with pytest.raises(Conflict, match="cannot become"):
            become(services, placed, wanted)
    change(
        services,
        placed,
        lambda s, o: o.reopen(s, services.secret_box, "sam", "why not", services.now()),
    )
    assert factories.order_status(services, placed) == "pending"
    assert news(services) == [status, "pending"]


def test_reopening_invites_again_by_the_same_link_with_full_time(
    services: Services, placed: str, clock: ManualClock
) -> None:
    link = factories.invitation_url(services, placed)
    at = clock.advance(timedelta(days=8))
    with services.db.writing() as session:
        assert expire_overdue_orders(session, at) == 1
    change(services, placed, lambda s, o: o.reopen(s, services.secret_box, "sam", "was ill", at))
    assert factories.invitation_url(services, placed) == link
    with services.db.reading() as session:
        order = Order.find(session, placed)
        assert order.expires_at == at + timedelta(days=7)
        letters = session.scalar(select(func.count()).where(Message.topic == "invitation"))
        assert letters == 2


def test_an_open_order_cannot_be_reopened(services: Services, placed: str) -> None:
    with pytest.raises(Conflict, match="has ended"):
        change(
            services,
            placed,
            lambda s, o: o.reopen(s, services.secret_box, "sam", "x", services.now()),
        )


def test_revisions_number_the_news(services: Services, placed: str) -> None:
    change(services, placed, lambda s, o: o.decline(s, " no time ", services.now()))
    change(
        services, placed, lambda s, o: o.reopen(s, services.secret_box, "sam", "x", services.now())
    )
    change(services, placed, lambda s, o: o.cancel(s, "sam", "y", services.now()))
    with services.db.reading() as session:
        news = select(Message).where(Message.topic == "status").order_by(Message.id)
        rows = session.scalars(news).all()
        assert [(m.sequence, m.payload["status"]) for m in rows] == [
            (1, "declined"),
            (2, "pending"),
            (3, "cancelled"),
        ]
        declined = session.scalars(select(OrderEvent).where(OrderEvent.type == "declined")).one()
        assert (declined.note, declined.revision) == ("no time", 1)


def test_orders_expire_in_batches_by_the_accounts_days(
    services: Services, clock: ManualClock
) -> None:
    account, _ = factories.create_account(services, expire_after_seconds=3600)
    test = factories.create_test(services)
    for number in range(5):
        factories.place_order(
            services, account, test, callback_url=f"https://a.workable.com/{number}"
        )
    with services.db.writing() as session:
        assert not kinds.has_overdue(session, clock.now())
        assert kinds.apply_deadlines(session, services.secret_box, clock.now()) == 0
    at = clock.advance(timedelta(hours=1))
    with services.db.writing() as session:
        assert kinds.has_overdue(session, at)
        assert kinds.apply_deadlines(session, services.secret_box, at) == 5
    assert news(services) == ["expired"] * 5


def test_an_attempt_begun_before_the_deadline_keeps_its_full_time(
    services: Services, placed: str, clock: ManualClock
) -> None:
    late = clock.advance(timedelta(days=7) - timedelta(minutes=1))
    with services.db.writing() as session:
        Assessment.find(session, placed).start(session, late)
    at = clock.advance(timedelta(minutes=19))
    with services.db.writing() as session:
        assert kinds.apply_deadlines(session, services.secret_box, at) == 0
        Assessment.find(session, placed).save("sum", {"answer": "b"}, at)
    assert factories.order_status(services, placed) == "pending"


def test_at_the_deadline_what_was_saved_is_scored(
    services: Services, placed: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, placed)
        order.start(session, clock.now())
        order.save("sum", {"answer": "b"}, clock.now())
    at = clock.advance(timedelta(minutes=20))
    with services.db.writing() as session, pytest.raises(Conflict, match="time"):
        Assessment.find(session, placed).save("half", {"answer": "3.5"}, at)
    at = clock.advance(timedelta(hours=5))
    with services.db.writing() as session:
        assert kinds.has_overdue(session, at)
        assert kinds.apply_deadlines(session, services.secret_box, at) == 1
    with services.db.reading() as session:
        result = Assessment.find(session, placed).result
        assert result
        assert (result.score, result.grade, result.duration) == (25.0, "failed", 1200)
        assert ("completed", "system") in story_of(session)


def story_of(session: Session) -> list[tuple[str, str]]:
    return [(e.type, e.actor) for e in session.scalars(select(OrderEvent))]


def test_a_test_without_a_limit_stays_open_a_day_once_begun(
    services: Services, clock: ManualClock
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(
        services, account, factories.create_test(services, time_limit=None)
    )
    at = clock.advance(timedelta(days=7) - timedelta(minutes=1))
    with services.db.writing() as session:
        begun = Assessment.find(session, order)
        begun.start(session, at)
        assert begun.attempt_ends_at == at + timedelta(days=1)


def test_what_is_submitted_never_expires(
    services: Services, placed: str, clock: ManualClock
) -> None:
    factories.finish_test(services, placed)
    at = clock.advance(timedelta(days=400))
    with services.db.writing() as session:
        assert kinds.apply_deadlines(session, services.secret_box, at) == 0
    assert factories.order_status(services, placed) == "completed"


def test_starting_twice_gives_no_second_clock(
    services: Services, placed: str, clock: ManualClock
) -> None:
    with services.db.writing() as session:
        Assessment.find(session, placed).start(session, clock.now())
    at = clock.advance(timedelta(minutes=5))
    with services.db.writing() as session:
        order = Assessment.find(session, placed)
        order.start(session, at)
        assert order.started_at == at - timedelta(minutes=5)


def test_answers_can_be_changed_and_emptied_until_submitted(
    services: Services, placed: str
) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, placed)
        order.start(session, services.now())
        order.save("half", {"answer": "1"}, services.now())
        order.save("half", {"answer": "3.5"}, services.now())
        order.save("sum", {"answer": "a"}, services.now())
        order.save("sum", {}, services.now())
        assert set(order.saved_answers) == {"half"}
        with pytest.raises(NotFound):
            order.save("nothing", {"answer": "1"}, services.now())
        order.submit(session, services.secret_box, services.now())
    with services.db.writing() as session, pytest.raises(Conflict):
        Assessment.find(session, placed).submit(session, services.secret_box, services.now())


def test_an_order_is_not_started_after_its_deadline_even_if_nobody_expired_it(
    services: Services, placed: str, clock: ManualClock
) -> None:
    at = clock.advance(timedelta(days=7))
    with services.db.writing() as session, pytest.raises(Conflict, match="no longer open"):
        Assessment.find(session, placed).start(session, at)
    with pytest.raises(Conflict, match="no longer open"):
        change(services, placed, lambda s, o: o.decline(s, "", at))


def test_every_kinds_find_refuses_the_other_kinds_ids(services: Services) -> None:
    account, _ = factories.create_account(services)
    products = {
        "assessment": factories.create_test(services),
        "interview": factories.create_interview(services),
        "check": factories.create_package(services),
    }
    ids = {
        kind: factories.place_order(
            services, account, product, kind, callback_url=f"https://a.workable.com/{kind}"
        )
        for kind, product in products.items()
    }
    with services.db.reading() as session:
        for kind, parts in KINDS.items():
            for other, public_id in ids.items():
                if kind == other:
                    assert type(parts.order_class.find(session, public_id)) is parts.order_class
                else:
                    with pytest.raises(NotFound):
                        parts.order_class.find(session, public_id)


@pytest.mark.parametrize("bad", ["", "x" * 23, "a\x00b", "nothing", "é" * 30])
def test_an_id_that_cannot_be_is_not_found(services: Services, placed: str, bad: str) -> None:
    with services.db.reading() as session, pytest.raises(NotFound):
        Order.find(session, bad)
