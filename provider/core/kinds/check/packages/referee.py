"""The referees whom a candidate names: structured, or one in each line of a text."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from provider.core.email_address import mend_address, split_address
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

MAX_REFEREES = 10  # of one screening
MAX_FIELD_LENGTH = 200  # characters
_ADDRESS = re.compile(r"[^\s,;<>()]+@[^\s,;<>()]+")


@dataclass(frozen=True)
class Referee:
    """A person whom the candidate has named. `relation` is the person's role."""

    name: str
    relation: str = ""
    email: str = ""
    phone: str = ""

    @property
    def can_be_written_to(self) -> bool:
        return split_address(self.email) is not None

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_fields(cls, fields: Any) -> "Referee":
        """Return the referee of a JSON object; unknown fields are left out."""
        values = fields if isinstance(fields, dict) else {}
        name, relation, email, phone = (
            clean_line(str(values.get(field) or ""))[:MAX_FIELD_LENGTH].strip()
            for field in ("name", "relation", "email", "phone")
        )
        return cls(name, relation, mend_address(email), phone)


def parse_referee(name: str, relation: str, email: str) -> Referee:
    """Return the referee whom staff have typed. Raises Invalid."""
    referee = Referee.from_fields({"name": name, "relation": relation, "email": email})
    if not referee.name:
        raise Invalid("Type the name of the referee")
    if not referee.can_be_written_to:
        raise Invalid("Type an e-mail address to which mail can be sent")
    return referee


def read_referees(detail: str) -> tuple[Referee, ...]:
    """Return the referees of the candidate's detail `referees`."""
    try:
        entries = json.loads(detail)
    except ValueError:
        entries = None
    if isinstance(entries, list):
        return tuple(map(Referee.from_fields, entries[:MAX_REFEREES]))
    lines = [line for line in detail.splitlines() if line.strip()]
    return tuple(map(_read_line, lines[:MAX_REFEREES]))


def list_referees(rows: Iterable[Mapping[str, str]]) -> list[Referee]:
    """Return the referees of a detail with parts."""
    return [Referee.from_fields(row) for row in rows][:MAX_REFEREES]


def _read_line(line: str) -> Referee:
    """Read a line such as `Jo Doe, manager, jo@example.org`."""
    match = _ADDRESS.search(line)
    email = match[0].strip(".") if match else ""
    rest = _ADDRESS.sub("", line)
    name, *other_parts = [part.strip(" <>()") for part in re.split(r"[,;]", rest)]
    relation = ", ".join(part for part in other_parts if part)
    return Referee.from_fields({"name": name, "relation": relation, "email": email})
