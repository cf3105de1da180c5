"""The acts of staff on an adverse action, and its clock.

The first notice begins the clock. An open dispute, the staff, or a notice that came back stop it.
The final notice can be sent once the clock is over, by a person.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from provider.core.accounts.check_settings import notice_days
from provider.core.formats import format_date, load_time_zone
from provider.core.kinds.check.adverse.jurisdictions import JURISDICTIONS, Jurisdiction
from provider.core.kinds.check.adverse.notice_content import compose_content
from provider.core.kinds.check.adverse.notice_text import NoticeScope, choose_text
from provider.core.kinds.check.current_check import find_newer_check
from provider.core.kinds.check.evidence import CONSIDER
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.content import LegalText
from provider.core.kinds.check.packages.legal_text_slots import RIGHTS
from provider.core.kinds.check.tables.adverse_action import (
    ADVERSE_WITHDRAWN,
    FINAL,
    FINAL_ADVERSE,
    NOTICE_KEY,
    OPEN_ACTION_STATES,
    PRE_ADVERSE,
    READY,
    WAITING,
    WITHDRAWN_ACTION,
    AdverseAction,
    AdverseNotice,
)
from provider.core.kinds.check.waiting_clock import Stop, end_of_wait
from provider.core.orders.states import COMPLETED
from provider.core.working_days import WorkingDays, known_region
from provider.errors import Conflict, Invalid
from provider.storage.secrets import SecretBox
from provider.texts import DEFAULT_LANGUAGE, use_language

MAX_OTHER_WAY_LENGTH = 200  # characters


def find_begin_refusal(session: Session, secret_box: SecretBox, check: Check) -> str:
    """Return why no adverse action can begin; empty if one can."""
    figures = check.result_figures
    if check.status != COMPLETED or figures.get("overall_status") != CONSIDER:
        return "Only a completed check that is to consider can lead to an adverse action"
    if check.open_action:
        return "An adverse action has begun already"
    if any(dispute.is_open for dispute in check.disputes):
        return "Answer the candidate’s dispute first"
    if find_newer_check(session, secret_box, check):
        return "A newer check of this person exists, so this one is not current"
    if any(action.state == FINAL for action in check.adverse_actions):
        return "The candidate has got the final notice already"
    return ""


def begin(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    jurisdiction_key: str,
    days: int,
    reason: str,
    actor: str,
    now: datetime,
) -> AdverseAction:
    """Send the notice before a decision, and start the clock of `days` business days.

    Raises Conflict for a check that `find_begin_refusal` refuses, or without the needed texts, and
    Invalid for fewer days than the place or the account requires.
    """
    if refusal := find_begin_refusal(session, secret_box, check):
        raise Conflict(refusal)
    jurisdiction = JURISDICTIONS.get(jurisdiction_key)
    if jurisdiction is None:
        raise Invalid("Choose a place of the list")
    if days < (minimum := least_days(check, jurisdiction)):
        raise Invalid("The wait is at least %(minimum)d business days there", minimum=minimum)
    if jurisdiction.needs_rights_text and not rights_texts(check):
        raise Conflict(
            "This place requires a text about the candidate’s rights: add one with the purpose "
            "“rights” to the package"
        )
    action = AdverseAction(
        jurisdiction=jurisdiction_key,
        waiting_days=days,
        days_after_dispute=jurisdiction.days_after_dispute,
        timezone=check.timezone,
        suspensions=[],
        begun_by=actor,
        begun_at=now,
        clock_started_at=now,
    )
    check.adverse_actions.append(action)
    session.flush()
    if reason:
        action.reason = secret_box.encrypt(reason, action_path(check, action, "reason"))
    action.ends_at = compute_end(check, action)
    _send(session, secret_box, check, action, PRE_ADVERSE, actor, now)
    update_clock(session, check, action, now)
    return action


def suspend(session: Session, check: Check, actor: str, now: datetime) -> AdverseAction:
    """Stop the clock, for instance while the company looks into what the candidate says."""
    action = require_open_action(check)
    action.suspend(now)
    check.record_event(session, "notice clock stopped", actor, now)
    update_clock(session, check, action, now)
    return action


def resume(session: Session, check: Check, actor: str, now: datetime) -> AdverseAction:
    action = require_open_action(check)
    action.resume(now)
    check.record_event(session, "notice clock went on", actor, now)
    update_clock(session, check, action, now)
    return action


def send_final(
    session: Session, secret_box: SecretBox, check: Check, actor: str, now: datetime
) -> AdverseAction:
    """Send the final notice. Raises Conflict before the clock is over, and without a finding."""
    action = require_open_action(check)
    update_clock(session, check, action, now)
    if action.state != READY:
        raise Conflict("The final notice can be sent once the candidate’s time is over")
    if check.overall_status != CONSIDER:
        raise Conflict("Nothing in this check is to consider any more")
    _send(session, secret_box, check, action, FINAL_ADVERSE, actor, now)
    action.end(FINAL, actor, now)
    return action


def withdraw(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    reason: str,
    actor: str,
    now: datetime,
) -> AdverseAction:
    """End the action without a decision, and tell the candidate."""
    action = require_open_action(check)
    action.end_reason = secret_box.encrypt(reason, action_path(check, action, "end"))
    _send(session, secret_box, check, action, ADVERSE_WITHDRAWN, actor, now)
    action.end(WITHDRAWN_ACTION, actor, now)
    return action


def withdraw_without_finding(
    session: Session, secret_box: SecretBox, check: Check, actor: str, now: datetime
) -> None:
    """Withdraw the open action of a check in which nothing is to consider any more."""
    if check.open_action and check.overall_status != CONSIDER:
        withdraw(session, secret_box, check, "The finding was corrected", actor, now)


def send_again(
    session: Session, check: Check, notice_id: str, actor: str, now: datetime
) -> AdverseNotice:
    """Send a notice again whose e-mail came back. The first one starts the clock anew."""
    action, notice = _require_undeliverable(check, notice_id)
    notice.undeliverable_at = None
    _enqueue(session, check, notice, now)
    check.record_event(session, "notice sent again", actor, now)
    _restart_clock(session, check, action, notice, now)
    return notice


def record_other_way(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    notice_id: str,
    description: str,
    actor: str,
    now: datetime,
) -> AdverseNotice:
    """Record how a notice reached the candidate whose e-mail came back, such as by post."""
    description = " ".join(description.split())
    if not 3 <= len(description) <= MAX_OTHER_WAY_LENGTH:
        raise Invalid("Say how, in 3 to %(maximum)d characters", maximum=MAX_OTHER_WAY_LENGTH)
    action, notice = _require_undeliverable(check, notice_id)
    notice.undeliverable_at = None
    check.encrypt_other_way(secret_box, notice, description)
    check.record_event(session, "notice handed over", actor, now)
    _restart_clock(session, check, action, notice, now)
    return notice


def update_clock(session: Session, check: Check, action: AdverseAction, now: datetime) -> None:
    """Write the state that follows from the disputes, the stops and the time.

    The acts on disputes call it too.
    """
    if not action.is_open:
        return
    if is_stopped(check, action):
        action.stop()
        return
    action.ends_at = end = compute_end(check, action)
    if end is None or now < end:
        action.move(WAITING)
    elif action.move(READY):
        check.record_event(session, "notice time over", "system", now)


def is_stopped(check: Check, action: AdverseAction) -> bool:
    return (
        action.is_suspended
        or action.is_first_notice_undeliverable
        or any(dispute.is_open for dispute in check.disputes)
    )


def compute_end(check: Check, action: AdverseAction) -> datetime | None:
    """Return when the candidate's time is over; None while the clock stands still."""
    place = JURISDICTIONS[action.jurisdiction]
    country, subdivision = place.country, place.subdivision
    if not country and check.case:
        country, subdivision = check.case.country, check.case.subdivision
    disputes = [
        Stop(dispute.opened_at, dispute.answered_at, action.days_after_dispute)
        for dispute in check.disputes
    ]
    return end_of_wait(
        action.clock_started_at,
        action.waiting_days,
        [*disputes, *action.staff_stops],
        load_time_zone(action.timezone),
        WorkingDays(known_region(country, subdivision)).is_working_day,
    )


def least_days(check: Check, jurisdiction: Jurisdiction) -> int:
    """Return the number of business days that the place and the account require."""
    return max(jurisdiction.waiting_days or 0, notice_days(check.account))


def rights_texts(check: Check) -> Sequence[LegalText]:
    """Return the texts about rights that the package has for the candidate's country."""
    texts = check.content.legal_texts_for(check.country)
    return [text for text in texts if text.purpose == RIGHTS]


def require_open_action(check: Check) -> AdverseAction:
    action = check.open_action
    if action is None:
        raise Conflict("No adverse action is open")
    return action


def action_path(check: Check, action: AdverseAction, field: str) -> str:
    """Return the row path of an encrypted text of an action."""
    return check.row_path(f"adverse/{action.public_id}/{field}")


def _require_undeliverable(check: Check, notice_id: str) -> tuple[AdverseAction, AdverseNotice]:
    notice = check.get_notice(notice_id)
    if notice.undeliverable_at is None:
        raise Conflict("This notice did not come back")
    action = next(row for row in check.adverse_actions if row.id == notice.action_id)
    return action, notice


def _restart_clock(
    session: Session, check: Check, action: AdverseAction, notice: AdverseNotice, now: datetime
) -> None:
    if notice.purpose == PRE_ADVERSE and action.state in OPEN_ACTION_STATES:
        action.clock_started_at = now
        update_clock(session, check, action, now)


def _send(
    session: Session,
    secret_box: SecretBox,
    check: Check,
    action: AdverseAction,
    purpose: str,
    actor: str,
    now: datetime,
) -> None:
    """Store a notice as it is sent, and append its e-mail."""
    language = check.texts_language or DEFAULT_LANGUAGE
    scope = NoticeScope(check.product_id, language)
    with use_language(language):
        chosen = choose_text(session, check.account, purpose, scope, now)
        rights = () if purpose == ADVERSE_WITHDRAWN else rights_texts(check)
        values = _parameters(check, action)
        content = compose_content(purpose, chosen, values, rights, language)
    notice = AdverseNotice(
        purpose=purpose,
        text_version=chosen.version,
        text_digest=chosen.digest,
        sent_by=actor,
        sent_at=now,
        content=b"",
    )
    notice.order_id = check.id
    action.notices.append(notice)
    session.flush()  # the public id is part of the path
    check.encrypt_notice(secret_box, notice, content)
    _enqueue(session, check, notice, now)
    check.record_event(session, f"notice {purpose}", actor, now)


def _enqueue(session: Session, check: Check, notice: AdverseNotice, now: datetime) -> None:
    check.enqueue_email(session, notice.purpose, now, {NOTICE_KEY: notice.public_id})


def _parameters(check: Check, action: AdverseAction) -> dict[str, str]:
    last_moment = action.ends_at - timedelta(seconds=1) if action.ends_at else None
    return {
        "candidate": check.candidate.name,
        "company": check.account.display_name,
        "job": check.job_title,
        "package": check.product.name,
        "completed_on": (
            format_date(check.finished_at, check.account.timezone) if check.finished_at else ""
        ),
        "last_day": format_date(last_moment, action.timezone) if last_moment else "",
    }
