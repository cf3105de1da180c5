"""What is measured on: a house with its products, on either database, and orders by the million."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.engine import Connection

from provider import config, schema, vault
from provider.house import House
from provider.orders import PDF, REPORT, Order
from provider.outbox import CALLBACK, Lane
from tests import cast
from tests.bench.fill import GONE, HOST, REVIVE, fill

TESTS = 20
SAMPLE = 500  # orders of a filled house that are asked for
PLACES = {"assessment": range(8), "interview": (8,), "check": (9,)}  # of each ten tens
KEY = "a" * 43  # on PostgreSQL no folder holds one


@dataclass(frozen=True)
class Ground:
    """A house with an account, its token, twenty tests, an interview and a check.

    `gone` is an account that has ordered nothing for long; `env` is what its processes are told.
    """

    house: House
    env: dict[str, str]
    account: int
    gone: int
    token: str
    tests: list[str]
    products: dict[str, str]  # one of each kind

    @classmethod
    def lay(cls, folder: Path, url: str | None = None) -> "Ground":
        """Make the database, in the folder or at an address, and what everybody needs."""
        env = {"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"}
        if url:
            env |= {"PROVIDER_DATABASE_URL": url, "PROVIDER_SECRET_KEY": KEY}
        house = House.build(config.read(env))
        schema.upgrade(house.db)
        account, token = cast.account(house)
        gone, _ = cast.account(house, "Gone Tech")
        tests = [cast.test(house, f"Test {n:02}", f"test-{n:02}") for n in range(TESTS)]
        products = {
            "assessment": tests[0],
            "interview": cast.interview(house),
            "check": cast.package(house),
        }
        return cls(house, env, account, gone, token, tests, products)

    def orders(self, count: int, path: str, *, finished: bool = False) -> list[str]:
        """Place orders, and take their tests if they should be finished."""
        base = f"https://groove-tech.workable.com/{path}"
        placed = [
            cast.order(self.house, self.account, self.tests[0], callback_url=f"{base}/{n}")
            for n in range(count)
        ]
        for order in placed if finished else ():
            cast.finish(self.house, order)
        return placed

    @property
    def lane(self) -> str:
        """Where a filled house's callbacks go."""
        return str(Lane(self.account, CALLBACK, HOST))

    def fill(self, count: int) -> None:
        """Bring the orders to a count, in big steps."""
        with self.hasty() as connection:
            first = connection.scalar(text("SELECT coalesce(max(id), 0) + 1 FROM candidates"))
            if count < first:
                return
            named = {"account": self.account, "gone": self.gone, "tests": TESTS}
            fill(connection, named | {"first": first, "last": count})

    def revive(self) -> None:
        """Let every message of a filled house be due."""
        with self.hasty() as connection:
            connection.execute(text(REVIVE))

    @contextmanager
    def hasty(self) -> Iterator[Connection]:
        """Write without waiting for the disk."""
        sqlite = self.house.db.sqlite
        haste = ("PRAGMA synchronous=OFF", "PRAGMA cache_size=-4000000")
        with self.house.db.engine.connect() as connection:
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
            self._tidy()

    def _tidy(self) -> None:
        # The server does so itself, soon: what is measured should not depend on when.
        with self.house.db.engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.execute(text("VACUUM ANALYZE"))

    def sample(self, status: str, kind: str = "assessment") -> list[str]:
        """Return orders from all over the table, their links such as can be shown."""
        with self.house.db.writing() as session:
            last = session.scalar(select(Order.id).order_by(Order.id.desc()).limit(1)) or 0
            tens = [ten for ten in range(GONE // 10 + 1, last // 10) if ten % 10 in PLACES[kind]]
            tens = random.Random(status).sample(tens, min(SAMPLE, len(tens)))
            ids = [ten * 10 + (6 if status == "pending" else 5) for ten in tens]
            found = session.scalars(select(Order).where(Order.id.in_(ids))).all()
            for order in found:
                for link in order.links:
                    if link.purpose in (REPORT, PDF):
                        row = f"links/{order.public_id}/{link.purpose}"
                        link.sealed = self.house.vault.seal(vault.token(), row)
            return [order.public_id for order in found if order.status == status]
