"""A backlog of callbacks in a house of its own, of which every round gets a fresh copy."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from provider import vault
from provider.orders import PDF, REPORT, Link, Order
from provider.outbox import CALLBACK, Lane
from provider.vault import Vault
from tests import cast
from tests.bench.fill import AT, ID, NUMBERS, learn
from tests.bench.ground import Ground

SUMMARY = "Reads figures quickly and argues from them; takes a little longer with words. " * 8
# What everybody sends, about 1 kB; a rendered callback is as long.
BODY = json.dumps(
    {
        "results_url": f"https://provider.groove-tech.com/r/{'x' * 43}/",
        "status": "completed",
        "assessment": {
            "score": "78",
            "grade": "passed",
            "summary": SUMMARY,
            "details": {"Numbers": 91, "Words": 50},
            "duration": "00:33:00",
        },
        "attachments": [
            {
                "description": "Assessment Report",
                "url": f"https://provider.groove-tech.com/r/{'x' * 43}/report.pdf",
            }
        ],
    }
)
# Of ten orders that are filled in six are completed.
CLEAR = ("DELETE FROM attempts", "DELETE FROM messages", "UPDATE results SET summary = :summary")
# Every so-manyth order's callback is one lane's.
QUEUE = (
    "UPDATE orders SET account_id = :account, host = CAST(:host AS text), "
    """reply = '{"callback_url": "http://' || CAST(:host AS text) """
    """|| '/assessments/' || id || '"}' """
    "WHERE id % :lanes = :number",
    "INSERT INTO messages (public_id, lane, key, sequence, topic, payload, absolute, state, "
    f"attempts, due_at, created_at, rendered) SELECT {ID}, :lane, orders.public_id, 1, 'status', "
    """'{"status": "completed", "result": ' || results.id || '}', :absolute, 'waiting', 0, """
    f"{AT}, {AT}, :body FROM orders JOIN results ON results.order_id = orders.id "
    "WHERE orders.id % :lanes = :number ORDER BY orders.id LIMIT :count",
)
# Due later than those that are sent, for behind them there is no order.
MORE = (
    f"INSERT INTO messages (public_id, lane, key, sequence, topic, payload, absolute, state, "
    f"attempts, due_at, created_at, rendered) {NUMBERS} SELECT {ID}, :lane, {ID}, 1, 'status', "
    f"'{{}}', 1, 'waiting', 0, '2026-11-02 09:00:00.000000', {AT}, :body FROM n"
)


@dataclass(frozen=True)
class Backlog:
    """So many callbacks that are due, for one receiver: in one lane, or in several."""

    folder: Path
    ground: Ground
    lane: str
    count: int

    @classmethod
    def lay(
        cls,
        folder: Path,
        count: int,
        port: int,
        *,
        rendered: bool = True,
        lanes: int = 1,
        url: str | None = None,
    ) -> "Backlog":
        """Make the orders and their callbacks, with their bytes or still to be rendered.

        Each lane is another account's, to another host of the receiver's.
        """
        ground = Ground.lay(folder, url)
        ground.fill(count * 10 // 6 + 10 * lanes)
        body = BODY.encode() if rendered else None
        told = {"body": body, "count": count // lanes, "lanes": lanes, "absolute": True}
        named = [_lane(ground, number, port) for number in range(lanes)]
        with ground.hasty() as connection:
            learn(connection)
            for statement in CLEAR:
                connection.execute(text(statement), {"summary": SUMMARY})
            for number, lane in enumerate(named):
                it = {"account": lane.account, "host": lane.host, "lane": str(lane)}
                for statement in QUEUE:
                    connection.execute(text(statement), told | it | {"number": number})
        if not rendered:
            with ground.house.db.writing() as session:
                _seal(session, ground.house.vault)
        ground.house.db.close()  # so that all of it stands in one place, which can be copied
        return cls(folder, ground, str(named[0]), count)

    def grow(self, count: int) -> None:
        """Bring what is queued to a count; what is added is not to be sent."""
        with self.ground.hasty() as connection:
            told = {"first": self.count + 1, "last": count, "lane": self.lane}
            connection.execute(text(MORE), told | {"body": BODY.encode()})

    def copy(self, folder: Path) -> None:
        """Make a copy to work on, in place of what stood there."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)


def _lane(ground: Ground, number: int, port: int) -> Lane:
    address = f"127.0.0.{number + 1}"
    account = ground.account
    if number:
        account, _ = cast.account(ground.house, f"Account {number}", hosts=[address])
    return Lane(account, CALLBACK, f"{address}:{port}")


def _seal(session: Session, keeper: Vault) -> None:
    """Give the links ciphertexts that can be opened, as a rendered callback shows them."""
    shown = select(Link.id, Link.purpose, Order.public_id).join(Link.order)
    sealed = [
        {"id": id_, "sealed": keeper.seal(vault.token(), f"links/{order}/{purpose}")}
        for id_, purpose, order in session.execute(shown.where(Link.purpose.in_((REPORT, PDF))))
    ]
    session.execute(update(Link), sealed)
