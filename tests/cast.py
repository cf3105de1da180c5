"""Who plays in the tests: accounts, products, orders and staff, each by one call."""

import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import kinds
from provider.accounts import Account, Caller, Staff
from provider.clock import Clock
from provider.hosts import host_of
from provider.house import House
from provider.kinds.assessment import Assessment
from provider.kinds.document import Document
from provider.orders import INVITE, Link, Order, Placement, place
from provider.outbox import CALLBACK, Claim, Ended, Lane, Message, Outcome
from provider.outbox import settle as settle_
from provider.words import when

TEST: dict[str, Any] = {
    "schema": 1,
    "description": "How you reason with words and numbers.",
    "time_limit": 20,
    "grades": {"passed": 50, "excelled": 80},
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
RIGHT: dict[str, dict[str, Any]] = {
    "sum": {"answer": "b"},
    "half": {"answer": "3.5"},
    "opposite": {"answer": "Late"},
    "true": {"answer": "true"},
}
INTERVIEW: dict[str, Any] = {
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
PACKAGE: dict[str, Any] = {
    "schema": 1,
    "description": "A look at your record.",
    "screenings": [{"key": "criminal", "name": "Criminal record"}],
    "disclosure": {"key": "record", "version": "1", "text": "We look at your record."},
}


def present() -> datetime:
    """Return the machine's time in whole seconds."""
    return Clock().now().replace(microsecond=0)


def start_moment() -> datetime:
    """Return where a test's clock begins: TEST_DATE, in UTC, or the present moment."""
    if not (told := os.environ.get("TEST_DATE")):
        return present()
    at = datetime.fromisoformat(told)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


class HandClock(Clock):
    """A clock that stands until it is told."""

    def __init__(self, at: datetime | None = None) -> None:
        self.at = at or start_moment()

    def now(self) -> datetime:
        return self.at

    def pass_(self, time: timedelta) -> datetime:
        """Let time pass."""
        self.at += time
        return self.at


def athens_time(moment: datetime) -> str:
    """Return a moment as people of an account in Athens read it."""
    return when(moment, "Europe/Athens")


def account(
    house: House,
    name: str = "Groove Tech",
    *,
    ats: str = "workable",
    hosts: list[str] | None = None,
    callback_token: str | None = "cb-token",
    **columns: Any,
) -> tuple[int, str]:
    """Return an account's id and an inbound token."""
    with house.db.writing() as session:
        new = Account(
            name=name,
            ats=ats,
            callback_hosts=hosts or ["*.workable.com", "127.0.0.1"],
            created_at=house.now(),
            **columns,
        )
        session.add(new)
        session.flush()
        new.set_callback_token(house.vault, callback_token)
        token = new.issue_token(house.now())
        session.flush()
        return new.id, token


def product(
    house: House, kind: str, content: dict[str, Any], key: str, name: str, *, publish: bool = True
) -> str:
    """Return the public id of a product made of a document."""
    document = Document(kind, key, name, content | {"name": name}, origin="cast")
    with house.db.writing() as session:
        made, _ = kinds.keep(session, document, house.now())
        if publish:
            made.publish(house.now())
        session.flush()
        return made.public_id


def test(house: House, name: str = "Reasoning", key: str = "reasoning", **content: Any) -> str:
    return product(house, "assessment", TEST | content, key, name)


test.__test__ = False  # type: ignore[attr-defined]


def interview(house: House, name: str = "First interview", key: str = "first") -> str:
    return product(house, "interview", INTERVIEW, key, name)


def package(house: House, name: str = "Criminal Pro", key: str = "criminal-pro") -> str:
    return product(house, "check", PACKAGE, key, name)


def order(
    house: House,
    account_id: int,
    product_id: str,
    kind: str = "assessment",
    *,
    callback_url: str = "https://groove-tech.workable.com/assessments/8823119",
    **wish: Any,
) -> str:
    """Place an order as an ATS would; Lakita Marrero's unless said otherwise."""
    lakita = {
        "email": "lakita_marrero@gmail.com",
        "first_name": "Lakita",
        "last_name": "Marrero",
        "job_title": "Operations Manager",
    }
    placement = Placement(
        product=product_id,
        origin=callback_url,
        reply={"callback_url": callback_url},
        host=host_of(callback_url),
        **(lakita | wish),
    )
    with house.db.writing() as session:
        owner = session.get_one(Account, account_id)
        public_id = place(
            session,
            house.vault,
            kind,
            placement,
            Caller.of(owner),
            house.now(),
        )
    assert public_id
    return public_id


def finish(house: House, public_id: str, answers: dict[str, dict[str, Any]] = RIGHT) -> None:
    """Take a test as a candidate who answers so."""
    with house.db.writing() as session:
        taken = Assessment.find(session, public_id)
        taken.start(session, house.now())
        for key, raw in answers.items():
            taken.save(key, raw, house.now())
        taken.submit(session, house.vault, house.now())


def staff(
    house: House,
    email: str = "sam@provider.test",
    role: str = "admin",
    password: str = "correct horse battery",
) -> str:
    """Return the password of a new member of staff."""
    with house.db.writing() as session:
        Staff.create(session, email, password, role, house.now())
    return password


def invitation(house: House, public_id: str) -> str:
    """Return the candidate's link."""
    with house.db.reading() as session:
        link = Link.of(session, Order.find(session, public_id), INVITE)
        assert link
        return house.links.invitation(link.token(house.vault))


def status(house: House, public_id: str) -> str:
    """Return an order's status."""
    with house.db.reading() as session:
        found = session.scalar(select(Order.status).where(Order.public_id == public_id))
        assert found
        return found


def csrf(html: str) -> str:
    """Return the form token of a page."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', html)
    assert found, "the page has no form token"
    return found[1]


def lanes(house: House, account_id: int | None = None, sink: str = CALLBACK) -> list[str]:
    """Return the lanes that there are to a sink, of one account or of all."""
    with house.db.reading() as session:
        names = session.scalars(select(Message.lane).distinct().order_by(Message.lane))
        found = [(name, Lane.read(name)) for name in names]
    ours = [name for name, lane in found if lane.account == (account_id or lane.account)]
    return [name for name in ours if Lane.read(name).sink == sink]


def settle(house: House, session: Session, claim: Claim, outcome: Outcome) -> bool:
    """Have one try end like this, now; False when its lease was lost."""
    at = house.now()
    return bool(settle_(session, [Ended(claim, outcome, at, at)], at))
