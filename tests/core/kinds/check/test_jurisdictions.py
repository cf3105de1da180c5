"""The numbers of places: each has a source, and the documentation has the same numbers."""

import re
from pathlib import Path

import pytest

from provider.core.kinds.check.adverse.jurisdictions import (
    BASES,
    BASIS_LABELS,
    JURISDICTIONS,
    NOTHING,
)

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "checks.md"
ROW = re.compile(r"^\| (?P<place>[^|]+) \| (?P<days>\d+|–) \| (?P<after>\d+|–) \|", re.M)


@pytest.mark.parametrize("key", JURISDICTIONS)
def test_number_names_its_source_and_what_was_read(key: str) -> None:
    place = JURISDICTIONS[key]
    assert len(place.source) > 10
    assert BASIS_LABELS[place.basis]
    assert (place.waiting_days is None) == (place.basis == NOTHING)


def test_labels_are_for_the_known_bases_only() -> None:
    assert tuple(BASIS_LABELS) == BASES


def test_documentation_has_the_numbers_of_each_place() -> None:
    written = {row["place"]: (row["days"], row["after"]) for row in ROW.finditer(_documentation())}
    assert written == {
        str(place.label): (str(place.waiting_days or "–"), str(place.days_after_dispute or "–"))
        for place in JURISDICTIONS.values()
    }


def test_documentation_asks_for_a_lawyer() -> None:
    assert "Each number needs review by a lawyer before use" in _documentation()


def _documentation() -> str:
    return DOCUMENTATION.read_text("utf-8")
