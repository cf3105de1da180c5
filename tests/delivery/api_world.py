"""An account of an ATS with an API: its rules, rounds and writers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from provider.ats.rules import ensure_cursors
from provider.core.accounts import Account
from provider.core.connections import Arrival, Rule, SourceCursor, set_secret
from provider.core.connections.resume import resume_api
from provider.core.orders import Order
from provider.core.products import Product
from provider.delivery import Dispatcher
from provider.delivery.api_client import open_api_client
from provider.delivery.rounds import read_due_sources
from provider.outbox import WRITER, Attempt, Message, QueueName
from provider.services import Services
from tests import factories
from tests.dummy_ats import KEY, FakeDummy
from tests.factories import ManualClock

ROUND = timedelta(minutes=1)  # the interval of the dummy's source


@dataclass
class ApiWorld:
    """One account of an ATS with an API, and a test that its rules order."""

    services: Services
    clock: ManualClock
    account_id: int
    product: str
    interval: timedelta = ROUND  # of the source that reads changes

    @classmethod
    def create(
        cls,
        services: Services,
        clock: ManualClock,
        *,
        ats: str,
        options: dict[str, Any],
        secrets: dict[str, str],
        interval: timedelta = ROUND,
    ) -> "ApiWorld":
        settings = replace(services.settings, private_callbacks=True)
        services = replace(services, settings=settings)
        account_id, _ = factories.create_account(services, ats=ats, options=options)
        product = factories.create_test(services)
        world = cls(services, clock, account_id, product, interval)
        for name, value in secrets.items():
            world.set_secret(name, value)
        return world

    @classmethod
    def of_dummy(
        cls, services: Services, clock: ManualClock, fake: FakeDummy, **options: Any
    ) -> "ApiWorld":
        return cls.create(
            services,
            clock,
            ats="dummy",
            options={"base_url": fake.url, **options},
            secrets={"key": KEY},
        )

    def set_secret(self, name: str, value: str | None) -> None:
        with self.services.db.writing() as session:
            account = session.get_one(Account, self.account_id)
            box = self.services.secret_box
            set_secret(session, box, account, name, value, self.clock.now())
            resume_api(session, account, self.clock.now())

    def set_options(self, **options: Any) -> None:
        with self.services.db.writing() as session:
            account = session.get_one(Account, self.account_id)
            account.options = {**account.options, **options}

    def add_rule(self, stage: str = "Test", **columns: Any) -> int:
        columns = {"match": {"stage": stage}, **columns}
        with self.services.db.writing() as session:
            product = session.scalars(
                select(Product).where(Product.public_id == self.product)
            ).one()
            rule = Rule(
                account_id=self.account_id,
                product=product,
                created_at=self.clock.now(),
                **columns,
            )
            session.add(rule)
            session.flush()
            account = session.get_one(Account, self.account_id)
            ensure_cursors(
                session, account, self.clock.now(), backfill=bool(columns.get("backfills"))
            )
            return rule.id

    def add_known_rule(self, stage: str = "Test", **columns: Any) -> int:
        """Add a rule whose first rounds are over: later matches are new."""
        rule_id = self.add_rule(stage, **columns)
        self.read()
        self.clock.advance(self.interval)
        return rule_id

    def read(self) -> None:
        """Run a slice of each round that is due."""
        with open_api_client(self.services) as client:
            read_due_sources(self.services, client)

    def read_next(self) -> None:
        """Wait for the next round, and run it to its end."""
        self.clock.advance(self.interval)
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

    def cursor(self, source: str = "people") -> SourceCursor:
        with self.services.db.reading() as session:
            return session.get_one(SourceCursor, (self.account_id, source))

    def deliver(self, dispatcher: Dispatcher, host: str = "127.0.0.1") -> int:
        """Send the due messages of the writers; return the number of attempts."""
        return dispatcher.drain(str(QueueName(self.account_id, WRITER, host)))

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
