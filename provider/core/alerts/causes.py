"""The causes of failed deliveries, from the state of the outbox.

A cause is the name of a queue, which names an account, a channel and a host; or MAIL_SERVER, whose
pause stops the e-mails of all accounts; or ACCOUNT/MISSING_MEDIA, for files of candidates that were
announced and never arrived; or ACCOUNT and the name of a cause that a kind describes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.kinds.base import AlertCause
from provider.core.labels import label_for
from provider.outbox import EMAIL, PARKED, Message, Pause, QueueName, is_in_state
from provider.texts import gettext

MAIL_SERVER = "mail server"
MISSING_MEDIA = "missing-media"  # beside the channels of an account
MAX_NAMED_ORDERS = 5
MAIL_SERVER_SCOPE = f"destination/{EMAIL}"
# A shorter pause ends by itself before anybody could act.
PAUSE_GRACE = timedelta(minutes=5)
# A receiver that asks for a wait has not failed, so pauses of this kind are no cause.
_QUEUE_SCOPE = "queue/"


@dataclass(frozen=True)
class Trouble:
    """The present state of a cause; `reason` is that of its pause, if there is one.

    `missing_count` counts the orders of which a file is missing, and `missing` names some of them.
    `order_count` and `orders` are those of a kind's cause.
    """

    cause: str
    failed_count: int = 0
    reason: str = ""
    missing_count: int = 0
    missing: tuple[str, ...] = ()
    order_count: int = 0
    orders: tuple[str, ...] = ()

    @property
    def is_present(self) -> bool:
        return bool(self.failed_count or self.reason or self.missing_count or self.order_count)


def title_of(session: Session, cause: str) -> str:
    """Return the account and the destination of a cause, as people read them."""
    if cause == MAIL_SERVER:
        return label_for("destination", EMAIL)
    name = QueueName.parse(cause)
    account = session.get(Account, name.account_id)
    if account is None:
        return gettext("E-mails to the staff")
    kind_cause = kind_cause_of(cause)
    what = str(kind_cause.label) if kind_cause else label_for("channel", name.channel)
    return f"{account.name}: {name.host or what}"


def account_of(cause: str) -> int | None:
    """Return the id of a cause's account; None for the mail server."""
    return None if cause == MAIL_SERVER else QueueName.parse(cause).account_id


def find_troubles(session: Session, now: datetime) -> dict[str, Trouble]:
    """Return what fails now, by cause: failed messages, and pauses that last.

    A sandbox is for trials, so its deliveries alert nobody.
    """
    sandboxes = set(session.scalars(select(Account.id).where(Account.sandbox)))

    def is_watched(queue: str) -> bool:
        return QueueName.parse(queue).account_id not in sandboxes

    troubles = {
        queue: Trouble(queue, count) for queue, count in _count_parked(session) if is_watched(queue)
    }
    pauses = _list_pauses(session, paused_before=now - PAUSE_GRACE)
    for queue in filter(is_watched, outbox.list_waiting_queues(session) if pauses else ()):
        for pause in pauses:
            is_own_cause = pause.scope != MAIL_SERVER_SCOPE
            if is_own_cause and pause.scope in QueueName.parse(queue).pause_scopes:
                failed_count = troubles[queue].failed_count if queue in troubles else 0
                troubles[queue] = Trouble(queue, failed_count, pause.reason)
    for pause in pauses:
        if pause.scope == MAIL_SERVER_SCOPE:
            troubles[MAIL_SERVER] = Trouble(MAIL_SERVER, reason=pause.reason)
    for account_id, orders in find_missing_media(session, now).items():
        cause = str(QueueName(account_id, MISSING_MEDIA))
        if account_id not in sandboxes:
            troubles[cause] = Trouble(
                cause, missing_count=len(orders), missing=tuple(orders[:MAX_NAMED_ORDERS])
            )
    for cause, orders in find_kind_causes(session, now).items():
        if is_watched(cause):
            named = tuple(orders[:MAX_NAMED_ORDERS])
            troubles[cause] = Trouble(cause, order_count=len(orders), orders=named)
    return troubles


def find_kind_causes(session: Session, now: datetime) -> dict[str, list[str]]:
    """Return the orders of the kinds' own causes, by cause."""
    return {
        str(QueueName(account_id, name)): list(orders)
        for name, cause in _kind_causes().items()
        for account_id, orders in cause.find(session, now).items()
    }


def kind_cause_of(cause: str) -> AlertCause | None:
    """Return the description of a kind's own cause; None for another one."""
    return None if cause == MAIL_SERVER else _kind_causes().get(QueueName.parse(cause).channel)


def _kind_causes() -> dict[str, AlertCause]:
    return {name: cause for kind in KINDS.values() for name, cause in kind.alert_causes.items()}


def is_about_missing_media(cause: str) -> bool:
    return cause != MAIL_SERVER and QueueName.parse(cause).channel == MISSING_MEDIA


def find_missing_media(session: Session, now: datetime) -> dict[int, list[str]]:
    """Return the orders of which a file is missing, by account id."""
    missing: dict[int, list[str]] = {}
    for kind in KINDS.values():
        for account_id, orders in kind.find_missing_media(session, now).items():
            missing.setdefault(account_id, []).extend(orders)
    return missing


def has_recovered(session: Session, cause: str, now: datetime) -> bool:
    """Return whether nothing of a cause fails, is paused, or waits for another attempt.

    A failed message that was sent again has not arrived yet.
    """
    if cause == MAIL_SERVER:
        return session.get(Pause, MAIL_SERVER_SCOPE) is None
    if is_about_missing_media(cause):
        return QueueName.parse(cause).account_id not in find_missing_media(session, now)
    if kind_cause_of(cause):
        return cause not in find_kind_causes(session, now)
    scopes = QueueName.parse(cause).pause_scopes
    is_paused = any(
        pause.scope in scopes and pause.scope != MAIL_SERVER_SCOPE
        for pause in _list_pauses(session)
    )
    if is_paused and cause in outbox.list_waiting_queues(session):
        return False
    is_failed = select(Message.id).where(Message.queue == cause, is_in_state(PARKED)).limit(1)
    return session.scalar(is_failed) is None and not outbox.has_retries(session, cause)


def find_mail_server_pause(session: Session) -> Pause | None:
    """Return the pause of the mail server, if it does not accept e-mails now."""
    return session.get(Pause, MAIL_SERVER_SCOPE)


def _count_parked(session: Session) -> list[tuple[str, int]]:
    query = select(Message.queue, func.count()).where(is_in_state(PARKED)).group_by(Message.queue)
    return [(queue, count) for queue, count in session.execute(query)]


def _list_pauses(session: Session, paused_before: datetime | None = None) -> Sequence[Pause]:
    query = select(Pause).where(~Pause.scope.startswith(_QUEUE_SCOPE))
    if paused_before:
        query = query.where(Pause.paused_at <= paused_before)
    return session.scalars(query.order_by(Pause.scope)).all()
