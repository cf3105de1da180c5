"""An account whose ATS is the dummy: rules, rounds and writers, for the tests of both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.connections import Arrival, Rule, SourceCursor, set_secret
from provider.core.orders import Order
from provider.core.products import Product
from provider.delivery.api_client import open_api_client
from provider.delivery.rounds import ensure_cursors, read_due_sources
from provider.outbox import Attempt, Message
from provider.services import Services
from tests import factories
from tests.dummy_ats import KEY, FakeDummy
from tests.factories import ManualClock

ROUND = timedelta(minutes=1)  # the interval of the dummy's source


@dataclass
class ApiWorld:
    """One account of the dummy ATS, and a test that its rules order."""

    services: Services
    clock: ManualClock
    fake: FakeDummy
    account_id: int
    product: str

    @classmethod
    def create(
        cls, services: Services, clock: ManualClock, fake: FakeDummy, **options: Any
    ) -> "ApiWorld":
        account_id, _ = factories.create_account(
            services, ats="dummy", options={"base_url": fake.url, **options}
        )
        world = cls(services, clock, fake, account_id, factories.create_test(services))
        world.set_key(KEY)
        return world

    def set_key(self, key: str | None) -> None:
        with self.services.db.writing() as session:
            account = session.get_one(Account, self.account_id)
            set_secret(session, self.services.secret_box, account, "key", key, self.clock.now())

    def add_rule(self, stage: str = "Test", **columns: Any) -> int:
        with self.services.db.writing() as session:
            product = session.scalars(
                select(Product).where(Product.public_id == self.product)
            ).one()
            rule = Rule(
                account_id=self.account_id,
                product=product,
                match={"stage": stage},
                created_at=self.clock.now(),
                **columns,
            )
            session.add(rule)
            session.flush()
            account = session.get_one(Account, self.account_id)
            ensure_cursors(session, account, self.clock.now())
            return rule.id

    def add_known_rule(self, stage: str = "Test", **columns: Any) -> int:
        """Add a rule whose first round is over: later matches are new."""
        rule_id = self.add_rule(stage, **columns)
        self.read()
        self.clock.advance(ROUND)
        return rule_id

    def read(self) -> None:
        """Run a slice of each round that is due."""
        with open_api_client(self.services) as client:
            read_due_sources(self.services, client)

    def read_next(self) -> None:
        """Wait for the next round, and run it to its end."""
        self.clock.advance(ROUND)
        self.read()

    def orders(self) -> list[str]:
        """Return the e-mail addresses of the orders, oldest first."""
        with self.services.db.reading() as session:
            orders = session.scalars(select(Order).order_by(Order.id))
            return [order.candidate.email for order in orders]

    def order_ids(self) -> list[str]:
        with self.services.db.reading() as session:
            return list(session.scalars(select(Order.public_id).order_by(Order.id)))

    def arrivals(self) -> list[tuple[str, str]]:
        """Return the outcome of each arrival and why it was refused, oldest first."""
        with self.services.db.reading() as session:
            rows = session.scalars(select(Arrival).order_by(Arrival.id))
            return [(row.outcome, row.reason) for row in rows]

    def cursor(self) -> SourceCursor:
        with self.services.db.reading() as session:
            return session.scalars(select(SourceCursor)).one()

    def stored_texts(self) -> str:
        """Return every text that the outbox and the cursors show to staff."""
        with self.services.db.reading() as session:
            attempts = session.scalars(select(Attempt)).all()
            texts = [f"{row.error} {row.response_excerpt}" for row in attempts]
            texts += [row.last_error for row in session.scalars(select(SourceCursor))]
            return " ".join(texts)

    def message_states(self) -> dict[str, list[str]]:
        """Return the states of the messages by topic, without the e-mails."""
        states: dict[str, list[str]] = {}
        with self.services.db.reading() as session:
            for message in session.scalars(select(Message).order_by(Message.id)):
                if "/email" not in message.queue:
                    states.setdefault(message.topic, []).append(message.state)
        return states


@contextmanager
def dummy_server(clock: ManualClock) -> Iterator[FakeDummy]:
    with FakeDummy(clock) as fake:
        yield fake
