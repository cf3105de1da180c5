"""The current check of a person, and the day on which a check is to be renewed."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.alerts import list_open_alerts
from provider.core.alerts.watch import update_alerts
from provider.core.kinds.check import Check
from provider.core.kinds.check.current_check import find_newer_check
from provider.core.kinds.check.tables.renewal import (
    add_months,
    find_renewals_to_report,
    list_due_renewals,
)
from provider.core.report import build_report
from provider.core.report_pdf import render_pdf
from provider.services import Services
from tests import check_factories, factories
from tests.factories import ManualClock

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)
CLEAR = dict.fromkeys(check_factories.OUTCOMES, "clear")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def complete(
    services: Services, package: str, number: int, outcomes: dict[str, str], email: str = ""
) -> str:
    """Return a completed check of the same account."""
    with services.db.reading() as session:
        account_id = session.scalar(select(Account.id))
    if account_id is None:
        account_id, _ = factories.create_account(services)
    check_id = factories.place_order(
        services,
        account_id,
        package,
        "check",
        callback_url=f"https://groove-tech.workable.com/{number}",
        email=email or "lakita_marrero@gmail.com",
    )
    check_factories.give_consent(services, check_id)
    check_factories.record_findings(services, check_id, outcomes)
    check_factories.complete_check(services, check_id)
    return check_id


def reopen(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        check.reopen(session, services.secret_box, "ann@provider.test", "Again", services.now())


def newer_of(services: Services, check_id: str) -> str:
    with services.db.reading() as session:
        newer = find_newer_check(session, services.secret_box, Check.find(session, check_id))
        return newer.public_id if newer else ""


def test_newer_check_of_the_person_replaces_an_older_pass(
    services: Services, clock: ManualClock
) -> None:
    package = check_factories.create_package(services)
    other_package = check_factories.create_package(services, "other", "Other")
    passed = complete(services, package, 1, CLEAR)
    clock.advance(timedelta(days=1))
    found = complete(services, package, 2, check_factories.OUTCOMES, "LAKITA_marrero@gmail.com")
    somebody = complete(services, package, 3, CLEAR, "somebody@example.com")
    of_other_package = complete(services, other_package, 4, CLEAR)
    assert newer_of(services, passed) == found
    for check_id in (found, somebody, of_other_package):
        assert newer_of(services, check_id) == ""
    with services.db.reading() as session:
        check = Check.find(session, passed)
        report = build_report(check, services.secret_box, {"report"})
        sentence = "A newer check exists, of 1 February 2027: this one is not current."
        assert report.evidence.newer_check == sentence  # type: ignore[attr-defined]
        assert render_pdf(report).startswith(b"%PDF")


def test_reopened_newer_check_still_replaces_an_older_pass(
    services: Services, clock: ManualClock
) -> None:
    package = check_factories.create_package(services)
    passed = complete(services, package, 1, CLEAR)
    clock.advance(timedelta(days=1))
    found = complete(services, package, 2, check_factories.OUTCOMES)
    clock.advance(timedelta(days=1))
    reopen(services, found)
    assert (newer_of(services, passed), newer_of(services, found)) == (found, "")
    with services.db.reading() as session:
        sentence = Check.find(session, passed).describe_newer_check(services.secret_box)
    assert sentence == "A newer check exists, of 1 February 2027: this one is not current."
    with services.db.writing() as session:
        check = Check.find(session, found)
        check.cancel(session, "ann@provider.test", "Not needed", services.now())
    assert newer_of(services, passed) == found


def test_reopened_older_check_does_not_replace_a_newer_one(
    services: Services, clock: ManualClock
) -> None:
    package = check_factories.create_package(services)
    older = complete(services, package, 1, CLEAR)
    clock.advance(timedelta(days=1))
    newer = complete(services, package, 2, CLEAR)
    clock.advance(timedelta(days=1))
    reopen(services, older)
    assert newer_of(services, newer) == ""


def test_check_at_work_replaces_nothing(services: Services) -> None:
    package = check_factories.create_package(services)
    passed = complete(services, package, 1, CLEAR)
    with services.db.reading() as session:
        account_id = session.scalars(select(Account.id)).one()
    running = factories.place_order(
        services, account_id, package, "check", callback_url="https://x.workable.com/2"
    )
    check_factories.give_consent(services, running)
    assert newer_of(services, passed) == ""
    assert newer_of(services, running) == ""


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        (date(2027, 1, 31), 1, date(2027, 2, 28)),
        (date(2027, 12, 15), 1, date(2028, 1, 15)),
        (date(2028, 2, 29), 12, date(2029, 2, 28)),
        (date(2027, 5, 1), 120, date(2037, 5, 1)),
    ],
)
def test_months_are_added_to_the_last_day_of_a_shorter_month(
    day: date, months: int, later: date
) -> None:
    assert add_months(day, months) == later


def test_renewal_is_listed_and_alerts_until_a_newer_check_is_completed(
    services: Services, clock: ManualClock
) -> None:
    package = check_factories.create_package(services, valid_months=12)
    check_id = complete(services, package, 1, CLEAR)

    def listed() -> list[tuple[str, date]]:
        with services.db.reading() as session:
            due = list_due_renewals(session, services.now())
            return [(order.public_id, renewal.renew_on) for renewal, order in due]

    def alerted() -> list[str]:
        with services.db.writing() as session:
            update_alerts(session, services.now())
            return [alert.cause for alert in list_open_alerts(session)]

    assert (listed(), alerted()) == ([], [])
    clock.advance(timedelta(days=336))
    assert listed() == [(check_id, date(2028, 1, 31))]
    assert alerted() == ["1/renewal"]
    complete(services, package, 2, CLEAR)
    assert (listed(), alerted()) == ([], [])


def test_package_without_a_limit_makes_no_renewal(services: Services) -> None:
    check_id = complete(services, check_factories.create_package(services), 1, CLEAR)
    with services.db.reading() as session:
        assert Check.find(session, check_id).renewal is None


def test_reopening_closes_the_renewal_until_the_check_is_complete_again(
    services: Services, clock: ManualClock
) -> None:
    package = check_factories.create_package(services, valid_months=1)
    check_id = complete(services, package, 1, CLEAR)
    clock.advance(timedelta(days=20))
    with services.db.writing() as session:
        assert len(list_due_renewals(session, services.now())) == 1
        check = Check.find(session, check_id)
        check.reopen(session, services.secret_box, "ann@provider.test", "Again", services.now())
    with services.db.reading() as session:
        assert list_due_renewals(session, services.now()) == []
        assert find_renewals_to_report(session, services.now()) == {}
    check_factories.give_consent(services, check_id)
    check_factories.record_findings(services, check_id, CLEAR)
    check_factories.complete_check(services, check_id)
    with services.db.reading() as session:
        assert len(list_due_renewals(session, services.now())) == 1
