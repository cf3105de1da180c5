"""Rows of every table that has encrypted columns, written as the program writes them."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.connections import ApiToken
from provider.core.connections.account_secret import set_secret
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts
from provider.core.kinds.check.decisions import RevisionForm, complete, confirm, revise, send_back
from provider.core.kinds.check.disputes import answer_dispute, find_dispute
from provider.core.kinds.check.packages.referee import Referee
from provider.core.kinds.check.questions import answer
from provider.core.kinds.check.records import remove_record
from provider.core.kinds.check.tables.referee_request import RefereeRequest
from provider.core.kinds.check.tables.vendor_order import VendorOrder, VendorResult
from provider.core.orders import Accommodation, Order
from provider.core.orders.accommodation import Terms
from provider.core.staff import Staff
from provider.core.staff.second_factor import begin_set_up
from provider.core.staff.staff_link import invite
from provider.outbox import Message
from provider.outbox.encryption import encrypt_body
from provider.services import Services
from tests import (
    check_decision_factories,
    check_document_factories,
    check_factories,
    check_outside_factories,
    check_status_factories,
    check_work_factories,
)

ANN, BEN = "ann@provider.test", "ben@provider.test"
CORRECTION = RevisionForm("record", "consider", "A court order of 2020", "Seen", "The court wrote")


def fill(services: Services) -> str:
    """Write a value into every encrypted column, and a document; return the check's id."""
    check_id = check_decision_factories.place_sandbox_check(services)
    _fill_check(services, check_id)
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        account_id = account.id
        _fill_account(services, session, account)
        _fill_staff(services, session)
        _fill_others(services, session, Check.find(session, check_id))
    check_outside_factories.create_connector(services, account_id)
    with services.db.writing() as session:
        for message in session.scalars(select(Message)):
            message.body_encrypted = encrypt_body(
                services.secret_box, message.public_id, b"The body"
            )
    return check_id


def _fill_check(services: Services, check_id: str) -> None:
    box, now = services.secret_box, services.now()
    check_document_factories.send_document(services, check_id)
    question_id = check_work_factories.ask_candidate(services, check_id)
    record_id = check_work_factories.add_found_record(services, check_id)
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        answer(session, box, check, question_id, "In Volos", now)
        remove_record(session, box, check, record_id, "Another person", ANN, now)
    check_status_factories.add_record(services, check_id, "record")
    check_factories.record_findings(services, check_id)
    check_decision_factories.set_option(services, "second_person", "always")
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        complete(session, box, check, ANN, now)
        send_back(session, box, check, BEN, "Look again at the record", now)
        complete(session, box, check, ANN, now)
        confirm(session, box, check, BEN, now)
        revise(session, box, check, CORRECTION, ANN, now)
        confirm(session, box, check, BEN, now)
    with services.db.writing() as session:
        check = Check.find(session, check_id, lock=True)
        action = adverse_acts.begin(session, box, check, "us", 5, "The conviction", ANN, now)
        notice = action.notices[0]
        notice.undeliverable_at = now
        adverse_acts.record_other_way(session, box, check, notice.public_id, "By post", ANN, now)
        adverse_acts.withdraw(session, box, check, "We hire her", ANN, now)
    dispute_id = check_status_factories.dispute(services, check_id)
    with services.db.writing() as session:
        check, dispute = find_dispute(session, dispute_id, lock=True)
        answer_dispute(session, box, check, dispute, "upheld", "It stays", ANN, now)


def _fill_account(services: Services, session: Session, account: Account) -> None:
    box, now = services.secret_box, services.now()
    account.set_callback_token(box, "cb-token")
    for value in ("first key", "second key"):
        set_secret(session, box, account, "api_key", value, now)
        session.flush()
    token = ApiToken(account_id=account.id)
    token.generation = 0
    later = now + timedelta(days=1)
    token.store(
        box,
        account,
        access="access",
        refresh="refresh",
        expires_at=later,
        refresh_expires_at=later,
        now=now,
    )
    session.add(token)


def _fill_staff(services: Services, session: Session) -> None:
    box, now = services.secret_box, services.now()
    invite(session, box, "new@provider.test", "admin", ANN, now)
    staff = Staff.create(session, ANN, "correct horse battery", "admin", now)
    session.flush()
    begin_set_up(session, box, staff)


def _fill_others(services: Services, session: Session, check: Check) -> None:
    box, now = services.secret_box, services.now()
    order = session.get_one(Order, check.id)
    accommodation = Accommodation(order=order, email_digest=order.candidate.email_digest)
    accommodation.set_asked(box, Terms(text="More time, please"))
    accommodation.set_decided(box, Terms(percent=25))
    referee = Referee("Rae", email="rae@referee.test")
    request = RefereeRequest.create(box, check.id, "jobs", referee, ANN, now)
    request.set_answers(box, [{"question": "Since when?", "answer": "2019"}])
    vendor_order = VendorOrder(
        public_id="vendor", order_id=check.id, screening="jobs", created_at=now
    )
    vendor_order.set_result(box, VendorResult("clear", "Nothing found"))
    vendor_order.set_answer_digest(box, b"d" * 32)
    session.add_all([accommodation, request, vendor_order])
