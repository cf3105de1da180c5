"""E-mails to markers about new tasks: who gets them, how often, and what they say."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from provider.config import Settings
from provider.core.accounts import Account
from provider.core.marking.digest import TELL_MARKERS, tell_markers
from provider.core.staff import Staff
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from tests import factories
from tests.core.alerts.test_alerts import subjects
from tests.core.emails.test_emails import bodies
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.factories import ManualClock
from tests.marking_factories import LETTER, mark, submit_texts, task_ids
from tests.smtp_server import SmtpServer

PASSWORD = "seven quiet lamps rowing"
REVIEWER, SUPPORT, ADMIN = (f"{name}@provider.test" for name in ("reviewer", "support", "admin"))


@pytest.fixture
def services(settings: Settings, clock: ManualClock, smtp_server: SmtpServer) -> Iterator[Services]:
    services = factories.build_services(replace(settings, mail_url=smtp_server.url), clock)
    yield services
    services.db.close()


def add_staff(
    services: Services, email: str, role: str, account_ids: list[int] | None = None
) -> int:
    with services.db.writing() as session:
        now = services.now()
        staff = Staff.create(session, email, PASSWORD, role, now, account_ids=account_ids)
        session.flush()
        return staff.id


def tell(services: Services) -> int:
    """Run the scheduled work, and send what it has appended."""
    with services.db.reading() as session:
        assert TELL_MARKERS.is_needed
        is_needed = TELL_MARKERS.is_needed(session, services.now())
    with services.db.writing() as session:
        count = tell_markers(session, services.now())
    assert is_needed == bool(count)
    dispatcher = Dispatcher(services)
    dispatcher.drain("0/email")
    dispatcher.stop()
    return count


@pytest.mark.both
def test_markers_get_one_email_an_hour_about_new_answers(
    services: Services, clock: ManualClock, smtp_server: SmtpServer
) -> None:
    add_staff(services, REVIEWER, "reviewer")
    add_staff(services, SUPPORT, "support")
    add_staff(services, ADMIN, "admin")
    assert tell(services) == 0
    submit_texts(services)
    submit_texts(services, account="Contoso")
    assert tell(services) == 1
    assert subjects(smtp_server) == [(REVIEWER, "4 answers to mark")]
    for body in bodies(smtp_server.emails[0]):
        assert "4 answers wait for your mark." in body
        assert "Contoso: 2" in body
        assert "Groove Tech: 2" in body
        assert "http://provider.test/console/marking/" in body
    submit_texts(services, LETTER, account="Fabrikam")
    clock.advance(timedelta(minutes=59))
    assert tell(services) == 0
    clock.advance(timedelta(minutes=1))
    assert tell(services) == 1
    assert subjects(smtp_server)[1:] == [(REVIEWER, "5 answers to mark")]
    clock.advance(timedelta(days=1))
    assert tell(services) == 0  # no new ones have come


def test_marker_hears_only_of_accounts_that_she_sees(
    services: Services, smtp_server: SmtpServer
) -> None:
    submit_texts(services, LETTER)
    with services.db.reading() as session:
        account_id = session.scalars(select(Account.id)).one()
    add_staff(services, "own@provider.test", "reviewer", [account_id])
    add_staff(services, "other@provider.test", "reviewer", [account_id + 1])
    assert tell(services) == 1
    assert subjects(smtp_server) == [("own@provider.test", "1 answer to mark")]


@pytest.mark.parametrize(("choice", "expected"), [(True, 2), (False, 0)])
def test_switch_of_each_person_counts_more_than_the_role(
    services: Services, smtp_server: SmtpServer, choice: bool, expected: int
) -> None:
    for email, role in ((REVIEWER, "reviewer"), (ADMIN, "admin"), (SUPPORT, "support")):
        number = add_staff(services, email, role)
        with services.db.writing() as session:
            session.get_one(Staff, number).marking_emails = choice
    submit_texts(services, LETTER)
    assert tell(services) == expected


def test_tasks_of_a_sandbox_call_nobody(services: Services) -> None:
    add_staff(services, REVIEWER, "reviewer")
    submit_texts(services, LETTER)
    with services.db.writing() as session:
        session.scalars(select(Account)).one().sandbox = True
    assert tell(services) == 0


def test_email_is_left_out_when_colleagues_have_marked_everything(
    services: Services, smtp_server: SmtpServer
) -> None:
    add_staff(services, REVIEWER, "reviewer")
    order_id = submit_texts(services, LETTER)
    with services.db.writing() as session:
        assert tell_markers(session, services.now()) == 1
    mark(services, task_ids(services, order_id)["letter"], ADMIN, 4)
    assert tell(services) == 0
    assert smtp_server.emails == []
    assert factories.order_status(services, order_id) == "completed"
