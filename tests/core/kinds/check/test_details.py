"""The details of candidates: parts, addresses by country, numbers, and how they are stored."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.packages.addresses import address_parts, subdivisions
from provider.core.kinds.check.packages.countries import COUNTRY_CODES
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS, find_problems
from provider.core.kinds.check.packages.detail_groups import DETAIL_GROUPS
from provider.core.kinds.check.packages.detail_samples import SAMPLE_DETAILS
from provider.core.kinds.check.packages.detail_value import DetailValue
from provider.core.kinds.check.packages.national_ids import is_national_id
from provider.core.kinds.check.tables.consent import CandidateDetail
from provider.errors import Conflict
from provider.services import Services
from tests import check_factories, check_outside_factories

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LONDON = SAMPLE_DETAILS["address"]


def messages(name: str, data: Any, **others: Any) -> list[str]:
    values = {key: DetailValue.from_data(value) for key, value in {**others, name: data}.items()}
    return [str(problem.message) for problem in find_problems([name], values, NOW)]


@pytest.mark.parametrize("name", DETAIL_FIELDS)
def test_sample_detail_has_no_problem(name: str) -> None:
    assert messages(name, SAMPLE_DETAILS[name], address=LONDON) == []


@pytest.mark.parametrize("name", DETAIL_FIELDS)
def test_empty_detail_is_to_be_filled_in(name: str) -> None:
    for value in (DetailValue(), DetailValue(({}, {}))):
        problems = messages(name, value)
        assert problems
        assert all("Please fill in" in problem for problem in problems)


def test_groups_have_every_detail_once() -> None:
    names = [name for group in DETAIL_GROUPS.values() for name in group.names]
    assert sorted(names) == sorted(DETAIL_FIELDS)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("date_of_birth", {"date": "28.02.1990"}, "year-month-day, such as 1990-02-28"),
        ("date_of_birth", {"date": "1990-02-31"}, "year-month-day"),
        ("date_of_birth", {"date": "2026-11-29"}, "check the year"),
        ("date_of_birth", {"date": "1890-01-01"}, "check the year"),
        ("employers", [{"from": "last year"}], "year-month, such as 2015-03"),
        ("employers", [{"from": "2015-13"}], "year-month, such as 2015-03"),
        ("employers", [{"from": "2027-01"}], "check the year"),
        ("employers", [{"from": "2019-05", "until": "2018-01"}], "The end is before"),
        ("employers", [{"may_ask": "perhaps"}], "Please choose: May we ask them now?"),
        ("education", [{"year": "20112"}], "check the year"),
        ("education", [{"country": "XX"}], "Please choose: Country"),
        ("referees", [{"email": "nobody"}], "E-mail: please check the address"),
        ("referees", [{"phone": "12"}], "Phone: please check the number"),
        ("full_name", {"family": "x" * 201}, "at most 200 characters"),
        ("national_id", {"country": "US", "number": "123-45-678"}, "has a typing error"),
        ("address", LONDON | {"postal_code": "12345"}, "Postcode: please check it for this"),
        ("address", {"country": "US", "country_area": "XX"}, "Please choose: State"),
        ("address", {"country": "US"}, "Please fill in: ZIP code"),
    ],
)
def test_wrong_detail_is_refused_with_advice(name: str, data: Any, message: str) -> None:
    assert any(message in text for text in messages(name, data)), messages(name, data)


@pytest.mark.parametrize("text", ["2015-03", "2015/3", "03/2015", "3.2015", "٢٠١٥-٠٣"])
def test_month_in_another_order_is_stored_as_year_and_month(text: str) -> None:
    (part,) = [part for part in DETAIL_FIELDS["employers"].parts if part.key == "from"]
    assert part.clean(text) == "2015-03"


@pytest.mark.parametrize(
    ("since", "former", "message"),
    [
        ("2021-11", DetailValue(), ""),
        ("2021-12", DetailValue(), "Please fill in"),
        ("2021-12", [], "Please add where you lived before"),
        ("2021-12", [LONDON | {"from": "2021-11", "until": "2021-12"}], ""),
        ("2025-01", [LONDON | {"from": "2023-01", "until": "2025-01"}], "until five years ago"),
    ],
)
def test_former_addresses_cover_five_years(since: str, former: Any, message: str) -> None:
    found = messages("former_addresses", former, address=LONDON | {"from": since})
    assert (message in found[0]) if message else found == []


@pytest.mark.parametrize(
    ("country", "number", "is_right"),
    [
        ("GB", "AB 12 34 56 C", True),
        ("GB", "ab123456c", True),
        ("GB", "QQ123456C", False),
        ("GB", "GB123456C", False),
        ("GB", "AB123456E", False),
        ("US", "536-90-4399", True),
        ("US", "000-90-4399", False),
        ("PL", "44051401359", True),
        ("PL", "44051401358", False),
        ("ES", "54362315-K", True),
        ("ES", "54362315-A", False),
        ("FR", "2 95 10 99 126 111 93", True),
        ("KE", "anything", True),
    ],
)
def test_national_id_is_checked_by_its_country(country: str, number: str, is_right: bool) -> None:
    assert is_national_id(country, number) is is_right


@pytest.mark.parametrize(
    ("country", "keys"),
    [
        ("GB", ["street_address", "city", "postal_code"]),
        ("US", ["street_address", "city", "country_area", "postal_code"]),
        ("JP", ["postal_code", "country_area", "street_address"]),
        ("AE", ["street_address", "country_area"]),
    ],
)
def test_address_has_the_parts_of_its_country_in_order(country: str, keys: list[str]) -> None:
    assert [part.key for part in address_parts(country)] == keys


def test_every_country_has_an_address_and_short_subdivisions() -> None:
    for country in COUNTRY_CODES:
        assert "street_address" in [part.key for part in address_parts(country)]
        assert all(len(code) <= 3 for code, _ in subdivisions(country))
    assert [code for code, _ in subdivisions("GB")] == ["ENG", "NIR", "SCT", "WLS"]
    assert dict(subdivisions("US"))["CA"] == "California"


ROW = st.dictionaries(st.sampled_from(["name", "until"]), st.text(min_size=1, max_size=8))


@given(st.lists(ROW, max_size=4))
def test_stored_rows_are_read_back_unchanged(rows: list[dict[str, str]]) -> None:
    value = DetailValue.from_data(rows)
    assert DetailValue.from_text(value.to_text(has_rows=True)) == value


@pytest.mark.parametrize("text", ["Smith\nJones", "none", "123", "[1]", '"quoted"', "true"])
def test_older_text_is_read_as_it_is(text: str) -> None:
    value = DetailValue.from_text(text)
    assert (value.text, value.rows) == (text, ())
    assert DETAIL_FIELDS["former_names"].describe(value) == [text]


def test_older_plain_texts_of_a_check_are_readable(services: Services) -> None:
    public_id = check_factories.place_check(services)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        encrypted = services.secret_box.encrypt("Bakery\nLaundry", f"orders/{public_id}/employers")
        check.candidate_details.append(CandidateDetail(name="employers", value_encrypted=encrypted))
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        details = check.decrypt_details(services.secret_box)
        assert details == {"employers": "Bakery\nLaundry"}


def test_correction_is_locked_by_a_begun_screening_that_asks(services: Services) -> None:
    jobs = {"key": "jobs", "name": "Jobs", "asks": ["full_name", "employers"]}
    check_id = check_outside_factories.place_consented_check(
        services, check_outside_factories.REFEREE_SCREENING, jobs
    )
    new_employers = {"employers": DetailValue(is_none=True)}
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        assert check.find_task("references").started_at
        assert check.correctable_details == {"employers"}
        names = {"full_name": DetailValue.from_data({"family": "Marrero"})}
        with pytest.raises(Conflict, match="has begun"):
            correct(session, services, check, new_employers | names)
        assert not check.detail_values(services.secret_box)["employers"].is_none
        correct(session, services, check, new_employers)
        assert check.detail_values(services.secret_box)["employers"].is_none
        check.find_task("jobs").started_at = services.now()
        assert not check.can_correct_details
        with pytest.raises(Conflict, match="has begun"):
            correct(session, services, check, new_employers)


def correct(
    session: Session, services: Services, check: Check, values: dict[str, DetailValue]
) -> None:
    check.correct_details(session, services.secret_box, values, services.now())
