"""The figures of the overview: counts per day, medians, and what they leave out."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from provider.core.orders import Order, Result, Statistics, collect_statistics
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both


def collect(services: Services, *, with_scores: bool = True) -> Statistics:
    with services.db.reading() as session:
        statistics = collect_statistics(session, services.now(), with_scores=with_scores)
    assert statistics
    return statistics


class World:
    """Orders of one product, placed at chosen moments."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.account, _ = factories.create_account(services)
        self.trial_account, _ = factories.create_account(services, "Trials", sandbox=True)
        self.product = factories.create_test(services)
        self.count = 0

    def place(
        self,
        placed_at: datetime,
        *,
        score: float | None = None,
        took: timedelta = timedelta(hours=1),
        is_cancelled: bool = False,
        is_trial: bool = False,
        product: str = "",
    ) -> str:
        self.count += 1
        url = f"https://groove-tech.workable.com/assessments/{self.count}"
        order_id = factories.place_order(
            self.services,
            self.trial_account if is_trial else self.account,
            product or self.product,
            callback_url=url,
        )
        if score is not None:
            factories.finish_test(self.services, order_id)
        with self.services.db.writing() as session:
            order = Order.find(session, order_id)
            if is_cancelled:
                order.cancel(session, "sam@provider.test", "No longer needed", self.services.now())
            session.execute(
                update(Order)
                .where(Order.id == order.id)
                .values(placed_at=placed_at, finished_at=placed_at + took)
            )
            if score is not None:
                session.execute(
                    update(Result).where(Result.order_id == order.id).values(score=score)
                )
        return order_id


def test_orders_count_on_their_day_in_utc(services: Services, clock: ManualClock) -> None:
    world = World(services)
    midnight = services.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for placed_at in (
        midnight - timedelta(days=29, microseconds=1),  # too early
        midnight - timedelta(days=29),
        midnight - timedelta(microseconds=1),
        midnight,
    ):
        world.place(placed_at)
    days = collect(services).days
    assert [day.day for day in days] == [
        (midnight - timedelta(days=number)).date() for number in reversed(range(30))
    ]
    assert [day.total for day in days] == [1, *[0] * 27, 1, 1]


def test_completion_rate_is_of_the_orders_that_have_ended(services: Services) -> None:
    world = World(services)
    now = services.now()
    world.place(now)
    assert collect(services).completion_rate is None
    for score in (50.0, 70.0, 90.0):
        world.place(now, score=score)
    world.place(now, is_cancelled=True)
    figures = collect(services)
    assert (figures.order_count, figures.by_status["completed"]) == (5, 3)
    assert figures.by_status["cancelled"] == 1
    assert figures.completion_rate == 75


def test_medians_are_of_times_and_last_scores(services: Services) -> None:
    world = World(services)
    now = services.now()
    for score, hours in ((20.0, 1), (40.0, 5), (90.0, 100)):
        order_id = world.place(now, score=score, took=timedelta(hours=hours))
    figures = collect(services)
    assert figures.median_seconds == 5 * 3600
    (product,) = figures.products
    assert (product.median_score, product.scored_count, product.order_count) == (40, 3, 3)
    with services.db.writing() as session:  # after a reopening, the last result counts
        order = Order.find(session, order_id)
        order.results.append(Result(revision=9, score=30.0, created_at=now))
    assert collect(services).products[0].median_score == 30
    assert collect(services, with_scores=False).products == ()


def test_statistics_leave_out_sandboxes(services: Services) -> None:
    world = World(services)
    now = services.now()
    trial_only = factories.create_test(services, "Trial", "trial")
    world.place(now, score=40.0, took=timedelta(hours=2))
    world.place(now)
    expected = collect(services)
    assert expected.sandbox_order_count == 0
    for product in (world.product, trial_only):
        world.place(now, score=100.0, took=timedelta(hours=90), is_trial=True, product=product)
    world.place(now - timedelta(days=1), is_trial=True)
    world.place(now - timedelta(days=30), is_trial=True)  # before the period
    figures = collect(services)
    assert figures.sandbox_order_count == 3
    assert [day.total for day in figures.days] == [*[0] * 29, 2]
    assert figures.by_status == expected.by_status
    assert (figures.median_seconds, figures.completion_rate) == (2 * 3600, 100)
    assert figures.products == expected.products
    assert [product.order_count for product in figures.products] == [2]


def test_statistics_without_orders_are_empty(services: Services) -> None:
    figures = collect(services)
    assert (figures.order_count, figures.median_seconds, figures.products) == (0, None, ())
