"""The rules of an adjudication matrix: what they propose for the records of a screening.

The first rule that matches a record decides its disposition. The heaviest disposition of the
records is that of the screening. A record that no rule matches must be decided by a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Self

from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.core.kinds.check.tables.found_record import RECORD_KINDS, SEVERITIES, RecordFacts
from provider.errors import Invalid
from provider.texts import Text
from provider.texts import lazy_gettext as _

ESCALATE = "escalate"
# From the lightest to the heaviest.
DISPOSITIONS: Mapping[str, Text] = {
    CLEAR: _("Clear"),
    CONSIDER: _("To consider"),
    ESCALATE: _("For a person to decide"),
}
_WEIGHTS = {name: weight for weight, name in enumerate(DISPOSITIONS)}
MAX_RULES = 50
MAX_AGE_YEARS = 99


@dataclass(frozen=True)
class Rule:
    """One row of a matrix; an empty field matches everything.

    `max_age_years` is the greatest age of the records that the rule is about. A record without a
    date matches only a rule without this limit.
    """

    disposition: str
    record_kind: str = ""
    severity: str = ""
    screening_type: str = ""
    max_age_years: int | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Return the rule of stored or submitted fields. Raises Invalid."""
        age = str(fields.get("max_age_years") or "").strip()
        if age and not (age.isascii() and age.isdigit() and 1 <= int(age) <= MAX_AGE_YEARS):
            raise Invalid(
                "The greatest age is a whole number of years from 1 to %(maximum)d",
                maximum=MAX_AGE_YEARS,
            )
        rule = cls(
            disposition=str(fields.get("disposition") or ""),
            record_kind=str(fields.get("record_kind") or ""),
            severity=str(fields.get("severity") or ""),
            screening_type=str(fields.get("screening_type") or ""),
            max_age_years=int(age) if age else None,
        )
        for value, known in (
            (rule.disposition, DISPOSITIONS),
            (rule.record_kind, {"", *RECORD_KINDS}),
            (rule.severity, {"", *SEVERITIES}),
            (rule.screening_type, {"", *SCREENING_TYPES}),
        ):
            if value not in known:
                raise Invalid("Choose a value of the list in each field of a rule")
        return rule

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def matches(self, record: RecordFacts, screening_type: str, today: date) -> bool:
        return (
            self.record_kind in ("", record.kind)
            and self.severity in ("", record.severity)
            and self.screening_type in ("", screening_type)
            and (self.max_age_years is None or _is_within(record, self.max_age_years, today))
        )


@dataclass(frozen=True)
class RuleProposal:
    """The disposition that the rules propose for one screening.

    `rule_number` counts the rules from 1. It is None where no rule decided: without a record, or
    for a record that no rule matches.
    """

    disposition: str
    rule_number: int | None = None
    record_count: int = 0

    @property
    def status(self) -> str:
        """The outcome that is proposed; empty where a person must decide."""
        return "" if self.disposition == ESCALATE else self.disposition


def propose(
    rules: Sequence[Rule], records: Sequence[RecordFacts], screening_type: str, today: date
) -> RuleProposal:
    """Return the heaviest disposition of the records; clear for a screening without one."""
    proposals = [
        RuleProposal(*_decide(rules, record, screening_type, today), len(records))
        for record in records
    ]
    return max(proposals, key=lambda proposal: _WEIGHTS[proposal.disposition], default=NO_RECORD)


def heaviest(dispositions: Iterable[str]) -> str:
    """Return the heaviest of some dispositions; clear without one."""
    return max(dispositions, key=_WEIGHTS.__getitem__, default=CLEAR)


NO_RECORD = RuleProposal(CLEAR)


def _decide(
    rules: Sequence[Rule], record: RecordFacts, screening_type: str, today: date
) -> tuple[str, int | None]:
    for number, rule in enumerate(rules, start=1):
        if rule.matches(record, screening_type, today):
            return rule.disposition, number
    return ESCALATE, None


def _is_within(record: RecordFacts, years: int, today: date) -> bool:
    """Return whether a record is at most so many years old; False for one without a date."""
    occurred = record.occurred_on
    if occurred is None:
        return False
    age = today.year - occurred.year - ((today.month, today.day) < (occurred.month, occurred.day))
    is_birthday = (today.month, today.day) == (occurred.month, occurred.day)
    return age < years or (age == years and is_birthday)
