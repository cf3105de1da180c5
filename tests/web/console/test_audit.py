"""The console's acts are in the audit log, and the page that shows the log."""

import io
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from provider.ats.rules import add_rule
from provider.core import audit
from provider.core.accounts import Account
from provider.core.accounts.offboarding import disable_account
from provider.core.audit import Action, AuditEntry
from provider.core.connections import SourceCursor
from provider.core.kinds.assessment import Assessment
from provider.core.kinds.check import Check
from provider.core.kinds.check.adjudication.matrix import activate_draft, save_draft
from provider.core.kinds.check.adverse.adverse_acts import begin, suspend
from provider.core.kinds.check.adverse.notice_text import save_text
from provider.core.kinds.check.decisions import complete
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.vendor_order import VendorOrder
from provider.core.kinds.check.vendors.vendor_acts import record_failure
from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.answers import TimeNote
from provider.core.kinds.interview.captions import STAFF, save_captions
from provider.core.orders import Order
from provider.core.orders.bulk_run import DONE, BulkRow, BulkRun
from provider.core.products import Product
from provider.core.products.draft import change_draft
from provider.core.staff import (
    SavedView,
    Staff,
    StaffLink,
    StaffSession,
    invite,
    send_reset,
)
from provider.core.staff.passwords import hash_password
from provider.outbox import Message
from provider.services import Services
from provider.web.console import pagination
from tests import (
    check_decision_factories,
    check_document_factories,
    check_factories,
    check_outside_factories,
    check_status_factories,
    check_work_factories,
    factories,
    interview_factories,
    marking_factories,
)
from tests.check_outside_factories import REFEREE_SCREENING, VENDOR_SCREENING
from tests.factories import ManualClock
from tests.maintenance.test_erasure import PERSON, completed_order
from tests.passkeys import HOST, ME, PRESENT, Device, PasskeyClient, store_passkey
from tests.pictures import make_png
from tests.second_step import set_up_second_step
from tests.web.console.test_alerts import open_alert
from tests.web.console.test_assessment_rescoring import complete_wrong_order
from tests.web.console.test_checks import check_path, outcome_form, submit_form
from tests.web.console.test_deliveries import cancelled_orders, park
from tests.web.console.test_interviews import interview_path, rate, read_edit_token
from tests.web.console.test_orders import page_link
from tests.web.console.test_orders import perform_action as perform_order_action
from tests.web.console.test_pauses import pause
from tests.web.console.test_permissions import console_routes
from tests.web.console.test_products import PRODUCT_FILE, import_file
from tests.web.console.test_products import perform_action as perform_product_action
from tests.web.console_client import ORDERS_PATH, ConsoleClient

ADMIN = "admin@provider.test"
COLLEAGUE = "ana@provider.test"
OLD_PASSWORD, NEW_PASSWORD = "correct horse battery", "seven quiet lamps rowing"
CODE_PATH = "/console/sign-in/code"
PAGE = "/console/audit/"
RECORD = {"kind": "gap", "severity": "low", "public_text": "A gap of a year"}

# Performs an act; returns the subject of its entry.
Act = Callable[[Services, ConsoleClient], str]


def order(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def failed_delivery(services: Services) -> str:
    cancelled_orders(services, 1)
    park(services)
    with services.db.reading() as session:
        query = select(Message.public_id).where(Message.queue.contains("callback"))
        return str(session.scalar(query))


def consented_check(services: Services) -> str:
    check_id = check_factories.place_check(services)
    check_factories.give_consent(services, check_id)
    return check_id


def work_on_screening(rest: str, services: Services, console: ConsoleClient, **form: str) -> str:
    """Send a form of the page of a screening; the digest of an outcome is that of the page."""
    check_id = consented_check(services)
    path = check_path(check_id, "screenings/jobs/")
    if rest == "outcome":
        form["seen"] = re.findall(r'name="seen" value="(\w{16})"', console.get_text(path))[-1]
    succeed(console.submit(path + rest, page=path, **form))
    return f"order:{check_id}"


def give_screening_back(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    with services.db.writing() as session:
        Check.find(session, check_id).find_task("jobs").assignee = ADMIN
    path = check_path(check_id, "screenings/jobs/")
    succeed(console.submit(path + "give-back", page=path))
    return f"order:{check_id}"


def withdraw_question(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    request_id = check_work_factories.ask_candidate(services, check_id)
    path = check_path(check_id, "screenings/jobs/")
    succeed(console.submit(f"{path}questions/{request_id}/withdraw", page=path))
    return f"order:{check_id}"


def add_record(services: Services, console: ConsoleClient) -> str:
    return work_on_screening("records/", services, console, **RECORD)


def change_record(rest: str, services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    record_id = check_work_factories.add_found_record(services, check_id)
    path = check_path(check_id, f"screenings/record/records/{record_id}/")
    succeed(console.submit(path + rest, page=path, reason="The court says so", **RECORD))
    return f"order:{check_id}"


def add_screening(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    path = check_path(check_id, "add-screening/")
    form = {"type": "employment", "name": "Second employer", "reason": "The dates differ"}
    succeed(console.submit(path, page=path, **form))
    return f"order:{check_id}"


def succeed(response: TestResponse) -> None:
    assert response.status_code in (200, 302, 303), response.text


def cancel_order(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    assert perform_order_action(console, order_id, "cancel")[0] == 302
    return f"order:{order_id}"


def reopen_order(services: Services, console: ConsoleClient) -> str:
    order_id = cancelled_orders(services, 1)[0]
    assert perform_order_action(console, order_id, "reopen")[0] == 302
    return f"order:{order_id}"


def resend_invitation(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    factories.deliver_emails(services)
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(timedelta(minutes=1))
    assert perform_order_action(console, order_id, "resend")[0] == 302
    return f"order:{order_id}"


def correct_candidate(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    email = "lakita.marrero@example.com"
    assert perform_order_action(console, order_id, "correct", email=email)[0] == 302
    return f"order:{order_id}"


def extend_deadline(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    assert perform_order_action(console, order_id, "extend", days="3")[0] == 302
    return f"order:{order_id}"


def give_extra_time(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    assert perform_order_action(console, order_id, "extra-time", amount="25")[0] == 302
    return f"order:{order_id}"


def decide_about_accommodation(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    form = {"decision": "grant", "time": "25", "text": "Good luck"}
    assert perform_order_action(console, order_id, "accommodation", **form)[0] == 302
    return f"order:{order_id}"


def allow_retake(services: Services, console: ConsoleClient) -> str:
    account_id, _ = factories.create_account(services, "Retakes")
    product = factories.create_test(services, key="limited", retakes={"allowed": False})
    order_id = factories.place_order(services, account_id, product)
    assert perform_order_action(console, order_id, "allow-retake", reason="Another job")[0] == 302
    return f"order:{order_id}"


def end_attempt(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    assert perform_order_action(console, order_id, "end-attempt")[0] == 302
    return f"order:{order_id}"


def erase_order(services: Services, console: ConsoleClient) -> str:
    order_id = completed_order(services, "assessment")
    path = f"{ORDERS_PATH}{order_id}/erase/"
    seen = console.read_field(path, "seen")
    succeed(console.submit(path, page=path, email=PERSON["email"], seen=seen))
    return f"order:{order_id}"


def retake_test(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    factories.finish_test(services, order_id)
    assert perform_order_action(console, order_id, "retake")[0] == 302
    return f"order:{order_id}"


def hold_order(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    assert perform_order_action(console, order_id, "hold")[0] == 302
    return f"order:{order_id}"


def release_order(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    with services.db.writing() as session:
        Order.find(session, order_id).hold(session, ADMIN, "A dispute", services.now())
    assert perform_order_action(console, order_id, "release")[0] == 302
    return f"order:{order_id}"


def redeliver_order(services: Services, console: ConsoleClient) -> str:
    order_id = cancelled_orders(services, 1)[0]
    park(services)
    assert perform_order_action(console, order_id, "redeliver")[0] == 302
    return f"order:{order_id}"


def cancel_in_bulk(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    path = f"{ORDERS_PATH}bulk/?action=cancel&order={order_id}"
    orders = console.read_field(path, "orders")
    form = {"action": "cancel", "orders": orders, "reason": "The job is filled"}
    succeed(console.submit(f"{ORDERS_PATH}bulk/", page=path, **form))
    return f"bulk:{last_bulk_run(services)}"


def stored_bulk_run(services: Services, *, is_finished: bool) -> str:
    """Return a run of one order; rows without their audit entry."""
    with services.db.writing() as session:
        now = services.now()
        run = BulkRun(action="cancel", arguments={}, actor=ADMIN, created_at=now)
        row = BulkRow(run=run, order_public_id="any", seen="any")
        if is_finished:
            run.finished_at, row.state, row.before = now, DONE, {}
        session.add_all([run, row])
    return last_bulk_run(services)


def last_bulk_run(services: Services) -> str:
    with services.db.reading() as session:
        return str(session.scalar(select(BulkRun.public_id).order_by(BulkRun.id.desc())))


def stop_in_bulk(services: Services, console: ConsoleClient) -> str:
    run_id = stored_bulk_run(services, is_finished=False)
    succeed(console.submit(f"{ORDERS_PATH}bulk/runs/{run_id}/stop"))
    return f"bulk:{run_id}"


def undo_in_bulk(services: Services, console: ConsoleClient) -> str:
    run_id = stored_bulk_run(services, is_finished=True)
    succeed(console.submit(f"{ORDERS_PATH}bulk/runs/{run_id}/undo"))
    return f"bulk:{last_bulk_run(services)}"


def show_link(services: Services, console: ConsoleClient) -> str:
    order_id = order(services)
    succeed(console.submit(f"{ORDERS_PATH}{order_id}/link"))
    return f"order:{order_id}"


def export_orders(services: Services, console: ConsoleClient) -> str:
    succeed(console.submit(f"{ORDERS_PATH}export/"))
    return "orders"


def share_view(services: Services, console: ConsoleClient) -> str:
    form = {"name": "Open", "status": "pending", "is_shared": "1"}
    succeed(console.submit(f"{ORDERS_PATH}views/", **form))
    with services.db.reading() as session:
        return f"view:{session.scalars(select(SavedView.public_id)).one()}"


def shared_view(services: Services) -> str:
    with services.db.writing() as session:
        staff = Staff.get_by_email(session, ADMIN)
        view = SavedView.create(session, staff, "Open", {"status": "pending"}, is_shared=True)
        session.flush()
        return view.public_id


def rename_view(services: Services, console: ConsoleClient) -> str:
    view = shared_view(services)
    succeed(console.submit(f"{ORDERS_PATH}views/{view}", name="Waiting", is_shared="1"))
    return f"view:{view}"


def delete_view(services: Services, console: ConsoleClient) -> str:
    view = shared_view(services)
    succeed(console.submit(f"{ORDERS_PATH}views/{view}/delete"))
    return f"view:{view}"


def marking_task(services: Services) -> tuple[str, str]:
    """Return an order, and the page of its answer that waits for a mark."""
    order_id = marking_factories.submit_texts(services, marking_factories.LETTER)
    [task_id] = marking_factories.task_ids(services, order_id).values()
    return f"order:{order_id}", f"/console/marking/{task_id}/"


def take_answer(services: Services, console: ConsoleClient) -> str:
    subject, path = marking_task(services)
    console.submit(f"{path}claim", page=path)
    return subject


def take_next_answer(services: Services, console: ConsoleClient) -> str:
    subject, _ = marking_task(services)
    console.submit("/console/marking/next")
    return subject


def give_answer_back(services: Services, console: ConsoleClient) -> str:
    subject, path = marking_task(services)
    console.submit(f"{path}release", page=path)
    return subject


def mark_answer(services: Services, console: ConsoleClient) -> str:
    subject, path = marking_task(services)
    console.submit(path, page=path, points="5")
    return subject


def decide_between_marks(services: Services, console: ConsoleClient) -> str:
    letter, settings = marking_factories.LETTER, {"markers": 2}
    order_id = marking_factories.submit_texts(services, letter, marking=settings)
    [task_id] = marking_factories.task_ids(services, order_id).values()
    for marker, points in ((marking_factories.ANA, 1), (marking_factories.BEN, 9)):
        marking_factories.mark(services, task_id, marker, points)
    path = f"/console/marking/{task_id}/"
    console.submit(path, page=path, points="5", decision="yes")
    return f"order:{order_id}"


def answer_second_look(services: Services, console: ConsoleClient) -> str:
    order_id, path = marking_factories.ask_second_look(services)
    console.submit(path, page=path, decision="keep", reply="The marks are right")
    return f"order:{order_id}"


def rate_answer(services: Services, console: ConsoleClient) -> str:
    interview, _ = interview_factories.submitted_interview(services)
    assert rate(console, interview, "why", 3) == 303
    return f"order:{interview}"


def complete_interview(services: Services, console: ConsoleClient) -> str:
    interview, _ = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3, reviewer=ADMIN)
    token = read_edit_token(console, interview)
    succeed(console.submit(f"{interview_path(interview)}/complete", edit_token=token))
    return f"order:{interview}"


CAPTIONS = {"text": "WEBVTT\n\n00:00.000 --> 00:01.000\nHello", "language": "en"}


def post_review(
    services: Services,
    console: ConsoleClient,
    path: str,
    before: Callable[[Session, Interview], object] = lambda session, interview: None,
    **fields: str,
) -> str:
    """Submit a form of an interview's page; `before` prepares the interview.

    In the path, `{recording}` is its first answer, and `{note}` the first note at a time.
    """
    interview, recordings = interview_factories.submitted_interview(services)
    interview_factories.rate_answers(services, interview, 5, 4, 3, reviewer=ADMIN)
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        before(session, order)
        session.flush()
        notes = [note.public_id for take in order.recordings for note in take.time_notes]
    page = interview_path(interview)
    path = path.format(recording=recordings[1], note="".join(notes))
    succeed(console.submit(f"{page}/{path}", page=page, **fields))
    return f"order:{interview}"


def add_time_note(_: Session, interview: Interview) -> None:
    take = interview.selected_recording("why")
    assert take
    note = TimeNote(seconds=1, text="x", actor=ADMIN, created_at=take.created_at)
    take.time_notes.append(note)


def add_captions(_: Session, interview: Interview) -> None:
    take = interview.selected_recording("why")
    assert take
    save_captions(take, CAPTIONS["text"], "en", STAFF, ADMIN, take.created_at)


submit_scorecard = partial(post_review, path="scorecard/submit")
take_scorecard_back = partial(
    post_review,
    path="scorecard/take-back",
    before=lambda session, order: order.submit_scorecard(session, ADMIN, order.placed_at),
)
withdraw_reviewer = partial(
    post_review,
    path="reviewers/withdraw",
    before=lambda session, order: order.assign(session, ADMIN, ADMIN, order.placed_at),
    reviewer="admin@provider.test",
)
delete_note = partial(post_review, path="notes/{recording}/{note}/delete", before=add_time_note)
delete_captions = partial(post_review, path="captions/{recording}/delete", before=add_captions)


def request_captions(services: Services, console: ConsoleClient) -> str:
    object.__setattr__(services.settings, "speech_engine", "moonshine")
    return post_review(services, console, "captions")


def show_candidate_details(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    succeed(console.submit(check_path(check_id, "details"), reason="screening", all="yes"))
    return f"order:{check_id}"


def answer_dispute(services: Services, console: ConsoleClient) -> str:
    check_id = check_factories.completed_check(services)
    dispute_id = check_status_factories.dispute(services, check_id)
    path = f"/console/disputes/{dispute_id}/"
    succeed(console.submit(path, answer="We looked again", outcome="upheld"))
    return f"order:{check_id}"


def download_evidence(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    console.submit(check_path(check_id, "consent.pdf"), page=check_path(check_id))
    return f"order:{check_id}"


def act_on_document(services: Services, console: ConsoleClient, act: str, **form: str) -> str:
    check_id = check_document_factories.place_check(services)
    document_id = check_document_factories.send_document(services, check_id)
    check_factories.give_consent(services, check_id)
    path = check_path(check_id, f"documents/{document_id}")
    succeed(console.submit(f"{path}/{act}", page=path, **form))
    return f"order:{check_id}"


def save_outcomes(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    succeed(submit_form(console, check_id, "outcomes", **outcome_form()))
    return f"order:{check_id}"


def complete_check(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    check_factories.record_findings(services, check_id)
    succeed(submit_form(console, check_id, "complete", "complete"))
    return f"order:{check_id}"


def second_person(path: str, **form: str) -> Act:
    """Answer what a colleague has proposed."""

    def act(services: Services, console: ConsoleClient) -> str:
        check_id = consented_check(services)
        check_factories.record_findings(services, check_id)
        check_decision_factories.set_option(services, "second_person", "always")
        with services.db.writing() as session:
            check = Check.find(session, check_id)
            complete(session, services.secret_box, check, COLLEAGUE, services.now())
        succeed(console.submit(check_path(check_id, path), **form))
        return f"order:{check_id}"

    return act


def propose_to_second_person(services: Services, console: ConsoleClient) -> str:
    check_id = consented_check(services)
    check_factories.record_findings(services, check_id)
    check_decision_factories.set_option(services, "second_person", "always")
    succeed(submit_form(console, check_id, "complete", "complete"))
    return f"order:{check_id}"


def correct_outcome(rule: str) -> Act:
    def act(services: Services, console: ConsoleClient) -> str:
        check_id = check_factories.completed_check(services)
        check_decision_factories.set_option(services, "second_person", rule)
        path = check_path(check_id, "revise/jobs")
        seen = console.read_field(path, "seen")
        form = {"status": "clear", "reason": "The employer was wrong"}
        succeed(console.submit(path, seen=seen, **form))
        return f"order:{check_id}"

    return act


def act_on_notice(path: str, *earlier: str, **form: str) -> Act:
    """Begin an adverse action, do what is `earlier`, and then the act."""

    def act(services: Services, console: ConsoleClient) -> str:
        check_id = check_decision_factories.consider_check(services)
        now = services.now() - timedelta(days=30 if "long ago" in earlier else 0)
        with services.db.writing() as session:
            check = Check.find(session, check_id)
            if "begin" in earlier:
                begin(session, services.secret_box, check, "us", 5, "", COLLEAGUE, now)
            if "suspend" in earlier:
                suspend(session, check, COLLEAGUE, now)
            if "bounce" in earlier:
                check.record_bounce(session, "x", "pre_adverse", "550", now)
                form["notice"] = check.adverse_actions[0].notices[0].public_id
        succeed(console.submit(check_path(check_id, f"adverse/{path}"), **form))
        return f"order:{check_id}"

    return act


def change_matrix(path: str, *earlier: str, **form: str) -> Act:
    """Do what is `earlier` with the draft of an account's rules, and then the act."""

    def act(services: Services, console: ConsoleClient) -> str:
        subject, _ = create_connection(services)
        with services.db.writing() as session:
            account_id = session.scalars(select(Account.id)).one()
            rules = check_decision_factories.RULES
            if "save" in earlier:
                save_draft(session, account_id, rules, COLLEAGUE, services.now())
            if "activate" in earlier:
                activate_draft(session, account_id, COLLEAGUE, services.now())
        page = f"/console/accounts/{subject.partition(':')[2]}/adjudication/"
        seen = console.read_field(page, "seen")
        succeed(console.submit(page + path, seen=seen, **form))
        return subject

    return act


def change_notice_text(services: Services, console: ConsoleClient) -> str:
    return account_page(services, console, "notices/pre_adverse", text="Dear {candidate},")


def end_notice_text(services: Services, console: ConsoleClient) -> str:
    subject, _ = create_connection(services)
    with services.db.writing() as session:
        account_id = session.scalars(select(Account.id)).one()
        save_text(session, account_id, "pre_adverse", "Hello", COLLEAGUE, services.now())
    page = f"/console/accounts/{subject.partition(':')[2]}/notices/pre_adverse"
    seen = console.read_field(page, "seen")
    succeed(console.submit(f"{page}/end", page=page, seen=seen))
    return subject


def close_renewal(services: Services, console: ConsoleClient) -> str:
    package = check_factories.create_package(services, valid_months=1)
    check_id = check_factories.completed_check(services, product_id=package)
    succeed(console.submit(f"/console/renewals/{check_id}/close"))
    return f"order:{check_id}"


def requeue(services: Services, console: ConsoleClient) -> str:
    message_id = failed_delivery(services)
    succeed(console.submit(f"/console/deliveries/{message_id}/again"))
    return f"delivery:{message_id}"


def requeue_all(services: Services, console: ConsoleClient) -> str:
    message_id = failed_delivery(services)
    succeed(console.submit("/console/deliveries/again"))
    return f"delivery:{message_id}"


def probe(services: Services, console: ConsoleClient) -> str:
    pause(services, "account/1/callback")
    succeed(console.submit("/console/deliveries/try", subject="account/1/callback"))
    return "pause:account/1/callback"


def publish_product(services: Services, console: ConsoleClient) -> str:
    content = factories.TEST_CONTENT
    product_id = factories.create_product(
        services, "assessment", content, "new", "New", publish=False
    )
    assert perform_product_action(console, product_id, "publish")[0] == 302
    return f"product:{product_id}"


def create_new_product(services: Services, console: ConsoleClient) -> str:
    response = console.submit("/console/products/new", kind="check", name="Quick check")
    return f"product:{response.location.split('/')[3]}"


def edit_draft(path: str, **fields: str) -> Act:
    def act(services: Services, console: ConsoleClient) -> str:
        product_id = factories.create_test(services)
        page = f"/console/products/{product_id}/edit/{path}"
        if "/" in path:
            fields["seen"] = console.read_field(page, "seen")
        succeed(console.submit(page, **fields))
        return f"product:{product_id}"

    return act


def upload_draft(services: Services, console: ConsoleClient) -> str:
    product_id = factories.create_interview(services)
    file = (io.BytesIO(PRODUCT_FILE.encode()), "a.yaml")
    page = f"/console/products/{product_id}/edit"
    match = re.search(r'name="seen" value="([0-9a-f]{16})"', console.get_text(page))
    assert match
    succeed(console.submit(f"{page}/upload", seen=match[1], file=file))
    return f"product:{product_id}"


def discard_draft(services: Services, console: ConsoleClient) -> str:
    return drafted_product(services, console, "discard")


def publish_draft(services: Services, console: ConsoleClient) -> str:
    return drafted_product(services, console, "publish")


def drafted_product(services: Services, console: ConsoleClient, act: str) -> str:
    """Discard or publish a draft of a colleague."""
    product_id = factories.create_test(services)
    with services.db.writing() as session:
        product = Product.find(session, product_id)
        content = {**product.versions[-1].content, "time_limit": 7}
        change_draft(session, product, lambda _: content, COLLEAGUE, services.now())
    page = f"/console/products/{product_id}/edit/{act}"
    succeed(console.submit(page, seen=console.read_field(page, "seen")))
    return f"product:{product_id}"


def archive_product(services: Services, console: ConsoleClient) -> str:
    product_id = factories.create_test(services)
    assert perform_product_action(console, product_id, "archive")[0] == 302
    return f"product:{product_id}"


def extend_running_attempts(services: Services, console: ConsoleClient) -> str:
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product_id)
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    succeed(console.submit(f"/console/products/{product_id}/running/", minutes="5"))
    return f"product:{product_id}"


def create_connection(
    services: Services, ats: str = "greenhouse", **options: str
) -> tuple[str, str]:
    """Return the subject of an account with an API, and the path of its connection's page."""
    factories.create_test(services)
    account_id, _ = factories.create_account(services, ats=ats, options=options)
    with services.db.reading() as session:
        public_id = session.get_one(Account, account_id).public_id
    return f"account:{public_id}", f"/console/accounts/{public_id}/connection"


def create_rule(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services)
    with services.db.reading() as session:
        product = session.scalars(select(Product.public_id)).one()
    form = {"fact-stage": "88", "product": product, "act": "add"}
    succeed(console.submit(f"{path}/rules", page=path, **form))
    return subject


def store_rule(services: Services) -> tuple[str, str]:
    """Return the subject and the path of an account with the rule 1."""
    subject, path = create_connection(services)
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        product = session.scalars(select(Product)).one()
        match = {"stage": "88"}
        now = services.now()
        add_rule(session, account, product, match, once=True, backfills=False, now=now)
    return subject, path


def remove_rule(services: Services, console: ConsoleClient) -> str:
    subject, path = store_rule(services)
    succeed(console.submit(f"{path}/rules/1/remove", page=path))
    return subject


def resume_rules(services: Services, console: ConsoleClient) -> str:
    subject, path = store_rule(services)
    with services.db.writing() as session:
        session.execute(update(SourceCursor).values(stopped_reason="very many orders"))
    succeed(console.submit(f"{path}/resume", page=path))
    return subject


def check_connection(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services)
    response = console.submit(f"{path}/check", page=path)
    assert "No callback has failed" in response.text
    return subject


def disconnect_account(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services, harvest_auth="code")
    response = console.submit(f"{path}/disconnect", page=path)
    assert "no token is known here" in response.text
    return subject


def choose_member(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services, ats="workable")
    succeed(console.submit(f"{path}/settings", page=path, name="member_id", value="3247e8c7"))
    return subject


def ask_consent(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services, harvest_auth="code")
    assert "Go on to Greenhouse" in console.submit(f"{path}/consent", page=path).text
    return subject


def account_page(services: Services, console: ConsoleClient, page: str, **form: str) -> str:
    """Create an account and submit the form of one of its pages; return its subject."""
    subject, _ = create_connection(services)
    path = f"/console/accounts/{subject.partition(':')[2]}/{page}"
    seen = re.search(r'name="seen" value="(\w+)"', console.client.get(path).text)
    succeed(console.submit(path, seen=seen[1] if seen else "", **form))
    return subject


def create_account(services: Services, console: ConsoleClient) -> str:
    path = "/console/accounts/new?ats=workable"
    assert console.submit(path, page=path, name="Groove Tech").status_code == 201
    with services.db.reading() as session:
        return f"account:{session.scalars(select(Account.public_id)).one()}"


def change_account(services: Services, console: ConsoleClient) -> str:
    return account_page(services, console, "settings", timezone="Europe/Athens")


def change_account_email(services: Services, console: ConsoleClient) -> str:
    return account_page(services, console, "emails/invitation/de", subject="Ihr {product}")


def send_sample_email(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services)
    succeed(console.submit(path.replace("connection", "emails/invitation/de/sample")))
    return subject


def change_account_products(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services)
    with services.db.reading() as session:
        product = session.scalars(select(Product.public_id)).one()
    path = path.replace("connection", "products")
    seen = re.search(r'name="seen" value="(\w+)"', console.client.get(path).text)
    assert seen
    succeed(console.submit(path, choice="only", product=product, seen=seen[1]))
    return subject


def score_attempts_again(services: Services, console: ConsoleClient) -> str:
    _, path = complete_wrong_order(services).split()
    succeed(console.submit(path, page=f"{path}?preview=yes", reason="The key was wrong"))
    return f"product:{path.split('/')[3]}"


def import_product(services: Services, console: ConsoleClient) -> str:
    response = import_file(console, PRODUCT_FILE)
    succeed(response)
    return f"product:{response.location.rpartition('/')[2]}"


def change_account_logo(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services)
    file = (io.BytesIO(make_png()), "logo.png")
    succeed(console.submit(path.replace("connection", "logo"), logo=file))
    return subject


def issue_account_token(services: Services, console: ConsoleClient) -> str:
    subject, path = create_connection(services)
    assert console.submit(path.replace("connection", "tokens")).status_code == 201
    return subject


def revoke_account_token(services: Services, console: ConsoleClient) -> str:
    return account_page(services, console, "tokens/1/revoke")


def change_account_secret(services: Services, console: ConsoleClient) -> str:
    return account_page(services, console, "secrets", key="webhook_secret", value="kept-secret")


def change_callback_token(services: Services, console: ConsoleClient) -> str:
    return account_page(services, console, "secrets", key="callback_token", value="kept-secret")


def sign_in(services: Services, console: ConsoleClient) -> str:
    succeed(console.sign_in("sam@provider.test", factories.create_staff(services)))
    return "staff:sam@provider.test"


def fail_sign_in(services: Services, console: ConsoleClient) -> str:
    assert console.sign_in(ADMIN, "not the password").status_code == 403
    return f"staff:{ADMIN}"


def create_colleague(services: Services) -> int:
    """Return the number of a viewer who is not signed in."""
    factories.create_staff(services, COLLEAGUE, "viewer")
    with services.db.reading() as session:
        return session.scalars(select(Staff.id).where(Staff.email == COLLEAGUE)).one()


def change_colleague(act: str, **form: str) -> Act:
    def perform(services: Services, console: ConsoleClient) -> str:
        number = create_colleague(services)
        succeed(console.submit(f"/console/staff/{number}/{act}", **form))
        return f"staff:{COLLEAGUE}"

    return perform


def limit_colleague(services: Services, console: ConsoleClient) -> str:
    account_id, _ = factories.create_account(services, "Limit Ltd")
    with services.db.reading() as session:
        account = session.get_one(Account, account_id).public_id
    return change_colleague("accounts", choice="only", account=account)(services, console)


def enable_colleague(services: Services, console: ConsoleClient) -> str:
    number = create_colleague(services)
    with services.db.writing() as session:
        session.get_one(Staff, number).disabled_at = services.now()
    succeed(console.submit(f"/console/staff/{number}/enable"))
    return f"staff:{COLLEAGUE}"


def remove_second_step_of_colleague(services: Services, console: ConsoleClient) -> str:
    number = create_colleague(services)
    set_up_second_step(services, COLLEAGUE)
    succeed(console.submit(f"/console/staff/{number}/remove-second-step"))
    return f"staff:{COLLEAGUE}"


def invite_colleague(services: Services, console: ConsoleClient) -> str:
    form = {"email": COLLEAGUE, "role": "viewer"}
    succeed(console.submit("/console/staff/invite", **form))
    return f"staff:{COLLEAGUE}"


def withdraw_invitation(services: Services, console: ConsoleClient) -> str:
    link_id, _ = send_link(
        services, lambda s, box, now: invite(s, box, COLLEAGUE, "viewer", ADMIN, now)
    )
    succeed(console.submit(f"/console/staff/invitations/{link_id}/withdraw"))
    return f"staff:{COLLEAGUE}"


def send_link(services: Services, send: Callable[..., StaffLink | None]) -> tuple[str, str]:
    """Return the public id and the token of a link to the staff."""
    with services.db.writing() as session:
        link = send(session, services.secret_box, services.now())
        assert link
        return link.public_id, link.get_token(services.secret_box)


def forget_password(services: Services, console: ConsoleClient) -> str:
    create_colleague(services)
    console.submit("/console/password", email=COLLEAGUE)
    return f"staff:{COLLEAGUE}"


def reset_password(services: Services, console: ConsoleClient) -> str:
    create_colleague(services)
    _, token = send_link(services, lambda s, box, now: send_reset(s, box, COLLEAGUE, now))
    path = f"/console/password/{token}"
    succeed(console.submit(path, password=NEW_PASSWORD, repeated=NEW_PASSWORD))
    return f"staff:{COLLEAGUE}"


def join(services: Services, console: ConsoleClient) -> str:
    _, token = send_link(
        services, lambda s, box, now: invite(s, box, COLLEAGUE, "viewer", ADMIN, now)
    )
    path = f"/console/join/{token}"
    succeed(console.submit(path, password=NEW_PASSWORD, repeated=NEW_PASSWORD))
    return f"staff:{COLLEAGUE}"


def set_own_password(services: Services) -> None:
    with services.db.writing() as session:
        Staff.get_by_email(session, ADMIN).password_hash = hash_password(OLD_PASSWORD, ADMIN)


def change_own_password(services: Services, console: ConsoleClient) -> str:
    set_own_password(services)
    form = {"password": OLD_PASSWORD, "new": NEW_PASSWORD, "repeated": NEW_PASSWORD}
    succeed(console.submit("/console/me/password", **form))
    return f"staff:{ADMIN}"


def add_second_step(services: Services, console: ConsoleClient) -> str:
    path = "/console/me/second-step"
    key = re.search(r'console-key">(\w+)<', console.get_text(path))
    assert key
    response = console.submit(path, code=pyotp.TOTP(key[1]).at(services.now()))
    assert response.status_code == 200
    return f"staff:{ADMIN}"


def remove_second_step(services: Services, console: ConsoleClient) -> str:
    set_own_password(services)
    set_up_second_step(services, ADMIN)
    succeed(console.submit("/console/me/second-step/remove", password=OLD_PASSWORD))
    return f"staff:{ADMIN}"


def renew_recovery_codes(services: Services, console: ConsoleClient) -> str:
    set_own_password(services)
    set_up_second_step(services, ADMIN)
    path = "/console/me/recovery-codes"
    assert console.submit(path, password=OLD_PASSWORD).status_code == 200
    return f"staff:{ADMIN}"


def end_session(services: Services, console: ConsoleClient) -> str:
    with services.db.writing() as session:
        staff = Staff.get_by_email(session, ADMIN)
        row = StaffSession(
            staff=staff,
            token_hash=b"another browser",
            created_at=services.now(),
            expires_at=services.now() + timedelta(hours=1),
        )
        session.add(row)
        session.flush()
        number = row.id
    succeed(console.submit(f"/console/me/sessions/{number}/end"))
    return f"staff:{ADMIN}"


def fail_second_step(services: Services, console: ConsoleClient) -> str:
    waiting_for_code(services, console)
    assert console.submit(CODE_PATH, page=CODE_PATH, code="000000").status_code == 403
    return "staff:sam@provider.test"


def complete_second_step(services: Services, console: ConsoleClient) -> str:
    codes = waiting_for_code(services, console)
    succeed(console.submit(CODE_PATH, page=CODE_PATH, code=codes[0]))
    return "staff:sam@provider.test"


def waiting_for_code(services: Services, console: ConsoleClient) -> list[str]:
    """Sign in with the password alone; return recovery codes."""
    password = factories.create_staff(services)
    codes = set_up_second_step(services, "sam@provider.test")
    succeed(console.sign_in("sam@provider.test", password))
    return codes


def sign_in_with_passkey(services: Services, console: ConsoleClient) -> str:
    factories.create_staff(services)
    device, browser = Device(), PasskeyClient(services)
    store_passkey(services, device)
    succeed(browser.finish(device.get(browser.begin())))
    return "staff:sam@provider.test"


def fail_passkey(services: Services, console: ConsoleClient) -> str:
    factories.create_staff(services)
    device, browser = Device(), PasskeyClient(services)
    store_passkey(services, device)
    device.flags = PRESENT
    assert browser.finish(device.get(browser.begin())).status_code == 403
    return "staff:sam@provider.test"


def add_passkey(services: Services, console: ConsoleClient) -> str:
    set_own_password(services)
    assert passkey_browser(services, console).add(Device(), OLD_PASSWORD).status_code == 302
    return f"staff:{ADMIN}"


def remove_passkey(services: Services, console: ConsoleClient) -> str:
    set_own_password(services)
    number = store_passkey(services, Device(), ADMIN)
    browser = passkey_browser(services, console)
    succeed(browser.post(f"{ME}passkeys/{number}/remove", ME, password=OLD_PASSWORD))
    return f"staff:{ADMIN}"


def passkey_browser(services: Services, console: ConsoleClient) -> PasskeyClient:
    """Return a browser behind https with the session of the console's."""
    browser, cookie = PasskeyClient(services), console.client.get_cookie("staff")
    assert cookie
    browser.client.set_cookie("__Host-staff", cookie.value, domain=HOST)
    return browser


def remove_passkeys_of_colleague(services: Services, console: ConsoleClient) -> str:
    number = create_colleague(services)
    store_passkey(services, Device(), COLLEAGUE)
    succeed(console.submit(f"/console/staff/{number}/remove-passkeys"))
    return f"staff:{COLLEAGUE}"


def offboard(step: str, *, is_disabled: bool = True, is_exported: bool = False) -> Act:
    """Take a step of an offboarding; the steps before it are in the tables."""

    def perform(services: Services, console: ConsoleClient) -> str:
        account_id, _ = factories.create_account(services)
        with services.db.writing() as session:
            account = session.get_one(Account, account_id)
            public_id, now = account.public_id, services.now()
            if is_disabled:
                row = disable_account(session, account, ADMIN, now, cancels_orders=False)
                row.exported_at = now if is_exported else None
                row.export_key = f"exports/{public_id}/export.zip" if is_exported else ""
        if is_exported:
            services.media.put(f"exports/{public_id}/export.zip", [b"zip"])
        path = f"/console/accounts/{public_id}/offboarding/"
        succeed(console.submit(f"{path}{step}", page=path, name="Groove Tech"))
        return f"account:{public_id}"

    return perform


def act_on_alert(act: str, **form: str) -> Act:
    def perform(services: Services, console: ConsoleClient) -> str:
        alert_id = open_alert(services)
        succeed(console.submit(f"/console/alerts/{alert_id}/{act}", **form))
        return f"alert:{alert_id}"

    return perform


def choose_own_alerts(services: Services, console: ConsoleClient) -> str:
    succeed(console.submit("/console/me/alerts"))
    return f"staff:{ADMIN}"


def choose_own_marking_emails(services: Services, console: ConsoleClient) -> str:
    succeed(console.submit("/console/me/marking-emails", marking="on"))
    return f"staff:{ADMIN}"


def correct_own_mark(services: Services, console: ConsoleClient) -> str:
    order_id = marking_factories.submit_texts(services, marking_factories.LETTER)
    task_id = marking_factories.task_ids(services, order_id)["letter"]
    path = f"/console/marking/{task_id}/"
    marking_factories.mark(services, task_id, ADMIN, 4)
    succeed(console.submit(f"{path}correction", page=path, points="6", reason="I read it again"))
    return f"order:{order_id}"


def sign_out(services: Services, console: ConsoleClient) -> str:
    succeed(console.submit("/console/sign-out"))
    return f"staff:{ADMIN}"


def outside_act(act: str) -> Act:
    """Return an act on a screening that referees or a vendor do."""

    def perform(services: Services, console: ConsoleClient) -> str:
        public_id = check_outside_factories.place_consented_check(
            services, REFEREE_SCREENING, VENDOR_SCREENING
        )
        path, form = f"/console/checks/{public_id}/outside/", {}
        if act == "ask":
            path += "references/referees"
            form = {"name": "Jo", "email": "jo@old.example"}
        elif act == "revoke":
            request = check_outside_factories.read_requests(services, public_id)[0]
            path += f"requests/{request.public_id}/revoke"
        else:
            path += f"record/{act}"
        if act == "again":
            with services.db.writing() as session:
                check = Check.find(session, public_id)
                vendor_order = session.scalars(select(VendorOrder)).one()
                record_failure(session, check, vendor_order, "Refused", services.now())
        succeed(console.submit(path, **form))
        return f"order:{public_id}"

    return perform


def connector_act(act: str) -> Act:
    """Return an act on a connector."""

    def perform(services: Services, console: ConsoleClient) -> str:
        account_id, _ = factories.create_account(services)
        connector = check_outside_factories.create_connector(services, account_id)
        with services.db.writing() as session:
            account = session.get_one(Account, account_id).public_id
            if act == "on":
                session.scalars(select(Connector)).one().disabled_at = services.now()
        path = f"/console/accounts/{account}/connectors/"
        form: dict[str, str] = {}
        if act in ("new", "edit"):
            path += act if act == "new" else f"{connector}/edit"
            form = check_outside_factories.CONNECTOR_FORM | {"key": "other"}
        elif act in ("on", "off"):
            path, form = f"{path}{connector}/switch", {"act": act}
        else:
            path += f"{connector}/{act}"
        assert console.submit(path, **form).status_code in (200, 201, 302)
        return f"account:{account}"

    return perform


# Endpoint of a view that accepts POST → its acts and their actions.
CASES: Mapping[str, Mapping[Action, Act]] = {
    "order_actions.perform": {
        Action.ORDER_CANCELLED: cancel_order,
        Action.ORDER_REOPENED: reopen_order,
        Action.ORDER_RETAKEN: retake_test,
        Action.ORDER_RETAKE_ALLOWED: allow_retake,
        Action.ORDER_ATTEMPT_ENDED: end_attempt,
        Action.ORDER_EXTRA_TIME_GIVEN: give_extra_time,
        Action.ORDER_ACCOMMODATION_DECIDED: decide_about_accommodation,
        Action.ORDER_EXTENDED: extend_deadline,
        Action.ORDER_CANDIDATE_CORRECTED: correct_candidate,
        Action.ORDER_INVITATION_RESENT: resend_invitation,
        Action.ORDER_HELD: hold_order,
        Action.ORDER_RELEASED: release_order,
        Action.DELIVERY_SENT_AGAIN: redeliver_order,
    },
    "order_erasure.erase": {Action.ORDER_ERASED: erase_order},
    "bulk_actions.perform": {Action.ORDERS_CHANGED: cancel_in_bulk},
    "bulk_runs.stop": {Action.ORDERS_CHANGE_STOPPED: stop_in_bulk},
    "bulk_runs.undo": {Action.ORDERS_CHANGE_UNDONE: undo_in_bulk},
    "order_actions.show_link": {Action.ORDER_LINK_SHOWN: show_link},
    "order_export.download": {Action.ORDERS_EXPORTED: export_orders},
    "saved_views.create": {Action.SAVED_VIEW_SHARED: share_view},
    "saved_views.change": {Action.SAVED_VIEW_CHANGED: rename_view},
    "saved_views.delete": {Action.SAVED_VIEW_DELETED: delete_view},
    "marking.take_next": {Action.MARKING_CLAIMED: take_next_answer},
    "marking.take": {Action.MARKING_CLAIMED: take_answer},
    "marking.give_back": {Action.MARKING_RELEASED: give_answer_back},
    "marking.save": {
        Action.ANSWER_MARKED: mark_answer,
        Action.MARKS_RECONCILED: decide_between_marks,
    },
    "marking.correct": {Action.MARK_CORRECTED: correct_own_mark},
    "second_looks.save": {Action.SECOND_LOOK_ANSWERED: answer_second_look},
    "interviews.reviews.save_rating": {Action.INTERVIEW_RATED: rate_answer},
    "interviews.reviews.save_overall": {
        Action.INTERVIEW_RATED: partial(post_review, path="overall", value="3", based_on="0")
    },
    "interviews.reviews.submit_scorecard": {Action.SCORECARD_SUBMITTED: submit_scorecard},
    "interviews.reviews.take_back_scorecard": {Action.SCORECARD_TAKEN_BACK: take_scorecard_back},
    "interviews.reviews.observe": {Action.SCORECARDS_SHOWN: partial(post_review, path="observe")},
    "interviews.reviews.assign": {
        Action.REVIEWER_ASSIGNED: partial(
            post_review, path="reviewers", reviewer="admin@provider.test"
        )
    },
    "interviews.reviews.unassign": {Action.REVIEWER_WITHDRAWN: withdraw_reviewer},
    "interviews.reviews.add_note": {
        Action.INTERVIEW_NOTED: partial(
            post_review, path="notes/{recording}", time="0:01", text="x"
        )
    },
    "interviews.reviews.delete_note": {Action.INTERVIEW_NOTED: delete_note},
    "interviews.completion.complete": {Action.INTERVIEW_COMPLETED: complete_interview},
    "interviews.captioning.save": {
        Action.CAPTIONS_SAVED: partial(
            post_review, path="captions/{recording}", text=CAPTIONS["text"], language="en"
        )
    },
    "interviews.captioning.delete": {Action.CAPTIONS_DELETED: delete_captions},
    "interviews.captioning.transcribe": {Action.CAPTIONS_REQUESTED: request_captions},
    "checks.consent.download_evidence": {Action.CHECK_EVIDENCE_DOWNLOADED: download_evidence},
    "checks.documents.open_document": {
        Action.CHECK_DOCUMENT_OPENED: partial(act_on_document, act="open", reason="screening")
    },
    "checks.documents.ask_for_another": {
        Action.CHECK_DOCUMENT_REFUSED: partial(act_on_document, act="ask-again")
    },
    "checks.details.reveal": {Action.CHECK_DETAILS_SHOWN: show_candidate_details},
    "disputes.save": {Action.CHECK_DISPUTE_ANSWERED: answer_dispute},
    "checks.save_outcomes": {Action.CHECK_OUTCOMES_SAVED: save_outcomes},
    "checks.work.take": {Action.SCREENING_CLAIMED: partial(work_on_screening, "claim")},
    "checks.work.pass_on": {
        Action.SCREENING_HANDED_OVER: partial(
            work_on_screening, "hand-over", assignee=ADMIN, seen=""
        )
    },
    "checks.work.release": {Action.SCREENING_GIVEN_BACK: give_screening_back},
    "checks.work.save_outcome": {
        Action.CHECK_OUTCOMES_SAVED: partial(work_on_screening, "outcome", status="clear")
    },
    "checks.questions.create": {
        Action.CANDIDATE_ASKED: partial(work_on_screening, "questions/", question="Where?")
    },
    "checks.questions.take_back": {Action.QUESTION_WITHDRAWN: withdraw_question},
    "checks.records.create": {Action.RECORD_ADDED: add_record},
    "checks.records.correct": {Action.RECORD_CORRECTED: partial(change_record, "")},
    "checks.records.remove": {Action.RECORD_REMOVED: partial(change_record, "remove")},
    "checks.additions.create": {Action.SCREENING_ADDED: add_screening},
    "checks.complete": {
        Action.CHECK_COMPLETED: complete_check,
        Action.CHECK_DECISION_PROPOSED: propose_to_second_person,
    },
    "checks.decisions.confirm_proposal": {
        Action.CHECK_DECISION_CONFIRMED: second_person("confirm")
    },
    "checks.decisions.send_proposal_back": {
        Action.CHECK_DECISION_SENT_BACK: second_person("send-back", reason="Look again")
    },
    "checks.decisions.save_revision": {
        Action.CHECK_REVISED: correct_outcome("never"),
        Action.CHECK_DECISION_PROPOSED: correct_outcome("always"),
    },
    "checks.adverse.perform": {
        Action.ADVERSE_BEGUN: act_on_notice(
            "begin", jurisdiction="us", days="5", reason="The conviction"
        ),
        Action.ADVERSE_SUSPENDED: act_on_notice("suspend", "begin"),
        Action.ADVERSE_RESUMED: act_on_notice("resume", "begin", "suspend"),
        Action.ADVERSE_FINAL: act_on_notice("final", "begin", "long ago"),
        Action.ADVERSE_WITHDRAWN: act_on_notice("withdraw", "begin", reason="A mistake"),
    },
    "checks.adverse.deliver": {
        Action.NOTICE_SENT_AGAIN: act_on_notice("send-again", "begin", "bounce"),
        Action.NOTICE_HANDED_OVER: act_on_notice("other-way", "begin", "bounce", way="By post"),
    },
    "renewals.close": {Action.RENEWAL_CLOSED: close_renewal},
    "adjudication.save": {
        Action.ADJUDICATION_SAVED: change_matrix(
            "", **{"disposition-1": "clear", "severity-1": "low"}
        )
    },
    "adjudication.activate": {Action.ADJUDICATION_ACTIVATED: change_matrix("activate", "save")},
    "adjudication.retire": {
        Action.ADJUDICATION_RETIRED: change_matrix("retire", "save", "activate")
    },
    "notice_texts.save": {Action.NOTICE_TEXT_SAVED: change_notice_text},
    "notice_texts.end": {Action.NOTICE_TEXT_ENDED: end_notice_text},
    "checks.outside.ask": {Action.REFEREE_ASKED: outside_act("ask")},
    "checks.outside.revoke": {Action.REFEREE_REQUEST_REVOKED: outside_act("revoke")},
    "checks.outside.send_to_vendor_again": {
        Action.VENDOR_ORDER_SENT_AGAIN: outside_act("again"),
    },
    "checks.outside.take_over": {Action.SCREENING_TAKEN_OVER: outside_act("by-hand")},
    "deliveries.requeue": {Action.DELIVERY_SENT_AGAIN: requeue},
    "deliveries.requeue_all": {Action.DELIVERY_SENT_AGAIN: requeue_all},
    "deliveries.probe": {Action.PAUSE_PROBED: probe},
    "alerts.acknowledge": {Action.ALERT_ACKNOWLEDGED: act_on_alert("acknowledge")},
    "alerts.snooze": {Action.ALERT_SNOOZED: act_on_alert("snooze", until="8h")},
    "product_actions.perform": {
        Action.PRODUCT_PUBLISHED: publish_product,
        Action.PRODUCT_ARCHIVED: archive_product,
    },
    "rescoring.start": {Action.PRODUCT_RESCORED: score_attempts_again},
    "running_attempts.extend": {Action.PRODUCT_TIME_EXTENDED: extend_running_attempts},
    "product_import.perform": {Action.PRODUCT_IMPORTED: import_product},
    "product_creation.create": {Action.PRODUCT_CREATED: create_new_product},
    "editor.add": {Action.PRODUCT_EDITED: edit_draft("add", list="sections")},
    "editor.change": {Action.PRODUCT_EDITED: edit_draft("change", act="down sections.0")},
    "editor.remove": {Action.PRODUCT_EDITED: edit_draft("remove/sections.0")},
    "editor_entry.save": {Action.PRODUCT_EDITED: edit_draft("at/sections.0", title="New")},
    "editor_upload.perform": {Action.PRODUCT_EDITED: upload_draft},
    "editor.discard": {Action.PRODUCT_DRAFT_DISCARDED: discard_draft},
    "editor_publish.perform": {Action.PRODUCT_PUBLISHED: publish_draft},
    # A trial stores nothing.
    "assessment_trial.answer": {},
    # A video alone changes no draft: the form that names it does.
    "editor_pieces.begin": {},
    "editor_pieces.send_piece": {},
    "editor_pieces.finish": {},
    "account_creation.create": {Action.ACCOUNT_CREATED: create_account},
    "account_emails.send_sample": {Action.ACCOUNT_SAMPLE_SENT: send_sample_email},
    "account_emails.save": {Action.ACCOUNT_CHANGED: change_account_email},
    "account_settings.save": {Action.ACCOUNT_CHANGED: change_account},
    "account_settings.save_product_choice": {Action.ACCOUNT_CHANGED: change_account_products},
    "account_settings.save_logo": {Action.ACCOUNT_CHANGED: change_account_logo},
    "account_tokens.issue": {Action.ACCOUNT_TOKEN_CREATED: issue_account_token},
    "account_tokens.revoke": {Action.ACCOUNT_TOKEN_REVOKED: revoke_account_token},
    "account_tokens.save_secret": {
        Action.ACCOUNT_SECRET_CHANGED: change_account_secret,
        Action.ACCOUNT_CALLBACK_TOKEN_CHANGED: change_callback_token,
    },
    "connectors.create": {Action.CONNECTOR_CREATED: connector_act("new")},
    "connectors.save": {Action.CONNECTOR_CHANGED: connector_act("edit")},
    "connectors.replace_key": {Action.CONNECTOR_KEY_REPLACED: connector_act("key")},
    "connectors.send_test": {Action.CONNECTOR_TESTED: connector_act("test")},
    "connectors.switch": {
        Action.CONNECTOR_DISABLED: connector_act("off"),
        Action.CONNECTOR_ENABLED: connector_act("on"),
    },
    "connections.check": {Action.ACCOUNT_CHECKED: check_connection},
    "connections.ask_consent": {Action.ACCOUNT_CONSENT_ASKED: ask_consent},
    "connections.change_setting": {Action.ACCOUNT_CHANGED: choose_member},
    "connections.disconnect": {Action.ACCOUNT_DISCONNECTED: disconnect_account},
    "connections.create_rule": {Action.RULE_ADDED: create_rule},
    "connections.remove_rule": {Action.RULE_REMOVED: remove_rule},
    "connections.resume": {Action.RULES_RESUMED: resume_rules},
    "offboarding.perform": {
        Action.ACCOUNT_DISABLED: offboard("disable", is_disabled=False),
        Action.ACCOUNT_ENABLED: offboard("enable"),
        Action.ACCOUNT_EXPORT_REQUESTED: offboard("export"),
        Action.ACCOUNT_ERASURE_REQUESTED: offboard("erase", is_exported=True),
    },
    "offboarding.download": {
        Action.ACCOUNT_EXPORT_DOWNLOADED: offboard("download", is_exported=True)
    },
    "sign_in.sign_in": {
        Action.STAFF_SIGNED_IN: sign_in,
        Action.STAFF_SIGN_IN_FAILED: fail_sign_in,
    },
    "sign_in.second_step": {
        Action.STAFF_SIGNED_IN: complete_second_step,
        Action.STAFF_SIGN_IN_FAILED: fail_second_step,
    },
    "passwords.forgotten": {Action.STAFF_RESET_SENT: forget_password},
    "passwords.reset": {Action.STAFF_PASSWORD_CHANGED: reset_password},
    "passwords.join": {Action.STAFF_CREATED: join},
    "own_account.set_password": {Action.STAFF_PASSWORD_CHANGED: change_own_password},
    "own_account.set_up_second_step": {Action.STAFF_SECOND_STEP_ADDED: add_second_step},
    "own_account.renew_codes": {Action.STAFF_RECOVERY_CODES_RENEWED: renew_recovery_codes},
    "own_account.remove_second_step": {Action.STAFF_SECOND_STEP_REMOVED: remove_second_step},
    "own_account.end_session": {Action.STAFF_SESSION_ENDED: end_session},
    # A challenge changes nothing until its answer comes.
    "passkeys.begin_registration": {},
    "passkeys.begin_sign_in": {},
    "passkeys.add": {Action.STAFF_PASSKEY_ADDED: add_passkey},
    "passkeys.remove": {Action.STAFF_PASSKEY_REMOVED: remove_passkey},
    "passkeys.finish_sign_in": {
        Action.STAFF_SIGNED_IN: sign_in_with_passkey,
        Action.STAFF_SIGN_IN_FAILED: fail_passkey,
    },
    "own_account.choose_alerts": {Action.STAFF_ALERTS_CHANGED: choose_own_alerts},
    "people.choose_alerts": {Action.STAFF_ALERTS_CHANGED: change_colleague("alerts", alerts="on")},
    "own_account.choose_marking_emails": {
        Action.STAFF_MARKING_EMAILS_CHANGED: choose_own_marking_emails
    },
    "people.choose_marking_emails": {
        Action.STAFF_MARKING_EMAILS_CHANGED: change_colleague("marking-emails", marking="on")
    },
    "people.send_invitation": {Action.STAFF_INVITED: invite_colleague},
    "people.withdraw": {Action.STAFF_INVITATION_WITHDRAWN: withdraw_invitation},
    "people.set_role": {Action.STAFF_ROLE_CHANGED: change_colleague("role", role="support")},
    "people.set_accounts": {Action.STAFF_ACCOUNTS_CHANGED: limit_colleague},
    "people.perform": {
        Action.STAFF_DISABLED: change_colleague("disable"),
        Action.STAFF_ENABLED: enable_colleague,
        Action.STAFF_SESSION_ENDED: change_colleague("end-sessions"),
        Action.STAFF_SECOND_STEP_REMOVED: remove_second_step_of_colleague,
        Action.STAFF_PASSKEY_REMOVED: remove_passkeys_of_colleague,
    },
    "sign_in.sign_out": {Action.STAFF_SIGNED_OUT: sign_out},
}
ACTS = [
    pytest.param(action, act, id=f"{endpoint} {action}")
    for endpoint, acts in CASES.items()
    for action, act in acts.items()
]


def read_entries(services: Services) -> list[AuditEntry]:
    with services.db.reading() as session:
        return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def test_every_changing_route_has_a_case(pages_app: Flask) -> None:
    changing = {endpoint for endpoint, method, _ in console_routes(pages_app) if method != "GET"}
    assert changing == set(CASES)


@pytest.mark.parametrize(("action", "act"), ACTS)
def test_act_is_in_the_audit_log(
    services: Services, client: FlaskClient, action: Action, act: Act
) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    earlier = len(read_entries(services))
    subject = act(services, console)
    entries = read_entries(services)[earlier:]
    # A page that an act begins from is an act of reading, which has its own tests.
    (entry,) = [entry for entry in entries if entry.action != Action.CHECK_FINDINGS_SHOWN]
    actors = {
        Action.STAFF_SIGNED_IN: "sam@provider.test",
        Action.STAFF_SIGN_IN_FAILED: audit.SYSTEM,
        Action.STAFF_RESET_SENT: audit.SYSTEM,
    }
    actor = COLLEAGUE if act in (join, reset_password) else actors.get(action, ADMIN)
    assert (entry.actor, entry.action, entry.subject) == (actor, action, subject)


def test_entry_of_a_status_change_has_both_statuses(
    services: Services, client: FlaskClient
) -> None:
    cancel_order(services, ConsoleClient.signed_in(services, client))
    entry = read_entries(services)[-1]
    assert (entry.before, entry.after) == ({"status": "pending"}, {"status": "cancelled"})


def test_entries_contain_no_result_and_no_candidate(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client)
    save_outcomes(services, console)
    entry = read_entries(services)[-1]
    assert entry.after == {"screenings": ["identity", "jobs", "record"]}
    stored = f"{entry.subject} {entry.before} {entry.after}"
    with services.db.reading() as session:
        candidate = session.scalars(select(Order)).one().candidate
    for text in ("clear", "consider", candidate.email, candidate.last_name):
        assert text not in stored


def test_refused_act_leaves_no_entry(services: Services, client: FlaskClient) -> None:
    order_id = order(services)
    console = ConsoleClient.signed_in(services, client)
    earlier = len(read_entries(services))
    path = f"{ORDERS_PATH}{order_id}/cancel"
    assert console.submit(path, reason="The job is filled", seen="other").status_code == 409
    assert len(read_entries(services)) == earlier


# The page


def fill_log(services: Services, count: int) -> None:
    with services.db.writing() as session:
        for number in range(count):
            audit.record(
                session,
                f"staff{number % 2}@provider.test",
                Action.ORDER_CANCELLED if number % 3 else Action.ORDER_REOPENED,
                f"order:{number}",
                now=services.now(),
                after={"status": "cancelled"},
            )


def listed_subjects(page: str) -> list[str]:
    return re.findall(r"<code>(\d+)</code>", page)


def test_audit_page_shows_acts_in_words(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    order_id = cancel_order(services, console).removeprefix("order:")
    park(services, "1/callback/groove-tech.workable.com")
    succeed(console.submit("/console/deliveries/again"))
    page = console.get_text(PAGE)
    assert f'<a href="/console/orders/{order_id}"><code>{order_id}</code></a>' in page
    assert re.search(r'href="/console/deliveries/[\w-]{22}"><code>', page)
    changes = ("Status: Waiting → Cancelled", "State: Failed → Waiting")
    for text in ("Order cancelled", "Delivery sent again", *changes, ADMIN):
        assert text in page
    assert "parked" not in page


def test_audit_page_shows_settings_in_words_without_empty_ones(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client, "admin")
    fields = {"expire_after_seconds": 604800, "sandbox": False, "callback_rate": None, "newest": 2}
    with services.db.writing() as session:
        audit.record(
            session, ADMIN, Action.ACCOUNT_CREATED, "account:x", now=services.now(), after=fields
        )
    page = console.get_text(PAGE)
    for text in ("Time to start: 7 days", "Sandbox: no", "Newest version: 2"):
        assert text in page
    assert "Callback rate" not in page


def test_audit_page_filters_and_pages_by_key(
    services: Services, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "PAGE_SIZE", 4)
    console = ConsoleClient.signed_in(services, client, "admin")
    fill_log(services, 10)
    first = console.get_text(f"{PAGE}?actor=staff1@provider.test")
    assert listed_subjects(first) == ["9", "7", "5", "3"]
    next_url = page_link(first, "next")
    assert next_url
    assert listed_subjects(console.get_text(next_url)) == ["1"]
    assert listed_subjects(console.get_text(f"{PAGE}?action=order.reopened")) == list("9630")
    assert listed_subjects(console.get_text(f"{PAGE}?subject=order:7")) == ["7"]
    assert "No entry matches" in console.get_text(f"{PAGE}?subject=order:7%00x")
    console.get_text(f"{PAGE}?action=unknown", 400)


def test_audit_page_is_linked_only_for_those_who_may_see_it(
    services: Services, client: FlaskClient
) -> None:
    link = f'href="{PAGE}"'
    assert link not in ConsoleClient.signed_in(services, client).get_text(ORDERS_PATH)
    assert link in ConsoleClient.signed_in(services, client, "admin").get_text(ORDERS_PATH)
