"""What is measured on: a house with its products, on either database, and orders by the million."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.engine import Connection

from provider import config
from provider.core.orders import PDF, REPORT, Order
from provider.maintenance import schema_version
from provider.outbox import CALLBACK, QueueName
from provider.services import Services
from provider.storage import secrets
from tests import factories
from tests.bench.fill import CALLBACK_HOST, INACTIVE_ORDER_COUNT, REQUEUE_ALL_SQL, insert_orders

TEST_COUNT = 20
SAMPLE_SIZE = 500  # orders of a filled house that are asked for
KIND_TENS = {"assessment": range(8), "interview": (8,), "check": (9,)}  # of each ten tens
SECRET_KEY = "a" * 43  # on PostgreSQL no folder holds one


@dataclass(frozen=True)
class BenchmarkInstance:
    """A house with an account, its token, twenty tests, an interview and a check.

    `gone` is an account that has ordered nothing for long; `env` is what its processes are told.
    """

    services: Services
    env: dict[str, str]
    account: int
    gone: int
    token: str
    tests: list[str]
    products: dict[str, str]  # one of each kind

    @classmethod
    def create(cls, folder: Path, url: str | None = None) -> "BenchmarkInstance":
        """Make the database, in the folder or at an address, and what everybody needs."""
        env = {"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"}
        if url:
            env |= {"PROVIDER_DATABASE_URL": url, "PROVIDER_SECRET_KEY": SECRET_KEY}
        services = Services.build(config.load_settings(env))
        schema_version.upgrade(services.db)
        account, token = factories.create_account(services)
        gone, _ = factories.create_account(services, "Gone Tech")
        tests = [
            factories.create_test(services, f"Test {n:02}", f"test-{n:02}")
            for n in range(TEST_COUNT)
        ]
        products = {
            "assessment": tests[0],
            "interview": factories.create_interview(services),
            "check": factories.create_package(services),
        }
        return cls(services, env, account, gone, token, tests, products)

    def place_orders(self, count: int, path: str, *, finished: bool = False) -> list[str]:
        """Place orders, and take their tests if they should be finished."""
        base = f"https://groove-tech.workable.com/{path}"
        placed = [
            factories.place_order(
                self.services, self.account, self.tests[0], callback_url=f"{base}/{n}"
            )
            for n in range(count)
        ]
        for order in placed if finished else ():
            factories.finish_test(self.services, order)
        return placed

    @property
    def queue_name(self) -> str:
        """Where a filled house's callbacks go."""
        return str(QueueName(self.account, CALLBACK, CALLBACK_HOST))

    def fill_to(self, count: int) -> None:
        """Bring the orders to a count, in big steps."""
        with self.fast_transaction() as connection:
            first = connection.scalar(text("SELECT coalesce(max(id), 0) + 1 FROM candidates"))
            if count < first:
                return
            named = {"account": self.account, "gone": self.gone, "tests": TEST_COUNT}
            insert_orders(connection, named | {"first": first, "last": count})

    def requeue_all(self) -> None:
        """Let every message of a filled house be due."""
        with self.fast_transaction() as connection:
            connection.execute(text(REQUEUE_ALL_SQL))

    @contextmanager
    def fast_transaction(self) -> Iterator[Connection]:
        """Write without waiting for the disk."""
        sqlite = self.services.db.is_sqlite
        haste = ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-4000000")
        with self.services.db.engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver is not None
            for statement in haste if sqlite else ("SET synchronous_commit = off",):
                driver.execute(statement)
            if not sqlite:
                driver.commit()
            with connection.begin():
                yield connection
            connection.invalidate()  # so that nobody goes on with these settings
        if not sqlite:
            self._vacuum()

    def _vacuum(self) -> None:
        # The server does so itself, soon: what is measured should not depend on when.
        with self.services.db.engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.execute(text("VACUUM ANALYZE"))

    def sample_orders(self, status: str, kind: str = "assessment") -> list[str]:
        """Return orders from all over the table, their links such as can be shown."""
        with self.services.db.writing() as session:
            last = session.scalar(select(Order.id).order_by(Order.id.desc()).limit(1)) or 0
            tens = [
                ten
                for ten in range(INACTIVE_ORDER_COUNT // 10 + 1, last // 10)
                if ten % 10 in KIND_TENS[kind]
            ]
            tens = random.Random(status).sample(tens, min(SAMPLE_SIZE, len(tens)))
            ids = [ten * 10 + (6 if status == "pending" else 5) for ten in tens]
            found = session.scalars(select(Order).where(Order.id.in_(ids))).all()
            for order in found:
                for link in order.links:
                    if link.purpose in (REPORT, PDF):
                        row = f"links/{order.public_id}/{link.purpose}"
                        link.token_encrypted = self.services.secret_box.encrypt(
                            secrets.generate_token(), row
                        )
            return [order.public_id for order in found if order.status == status]
