"""Adverse actions: the two notices, the clock, and what stops it."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.emails import collect_parts
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.core.kinds.check.adverse.adverse_work import (
    END_NOTICE_CLOCKS,
    find_undeliverable_notices,
)
from provider.core.kinds.check.adverse.jurisdictions import JURISDICTIONS, suggest_jurisdiction
from provider.core.kinds.check.adverse.notice_pdf import render_notice_pdf
from provider.core.kinds.check.adverse.notice_text import save_text
from provider.core.kinds.check.decisions import RevisionForm, revise
from provider.core.kinds.check.tables.dispute import Dispute
from provider.errors import Conflict, Invalid
from provider.outbox import Message
from provider.services import Services
from tests import check_decision_factories, check_factories, factories
from tests.factories import ManualClock

ANN = "ann@provider.test"
MONDAY = datetime(2027, 2, 1, 12, tzinfo=UTC)  # five business days without a US holiday follow


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


@pytest.fixture
def check_id(services: Services) -> str:
    return check_decision_factories.consider_check(services)


def begin(services: Services, check_id: str, place: str = "us", days: int = 5) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.begin(
            session, services.secret_box, check, place, days, "The conviction", ANN, services.now()
        )


def send_final(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.send_final(session, services.secret_box, check, ANN, services.now())


def state_of(services: Services, check_id: str) -> tuple[str, datetime | None]:
    with services.db.reading() as session:
        action = Check.find(session, check_id).adverse_actions[-1]
        return action.state, action.ends_at


def open_dispute(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        check.disputes.append(
            Dispute(screening="jobs", text=b"", reason_encrypted=b"", opened_at=services.now())
        )
        session.flush()
        acts.update_clock(session, check, check.adverse_actions[-1], services.now())


def answer_dispute(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        dispute = check.disputes[-1]
        dispute.outcome, dispute.answered_at = "upheld", services.now()
        acts.update_clock(session, check, check.adverse_actions[-1], services.now())


def bounce(services: Services, check_id: str, template: str = "pre_adverse") -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        check.record_bounce(session, "x", template, "550 5.1.1", services.now())


def withdraw(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.withdraw(session, services.secret_box, check, "A mistake", ANN, services.now())


def notice_ids(services: Services, check_id: str, purpose: str) -> list[str]:
    """Return the public ids of the notices of a purpose, the oldest first."""
    with services.db.reading() as session:
        actions = Check.find(session, check_id).adverse_actions
        notices = [notice for action in actions for notice in action.notices]
        return [notice.public_id for notice in notices if notice.purpose == purpose]


def undeliverable_ids(services: Services, check_id: str) -> list[str]:
    with services.db.reading() as session:
        actions = Check.find(session, check_id).adverse_actions
        notices = [notice for action in actions for notice in action.notices]
        return [notice.public_id for notice in notices if notice.undeliverable_at]


def bounce_message(services: Services, check_id: str, topic: str, number: int) -> None:
    """Let the e-mail with a topic come back, by its number from the oldest one."""
    with services.db.writing() as session:
        query = select(Message).where(Message.topic == topic).order_by(Message.id)
        message = session.scalars(query).all()[number]
        check = Check.find(session, check_id)
        check.record_bounce(session, message.public_id, topic, "550 5.1.1", services.now())


def sent_topics(services: Services) -> list[str]:
    with services.db.reading() as session:
        topics = session.scalars(select(Message.topic).order_by(Message.id))
        return [topic for topic in topics if "adverse" in topic]


def test_final_notice_follows_the_first_after_the_clock_only(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    begin(services, check_id)
    end = datetime(2027, 2, 8, 22, tzinfo=UTC)  # midnight in Athens
    assert state_of(services, check_id) == ("waiting", end)
    clock.current_time = end - timedelta(seconds=1)
    with pytest.raises(Conflict, match="once the candidate’s time is over"):
        send_final(services, check_id)
    clock.current_time = end
    send_final(services, check_id)
    assert state_of(services, check_id) == ("final", None)
    assert sent_topics(services) == ["pre_adverse", "final_adverse"]
    with pytest.raises(Conflict, match="No adverse action is open"):
        send_final(services, check_id)
    with pytest.raises(Conflict, match="has got the final notice already"):
        begin(services, check_id)


def test_first_notice_has_the_letter_the_rights_and_no_finding(
    services: Services, check_id: str
) -> None:
    begin(services, check_id)
    factories.deliver_emails(services)
    folder = services.settings.instance / "mail"
    mails = [
        message_from_bytes(path.read_bytes(), policy=policy.default) for path in folder.iterdir()
    ]
    (mail,) = [mail for mail in mails if "about your background check" in mail["Subject"]]
    part = mail.get_body(("plain",))
    assert part
    body = part.get_content()
    assert "by 8 February 2027" in " ".join(body.split())
    assert "This is a sample" in body
    assert "/c/" in body
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == "notice.pdf"
    assert attachment.get_content().startswith(b"%PDF")
    html = mail.get_body(("html",))
    assert html
    for word in (*check_factories.REPORT_TEXT.split("\n"), *check_factories.SECRET_WORDS):
        assert word not in body + html.get_content()
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        notice = check.find_notice("pre_adverse")
        assert notice
        content = check.decrypt_notice(services.secret_box, notice)
        assert content["rights"] == [
            {"title": "A summary of your rights", "text": check_decision_factories.RIGHTS["text"]}
        ]
        assert b"conviction" not in (check.adverse_actions[0].reason or b"")


def test_begin_is_refused_without_a_finding(services: Services) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    check_factories.record_findings(
        services, check_id, dict.fromkeys(("identity", "jobs", "record"), "clear")
    )
    with pytest.raises(Conflict, match="Only a completed check"):
        begin(services, check_id)
    check_factories.complete_check(services, check_id)
    with pytest.raises(Conflict, match="Only a completed check"):
        begin(services, check_id)


def test_begin_needs_the_days_of_the_place_and_of_the_account(
    services: Services, check_id: str
) -> None:
    with pytest.raises(Invalid, match="at least 10 business days"):
        begin(services, check_id, "us-pa-phl")
    check_decision_factories.set_option(services, "notice_days", 12)
    with pytest.raises(Invalid, match="at least 12 business days"):
        begin(services, check_id, "us-pa-phl", 10)
    with pytest.raises(Invalid, match="Choose a place"):
        begin(services, check_id, "atlantis")
    begin(services, check_id, "us-pa-phl", 12)


def test_begin_in_the_united_states_needs_a_text_about_rights(services: Services) -> None:
    rights = check_decision_factories.RIGHTS | {"countries": ["US"]}
    check_id = check_decision_factories.consider_check(services, country="GB", legal_texts=[rights])
    with pytest.raises(Conflict, match="add one with the purpose “rights”"):
        begin(services, check_id)
    begin(services, check_id, "gb")


def test_begin_outside_a_sandbox_needs_the_accounts_own_texts(
    services: Services, check_id: str
) -> None:
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        account.sandbox = False
    with pytest.raises(Conflict, match="no text of its own for “Notice before a decision”"):
        begin(services, check_id)
    with services.db.writing() as session:
        account_id = session.scalars(select(Account.id)).one()
        with pytest.raises(Invalid, match="is not known here"):
            save_text(session, account_id, "pre_adverse", "{salary}", ANN, services.now())
        text = "Dear {candidate}, until {last_day}."
        save_text(session, account_id, "pre_adverse", text, ANN, services.now())
        assert save_text(session, account_id, "pre_adverse", text, ANN, services.now()) is None
    begin(services, check_id)
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        notice = check.find_notice("pre_adverse")
        assert notice
        assert notice.text_version == "1"
        content = check.decrypt_notice(services.secret_box, notice)
        assert content["text"] == "Dear Lakita Marrero, until 8 February 2027."
        assert not content["sample"]


def test_open_dispute_stops_the_clock(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    begin(services, check_id)
    clock.advance(timedelta(days=2))
    open_dispute(services, check_id)
    assert state_of(services, check_id) == ("stopped", None)
    clock.advance(timedelta(days=30))
    with pytest.raises(Conflict):
        send_final(services, check_id)
    answer_dispute(services, check_id)  # on Friday, 5 March: four business days are left
    assert state_of(services, check_id) == ("waiting", datetime(2027, 3, 11, 22, tzinfo=UTC))
    clock.advance(timedelta(days=7))
    send_final(services, check_id)


def test_dispute_after_the_clock_still_stops_the_final_notice(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    begin(services, check_id)
    clock.advance(timedelta(days=8))
    END_NOTICE_CLOCKS.run(services)
    assert state_of(services, check_id)[0] == "ready"
    open_dispute(services, check_id)
    with pytest.raises(Conflict):
        send_final(services, check_id)
    answer_dispute(services, check_id)
    send_final(services, check_id)


def test_begin_with_an_open_dispute_is_refused(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        check.disputes.append(
            Dispute(screening="jobs", text=b"", reason_encrypted=b"", opened_at=services.now())
        )
    with pytest.raises(Conflict, match="Answer the candidate’s dispute first"):
        begin(services, check_id)


def test_staff_stop_the_clock_and_let_it_go_on(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    begin(services, check_id)
    for day, act in ((1, acts.suspend), (2, acts.resume)):
        clock.current_time = MONDAY + timedelta(days=day)
        with services.db.writing() as session:
            act(session, Check.find(session, check_id), ANN, services.now())
            with pytest.raises(Conflict):
                act(session, Check.find(session, check_id), ANN, services.now())
    assert state_of(services, check_id) == ("waiting", datetime(2027, 2, 10, 22, tzinfo=UTC))


def test_notice_that_came_back_stops_the_clock_until_it_is_sent_again(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    begin(services, check_id)
    bounce(services, check_id)
    assert state_of(services, check_id) == ("stopped", None)
    with services.db.reading() as session:
        assert list(find_undeliverable_notices(session).values()) == [[check_id]]
    (notice_id,) = notice_ids(services, check_id, "pre_adverse")
    clock.advance(timedelta(days=1))
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.send_again(session, check, notice_id, ANN, services.now())
        with pytest.raises(Conflict):
            acts.send_again(session, check, notice_id, ANN, services.now())
    assert state_of(services, check_id) == ("waiting", datetime(2027, 2, 9, 22, tzinfo=UTC))
    assert sent_topics(services) == ["pre_adverse", "pre_adverse"]
    bounce(services, check_id)
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.record_other_way(
            session, services.secret_box, check, notice_id, "By post", ANN, services.now()
        )
    with services.db.reading() as session:
        assert not find_undeliverable_notices(session)


def test_withdrawal_tells_the_candidate_and_allows_another_action(
    services: Services, check_id: str
) -> None:
    begin(services, check_id)
    withdraw(services, check_id)
    assert state_of(services, check_id)[0] == "withdrawn"
    assert sent_topics(services) == ["pre_adverse", "adverse_withdrawn"]
    begin(services, check_id)


def test_withdrawal_closes_the_first_notice_that_came_back(
    services: Services, check_id: str
) -> None:
    begin(services, check_id)
    bounce(services, check_id)
    withdraw(services, check_id)
    begin(services, check_id)
    assert undeliverable_ids(services, check_id) == []
    bounce_message(services, check_id, "pre_adverse", 0)  # a late report about the first letter
    assert undeliverable_ids(services, check_id) == []
    assert state_of(services, check_id)[0] == "waiting"
    bounce_message(services, check_id, "pre_adverse", 1)
    assert undeliverable_ids(services, check_id) == [
        notice_ids(services, check_id, "pre_adverse")[1]
    ]


def test_notice_of_an_ended_action_is_sent_again_beside_a_newer_one(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    begin(services, check_id)
    withdraw(services, check_id)
    clock.advance(timedelta(days=1))
    begin(services, check_id)
    withdraw(services, check_id)
    first, second = notice_ids(services, check_id, "adverse_withdrawn")
    bounce_message(services, check_id, "adverse_withdrawn", 0)
    assert undeliverable_ids(services, check_id) == [first]
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        with pytest.raises(Conflict, match="This notice did not come back"):
            acts.send_again(session, check, second, ANN, services.now())
        acts.send_again(session, check, first, ANN, services.now())
    assert undeliverable_ids(services, check_id) == []
    # The e-mail has the letter of its own action.
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        message = session.scalars(
            select(Message).where(Message.topic == "adverse_withdrawn").order_by(Message.id.desc())
        ).first()
        assert message
        payload = message.get_payload(services.secret_box)
        parts = collect_parts(check, "adverse_withdrawn", services.secret_box, payload)
        old_notice = check.get_notice(first)
        content = check.decrypt_notice(services.secret_box, old_notice)
        pdf = render_notice_pdf(check, content, old_notice.sent_at)
        assert parts.attachments["notice.pdf"] == pdf
        newer = collect_parts(check, "adverse_withdrawn", services.secret_box)
        assert newer.attachments["notice.pdf"] != pdf


def test_clock_that_cannot_be_updated_does_not_stop_the_others(
    services: Services, clock: ManualClock, check_id: str
) -> None:
    other_id = check_decision_factories.consider_check(services, name="Rival", key="other")
    begin(services, check_id)
    begin(services, other_id, days=6)
    with services.db.writing() as session:
        Check.find(session, check_id).adverse_actions[0].jurisdiction = "a key of old"
    clock.advance(timedelta(days=9))
    with pytest.raises(KeyError, match="a key of old"):
        END_NOTICE_CLOCKS.run(services)
    assert state_of(services, check_id)[0] == "waiting"
    assert state_of(services, other_id)[0] == "ready"


def test_correction_that_leaves_no_finding_withdraws_the_action(
    services: Services, check_id: str
) -> None:
    begin(services, check_id)
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        form = RevisionForm("jobs", "clear", "", "", "The employer was wrong")
        revise(session, services.secret_box, check, form, ANN, services.now())
    assert state_of(services, check_id)[0] == "withdrawn"
    with pytest.raises(Conflict):
        send_final(services, check_id)


def test_reopening_ends_the_action(services: Services, check_id: str) -> None:
    begin(services, check_id)
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        check.reopen(session, services.secret_box, ANN, "Redo", services.now())
    assert state_of(services, check_id)[0] == "withdrawn"


@pytest.mark.parametrize(
    ("country", "subdivision", "key"),
    [
        ("US", "CA", "us-ca"),
        ("US", "TX", "us"),
        ("GB", "SCT", "gb"),
        ("DE", "", "other"),
        ("", "", "other"),
    ],
)
def test_place_is_suggested_by_country_and_subdivision(
    country: str, subdivision: str, key: str
) -> None:
    assert suggest_jurisdiction(country, subdivision) == key
    assert key in JURISDICTIONS
