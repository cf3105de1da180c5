"""Tests of connectors: a request with invented values, sent by the outbox as every other."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.vendors.request_template import CANDIDATE_FIELDS

TEST_TOPIC = "connector test"
# The structured details have these parts at the simplest.
_SAMPLES = {
    "first_name": "Alex",
    "last_name": "Sample",
    "email": "alex.sample@example.com",
    "full_name": "Alex Sample",
    "date_of_birth": "1990-02-28",
}


class _AnyPart(dict[str, Any]):
    """A value whose every part is the same text, because a detail may have any parts."""

    def __init__(self, text: str) -> None:
        super().__init__(sample=text)
        self.text = text

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return self.text


def sample_values() -> dict[str, Any]:
    """Return invented values for every placeholder of a template."""
    return {
        "candidate": {
            name: _SAMPLES.get(name) or _AnyPart(f"Sample of {name.replace('_', ' ')}")
            for name in CANDIDATE_FIELDS
        },
        "order": {"id": "test", "callback_url": "https://example.com/test"},
        "screening": {"key": "test", "name": "Test", "type": "other"},
    }


def enqueue_test(session: Session, connector: Connector, now: datetime) -> None:
    """Append a message that sends a test; `last_test` finds its outcome."""
    host = urlsplit(connector.url).hostname or ""
    outbox.append(
        session,
        queue=str(outbox.QueueName(connector.account_id, outbox.CONNECTOR, host)),
        ordering_key=connector.public_id,
        sequence=0,
        topic=TEST_TOPIC,
        payload={"connector": connector.public_id},
        now=now,
    )


def last_test(session: Session, connector: Connector) -> outbox.Message | None:
    """Return the newest test of a connector, with its attempts."""
    query = select(outbox.Message).where(
        outbox.Message.ordering_key == connector.public_id, outbox.Message.topic == TEST_TOPIC
    )
    return session.scalar(query.order_by(outbox.Message.id.desc()).limit(1))
