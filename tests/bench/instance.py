"""The instances to measure on: products, and orders by the million, on either database."""

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
SAMPLE_SIZE = 500  # orders that are requested
KIND_TENS = {"assessment": range(8), "interview": (8,), "check": (9,)}  # see fill.py
SECRET_KEY = "a" * 43  # on PostgreSQL the key is a setting, not a file


@dataclass(frozen=True)
class BenchmarkInstance:
    """An instance with an account, its token, twenty tests, an interview and a check.

    `inactive_account` has placed no orders for long; `env` is the environment of its processes.
    """

    services: Services
    env: dict[str, str]
    account: int
    inactive_account: int
    token: str
    tests: list[str]
    products: dict[str, str]  # one of each kind

    @classmethod
    def create(cls, folder: Path, url: str | None = None) -> "BenchmarkInstance":
        """Create the database, in the folder or at a URL, with accounts and products."""
        env = {"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"}
        if url:
            env |= {"PROVIDER_DATABASE_URL": url, "PROVIDER_SECRET_KEY": SECRET_KEY}
        services = factories.build_services(config.load_settings(env))
        schema_version.upgrade(services.db)
        account, token = factories.create_account(services)
        inactive_account, _ = factories.create_account(services, "Inactive Tech")
        tests = [
            factories.create_test(services, f"Test {n:02}", f"test-{n:02}")
            for n in range(TEST_COUNT)
        ]
        products = {
            "assessment": tests[0],
            "interview": factories.create_interview(services),
            "check": factories.create_package(services),
        }
        return cls(services, env, account, inactive_account, token, tests, products)

    def place_orders(self, count: int, path: str, *, finished: bool = False) -> list[str]:
        """Place orders, and submit their tests if `finished`."""
        base_url = f"https://groove-tech.workable.com/{path}"
        orders = [
            factories.place_order(
                self.services, self.account, self.tests[0], callback_url=f"{base_url}/{n}"
            )
            for n in range(count)
        ]
        for order in orders if finished else ():
            factories.finish_test(self.services, order)
        return orders

    @property
    def queue_name(self) -> str:
        """The queue of the callbacks of a filled instance."""
        return str(QueueName(self.account, CALLBACK, CALLBACK_HOST))

    def fill_to(self, count: int) -> None:
        """Insert orders until there are `count`."""
        with self.fast_transaction() as connection:
            first = connection.scalar(text("SELECT coalesce(max(id), 0) + 1 FROM candidates"))
            if count < first:
                return
            params = {
                "account": self.account,
                "inactive_account": self.inactive_account,
                "tests": TEST_COUNT,
                "first": first,
                "last": count,
            }
            insert_orders(connection, params)

    def requeue_all(self) -> None:
        """Make every message due."""
        with self.fast_transaction() as connection:
            connection.execute(text(REQUEUE_ALL_SQL))

    @contextmanager
    def fast_transaction(self) -> Iterator[Connection]:
        """Write without waiting for the disk."""
        is_sqlite = self.services.db.is_sqlite
        pragmas = ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-4000000")
        with self.services.db.engine.connect() as connection:
            driver_connection = connection.connection.dbapi_connection
            assert driver_connection is not None
            for statement in pragmas if is_sqlite else ("SET synchronous_commit = off",):
                driver_connection.execute(statement)
            if not is_sqlite:
                driver_connection.commit()
            with connection.begin():
                yield connection
            connection.invalidate()  # so that the settings end with this transaction
        if not is_sqlite:
            self._vacuum()

    def _vacuum(self) -> None:
        # Autovacuum would do the same at some time during the measurement.
        with self.services.db.engine.connect() as connection:
            autocommit_connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            autocommit_connection.execute(text("VACUUM ANALYZE"))

    def sample_orders(self, status: str, kind: str = "assessment") -> list[str]:
        """Return orders from the whole table; their links get valid tokens."""
        with self.services.db.writing() as session:
            last = session.scalar(select(Order.id).order_by(Order.id.desc()).limit(1)) or 0
            block_numbers = [
                block
                for block in range(INACTIVE_ORDER_COUNT // 10 + 1, last // 10)
                if block % 10 in KIND_TENS[kind]
            ]
            block_numbers = random.Random(status).sample(
                block_numbers, min(SAMPLE_SIZE, len(block_numbers))
            )
            ids = [block * 10 + (6 if status == "pending" else 5) for block in block_numbers]
            orders = session.scalars(select(Order).where(Order.id.in_(ids))).all()
            for order in orders:
                for link in order.links:
                    if link.purpose in (REPORT, PDF):
                        row = f"links/{order.public_id}/{link.purpose}"
                        link.token_encrypted = self.services.secret_box.encrypt(
                            secrets.generate_token(), row
                        )
            return [order.public_id for order in orders if order.status == status]
