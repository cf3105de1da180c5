"""Numbers of many countries and scripts, with the item's own unit."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.core.kinds.assessment.items import Numeric
from provider.core.kinds.assessment.number_parsing import format_number, parse_number
from provider.errors import Invalid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", "12"),
        ("+12", "12"),
        (" 12.50 ", "12.5"),
        ("1,234.5", "1234.5"),
        ("1.234,5", "1234.5"),
        ("1234,5", "1234.5"),
        ("0,123", "0.123"),
        ("12,34", "12.34"),
        ("1234,567", "1234.567"),
        ("1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("1.234.567,8", "1234567.8"),
        ("1 234,5", "1234.5"),
        ("1 234 567", "1234567"),
        ("1\u00a0234\u202f567", "1234567"),
        ("1 234,567 890", "1234.56789"),
        ("1'234.5", "1234.5"),
        ("1’234", "1234"),
        ("12,34,567", "1234567"),
        ("12,34,567.8", "1234567.8"),
        (",5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("\u22123", "-3"),
        ("\u20133", "-3"),
        ("- 3", "-3"),
        ("\u200e-5", "-5"),
        ("\u2067-5\u2069", "-5"),
        ("5\u200b", "5"),
        ("\ufeff5", "5"),
        ("－５", "-5"),
        ("＋５", "5"),
        ("-0", "0"),
        ("0.00", "0"),
        ("1e3", "1000"),
        ("1E-2", "0.01"),
        ("1,5e3", "1500"),
        ("100", "100"),
        ("١٢٫٥", "12.5"),
        ("١٬٢٣٤", "1234"),
        ("١٬٢٣٤٫٥", "1234.5"),
        ("۱۲٫۵", "12.5"),
        ("१२.५", "12.5"),
        ("১২.৫", "12.5"),
        ("１２．５", "12.5"),
        ("１２，３４５，６７８", "12345678"),
        ("3·14", "3.14"),
        ("ー５", "-5"),
        ("\uff705", "-5"),
        ("１２。５", "12.5"),
        ("12\uff615", "12.5"),
        ("１２、３４５、６７８", "12345678"),
        ("12\uff64345\uff64678", "12345678"),
        ("ー１、２３４。５", "-1234.5"),
    ],
)
def test_parse_number_reads_formats_of_many_countries(text: str, expected: str) -> None:
    parsed = parse_number(text)
    assert format_number(parsed.number) == expected
    assert parsed.alternative is None


@pytest.mark.parametrize(
    ("text", "number", "alternative"),
    [
        ("1,234", "1234", "1.234"),
        ("1.234", "1.234", "1234"),
        ("123.456", "123.456", "123456"),
        ("-12,345", "-12345", "-12.345"),
        ("１，２３４", "1234", "1.234"),
        ("١،٢٣٤", "1234", "1.234"),
        ("１、２３４", "1234", "1.234"),
        ("1,234e2", "123400", "123.4"),
        ("1.230 km", "1.23", "1230"),
    ],
)
def test_parse_number_two_readings_are_both_returned(
    text: str, number: str, alternative: str
) -> None:
    parsed = parse_number(text, "km")
    assert parsed.alternative is not None
    assert (format_number(parsed.number), format_number(parsed.alternative)) == (
        number,
        alternative,
    )
    # The note tells the candidate to write the alternative like this.
    assert parse_number(alternative).number == parsed.alternative


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("%", "25%", "25"),
        ("%", "25 ％", "25"),
        ("%", "٢٥٪", "25"),
        ("€", "€6.60", "6.6"),
        ("€", "6,60 €", "6.6"),
        ("€", "-€5", "-5"),
        ("€", "€\u22125", "-5"),
        ("€", "6.60", "6.6"),
        ("km", "12 km", "12"),
        ("km", "12km", "12"),
        ("CHF", "CHF 1'234", "1234"),
        ("Rs.", "Rs. 12,34,567", "1234567"),
        ("m²", "5 m²", "5"),
        ("m²", "5 m2", "5"),
        ("m²", "5 m^2", "5"),
        ("1/min", "5 1/min", "5"),
        ("1/min", "5", "5"),
        ("eV", "5 eV", "5"),
        ("eV", "5e3 eV", "5000"),
        ("μm", "5 µm", "5"),
        ("°C", "-20 ℃", "-20"),
        ("メートル", "ー５メートル", "-5"),
        ("メートル", "5 \uff92\uff70\uff84\uff99", "5"),
    ],
)
def test_parse_number_takes_the_items_own_unit(unit: str, text: str, expected: str) -> None:
    assert format_number(parse_number(text, unit).number) == expected


@pytest.mark.parametrize(
    ("unit", "text", "advice"),
    [
        ("km", "12 kg", "“kg” is not the unit of this question. Write the number in km"),
        ("MW", "5 mW", "“mW” is not the unit of this question. Write the number in MW"),
        ("€", "$6", "“$” is not the unit of this question. Write the number in €"),
        ("", "12 km", "“km” is not asked for here. Write the number alone"),
        ("m", "5 メートル", "“メートル” is not the unit of this question. Write the number in m"),
        ("", "10²", "“²” is not asked for here. Write the number alone"),
        ("km", "?", "Write a number only, for example 12.5, or one with the unit km"),
    ],
)
def test_parse_number_another_unit_is_refused_by_name(unit: str, text: str, advice: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_number(text, unit)
    assert str(caught.value) == advice


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "inf",
        "-Infinity",
        "twelve",
        "1,23,4",
        "1,2345,678",
        "1.2.3",
        ",",
        "-",
        "1,234.567.8",
        "1.234,567,8",
        "1..2",
        "--1",
        "1e",
        "e3",
        "1e9999",
        "0x10",
        "1,,000",
        "1_000",
        "1e-30",
        "1e30",
        "1,234,56",
        "²",
        "½",
        "1/2",
        "12 5",
        "1 2",
        "1'23",
        "5-",
        "(5)",
        "-€-5",
        "12:30",
        "十二",
        "9" * 41,
    ],
)
def test_parse_number_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_number(text)


def test_numeric_reading_and_problem_are_told_in_words() -> None:
    item = Numeric(key="n", prompt="?", answer=Decimal("1.234"), unit="km")
    reading = item.reading("1,234")
    assert reading is not None
    assert reading.note == "Read as 1234. If you mean 1.234, write 1.234."
    assert reading.numbers == ("1234", "1.234")
    assert item.reading("1234") is None
    assert item.reading("about 5") is None
    assert item.reading(None) is None
    assert item.find_problem("about 5") is not None
    assert item.find_problem("5") is None
    assert item.find_problem(None) is None


@pytest.mark.parametrize(
    ("value", "typed", "expected"),
    [
        ("5", "5 km", "5 km"),
        ("1234", "1,234", "1234 km (typed as “1,234”)"),
        ("5", "5 k", "5 km; “5 k” (not read as an answer)"),
        (None, "5 k", "“5 k” (not read as an answer)"),
        (None, None, ""),
    ],
)
def test_numeric_report_shows_what_was_typed(
    value: str | None, typed: str | None, expected: str
) -> None:
    assert Numeric(key="n", prompt="?", unit="km").format_typed(value, typed) == expected


def test_numeric_minimum_is_enforced_and_allows_a_keypad() -> None:
    item = Numeric(key="n", prompt="?", answer=Decimal(5), minimum=Decimal(0))
    with pytest.raises(Invalid, match="not below 0"):
        item.parse_answer({"answer": "-1"})
    assert item.parse_answer({"answer": "0"}) == "0"
    assert not item.may_be_negative
    # The keyboard must not tell the sign of the answer.
    assert Numeric(key="n", prompt="?", answer=Decimal(5)).may_be_negative
    assert Numeric(key="n", prompt="?", answer=Decimal(-5)).may_be_negative


@settings(deadline=None)
@given(st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=4))
def test_format_number_is_parsed_exactly(number: Decimal) -> None:
    assert parse_number(format_number(number)).number == number
    assert parse_number(f"{number:,}").number == number
