"""The matrix: what it proposes, its versions, and its trial over past checks."""

from datetime import date

import pytest
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.adjudication.matrix import (
    activate_draft,
    find_active,
    find_draft,
    list_versions,
    propose_outcomes,
    require_explanation,
    retire_active,
    save_draft,
)
from provider.core.kinds.check.adjudication.rules import Rule, RuleProposal, propose
from provider.core.kinds.check.adjudication.trial import try_over_past_checks
from provider.core.kinds.check.tables.found_record import RecordFacts
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import check_decision_factories, check_factories
from tests.check_decision_factories import RULES

TODAY = date(2027, 3, 1)
STAFF = "sam@provider.test"


def record(kind: str = "conviction", severity: str = "low", day: date | None = None) -> RecordFacts:
    return RecordFacts(kind, severity, day)


@pytest.mark.parametrize(
    ("day", "is_matched"),
    [
        (date(2020, 3, 1), True),
        (date(2020, 2, 29), False),
        (date(2027, 2, 1), True),
        (None, False),
    ],
)
def test_rule_matches_records_of_at_most_its_age(day: date | None, is_matched: bool) -> None:
    rule = Rule("consider", max_age_years=7)
    assert rule.matches(record(day=day), "other", TODAY) == is_matched


def test_proposal_is_the_heaviest_of_the_first_matching_rules() -> None:
    rules = [Rule.parse(row) for row in RULES]
    old, new = record(day=date(2001, 1, 1)), record(day=date(2026, 1, 1))
    assert propose(rules, [], "other", TODAY) == RuleProposal("clear")
    assert propose(rules, [old], "other", TODAY) == RuleProposal("clear", 3, 1)
    assert propose(rules, [old, new], "other", TODAY) == RuleProposal("consider", 2, 2)
    unknown = record(kind="debt")
    assert propose(rules, [old, new, unknown], "other", TODAY) == RuleProposal("escalate", None, 3)


def test_proposal_leaves_out_removed_records(services: Services) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    check_decision_factories.add_record(services, check_id)
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        box, now = services.secret_box, services.now()
        assert propose_outcomes(box, check, [], now)["record"] == RuleProposal("escalate", None, 1)
        check.records[0].removed_at = now
        assert propose_outcomes(box, check, [], now)["record"] == RuleProposal("clear")


def test_rule_of_a_screening_type_matches_that_type_only() -> None:
    rule = Rule.parse({"screening_type": "dbs_basic", "disposition": "consider"})
    assert propose([rule], [record()], "dbs_basic", TODAY).disposition == "consider"
    assert propose([rule], [record()], "credit", TODAY).disposition == "escalate"


@pytest.mark.parametrize(
    "fields",
    [
        {"disposition": "maybe"},
        {"disposition": "clear", "record_kind": "gossip"},
        {"disposition": "clear", "max_age_years": "0"},
        {"disposition": "clear", "max_age_years": "1.5"},
    ],
)
def test_rule_with_an_unknown_value_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        Rule.parse(fields)


def test_matrix_versions_are_kept_and_one_is_on(services: Services) -> None:
    check_decision_factories.place_sandbox_check(services)
    now = services.now()
    with services.db.writing() as session:
        account_id = session.scalars(select(Account.id)).one()
        with pytest.raises(Conflict):
            activate_draft(session, account_id, STAFF, now)
        save_draft(session, account_id, RULES[:1], STAFF, now)
        save_draft(session, account_id, RULES, STAFF, now)
        first = activate_draft(session, account_id, STAFF, now)
        assert find_draft(session, account_id) is None
        save_draft(session, account_id, RULES[1:], STAFF, now)
        assert find_active(session, account_id) is first
        second = activate_draft(session, account_id, STAFF, now)
        assert find_active(session, account_id) is second
        assert [version.number for version in list_versions(session, account_id)] == [2, 1]
        assert first.rules == tuple(map(Rule.parse, RULES))
        retire_active(session, account_id, STAFF, now)
        assert find_active(session, account_id) is None
        with pytest.raises(Conflict):
            retire_active(session, account_id, STAFF, now)


def test_outcome_other_than_the_proposal_needs_a_note() -> None:
    proposal = RuleProposal("consider", 1, 1)
    with pytest.raises(Invalid, match="Criminal record: the outcome differs"):
        require_explanation(proposal, "clear", " ", "Criminal record")
    require_explanation(proposal, "clear", "A namesake", "Criminal record")
    require_explanation(proposal, "consider", "", "Criminal record")
    require_explanation(RuleProposal("escalate"), "clear", "", "Criminal record")
    require_explanation(None, "clear", "", "Criminal record")


def test_trial_compares_rules_with_the_decisions_of_people(services: Services) -> None:
    check_id = check_decision_factories.place_sandbox_check(services)
    check_decision_factories.add_record(services, check_id, occurred_on=date(1999, 1, 1))
    check_factories.record_findings(services, check_id)
    check_factories.complete_check(services, check_id)
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        rules, box = [Rule.parse(row) for row in RULES], services.secret_box
        trial = try_over_past_checks(session, box, check.account_id, rules)
        assert trial.rows == [("clear", 0, 1), ("consider", 0, 0), ("escalate", 0, 0)]
        assert [tried.check.public_id for tried in trial.different] == [check_id]
        assert trial.is_complete
        escalating = try_over_past_checks(session, box, check.account_id, [])
        assert escalating.rows[2] == ("escalate", 0, 1)
        assert escalating.different == []
        proposals = propose_outcomes(box, check, rules, services.now())
        assert proposals["record"] == RuleProposal("clear", 3, 1)
