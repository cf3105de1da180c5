"""What happens to orders at vendors: sending, answers, failures, and what staff do."""

import hashlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.detail_value import DetailValue
from provider.core.kinds.check.packages.screening_types import CONNECTOR
from provider.core.kinds.check.tables.connector import Connector, find_connector
from provider.core.kinds.check.tables.found_record import FoundRecord, RecordFacts
from provider.core.kinds.check.tables.screening_task import (
    ASKED,
    ERROR,
    IN_PROGRESS,
    SUBMITTED_TASK,
    ScreeningTask,
)
from provider.core.kinds.check.tables.vendor_order import (
    ANSWERED,
    AT_WORK,
    FAILED,
    MAX_ERROR_LENGTH,
    SENT,
    TO_SEND,
    WITHDRAWN,
    VendorOrder,
    VendorResult,
    find_vendor_order,
    list_vendor_orders,
)
from provider.core.kinds.check.vendors.vendor_answer import ERROR as VENDOR_ERROR
from provider.core.kinds.check.vendors.vendor_answer import IN_PROGRESS as VENDOR_AT_WORK
from provider.core.kinds.check.vendors.vendor_answer import (
    UnknownStatus,
    VendorAnswer,
    VendorRecord,
)
from provider.core.orders import CONSENTED
from provider.errors import Conflict, Invalid
from provider.storage import secrets
from provider.storage.secrets import SecretBox

VENDOR_ORDER_TOPIC = "vendor order"  # of the message that sends an order
# The simulator takes its first step after this time.
FIRST_STEP_DELAY = timedelta(seconds=5)
UNKNOWN_STATUS = "The connector does not say what the vendor’s status means"
VENDOR = "vendor"  # the actor of events


def order_at_vendor(
    session: Session, check: Check, task: ScreeningTask, actor: str, now: datetime
) -> None:
    """Begin the order of a new task, or fail the task if its connector is missing.

    Without a connector a sandbox has the simulator.
    """
    connector = find_connector(session, check.account_id, _screening(check, task).connector)
    vendor_order = VendorOrder(
        public_id=secrets.generate_public_id(),
        order_id=check.id,
        screening=task.key,
        connector=connector,
        state=TO_SEND,
        attempt=1,
        created_at=now,
    )
    session.add(vendor_order)
    _begin(session, check, task, vendor_order, actor, now)


def send_again(
    session: Session, check: Check, task: ScreeningTask, actor: str, now: datetime
) -> VendorOrder:
    """Begin a new attempt with a new key, after an error. Raises Conflict.

    The vendor gets nothing more about a screening that staff have taken over.
    """
    vendor_order = find_vendor_order(session, check.id, task.key)
    is_vendors = check.status == CONSENTED and task.is_open and task.performer == CONNECTOR
    if vendor_order is None or not is_vendors or vendor_order.state != FAILED:
        raise Conflict("Only a screening that has failed at the vendor can be sent again")
    key = _screening(check, task).connector
    vendor_order.connector = find_connector(session, check.account_id, key)
    vendor_order.attempt += 1
    vendor_order.state, vendor_order.last_error, vendor_order.polls = TO_SEND, "", 0
    vendor_order.reference, vendor_order.sent_at, vendor_order.answer_encrypted = "", None, None
    _begin(session, check, task, vendor_order, actor, now)
    return vendor_order


def withdraw_orders(session: Session, check: Check, screening: str = "") -> None:
    """Stop sending and polling for a check, or one screening. A later answer changes nothing."""
    for vendor_order in list_vendor_orders(session, check.id):
        if vendor_order.is_open and screening in ("", vendor_order.screening):
            vendor_order.state, vendor_order.next_poll_at = WITHDRAWN, None


def apply_answer(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    vendor_order: VendorOrder,
    answer: VendorAnswer,
    now: datetime,
    *,
    is_present_attempt: bool = True,
) -> bool:
    """Take an answer into account; return False for one that changes nothing.

    The caller has locked the check. Nothing goes backwards. Of an attempt before the present one
    only a result counts, and never its error.
    """
    task = _find_task(check, vendor_order)
    if task is None or not task.is_open or check.status != CONSENTED:
        vendor_order.next_poll_at = None
        return False
    if not is_present_attempt and not answer.is_result:
        return False
    if vendor_order.state == ANSWERED:
        _note_change(session, secret_box, check, vendor_order, answer, now)
        return False
    if is_present_attempt and answer.reference and not vendor_order.reference:
        vendor_order.reference = answer.reference
    new_state = _state_of(answer)
    if not vendor_order.may_become(new_state):
        return False
    vendor_order.state = new_state
    if answer.is_result:
        _take_result(session, secret_box, check, task, vendor_order, answer, now)
    elif new_state == FAILED:
        if answer.text:  # encrypted: it may name the candidate
            vendor_order.set_result(secret_box, VendorResult("", answer.text))
        _fail(session, check, task, vendor_order, "The vendor reports an error", now)
    check.update_progress(session)
    return True


def record_sent(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    vendor_order: VendorOrder,
    answer: VendorAnswer,
    now: datetime,
) -> None:
    """Record that the vendor has accepted the order, and what it answered."""
    vendor_order.sent_at = vendor_order.sent_at or now
    connector = vendor_order.connector
    if connector and connector.poll_minutes and vendor_order.is_open:
        vendor_order.next_poll_at = now + timedelta(minutes=connector.poll_minutes)
    apply_answer(session, secret_box, check, vendor_order, answer, now)


def record_failure(
    session: Session, check: Check, vendor_order: VendorOrder, error: str, now: datetime
) -> None:
    """Record that an order could not be sent; staff must act."""
    task = _find_task(check, vendor_order)
    if task and task.is_open and vendor_order.may_become(FAILED):
        vendor_order.state = FAILED
        _fail(session, check, task, vendor_order, error, now)
        check.update_progress(session)


def record_unreadable(secret_box: SecretBox, vendor_order: VendorOrder, problem: Invalid) -> None:
    """Record why an answer could not be read.

    The vendor's own words are encrypted: they may name the candidate.
    """
    vendor_order.last_error = str(problem)[:MAX_ERROR_LENGTH]
    if isinstance(problem, UnknownStatus):
        vendor_order.last_error = UNKNOWN_STATUS
        vendor_order.set_result(secret_box, VendorResult("", problem.words))


def request_values(
    check: Check, secret_box: SecretBox, vendor_order: VendorOrder, callback_url: str
) -> dict[str, Any]:
    """Return the values of a request template: of the details only those that are asked for."""
    screening = check.find_screening(vendor_order.screening)
    details = check.detail_values(secret_box)
    candidate: dict[str, Any] = {
        "first_name": check.candidate.first_name,
        "last_name": check.candidate.last_name,
        "email": check.candidate.email,
    }
    for name in screening.asks:
        if name in details:
            candidate[name] = _value_for_vendor(name, details[name])
    return {
        "candidate": candidate,
        "order": {"id": vendor_order.key, "callback_url": callback_url},
        "screening": {"key": screening.key, "name": screening.name, "type": screening.type},
    }


def _begin(
    session: Session,
    check: Check,
    task: ScreeningTask,
    vendor_order: VendorOrder,
    actor: str,
    now: datetime,
) -> None:
    connector = vendor_order.connector
    session.flush()
    if task.state != ASKED:
        task.state = SUBMITTED_TASK
    task.started_at = task.started_at or now
    name = _screening(check, task).name
    if connector is None and not check.account.sandbox:
        key = _screening(check, task).connector
        error = f"The account has no connector “{key}” that is in use"
        record_failure(session, check, vendor_order, error, now)
        return
    check.record_event(session, "vendor asked", actor, now, name)
    if connector is None:
        vendor_order.state, vendor_order.sent_at = SENT, now
        vendor_order.next_poll_at = now + FIRST_STEP_DELAY
    else:
        _enqueue(session, check, vendor_order, connector, now)
    check.update_progress(session)


def _enqueue(
    session: Session, check: Check, vendor_order: VendorOrder, connector: Connector, now: datetime
) -> None:
    check.append_message(
        session,
        outbox.CONNECTOR,
        topic=VENDOR_ORDER_TOPIC,
        payload={"vendor_order": vendor_order.public_id, "attempt": vendor_order.attempt},
        host=urlsplit(connector.url).hostname or "",
        writer=f"v{vendor_order.id}.{vendor_order.attempt}",
        now=now,
    )


def _take_result(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    task: ScreeningTask,
    vendor_order: VendorOrder,
    answer: VendorAnswer,
    now: datetime,
) -> None:
    """Store the records and the result. The task goes to the staff, who decide."""
    vendor_order.set_result(secret_box, VendorResult(answer.meaning, answer.text))
    vendor_order.set_answer_digest(secret_box, _digest(answer))
    vendor_order.answered_at, vendor_order.next_poll_at = now, None
    vendor_order.last_error = ""
    for record in answer.records:
        session.add(_found_record(secret_box, check, vendor_order, record, now))
    if task.state in (SUBMITTED_TASK, ERROR):
        task.state = IN_PROGRESS
    check.record_event(session, "vendor answered", VENDOR, now, _screening(check, task).name)


def _found_record(
    secret_box: SecretBox,
    check: Check,
    vendor_order: VendorOrder,
    record: VendorRecord,
    now: datetime,
) -> FoundRecord:
    row = FoundRecord(
        public_id=secrets.generate_public_id(),
        order_id=check.id,
        screening=vendor_order.screening,
        actor=vendor_order.vendor_name,
        recorded_at=now,
    )
    facts = RecordFacts(record.kind, record.severity, record.occurred_on)
    row.set_facts(secret_box, check.public_id, facts)
    row.public_text = secret_box.encrypt(record.text, row.row_path(check.public_id, "public_text"))
    return row


def _fail(
    session: Session,
    check: Check,
    task: ScreeningTask,
    vendor_order: VendorOrder,
    error: str,
    now: datetime,
) -> None:
    vendor_order.last_error, vendor_order.next_poll_at = error[:MAX_ERROR_LENGTH], None
    if task.state == SUBMITTED_TASK:
        task.state = ERROR
    check.record_event(session, "vendor failed", VENDOR, now, _screening(check, task).name)


def _note_change(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    vendor_order: VendorOrder,
    answer: VendorAnswer,
    now: datetime,
) -> None:
    """Tell the staff of a result that differs from the first one, which stays."""
    digest = _digest(answer)
    if answer.is_result and digest != vendor_order.get_answer_digest(secret_box):
        vendor_order.set_answer_digest(secret_box, digest)
        name = check.find_screening(vendor_order.screening).name
        check.record_event(session, "vendor changed answer", VENDOR, now, name)


def _state_of(answer: VendorAnswer) -> str:
    if answer.is_result:
        return ANSWERED
    return {VENDOR_ERROR: FAILED, VENDOR_AT_WORK: AT_WORK}.get(answer.meaning, SENT)


def _digest(answer: VendorAnswer) -> bytes:
    return hashlib.sha256(repr((answer.meaning, answer.text, answer.records)).encode()).digest()


def _find_task(check: Check, vendor_order: VendorOrder) -> ScreeningTask | None:
    return next((task for task in check.tasks if task.key == vendor_order.screening), None)


def _screening(check: Check, task: ScreeningTask) -> Screening:
    return check.find_screening(task.key)


def _value_for_vendor(name: str, value: DetailValue) -> Any:
    """Return a detail with its parts, such as an address; a name or a date is one text."""
    if value.text:
        return value.text
    rows = [dict(row) for row in value.rows]
    if DETAIL_FIELDS[name].has_rows:
        return rows
    row = rows[0] if rows else {}
    if name == "full_name" or len(row) == 1:
        return " ".join(row.values())
    return row
