"""Accounts, products, orders and staff for tests, each created by one call."""

import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats.callbacks import STATUS_SUBSCRIBERS
from provider.clock import Clock
from provider.config import Settings, load_settings
from provider.core import kinds
from provider.core.accounts import Account, Caller
from provider.core.formats import format_datetime
from provider.core.host_patterns import host_of
from provider.core.kinds.assessment import Assessment
from provider.core.orders import (
    INVITE,
    Link,
    Order,
    Placement,
    close_overdue_orders,
    expire_overdue_orders,
    place,
)
from provider.core.products.documents import Document
from provider.core.scheduled import ScheduledWork
from provider.core.staff import Staff
from provider.delivery.dispatcher import Dispatcher
from provider.delivery.scheduled_works import SCHEDULED_WORKS
from provider.outbox import CALLBACK, EMAIL, AttemptResult, Claim, Message, Outcome, QueueName
from provider.outbox import settle as settle_
from provider.services import Services

TEST_CONTENT: dict[str, Any] = {
    "schema": 1,
    "description": "How you reason with words and numbers.",
    "time_limit": 20,
    "grades": {"passed": 50, "excelled": 80},
    "report": {"answers": ["report", "pdf"]},
    "sections": [
        {
            "key": "numbers",
            "title": "Numbers",
            "items": [
                {
                    "key": "sum",
                    "kind": "single_choice",
                    "prompt": "What is 17 + 25?",
                    "options": [
                        {"key": "a", "text": "32"},
                        {"key": "b", "text": "42", "correct": True},
                        {"key": "c", "text": "52"},
                    ],
                },
                {
                    "key": "half",
                    "kind": "numeric",
                    "prompt": "What is half of 7?",
                    "answer": 3.5,
                },
            ],
        },
        {
            "key": "words",
            "title": "Words",
            "items": [
                {
                    "key": "opposite",
                    "kind": "short_text",
                    "prompt": "The opposite of *early*?",
                    "accepted": ["late"],
                },
                {
                    "key": "true",
                    "kind": "true_false",
                    "prompt": "A square is a rectangle.",
                    "answer": True,
                },
            ],
        },
    ],
}
CORRECT_ANSWERS: dict[str, dict[str, Any]] = {
    "sum": {"answer": "b"},
    "half": {"answer": "3.5"},
    "opposite": {"answer": "Late"},
    "true": {"answer": "true"},
}
INTERVIEW_CONTENT: dict[str, Any] = {
    "schema": 1,
    "description": "Two short questions.",
    "questions": [
        {
            "key": "why",
            "text": "Why this job?",
            "think_seconds": 30,
            "answer_seconds": 90,
            "takes": 2,
        }
    ],
}
PACKAGE_CONTENT: dict[str, Any] = {
    "schema": 1,
    "description": "A look at your record.",
    "screenings": [{"key": "criminal", "name": "Criminal record"}],
    "disclosure": {"key": "record", "version": "1", "text": "We look at your record."},
}


def make_settings(instance: Path, **variables: str) -> Settings:
    """Return the settings of an instance whose key is 32 times the letter k."""
    key = urlsafe_b64encode(b"k" * 32).decode()
    return load_settings(
        {"PROVIDER_INSTANCE": str(instance), "PROVIDER_SECRET_KEY": key} | variables
    )


def present() -> datetime:
    """Return the machine's time in whole seconds."""
    return Clock().now().replace(microsecond=0)


def start_moment() -> datetime:
    """Return the start of a test's clock: TEST_DATE, in UTC by default, or the present minute."""
    if not (test_date := os.environ.get("TEST_DATE")):
        return present().replace(second=0)  # rate limits count whole minutes
    start = datetime.fromisoformat(test_date)
    return start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)


class ManualClock(Clock):
    """A clock that moves only when a test calls `advance`."""

    def __init__(self, now: datetime | None = None) -> None:
        self.current_time = now or start_moment()

    def now(self) -> datetime:
        return self.current_time

    def advance(self, duration: timedelta) -> datetime:
        self.current_time += duration
        return self.current_time

    def sleep(self, duration: timedelta) -> None:
        self.advance(duration)


def build_services(settings: Settings, clock: Clock | None = None) -> Services:
    """Build services as the program does."""
    return Services.build(settings, clock, status_subscribers=STATUS_SUBSCRIBERS)


def athens_time(moment: datetime) -> str:
    """Format a time as an account in Athens shows it."""
    return format_datetime(moment, "Europe/Athens")


def create_account(
    services: Services,
    name: str = "Groove Tech",
    *,
    ats: str = "workable",
    hosts: list[str] | None = None,
    callback_token: str | None = "cb-token",
    **columns: Any,
) -> tuple[int, str]:
    """Return the account's id and an inbound token."""
    with services.db.writing() as session:
        account = Account(
            name=name,
            ats=ats,
            callback_hosts=hosts or ["*.workable.com", "127.0.0.1"],
            created_at=services.now(),
            **columns,
        )
        session.add(account)
        session.flush()
        account.set_callback_token(services.secret_box, callback_token)
        token = account.issue_token(services.now())
        session.flush()
        return account.id, token


def create_product(
    services: Services,
    kind: str,
    content: dict[str, Any],
    key: str,
    name: str,
    *,
    publish: bool = True,
    files: Mapping[str, bytes] | None = None,
) -> str:
    """Return the public id of a product imported from `content`, with `files` by name."""
    document = Document(kind, key, name, content | {"name": name}, source="factories")
    document = kinds.store_files(document, (files or {}).__getitem__, services.media)
    with services.db.writing() as session:
        product, _ = kinds.import_document(session, document, services.now())
        if publish:
            product.publish(services.now())
        session.flush()
        return product.public_id


def create_test(
    services: Services, name: str = "Reasoning", key: str = "reasoning", **content: Any
) -> str:
    return create_product(services, "assessment", TEST_CONTENT | content, key, name)


create_test.__test__ = False  # type: ignore[attr-defined]


def create_interview(services: Services, name: str = "First interview", key: str = "first") -> str:
    return create_product(services, "interview", INTERVIEW_CONTENT, key, name)


def create_package(
    services: Services, name: str = "Criminal Pro", key: str = "criminal-pro"
) -> str:
    return create_product(services, "check", PACKAGE_CONTENT, key, name)


def place_order(
    services: Services,
    account_id: int,
    product_id: str,
    kind: str = "assessment",
    *,
    callback_url: str = "https://groove-tech.workable.com/assessments/8823119",
    **fields: Any,
) -> str:
    """Place an order as an ATS does. Unless `fields` name another, the candidate is Lakita."""
    candidate = {
        "email": "lakita_marrero@gmail.com",
        "first_name": "Lakita",
        "last_name": "Marrero",
        "job_title": "Operations Manager",
    }
    placement = Placement(
        product=product_id,
        external_key=callback_url,
        reply_context={"callback_url": callback_url},
        callback_host=host_of(callback_url),
        **(candidate | fields),
    )
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        public_id = place(
            session,
            services.secret_box,
            (kind,),
            placement,
            Caller.from_account(account),
            services.now(),
        )
    assert public_id
    return public_id


def finish_test(
    services: Services, public_id: str, answers: dict[str, dict[str, Any]] = CORRECT_ANSWERS
) -> None:
    """Start a test, save `answers` and submit it."""
    with services.db.writing() as session:
        test = Assessment.find(session, public_id)
        test.start(session, services.now())
        for key, answer in answers.items():
            test.save(key, answer, services.now())
        test.submit(session, services.secret_box, services.now())


def create_staff(
    services: Services,
    email: str = "sam@provider.test",
    role: str = "admin",
    password: str = "correct horse battery",
) -> str:
    """Return the password of the new account."""
    with services.db.writing() as session:
        Staff.create(session, email, password, role, services.now())
    return password


def invitation_url(services: Services, public_id: str) -> str:
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, public_id), INVITE)
        assert link
        return services.urls.invitation(link.get_token(services.secret_box))


def order_status(services: Services, public_id: str) -> str:
    with services.db.reading() as session:
        status = session.scalar(select(Order.status).where(Order.public_id == public_id))
        assert status
        return status


def csrf_token(html: str) -> str:
    match = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', html)
    assert match, "the page has no CSRF token"
    return match[1]


def queue_names(
    services: Services, account_id: int | None = None, channel: str = CALLBACK
) -> list[str]:
    """Return the names of the queues of a channel, of one account or of all."""
    with services.db.reading() as session:
        names = session.scalars(select(Message.queue).distinct().order_by(Message.queue))
        queues = [(name, QueueName.parse(name)) for name in names]
    return [
        name
        for name, queue in queues
        if queue.channel == channel and account_id in (None, queue.account_id)
    ]


def deliver_emails(services: Services) -> None:
    """Send the e-mails that wait, into the instance's folder."""
    dispatcher = Dispatcher(services)
    for queue in queue_names(services, channel=EMAIL):
        dispatcher.drain(queue)
    dispatcher.stop()


def settle_attempt(services: Services, session: Session, claim: Claim, outcome: Outcome) -> bool:
    """Settle one attempt, made now. Return False when its lease was lost."""
    now = services.now()
    return bool(settle_(session, [AttemptResult(claim, outcome, now, now)], now))


def apply_deadlines(services: Services, session: Session, now: datetime) -> int:
    """Expire orders and close attempts as the scheduled work does; return their number."""
    expired_count = expire_overdue_orders(session, now)
    return expired_count + close_overdue_orders(session, services.secret_box, now)


def quick_works(seconds: float) -> tuple[ScheduledWork, ...]:
    """Return the scheduled works with another interval."""
    return tuple(replace(work, every=timedelta(seconds=seconds)) for work in SCHEDULED_WORKS)
