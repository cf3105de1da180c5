"""The warnings about packages, and the sample packages."""

import re
from pathlib import Path
from typing import Any

import pytest

import provider
from provider.core.kinds import KINDS
from provider.core.kinds.check import Package
from provider.core.kinds.check.packages.content import Disclosure, LegalText
from provider.core.kinds.check.packages.legal_text_slots import LEGAL_TEXT_SLOTS
from provider.core.products.samples import load_sample_documents
from tests import check_factories

PACKAGES = [document for document in load_sample_documents() if document.kind == "check"]
PRIVACY: dict[str, Any] = {
    "key": "privacy",
    "version": "1",
    "purpose": "privacy",
    "title": "P",
    "text": "P",
}


def warnings_of(*screenings: dict[str, Any], **content: Any) -> list[tuple[str, str]]:
    entries = [{"key": f"s-{number}", "name": f"S {number}"} for number in range(len(screenings))]
    package = check_factories.PACKAGE_CONTENT | {"name": "a"} | content
    if screenings:
        pairs = zip(entries, screenings, strict=True)
        package |= {"screenings": [entry | fields for entry, fields in pairs]}
    found = KINDS["check"].find_warnings(Package.parse(package))
    return [(warning.path, warning.problem) for warning in found]


def test_good_package_has_no_warning() -> None:
    assert warnings_of() == []


def test_connector_without_a_name_is_warned_of() -> None:
    fields = {"type": "sanctions", "performer": "connector"}
    assert warnings_of(fields) == [
        ("screenings[0].connector", "should be provided, because a connector does this screening")
    ]
    assert warnings_of(fields | {"connector": "vendor"}) == []


def test_connector_that_is_not_used_is_warned_of() -> None:
    problem = "is not used: the performer of this screening is referee"
    fields = {"type": "references", "connector": "vendor"}
    assert warnings_of(fields) == [("screenings[0].connector", problem)]


def test_vendor_that_learns_nothing_is_warned_of() -> None:
    problem = "is empty, so the referee learns nothing about the candidate"
    assert warnings_of({"performer": "referee"}) == [("screenings[0].asks", problem)]
    assert warnings_of({"performer": "staff"}) == []


def test_dbs_without_a_british_privacy_text_is_warned_of() -> None:
    problem = "has no text with the purpose privacy for GB: a privacy policy"
    fields = {"type": "dbs_basic"}
    assert warnings_of(fields) == [("legal_texts", problem)]
    german = PRIVACY | {"countries": ["DE"]}
    assert warnings_of(fields, legal_texts=[german]) == [("legal_texts", problem)]
    for countries in ([], ["GB"]):
        assert warnings_of(fields, legal_texts=[PRIVACY | {"countries": countries}]) == []


@pytest.mark.parametrize("left_out", ["disclosure", "rights", "authorization"])
def test_american_package_without_a_needed_text_is_warned_of(left_out: str) -> None:
    texts = [
        PRIVACY | {"key": purpose, "purpose": purpose, "countries": ["US"]}
        for purpose in ("disclosure", "rights", "authorization")
        if purpose != left_out
    ]
    ((path, problem),) = warnings_of(legal_texts=texts)
    assert path == "legal_texts"
    assert problem.startswith(f"has no text with the purpose {left_out} for US")


def test_sample_texts_are_warned_of() -> None:
    terms = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True}
    paths = [path for path, _ in warnings_of(disclosure=terms)]
    paths += [path for path, _ in warnings_of(legal_texts=[PRIVACY | {"sample": True}])]
    assert paths == ["disclosure.sample", "legal_texts[0].sample"]


def test_sample_packages_are_those_of_the_guide() -> None:
    assert [document.key for document in PACKAGES] == [
        "employment-screening",
        "uk-dbs-basic",
        "us-employment",
    ]


@pytest.mark.parametrize("document", PACKAGES, ids=lambda document: document.key)
def test_sample_package_warns_of_its_samples_only(document: Any) -> None:
    content = Package.parse(document.content)
    warnings = list(KINDS["check"].find_warnings(content))
    assert {warning.path.rpartition(".")[2] for warning in warnings} == {"sample"}
    assert len(warnings) == 1 + len(content.legal_texts)


def test_american_sample_shows_its_texts_in_order() -> None:
    (document,) = (row for row in PACKAGES if row.key == "us-employment")
    content = Package.parse(document.content)
    texts = content.legal_texts_for("US")
    purposes = ["disclosure", "rights", "authorization", "authorization"]
    assert [text.purpose for text in texts] == purposes
    driving = next(entry for entry in content.screenings if entry.type == "motor_vehicle")
    assert content.find_texts(driving.consent_texts, "US") == [texts[3]]
    disclosure = content.disclosure_for("US").text
    # The law wants nothing else beside the disclosure.
    assert re.fullmatch(r"[^#*\n]+\n[^#*\n]+", disclosure)
    assert "consumerfinance.gov" in texts[1].text
    assert content.legal_texts_for("GB") == ()


def test_each_sample_file_is_a_marked_text_of_a_package_or_slot() -> None:
    folder = Path(provider.__file__).parent / "samples" / "legal"
    texts = {
        text.text: text.sample
        for document in PACKAGES
        for content in [Package.parse(document.content)]
        for text in list[Disclosure | LegalText]([content.disclosure, *content.legal_texts])
    }
    for path in sorted(folder.iterdir()):
        text = path.read_text("utf-8").split("---\n", 2)[2].strip()
        # A test of the slots reads the others.
        assert texts.get(text, path.stem in LEGAL_TEXT_SLOTS) is True, path.name
