"""The registry of channels: a further channel is one class and one entry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider import outbox
from provider.app import create_app
from provider.core.pauses import list_pauses, probe_now
from provider.delivery import Dispatcher
from provider.delivery.channels import CHANNELS, Channel
from provider.outbox import DELIVERED, WAITING, Claim, Message, Outcome
from provider.services import Services
from tests import factories
from tests.web.console_client import ConsoleClient

HALF_AN_HOUR = timedelta(minutes=30)


@dataclass(frozen=True)
class FileDelivery:
    """A file to be written; `send` notes until when its message is leased."""

    services: Services
    public_id: str
    body: bytes

    def send(self) -> Outcome:
        folder = self.services.settings.instance
        (folder / f"{self.public_id}.txt").write_bytes(self.body)
        with self.services.db.reading() as session:
            leased_until = session.scalar(
                select(Message.leased_until).where(Message.public_id == self.public_id)
            )
        return Outcome("delivered", response_excerpt=str(leased_until))


class FileChannel(Channel):
    """Writes each message to a file of its own."""

    name = "file_drop"
    lease = HALF_AN_HOUR
    max_concurrent_sends = 3

    def prepare(self, session: Session, claims: Sequence[Claim]) -> list[FileDelivery | Exception]:
        return [
            FileDelivery(
                self.services,
                claim.public_id,
                claim.get_payload(self.services.secret_box)["text"].encode(),
            )
            for claim in claims
        ]


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHANNELS, FileChannel.name, FileChannel)


@pytest.fixture
def queue(services: Services) -> str:
    account, _ = factories.create_account(services)
    return f"{account}/{FileChannel.name}"


def append(services: Services, queue: str, *texts: str) -> None:
    with services.db.writing() as session:
        for text in texts:
            outbox.append(
                session,
                queue=queue,
                ordering_key=text,
                sequence=0,
                topic="export",
                payload={"text": text},
                now=services.now(),
            )


def read_messages(services: Services) -> list[Message]:
    with services.db.reading() as session:
        messages = list(session.scalars(select(Message).order_by(Message.id)))
        for message in messages:
            assert message.attempt_history is not None  # loaded while the session is open
        return messages


def pause(services: Services, scope: str) -> datetime:
    retry_at = services.now() + HALF_AN_HOUR
    with services.db.writing() as session:
        outbox.pause(session, scope, "The disk is full", retry_at, services.now())
    return retry_at


def test_message_of_new_channel_is_delivered_with_its_lease(services: Services, queue: str) -> None:
    dispatcher = Dispatcher(services)
    services.db.on_commit.append(dispatcher.wake)
    append(services, queue, "hello")
    assert dispatcher.drain() == 1
    dispatcher.stop()
    (message,) = read_messages(services)
    assert message.state == DELIVERED
    assert Path(services.settings.instance, f"{message.public_id}.txt").read_bytes() == b"hello"
    (attempt,) = message.attempt_history
    assert attempt.response_excerpt == str(services.now() + HALF_AN_HOUR)


def test_concurrent_sends_of_new_channel_are_limited(services: Services, queue: str) -> None:
    dispatcher = Dispatcher(services)
    append(services, queue, *"abcdef")
    dispatcher.wake([queue])
    assert dispatcher.run_once() == FileChannel.max_concurrent_sends
    assert dispatcher.drain(queue) == 3
    dispatcher.stop()


def test_console_lists_and_filters_messages_of_new_channel(
    services: Services, client: FlaskClient, queue: str
) -> None:
    append(services, queue, "hello")
    pause(services, f"destination/{FileChannel.name}")
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text("/console/deliveries/?state=any&channel=file_drop")
    for text in ("File drop</option>", ">Export</a>", "File drop does not accept deliveries"):
        assert text in page
    assert ">Export</a>" not in console.get_text("/console/deliveries/?state=any&channel=email")
    with services.db.writing() as session:
        (claim,) = outbox.claim(session, queue, services.now(), 1)
        factories.settle_attempt(services, session, claim, Outcome("rejected"))
    assert "Only file drop." in console.get_text("/console/deliveries/again?channel=file_drop")


def test_account_pause_of_new_channel_names_the_channel(
    services: Services, client: FlaskClient, queue: str
) -> None:
    append(services, queue, "hello")
    pause(services, f"account/{queue}")
    page = ConsoleClient.signed_in(services, client).get_text("/console/deliveries/")
    assert "the access to “File drop” is rejected" in page
    assert "callback_token" not in page


def test_pause_of_new_channel_has_its_name_and_no_host(services: Services, queue: str) -> None:
    append(services, queue, "hello")
    scope = f"destination/{FileChannel.name}"
    pause(services, scope)
    with services.db.writing() as session:
        (view,) = list_pauses(session)
        assert (view.channel, view.host) == (FileChannel.name, "")
        probe_now(session, scope, services.now())
    with services.db.reading() as session:
        (view,) = list_pauses(session)
        assert view.retry_at == services.now()


def test_ready_names_new_channel_of_a_pause(services: Services, queue: str) -> None:
    append(services, queue, "hello")
    pause(services, f"destination/{FileChannel.name}")
    settings = replace(services.settings, metrics_token="m3tr1cs-m3tr1cs-0")
    client = create_app(replace(services, settings=settings)).test_client()
    response = client.get("/ready", headers={"Authorization": "Bearer m3tr1cs-m3tr1cs-0"})
    assert response.json
    (paused,) = response.json["paused_hosts"]
    assert (paused["channel"], "host" in paused) == (FileChannel.name, False)


def test_queue_of_unknown_channel_waits_and_does_not_stop_others(
    services: Services, queue: str
) -> None:
    unknown = queue.replace(FileChannel.name, "fax")
    append(services, unknown, "a")
    append(services, queue, "b")
    dispatcher = Dispatcher(services)
    with capture_logs() as events:
        assert dispatcher.drain(unknown, queue) == 1
        assert dispatcher.drain(unknown) == 0
    dispatcher.stop()
    assert [message.state for message in read_messages(services)] == [WAITING, DELIVERED]
    names = [event for event in events if event["event"] == "delivery_channel_unknown"]
    assert [event["channel"] for event in names] == ["fax"]
