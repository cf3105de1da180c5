"""A check after its result: the notices of adverse actions, the renewal, and a newer check."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, object_session

from provider import outbox
from provider.core.formats import format_date, load_time_zone
from provider.core.kinds.check.current_check import (
    find_completion,
    find_newer_check,
    list_older_ids,
)
from provider.core.kinds.check.order_part import OrderPart
from provider.core.kinds.check.tables.adverse_action import (
    NOTICE_KEY,
    NOTICES,
    PRE_ADVERSE,
    WITHDRAWN_ACTION,
    AdverseAction,
    AdverseNotice,
)
from provider.core.kinds.check.tables.renewal import Renewal, close_renewals, set_renewal
from provider.errors import NotFound
from provider.outbox.encryption import secret_box_of
from provider.storage.secrets import SecretBox
from provider.texts import gettext


class CompletedCheck(OrderPart):
    """The part of a check with its adverse actions and its renewal."""

    if TYPE_CHECKING:
        adverse_actions: Mapped[list[AdverseAction]]
        renewal: Mapped[Renewal | None]

    @property
    def open_action(self) -> AdverseAction | None:
        """The adverse action that has not ended."""
        return next((action for action in self.adverse_actions if action.is_open), None)

    def find_notice(self, purpose: str) -> AdverseNotice | None:
        """Return the newest notice of a purpose."""
        notices = [notice for action in self.adverse_actions for notice in action.notices]
        return next((notice for notice in reversed(notices) if notice.purpose == purpose), None)

    def get_notice(self, notice_id: str) -> AdverseNotice:
        """Return a notice by its public id. Raises NotFound."""
        for action in self.adverse_actions:
            for notice in action.notices:
                if notice.public_id == notice_id:
                    return notice
        raise NotFound("There is no such notice")

    def encrypt_notice(
        self, secret_box: SecretBox, notice: AdverseNotice, content: Mapping[str, Any]
    ) -> None:
        text = json.dumps(content, ensure_ascii=False)
        notice.content = secret_box.encrypt(text, self._notice_path(notice))

    def decrypt_notice(self, secret_box: SecretBox, notice: AdverseNotice) -> dict[str, Any]:
        """Return the content of a notice: title, text, rights, sample (a flag) and language."""
        content: dict[str, Any] = json.loads(
            secret_box.decrypt(notice.content, self._notice_path(notice))
        )
        return content

    def encrypt_other_way(
        self, secret_box: SecretBox, notice: AdverseNotice, description: str
    ) -> None:
        path = f"{self._notice_path(notice)}/other_way"
        notice.other_way_encrypted = secret_box.encrypt(description, path)

    def decrypt_other_way(self, secret_box: SecretBox, notice: AdverseNotice) -> str:
        """Return how a notice reached the candidate without its e-mail; empty for any other."""
        if notice.other_way_encrypted is None:
            return ""
        path = f"{self._notice_path(notice)}/other_way"
        return secret_box.decrypt(notice.other_way_encrypted, path)

    def record_bounce(
        self, session: Session, message: str, template: str, reason: str, now: datetime
    ) -> None:
        """Record that an e-mail came back. One with a notice is marked for the staff.

        The first notice of a withdrawn action is not: nothing follows from it any more.
        """
        super().record_bounce(session, message, template, reason, now)
        notice = self._find_notice_of(session, message, template) if template in NOTICES else None
        if notice is None:
            return
        action = next(row for row in self.adverse_actions if row.id == notice.action_id)
        if template == PRE_ADVERSE:
            if action.state == WITHDRAWN_ACTION:
                return
            if action.is_open:
                action.stop()
        notice.undeliverable_at = now

    def _find_notice_of(
        self, session: Session, message_id: str, template: str
    ) -> AdverseNotice | None:
        """Return the notice that a message names; the newest of its purpose if it names none."""
        query = select(outbox.Message).where(outbox.Message.public_id == message_id)
        message = session.scalar(query)
        payload = message.get_payload(secret_box_of(session)) if message else {}
        notice_id = payload.get(NOTICE_KEY)
        return self.get_notice(notice_id) if notice_id else self.find_notice(template)

    def end_by_reopening(self, actor: str, now: datetime) -> None:
        """Withdraw the open action and close the renewal: the check is done anew."""
        if action := self.open_action:
            action.end(WITHDRAWN_ACTION, actor, now)
        if self.renewal and not self.renewal.closed_at:
            self.renewal.close(actor, now)

    def schedule_renewal(
        self, session: Session, secret_box: SecretBox, months: int | None, now: datetime
    ) -> None:
        """Set the day of the renewal, and close those of the checks that this one replaces."""
        day = now.astimezone(load_time_zone(self.account.timezone)).date()
        self.renewal = set_renewal(self, self.renewal, day, months)
        close_renewals(session, list_older_ids(session, secret_box, self), now)

    def describe_newer_check(self, secret_box: SecretBox) -> str:
        """Return the sentence that a newer check exists; empty for the current one."""
        session = object_session(self)
        newer = find_newer_check(session, secret_box, self) if session else None
        completed_at = find_completion(newer) if newer else None
        if completed_at is None:
            return ""
        day = format_date(completed_at, self.account.timezone)
        return gettext("A newer check exists, of %(day)s: this one is not current.", day=day)

    def _notice_path(self, notice: AdverseNotice) -> str:
        return f"orders/{self.public_id}/notices/{notice.public_id}"
