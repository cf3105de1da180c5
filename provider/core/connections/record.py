"""Records: candidates of an ATS, as a source of its adapter has read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from provider.core.email_address import mend_address, split_address
from provider.core.text_cleaning import clean_line

# Lengths of the columns in which an order has these fields.
MAX_NAME_LENGTH = 200
MAX_PHONE_LENGTH = 100
MAX_JOB_TITLE_LENGTH = 500


@dataclass(frozen=True)
class Record:
    """A candidate at the ATS.

    `key` identifies the record there for ever. `facts` are what rules compare, such as the stage;
    a fact may have several values, such as tags. `entry` identifies one arrival in the present
    state, and `reached_at` is its time, where the ATS tells them. `changed_at` is the time of the
    latest change of any kind. An adapter finds the candidate again by `reply_context`. With
    `is_closed` no rule matches: the candidate is disqualified, rejected or hired.
    """

    key: str
    facts: Mapping[str, tuple[str, ...]]
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    job_title: str = ""
    job_reference: str = ""
    entry: str = ""
    reached_at: datetime | None = None
    changed_at: datetime | None = None
    reply_context: dict[str, Any] = field(default_factory=dict)
    is_closed: bool = False

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def contact(self) -> dict[str, Any]:
        """Return the fields of an order's candidate and job, cleaned and cut to their columns."""
        return {
            "email": mend_address(self.email),
            "first_name": clean_line(self.first_name)[:MAX_NAME_LENGTH],
            "last_name": clean_line(self.last_name)[:MAX_NAME_LENGTH],
            "phone": clean_line(self.phone)[:MAX_PHONE_LENGTH],
            "job_title": clean_line(self.job_title)[:MAX_JOB_TITLE_LENGTH],
            "job_reference": clean_line(self.job_reference)[:MAX_NAME_LENGTH],
        }

    def refusal(self) -> str:
        """Return why no order can be placed for the record; empty if one can."""
        if not self.email.strip():
            return "The candidate has no e-mail address in the ATS"
        if split_address(mend_address(self.email)) is None:
            return "The candidate's e-mail address in the ATS cannot be mailed"
        return ""
