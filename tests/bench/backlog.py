"""A backlog of callbacks in a house of its own, of which every round gets a fresh copy."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from provider.core.orders import PDF, REPORT, Link, Order
from provider.outbox import CALLBACK, QueueName
from provider.storage import secrets
from provider.storage.secrets import SecretBox
from tests import factories
from tests.bench.fill import ID_SQL, NUMBERS_SQL, TIMESTAMP_SQL, create_postgres_functions
from tests.bench.ground import BenchmarkInstance

RESULT_SUMMARY = (
    "Reads figures quickly and argues from them; takes a little longer with words. " * 8
)
# What everybody sends, about 1 kB; a rendered callback is as long.
CALLBACK_BODY = json.dumps(
    {
        "results_url": f"https://provider.groove-tech.com/r/{'x' * 43}/",
        "status": "completed",
        "assessment": {
            "score": "78",
            "grade": "passed",
            "summary": RESULT_SUMMARY,
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
CLEAR_SQL = (
    "DELETE FROM attempts",
    "DELETE FROM messages",
    "UPDATE results SET summary = :summary",
)
# Every so-manyth order's callback is one lane's.
QUEUE_CALLBACKS_SQL = (
    "UPDATE orders SET account_id = :account, host = CAST(:host AS text), "
    """reply = '{"callback_url": "http://' || CAST(:host AS text) """
    """|| '/assessments/' || id || '"}' """
    "WHERE id % :lanes = :number",
    "INSERT INTO messages (public_id, lane, key, sequence, topic, payload, absolute, state, "
    f"attempts, due_at, created_at, rendered) SELECT {ID_SQL}, :lane, orders.public_id, 1, 'status', "
    """'{"status": "completed", "result": ' || results.id || '}', :absolute, 'waiting', 0, """
    f"{TIMESTAMP_SQL}, {TIMESTAMP_SQL}, :body FROM orders JOIN results ON results.order_id = orders.id "
    "WHERE orders.id % :lanes = :number ORDER BY orders.id LIMIT :count",
)
# Due later than those that are sent, for behind them there is no order.
ADD_CALLBACKS_SQL = (
    f"INSERT INTO messages (public_id, lane, key, sequence, topic, payload, absolute, state, "
    f"attempts, due_at, created_at, rendered) {NUMBERS_SQL} SELECT {ID_SQL}, :lane, {ID_SQL}, 1, 'status', "
    f"'{{}}', 1, 'waiting', 0, '2026-11-02 09:00:00.000000', {TIMESTAMP_SQL}, :body FROM n"
)


@dataclass(frozen=True)
class Backlog:
    """So many callbacks that are due, for one receiver: in one lane, or in several."""

    folder: Path
    instance: BenchmarkInstance
    queue_name: str
    count: int

    @classmethod
    def create(
        cls,
        folder: Path,
        count: int,
        port: int,
        *,
        with_body: bool = True,
        queue_count: int = 1,
        url: str | None = None,
    ) -> "Backlog":
        """Make the orders and their callbacks, with their bytes or still to be rendered.

        Each lane is another account's, to another host of the receiver's.
        """
        ground = BenchmarkInstance.create(folder, url)
        ground.fill_to(count * 10 // 6 + 10 * queue_count)
        body = CALLBACK_BODY.encode() if with_body else None
        told = {"body": body, "count": count // queue_count, "lanes": queue_count, "absolute": True}
        named = [_queue_name(ground, number, port) for number in range(queue_count)]
        with ground.fast_transaction() as connection:
            create_postgres_functions(connection)
            for statement in CLEAR_SQL:
                connection.execute(text(statement), {"summary": RESULT_SUMMARY})
            for number, lane in enumerate(named):
                it = {"account": lane.account_id, "host": lane.host, "lane": str(lane)}
                for statement in QUEUE_CALLBACKS_SQL:
                    connection.execute(text(statement), told | it | {"number": number})
        if not with_body:
            with ground.services.db.writing() as session:
                _encrypt_links(session, ground.services.secret_box)
        ground.services.db.close()  # so that all of it stands in one place, which can be copied
        return cls(folder, ground, str(named[0]), count)

    def grow(self, count: int) -> None:
        """Bring what is queued to a count; what is added is not to be sent."""
        with self.instance.fast_transaction() as connection:
            told = {"first": self.count + 1, "last": count, "lane": self.queue_name}
            connection.execute(text(ADD_CALLBACKS_SQL), told | {"body": CALLBACK_BODY.encode()})

    def copy(self, folder: Path) -> None:
        """Make a copy to work on, in place of what stood there."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)


def _queue_name(instance: BenchmarkInstance, number: int, port: int) -> QueueName:
    address = f"127.0.0.{number + 1}"
    account = instance.account
    if number:
        account, _ = factories.create_account(
            instance.services, f"Account {number}", hosts=[address]
        )
    return QueueName(account, CALLBACK, f"{address}:{port}")


def _encrypt_links(session: Session, secret_box: SecretBox) -> None:
    """Give the links ciphertexts that can be opened, as a rendered callback shows them."""
    shown = select(Link.id, Link.purpose, Order.public_id).join(Link.order)
    sealed = [
        {
            "id": id_,
            "sealed": secret_box.encrypt(secrets.generate_token(), f"links/{order}/{purpose}"),
        }
        for id_, purpose, order in session.execute(shown.where(Link.purpose.in_((REPORT, PDF))))
    ]
    session.execute(update(Link), sealed)
