"""Delivery alerts: one for each cause, opened, snoozed and ended by the scheduled work."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from provider import outbox
from provider.app import create_app
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.alerts import (
    ALERT_ENDED,
    DROP_OLD_ALERTS,
    MAIL_SERVER,
    WATCH_DELIVERIES,
    DeliveryAlert,
    acknowledge_alert,
    list_open_alerts,
    snooze_alert,
    snooze_end,
)
from provider.core.alerts.watch import _is_needed
from provider.core.formats import format_datetime
from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.upload_cleanup import (
    DISCARD_ABANDONED_UPLOADS,
    FORGET_MISSING_AFTER,
)
from provider.core.kinds.interview.uploads import open_upload
from provider.core.scheduled import run_if_due
from provider.core.staff import Staff
from provider.delivery.dispatcher import Dispatcher
from provider.errors import Invalid
from provider.outbox import Message, Outcome
from provider.services import Services
from provider.storage import secrets
from tests import factories, interview_factories
from tests.core.emails.test_emails import bodies
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.factories import ManualClock
from tests.smtp_server import SmtpServer
from tests.web.console.test_deliveries import CALLBACK_QUEUE, cancelled_orders, park, settle
from tests.web.console_client import ConsoleClient

pytestmark = pytest.mark.both

MINUTE = timedelta(minutes=1)
ADMIN = "sam@provider.test"


@pytest.fixture
def services(settings: Settings, clock: ManualClock, smtp_server: SmtpServer) -> Iterator[Services]:
    services = factories.build_services(replace(settings, mail_url=smtp_server.url), clock)
    factories.create_staff(services, ADMIN)
    yield services
    services.db.close()


def watch(services: Services, after: timedelta = MINUTE) -> None:
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(after)
    run_if_due(services, WATCH_DELIVERIES)


def send(services: Services) -> None:
    dispatcher = Dispatcher(services)
    dispatcher.drain("0/email")
    dispatcher.stop()


def open_causes(services: Services) -> list[str]:
    with services.db.reading() as session:
        return [alert.cause for alert in list_open_alerts(session)]


def subjects(smtp_server: SmtpServer) -> list[tuple[str, str]]:
    return [(email["To"], email["Subject"]) for email in smtp_server.emails]


def send_again(services: Services) -> None:
    with services.db.writing() as session:
        for message in session.scalars(select(Message).where(outbox.is_in_state("parked"))):
            outbox.requeue(session, message, services.now())


def pause(services: Services, scope: str) -> None:
    with services.db.writing() as session:
        retry_at = services.now() + timedelta(hours=1)
        outbox.pause(session, scope, "The server does not answer", retry_at, services.now())


def resume(services: Services, scope: str) -> None:
    with services.db.writing() as session:
        outbox.resume(session, scope)


def act(services: Services, change: str) -> None:
    """Acknowledge or snooze the one open alert."""
    with services.db.writing() as session:
        (alert,) = list_open_alerts(session)
        if change == "acknowledge":
            acknowledge_alert(session, alert.public_id, ADMIN, services.now())
        else:
            snooze_alert(session, alert.public_id, change, ADMIN, services.now())


def test_failed_deliveries_of_one_cause_make_one_alert_and_one_email(
    services: Services, smtp_server: SmtpServer
) -> None:
    cancelled_orders(services, 3)
    park(services)
    for _ in range(3):
        watch(services)
        send(services)
    assert open_causes(services) == [CALLBACK_QUEUE]
    title = "Groove Tech: x.workable.com"
    assert subjects(smtp_server) == [(ADMIN, f"Deliveries fail: {title}")]
    opened_at = format_datetime(services.now() - 2 * MINUTE, "UTC")
    for body in bodies(smtp_server.emails[0]):
        assert "3 deliveries have failed" in body
        assert f"since {opened_at}:" in " ".join(body.split())
        assert "http://provider.test/console/alerts/" in body


def test_alert_reaches_only_staff_who_see_the_account(
    services: Services, smtp_server: SmtpServer
) -> None:
    cancelled_orders(services, 1)
    park(services)
    with services.db.writing() as session:
        account_id = session.scalars(select(Account.id)).one()
        for email, account_ids in (
            ("all@provider.test", None),
            ("own@provider.test", [account_id]),
            ("other@provider.test", [account_id + 1]),
        ):
            password, now = "seven quiet lamps rowing", services.now()
            Staff.create(session, email, password, "admin", now, account_ids=account_ids)
    watch(services)
    send(services)
    recipients = {email["To"] for email in smtp_server.emails}
    assert recipients == {ADMIN, "all@provider.test", "own@provider.test"}


def test_alert_ends_with_an_email_once_the_deliveries_arrive(
    services: Services, smtp_server: SmtpServer
) -> None:
    cancelled_orders(services, 1)
    park(services)
    watch(services)
    send(services)
    send_again(services)
    watch(services)
    assert open_causes(services) == [CALLBACK_QUEUE]  # sent again, but not arrived
    settle(services, CALLBACK_QUEUE, Outcome("delivered", status_code=200))
    watch(services)
    watch(services)
    send(services)
    assert open_causes(services) == []
    title = "Groove Tech: x.workable.com"
    assert subjects(smtp_server) == [
        (ADMIN, f"Deliveries fail: {title}"),
        (ADMIN, f"Deliveries have recovered: {title}"),
    ]


def test_failure_after_a_recovery_opens_another_alert(services: Services) -> None:
    cancelled_orders(services, 1)
    for _ in range(2):
        park(services)
        watch(services)
        send_again(services)
        settle(services, CALLBACK_QUEUE, Outcome("delivered", status_code=200))
        watch(services)
        cancelled_orders_again(services)
    with services.db.reading() as session:
        alerts = session.scalars(select(DeliveryAlert)).all()
        assert [bool(alert.ended_at) for alert in alerts] == [True, True]


def cancelled_orders_again(services: Services) -> None:
    """Append one more status update to the queue."""
    with services.db.writing() as session:
        outbox.append(
            session,
            queue=CALLBACK_QUEUE,
            ordering_key="another",
            sequence=0,
            topic="status",
            payload={},
            now=services.now(),
        )


def test_emails_wait_while_the_mail_server_is_down_and_say_what_matters(
    services: Services, smtp_server: SmtpServer
) -> None:
    cancelled_orders(services, 1)
    pause(services, "destination/email")
    park(services)
    watch(services, timedelta(minutes=6))
    assert sorted(open_causes(services)) == [CALLBACK_QUEUE, MAIL_SERVER]
    send_again(services)
    settle(services, CALLBACK_QUEUE, Outcome("delivered", status_code=200))
    watch(services)
    resume(services, "destination/email")
    watch(services)
    send(services)
    assert open_causes(services) == []
    # The other alert was over before any e-mail about it could leave.
    assert subjects(smtp_server) == [(ADMIN, "Deliveries have recovered: The mail server")]


def test_mail_server_that_refuses_is_an_alert_until_it_accepts(
    services: Services, clock: ManualClock, smtp_server: SmtpServer
) -> None:
    account_id, _ = factories.create_account(services)
    factories.place_order(services, account_id, factories.create_test(services))
    smtp_server.rcpt_replies.append("421 4.3.2 Shutting down")
    dispatcher = Dispatcher(services)
    dispatcher.drain(f"{account_id}/email")
    watch(services, timedelta(minutes=5))
    assert open_causes(services) == [MAIL_SERVER]
    clock.advance(timedelta(minutes=5))  # the probe of the pause
    dispatcher.drain(f"{account_id}/email")
    dispatcher.stop()
    watch(services)
    assert open_causes(services) == []
    send(services)
    assert [email["To"] for email in smtp_server.emails] == ["lakita_marrero@gmail.com", ADMIN]


def test_pause_of_a_host_is_an_alert_of_each_account_that_waits(services: Services) -> None:
    cancelled_orders(services, 1)
    cancelled_orders(services, 1, "Other Ltd")
    factories.create_account(services, "Third Ltd")
    pause(services, "destination/x.workable.com")
    watch(services, timedelta(minutes=4))
    assert open_causes(services) == []  # a short pause ends by itself
    watch(services)
    assert sorted(open_causes(services)) == [CALLBACK_QUEUE, "2/callback/x.workable.com"]
    resume(services, "destination/x.workable.com")
    watch(services)
    assert open_causes(services) == []


def test_receiver_that_asks_for_a_wait_is_no_alert(services: Services) -> None:
    cancelled_orders(services, 1)
    pause(services, f"queue/{CALLBACK_QUEUE}")
    watch(services, timedelta(hours=2))
    assert open_causes(services) == []


def test_failed_deliveries_of_a_sandbox_alert_nobody(services: Services) -> None:
    cancelled_orders(services, 1)
    with services.db.writing() as session:
        session.execute(update(Account).values(sandbox=True))
    park(services)
    pause(services, "destination/x.workable.com")
    watch(services, timedelta(minutes=6))
    assert open_causes(services) == []


def test_snoozed_alert_sends_one_more_email_if_it_still_fails(
    services: Services, smtp_server: SmtpServer
) -> None:
    cancelled_orders(services, 1)
    park(services)
    watch(services)
    act(services, "1h")
    watch(services, timedelta(minutes=59))
    send(services)
    assert len(smtp_server.emails) == 1
    watch(services)
    watch(services)
    send(services)
    assert [subject.partition(":")[0] for _, subject in subjects(smtp_server)] == [
        "Deliveries fail",
        "Deliveries still fail",
    ]


def test_acknowledged_alert_sends_only_the_recovery(
    services: Services, smtp_server: SmtpServer
) -> None:
    cancelled_orders(services, 1)
    park(services)
    watch(services)
    send(services)
    act(services, "acknowledge")
    watch(services, timedelta(days=3))
    send_again(services)
    settle(services, CALLBACK_QUEUE, Outcome("delivered", status_code=200))
    watch(services)
    send(services)
    assert [subject.partition(":")[0] for _, subject in subjects(smtp_server)] == [
        "Deliveries fail",
        "Deliveries have recovered",
    ]


def test_recipients_are_owners_and_admins_and_those_who_chose(
    services: Services, smtp_server: SmtpServer
) -> None:
    choices = {
        "owner": None,
        "admin": False,
        "operator": True,
        "support": None,
        "author": True,  # a role that sees no deliveries
    }
    for role, choice in choices.items():
        factories.create_staff(services, f"{role}@provider.test", role)
        with services.db.writing() as session:
            Staff.get_by_email(session, f"{role}@provider.test").delivery_alerts = choice
    factories.create_staff(services, "gone@provider.test", "owner")
    with services.db.writing() as session:
        Staff.get_by_email(session, "gone@provider.test").disabled_at = services.now()
    cancelled_orders(services, 1)
    park(services)
    watch(services)
    with services.db.writing() as session:  # no longer chosen when the e-mail would leave
        Staff.get_by_email(session, ADMIN).delivery_alerts = False
    send(services)
    recipients = sorted(email["To"] for email in smtp_server.emails)
    assert recipients == ["operator@provider.test", "owner@provider.test"]


def test_watch_is_needed_only_while_something_fails(services: Services) -> None:
    def is_needed() -> bool:
        with services.db.reading() as session:
            return _is_needed(session, services.now())

    cancelled_orders(services, 1)
    assert not is_needed()
    park(services)
    assert is_needed()
    watch(services)
    send_again(services)
    assert is_needed()  # the alert is open


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (datetime(2026, 11, 27, 22, 30, tzinfo=UTC), datetime(2026, 11, 30, 7, tzinfo=UTC)),
        (datetime(2026, 11, 30, 6, 30, tzinfo=UTC), datetime(2026, 12, 7, 7, tzinfo=UTC)),
    ],
)
def test_snooze_until_monday_ends_on_the_next_monday(now: datetime, end: datetime) -> None:
    assert snooze_end("monday", now) == end
    with pytest.raises(Invalid, match="1h, 8h, monday"):
        snooze_end("2h", now)


def add_ended_alert(services: Services, ended_at: datetime) -> str:
    with services.db.writing() as session:
        alert = DeliveryAlert(cause=MAIL_SERVER, opened_at=ended_at - MINUTE, ended_at=ended_at)
        session.add(alert)
        session.flush()
        return alert.public_id


def stored_alerts(services: Services) -> list[str]:
    with services.db.reading() as session:
        return list(session.scalars(select(DeliveryAlert.public_id).order_by(DeliveryAlert.id)))


def test_ended_alert_is_deleted_after_ninety_days(services: Services, clock: ManualClock) -> None:
    ended = add_ended_alert(services, services.now())
    clock.advance(timedelta(days=1))
    later = add_ended_alert(services, services.now())
    with services.db.writing() as session:
        session.add(alert := DeliveryAlert(cause=MAIL_SERVER, opened_at=services.now()))
        session.flush()
        still_open = alert.public_id
    clock.advance(timedelta(days=89))
    run_if_due(services, DROP_OLD_ALERTS)
    assert stored_alerts(services) == [ended, later, still_open]
    clock.advance(timedelta(hours=1))
    run_if_due(services, DROP_OLD_ALERTS)
    assert stored_alerts(services) == [later, still_open]
    clock.advance(timedelta(days=400))
    run_if_due(services, DROP_OLD_ALERTS)
    assert stored_alerts(services) == [still_open]


def test_email_about_a_deleted_alert_is_not_sent(
    services: Services, clock: ManualClock, smtp_server: SmtpServer
) -> None:
    alert_id = add_ended_alert(services, services.now())
    with services.db.writing() as session:
        staff_id = session.scalars(select(Staff.id)).one()
        outbox.append(
            session,
            queue="0/email",
            ordering_key=f"{alert_id}/{staff_id}",
            sequence=0,
            topic=ALERT_ENDED,
            payload={},
            now=services.now(),
        )
    clock.advance(timedelta(days=91))
    run_if_due(services, DROP_OLD_ALERTS)
    send(services)
    assert smtp_server.emails == []
    with services.db.reading() as session:
        (message,) = session.scalars(select(Message)).all()
        (attempt,) = message.attempt_history
        assert attempt.response_excerpt == "The alert ended long ago and is deleted"


def announce_take(services: Services, interview: str, question: str) -> None:
    """Announce a take whose recording begins now; no byte of it arrives."""
    with services.db.writing() as session:
        open_upload(
            session,
            Interview.find(session, interview),
            question,
            secrets.generate_public_id(),
            interview_factories.WEBM_MIME_TYPE,
            services.now(),
        )


def end_interview(services: Services, interview: str) -> None:
    with services.db.writing() as session:
        Interview.find(session, interview).submit(session, services.now(), actor="system")
    run_if_due(services, DISCARD_ABANDONED_UPLOADS)


def test_announced_take_that_is_absent_at_the_end_alerts_the_staff(
    services: Services, smtp_server: SmtpServer
) -> None:
    interview = interview_factories.place_interview(services)
    announce_take(services, interview, "why")
    watch(services)
    assert open_causes(services) == []  # it may still arrive
    end_interview(services, interview)
    watch(services)
    send(services)
    assert open_causes(services) == ["1/missing-media"]
    title = "Groove Tech: Recordings of candidates"
    assert subjects(smtp_server) == [(ADMIN, f"Recordings are missing: {title}")]
    for body in bodies(smtp_server.emails[0]):
        assert f"Interviews: {interview}." in " ".join(body.split())
    console = ConsoleClient.signed_in(services, create_app(services).test_client())
    page = console.get_text("/console/alerts/")
    assert f'A recording never arrived whole: <a href="/console/orders/{interview}">' in page
    with services.db.writing() as session:
        interview_row = Interview.find(session, interview)
        interview_row.conclude(session, services.secret_box, "", ADMIN, services.now())
    watch(services)
    send(services)
    assert (open_causes(services), len(smtp_server.emails)) == ([], 1)


def test_take_that_was_recorded_again_alerts_nobody(services: Services) -> None:
    interview = interview_factories.place_interview(services)
    announce_take(services, interview, "why")
    interview_factories.record_answer(services, interview, "why")
    end_interview(services, interview)
    watch(services)
    assert open_causes(services) == []


def test_missing_take_is_forgotten_after_two_weeks(services: Services) -> None:
    interview = interview_factories.place_interview(services)
    announce_take(services, interview, "why")
    end_interview(services, interview)
    watch(services)
    assert open_causes(services) == ["1/missing-media"]
    watch(services, FORGET_MISSING_AFTER)
    assert open_causes(services) == []
