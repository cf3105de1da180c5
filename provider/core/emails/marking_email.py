"""E-mails to the staff about answers to mark."""

from collections.abc import Sequence
from datetime import datetime

from provider.core.emails.staff_email import compose_staff_email
from provider.texts import DEFAULT_LANGUAGE, ngettext, use_language


def render_marking_email(
    counts: Sequence[tuple[str, int]],
    *,
    to: str,
    url: str,
    sender: str,
    message_id: str,
    now: datetime,
) -> bytes:
    """Render an e-mail about the tasks of each account (name, number), as RFC 5322 bytes.

    `url` is the console's queue of answers to mark.
    """
    with use_language(DEFAULT_LANGUAGE):
        total = sum(count for _, count in counts)
        return compose_staff_email(
            "staff_marking",
            ngettext(
                "%(number)d answer to mark", "%(number)d answers to mark", total, number=total
            ),
            {"counts": counts, "total": total, "url": url},
            to=to,
            sender=sender,
            message_id=message_id,
            now=now,
        )
