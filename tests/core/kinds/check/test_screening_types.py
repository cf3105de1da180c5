"""The types of screenings: their completeness, a new one, and the options of DBS checks."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from provider.core.kinds.check import Check
from provider.core.kinds.check.added_screening import list_addable_types
from provider.core.kinds.check.packages.content import Screening, ScreeningSchema, load_screening
from provider.core.kinds.check.packages.countries import COUNTRY_CODES
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.packages.referee_questions import GENERAL_QUESTIONS
from provider.core.kinds.check.packages.screening_options import SCREENING_OPTIONS
from provider.core.kinds.check.packages.screening_types import (
    PERFORMERS,
    SCREENING_TYPES,
    ScreeningType,
)
from provider.core.kinds.check.referees.referee_acts import questions_of
from provider.errors import Invalid
from provider.services import Services
from provider.texts import lazy_gettext
from provider.web.console.editor.forms import build_form
from tests import check_factories
from tests.package_documents import example_of

MAX_REASON_LENGTH = 300  # characters, as in a document
WORKFORCES = (None, *SCREENING_OPTIONS["workforce"].choices)
LISTS = (None, *SCREENING_OPTIONS["barred_lists"].choices)
# What the Disclosure and Barring Service allows an enhanced check to ask for.
ALLOWED_LISTS = {
    "child": {None, "none", "children"},
    "adult": {None, "none", "adults"},
    "child_and_adult": {None, "none", "children", "adults", "both"},
    "other": {None, "none"},
}


@pytest.mark.parametrize("name", SCREENING_TYPES)
def test_screening_type_is_complete(name: str) -> None:
    entry = SCREENING_TYPES[name]
    assert str(entry.label)
    reason = str(entry.reason)
    assert reason[0].isupper()
    assert reason.endswith(".")
    assert ". " not in reason
    assert len(reason) <= MAX_REASON_LENGTH
    assert set(entry.asks) <= set(DETAIL_FIELDS)
    assert set(entry.documents) <= set(DOCUMENT_SLOTS)
    assert entry.performer in PERFORMERS
    assert 1 <= entry.working_days <= 250
    assert set(entry.options) <= set(SCREENING_OPTIONS)
    assert entry.country in ("", *COUNTRY_CODES)
    screening = load_screening(example_of(name))
    assert (screening.asks, screening.documents) == (entry.asks, entry.documents)
    assert (screening.working_days, screening.performer) == (entry.working_days, entry.performer)
    assert list(screening.options) == list(entry.options)


def test_screening_types_of_the_issue_are_all_there() -> None:
    assert set(SCREENING_TYPES) == {
        *("identity", "right_to_work", "criminal_record", "sanctions", "employment", "education"),
        *("dbs_basic", "dbs_standard", "dbs_enhanced", "licence", "motor_vehicle", "credit"),
        *("references", "document", "other"),
    }


def test_each_option_is_a_field_and_needs_known_choices() -> None:
    for name, option in SCREENING_OPTIONS.items():
        assert name in ScreeningSchema().fields
        assert option.default in ("", *option.choices)
        for value, needs in option.needs.items():
            assert value in option.choices
            for needed, values in needs.items():
                assert set(values) <= set(SCREENING_OPTIONS[needed].choices)


def test_registered_type_is_read_and_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ScreeningType(
        lazy_gettext("Drug test"), lazy_gettext("A laboratory compares it."), ("full_name",), (), 4
    )
    monkeypatch.setitem(SCREENING_TYPES, "drug_test", entry)
    screening = load_screening({"type": "drug_test", "key": "drugs", "name": "Drugs"})
    assert (screening.asks, screening.working_days) == (("full_name",), 4)
    assert str(screening.reason_text) == "A laboratory compares it."
    fields = {field.name: field for field in build_form(ScreeningSchema(), {}, {})}
    assert ("drug_test", "Drug test") in fields["type"].choices
    assert questions_of(screening) == GENERAL_QUESTIONS


@pytest.mark.parametrize("is_said", [True, False])
def test_new_type_can_be_added_only_if_it_says_that_it_needs_no_text(
    services: Services, monkeypatch: pytest.MonkeyPatch, is_said: bool
) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    entry = ScreeningType(lazy_gettext("Drug test"), lazy_gettext("It is compared."))
    if is_said:
        entry = replace(entry, needs_own_texts=False)
    monkeypatch.setitem(SCREENING_TYPES, "drug_test", entry)
    with services.db.reading() as session:
        addable = list_addable_types(Check.find(session, public_id))
    assert ("drug_test" in addable) == is_said
    # The usual types are as before: a law names the text before these.
    assert addable.keys().isdisjoint({"dbs_basic", "dbs_standard", "dbs_enhanced", "credit"})
    assert {"employment", "other"} <= addable.keys()


def load_dbs(type_name: str, workforce: str | None, lists: str | None) -> Screening:
    options: dict[str, Any] = {"workforce": workforce, "barred_lists": lists}
    given = {name: value for name, value in options.items() if value}
    return load_screening({"type": type_name, "key": "dbs", "name": "DBS"} | given)


@pytest.mark.parametrize(
    ("type_name", "workforce", "lists"),
    list(product(("dbs_basic", "dbs_standard", "dbs_enhanced"), WORKFORCES, LISTS)),
)
def test_dbs_permutation_is_read_only_where_dbs_allows_it(
    type_name: str, workforce: str | None, lists: str | None
) -> None:
    if type_name == "dbs_enhanced":
        is_allowed = workforce is not None and lists in ALLOWED_LISTS[workforce]
    else:
        is_allowed = workforce is None and lists is None
    if not is_allowed:
        with pytest.raises(Invalid):
            load_dbs(type_name, workforce, lists)
        return
    expected = {"workforce": workforce, "barred_lists": lists or "none"}
    assert load_dbs(type_name, workforce, lists).options == (expected if workforce else {})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            ("dbs_basic", "child", None),
            "workforce: is only for a DBS enhanced check: leave it empty",
        ),
        (
            ("dbs_standard", None, "none"),
            "barred_lists: is only for a DBS enhanced check: leave it empty",
        ),
        (
            ("dbs_enhanced", None, "none"),
            "workforce: should be provided for a DBS enhanced check: "
            "child, adult, child_and_adult, other",
        ),
        (
            ("dbs_enhanced", "adult", "children"),
            "barred_lists: is children, which needs the workforce child or child_and_adult",
        ),
        (("dbs_enhanced", "child", "all"), "barred_lists: should be one of none, children"),
    ],
)
def test_dbs_refusal_is_a_sentence(values: tuple[str, str, str], problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_dbs(*values)
    assert str(caught.value).startswith(problem)


def test_option_texts_name_the_choices() -> None:
    texts = load_dbs("dbs_enhanced", "child", "children").option_texts
    assert [(str(label), str(value)) for label, value in texts] == [
        ("Workforce", "Work with children"),
        ("Barred lists", "The list of people who may not work with children"),
    ]
