"""What is measured on: a house with twenty tests, and orders by the million."""

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

HOST = "groove-tech.workable.com"
TESTS = 20
SAMPLE = 500  # orders of a filled house that are asked for
BACKLOG = 50  # of so many orders one has a callback that waits

# Sixty of a hundred orders are completed, ten wait, the rest expired; all as the server writes
# them. Done in SQL because a million of them the server's way would take half an hour.
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
ID = "substr(hex(randomblob(11)), 1, 22)"
AT = "'2026-11-01 09:00:00.000000'"
FILL = (
    "INSERT INTO candidates (id, email, email_digest, first_name, last_name, phone) "
    f"{NUMBERS} SELECT i, 'c' || i || '@example.com', randomblob(32), 'Lakita', 'Marrero', '' "
    "FROM n",
    "INSERT INTO orders (id, public_id, kind, account_id, product_id, version_id, candidate_id, "
    "origin, fingerprint, reply, host, job_title, job_reference, preferences, status, progress, "
    "revision, placed_at, expires_at) "
    f"{NUMBERS} SELECT i, {ID}, 'assessment', :account, 1, 1, i, 'https://groove-tech."
    "workable.com/assessments/' || i, hex(randomblob(36)), json_object('callback_url', "
    f"'https://{HOST}/assessments/' || i), '{HOST}', 'Operations Manager', '', '{{}}', "
    "CASE WHEN i % 10 < 6 THEN 'completed' WHEN i % 10 < 7 THEN 'pending' ELSE 'expired' END, "
    f"CASE WHEN i % 10 < 6 THEN 'submitted' ELSE 'invited' END, i % 10 <> 6, {AT}, "
    "'2036-11-08 09:00:00.000000' FROM n",
    "INSERT INTO links (order_id, purpose, digest, sealed, created_at) "
    f"{NUMBERS}, p(purpose) AS (VALUES ('invite'), ('report'), ('pdf')) "
    f"SELECT i, purpose, randomblob(32), randomblob(75), {AT} FROM n, p "
    "WHERE purpose = 'invite' OR i % 10 < 6",
    "INSERT INTO results (order_id, revision, score, grade, summary, details, figures, duration, "
    f"created_at) {NUMBERS} SELECT i, 1, 78, 'passed', 'Above the mark.', "
    """'{"Numbers": 91, "Words": 50}', '{"bars": []}', """
    f"1980, {AT} FROM n WHERE i % 10 < 6",
    "INSERT INTO events (order_id, revision, at, word, actor, note) "
    f"{NUMBERS}, w(word) AS (VALUES ('placed'), ('ended')) SELECT i, word = 'ended', {AT}, word, "
    "'ats', '' FROM n, w WHERE word = 'placed' OR i % 10 <> 6",
    "INSERT INTO messages (public_id, lane, key, sequence, topic, payload, absolute, state, "
    f"attempts, due_at, created_at, settled_at) "
    f"{NUMBERS}, t(topic) AS (VALUES ('invitation'), ('status')) SELECT {ID}, "
    f":account || CASE topic WHEN 'status' THEN '/callback/{HOST}' ELSE '/mail' END, public_id, "
    "topic = 'status', topic, '{}', topic = 'status', CASE WHEN topic = 'status' AND "
    f"i % {BACKLOG} = 0 THEN 'waiting' ELSE 'delivered' END, 0, {AT}, {AT}, {AT} "
    "FROM n JOIN orders ON orders.id = i, t WHERE topic = 'invitation' OR i % 10 <> 6",
)


@dataclass(frozen=True)
class Ground:
    """A house with an account, its token and twenty tests."""

    house: House
    folder: Path
    account: int
    token: str
    tests: list[str]

    @classmethod
    def lay(cls, folder: Path) -> "Ground":
        """Make the database and what everybody needs."""
        house = House.build(
            config.read({"PROVIDER_INSTANCE": str(folder), "PROVIDER_PRIVATE_CALLBACKS": "allow"})
        )
        schema.upgrade(house.db)
        account, token = cast.account(house)
        tests = [cast.test(house, f"Test {n:02}", f"test-{n:02}") for n in range(TESTS)]
        return cls(house, folder, account, token, tests)

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
            told = {"first": first, "last": count, "account": self.account}
            for statement in FILL:
                connection.execute(text(statement), told)

    def revive(self) -> None:
        """Let every message of a filled house be due."""
        with self.hasty() as connection:
            connection.execute(text("UPDATE messages SET state = 'waiting', settled_at = NULL"))

    @contextmanager
    def hasty(self) -> Iterator[Connection]:
        """Write without waiting for the disk."""
        with self.house.db.engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver is not None
            for pragma in ("synchronous=OFF", "cache_size=-4000000"):
                driver.execute(f"PRAGMA {pragma}")
            with connection.begin():
                yield connection
            connection.invalidate()  # so that nobody goes on with these settings

    def sample(self, status: str) -> list[str]:
        """Return orders from all over the table, their links such as can be shown."""
        with self.house.db.writing() as session:
            last = session.scalar(select(Order.id).order_by(Order.id.desc()).limit(1)) or 0
            tens = random.Random(status).sample(range(last // 10), min(SAMPLE, last // 10))
            ids = [ten * 10 + (6 if status == "pending" else 5) for ten in tens]
            found = session.scalars(select(Order).where(Order.id.in_(ids))).all()
            for order in found:
                for link in order.links:
                    if link.purpose in (REPORT, PDF):
                        row = f"links/{order.public_id}/{link.purpose}"
                        link.sealed = self.house.vault.seal(vault.token(), row)
            return [order.public_id for order in found if order.status == status]
