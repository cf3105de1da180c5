"""A backlog of callbacks on an instance of its own; each round works on a fresh copy."""

import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from provider.core.orders import PDF, REPORT, Link, Order, Result
from provider.outbox import CALLBACK, Message, QueueName, encryption
from provider.storage import secrets
from provider.storage.secrets import SecretBox
from tests import factories
from tests.bench.fill import (
    ID_SQL,
    NUMBERS_SQL,
    PLACED_DAY,
    TIMESTAMP_SQL,
    create_postgres_functions,
)
from tests.bench.instance import BenchmarkInstance

RESULT_SUMMARY = (
    "Reads figures quickly and argues from them; takes a little longer with words. " * 8
)
# The body that every contender sends: about 1 kB, as long as a rendered callback.
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
# Six of ten filled orders are completed, and each of these gets a callback.
CLEAR_SQL = (
    "DELETE FROM attempts",
    "DELETE FROM messages",
    "UPDATE results SET summary = :summary",
)
# The callbacks of every n-th order belong to one queue.
QUEUE_CALLBACKS_SQL = (
    "UPDATE orders SET account_id = :account, callback_host = CAST(:host AS text), "
    """reply_context = '{"callback_url": "http://' || CAST(:host AS text) """
    """|| '/assessments/' || id || '"}' """
    "WHERE id % :queue_count = :number",
    "INSERT INTO messages (public_id, queue, ordering_key, sequence, topic, payload_encrypted, "
    "supersedes_earlier, state, attempts, due_at, created_at) "
    f"SELECT {ID_SQL}, :queue, orders.public_id, 1, 'status', :ciphertext, "
    f":supersedes_earlier, 'waiting', 0, {TIMESTAMP_SQL}, {TIMESTAMP_SQL} "
    "FROM orders JOIN results ON results.order_id = orders.id "
    "WHERE orders.id % :queue_count = :number ORDER BY orders.id LIMIT :count",
)
# These messages have no order. They are due later, so that they are not sent during a round, and
# their ciphertexts are never read.
ADD_CALLBACKS_SQL = (
    "INSERT INTO messages (public_id, queue, ordering_key, sequence, topic, payload_encrypted, "
    "supersedes_earlier, state, attempts, due_at, created_at, body_encrypted) "
    f"{NUMBERS_SQL} SELECT {ID_SQL}, :queue, {ID_SQL}, 1, 'status', :ciphertext, 1, 'waiting', 0, "
    f"'{PLACED_DAY + timedelta(days=1)} 09:00:00.000000', {TIMESTAMP_SQL}, :body FROM n"
)


@dataclass(frozen=True)
class Backlog:
    """Due callbacks to one receiver, in one queue or in several."""

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
        """Create the orders and their callbacks, rendered or not.

        Each queue belongs to another account and to another host name of the receiver.
        """
        instance = BenchmarkInstance.create(folder, url)
        instance.fill_to(count * 10 // 6 + 10 * queue_count)
        params = {
            "ciphertext": b"",
            "count": count // queue_count,
            "queue_count": queue_count,
            "supersedes_earlier": True,
        }
        queues = [_queue_name(instance, number, port) for number in range(queue_count)]
        with instance.fast_transaction() as connection:
            create_postgres_functions(connection)
            for statement in CLEAR_SQL:
                connection.execute(text(statement), {"summary": RESULT_SUMMARY})
            for number, queue in enumerate(queues):
                queue_params = {
                    "account": queue.account_id,
                    "host": queue.host,
                    "queue": str(queue),
                    "number": number,
                }
                for statement in QUEUE_CALLBACKS_SQL:
                    connection.execute(text(statement), params | queue_params)
        with instance.services.db.writing() as session:
            body = CALLBACK_BODY.encode() if with_body else None
            _encrypt_messages(session, instance.services.secret_box, body)
            if not with_body:
                _encrypt_links(session, instance.services.secret_box)
        instance.services.db.close()  # so that the database is one file, without a WAL file
        return cls(folder, instance, str(queues[0]), count)

    def grow(self, count: int) -> None:
        """Add messages that are not sent, until `count` are queued."""
        with self.instance.fast_transaction() as connection:
            params = {"first": self.count + 1, "last": count, "queue": self.queue_name}
            ciphertexts = {"ciphertext": b"", "body": CALLBACK_BODY.encode()}
            connection.execute(text(ADD_CALLBACKS_SQL), params | ciphertexts)

    def copy(self, folder: Path) -> None:
        """Replace a folder with a copy of the instance."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)


def _queue_name(instance: BenchmarkInstance, number: int, port: int) -> QueueName:
    host = f"127.0.0.{number + 1}"
    account_id = instance.account
    if number:
        account_id, _ = factories.create_account(
            instance.services, f"Account {number}", hosts=[host]
        )
    return QueueName(account_id, CALLBACK, f"{host}:{port}")


def _encrypt_messages(session: Session, secret_box: SecretBox, body: bytes | None) -> None:
    """Store the encrypted payload of each callback and, where it is rendered, the body."""
    query = (
        select(Message.id, Message.public_id, Result.id)
        .join(Order, Order.public_id == Message.ordering_key)
        .join(Result, Result.order_id == Order.id)
    )
    rows = [
        {
            "id": message_id,
            "payload_encrypted": encryption.encrypt_payload(
                secret_box, public_id, {"status": "completed", "result": result_id}
            ),
            "body_encrypted": body and encryption.encrypt_body(secret_box, public_id, body),
        }
        for message_id, public_id, result_id in session.execute(query)
    ]
    session.execute(update(Message), rows)


def _encrypt_links(session: Session, secret_box: SecretBox) -> None:
    """Store valid tokens in the links, for rendered callbacks contain them."""
    links = select(Link.id, Link.purpose, Order.public_id).join(Link.order)
    rows = [
        {
            "id": link_id,
            "token_encrypted": secret_box.encrypt(
                secrets.generate_token(), f"links/{order}/{purpose}"
            ),
        }
        for link_id, purpose, order in session.execute(links.where(Link.purpose.in_((REPORT, PDF))))
    ]
    session.execute(update(Link), rows)
