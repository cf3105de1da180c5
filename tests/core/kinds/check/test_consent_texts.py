"""The legal texts of single screenings: slots of types, texts of packages, consents, additions."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from pypdf import PdfReader

import provider
from provider.core.kinds import KINDS
from provider.core.kinds.check import Check, Package
from provider.core.kinds.check.added_screening import add_screening, list_addable_types
from provider.core.kinds.check.consent_proof import list_evidence_texts, render_consent_proof
from provider.core.kinds.check.packages.content import PackageContent
from provider.core.kinds.check.packages.countries import COUNTRY_CODES
from provider.core.kinds.check.packages.detail_samples import SAMPLE_DETAILS
from provider.core.kinds.check.packages.legal_text_slots import LEGAL_TEXT_SLOTS, PURPOSES
from provider.core.kinds.check.packages.package import text_digest
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.core.kinds.check.shown_texts import list_shown_texts
from provider.errors import Invalid
from provider.services import Services
from tests import check_decision_factories, check_factories
from tests.check_work_factories import SAM

DRIVING = "us-driving-record-authorization"
SAMPLES = Path(provider.__file__).parent / "samples" / "legal"


def text(key: str, purpose: str = "authorization", *countries: str) -> dict[str, Any]:
    fields = {"key": key, "version": "1", "purpose": purpose, "title": key.title()}
    return fields | {"text": f"The text {key}.", "countries": list(countries or ("US",))}


US_TEXTS = [
    text("us-disclosure", "disclosure"),
    text("us-rights", "rights"),
    text("us-authorization"),
]


def screening(key: str, **fields: Any) -> dict[str, Any]:
    return {"key": key, "name": key.title(), **fields}


def parse(*screenings: dict[str, Any], texts: Any = (), **fields: Any) -> PackageContent:
    content = {"name": "a", "screenings": list(screenings), "legal_texts": list(texts)}
    return Package.parse(check_factories.PACKAGE_CONTENT | content | fields)


def warnings_of(content: PackageContent) -> list[tuple[str, str]]:
    return [(found.path, found.problem) for found in KINDS["check"].find_warnings(content)]


@pytest.mark.parametrize("name", LEGAL_TEXT_SLOTS)
def test_slot_has_a_marked_sample_of_its_country_and_a_type(name: str) -> None:
    slot = LEGAL_TEXT_SLOTS[name]
    _, header, body = (SAMPLES / f"{name}.md").read_text("utf-8").split("---\n", 2)
    fields = yaml.safe_load(header)
    assert (fields["key"], fields["purpose"]) == (name, slot.purpose)
    assert (fields["countries"], fields["sample"]) == ([slot.country], True)
    assert "This is a sample and no legal text." in body
    assert slot.country in COUNTRY_CODES
    assert slot.purpose in PURPOSES
    assert any(name in entry.consent_texts for entry in SCREENING_TYPES.values())


def test_types_have_the_slots_of_their_countries() -> None:
    slots = {name: entry.consent_texts for name, entry in SCREENING_TYPES.items()}
    assert {name: found for name, found in slots.items() if found} == {
        **dict.fromkeys(("dbs_basic", "dbs_standard", "dbs_enhanced"), ("uk-dbs-privacy",)),
        "motor_vehicle": (DRIVING,),
        "credit": ("us-credit-authorization",),
    }
    assert set().union(*slots.values()) == set(LEGAL_TEXT_SLOTS)


def test_screening_has_the_texts_that_it_names_or_those_of_its_type() -> None:
    texts = [text(DRIVING), text("uk-driving", "privacy", "GB"), text("general", "privacy", "GB")]
    usual, own = (
        parse(screening("driving", type="motor_vehicle", **fields), texts=texts)
        for fields in ({}, {"consent_texts": ["uk-driving"]})
    )
    found = {
        (content is own, country): [
            row.key for row in content.find_texts(content.screenings[0].consent_texts, country)
        ]
        for content in (usual, own)
        for country in ("US", "GB")
    }
    assert found == {
        (False, "US"): [DRIVING],
        (False, "GB"): [],
        (True, "US"): [],
        (True, "GB"): ["uk-driving"],
    }
    assert [row.key for row in own.list_consent_texts(own.screenings[0])] == ["uk-driving"]


def test_privacy_text_of_the_package_is_that_of_its_dbs_check() -> None:
    texts = [text("our-privacy", "privacy", "GB", "IE"), text("other", "rights", "GB")]
    content = parse(screening("dbs", type="dbs_basic"), texts=texts)
    names = content.screenings[0].consent_texts
    assert [row.key for row in content.find_texts(names, "GB")] == ["our-privacy"]
    assert content.find_texts(names, "IE") == []
    assert [row.key for row in content.list_consent_texts(content.screenings[0])] == ["our-privacy"]
    assert warnings_of(content) == []


def test_unknown_text_of_a_screening_is_refused_in_words() -> None:
    driving = screening("driving", type="motor_vehicle", consent_texts=[DRIVING, "lost"])
    with pytest.raises(Invalid) as caught:
        parse(screening("first"), driving, texts=US_TEXTS)
    assert str(caught.value) == (
        "screenings[1].consent_texts[1]: is lost, which legal_texts does not have: add this text "
        "there, or name one of us-disclosure, us-rights, us-authorization"
    )
    with pytest.raises(Invalid, match=r"does not have: add this text there$"):
        parse(screening("first", consent_texts=["lost"]))


def test_slot_without_a_text_is_warned_of_in_its_country_only() -> None:
    driving = screening("driving", type="motor_vehicle")
    assert warnings_of(parse(driving)) == []
    assert warnings_of(parse(driving, texts=[*US_TEXTS, text(DRIVING)])) == []
    # The general authorization is not enough: many states want another text.
    assert warnings_of(parse(driving, texts=US_TEXTS)) == [
        (
            "screenings[0].consent_texts",
            f"has no text {DRIVING} for US: the authorization of a driving record; "
            "add it to legal_texts, with the purpose authorization",
        )
    ]
    assert warnings_of(parse(driving | {"consent_texts": []}, texts=US_TEXTS)) == []


def test_texts_of_a_screening_do_not_stand_for_those_of_the_package() -> None:
    driving = screening("driving", type="motor_vehicle")
    texts = [*US_TEXTS[:2], text(DRIVING)]
    problem = "has no text with the purpose authorization for US: an authorization"
    assert warnings_of(parse(driving, texts=texts)) == [("legal_texts", problem)]


def test_package_that_names_texts_without_a_language_is_warned_of() -> None:
    first = screening("first", consent_texts=["privacy"])
    texts = [text("privacy", "privacy", "DE")]
    ((path, problem),) = warnings_of(parse(first, texts=texts))
    assert (path, problem.partition(",")[0]) == ("language", "should be provided")
    assert warnings_of(parse(first, texts=texts, language="de")) == []
    assert warnings_of(parse(screening("first"), texts=texts)) == []


def test_candidate_reads_each_text_of_her_screenings_once() -> None:
    texts = [
        text("credit-disclosure", "disclosure"),
        *US_TEXTS,
        text("shared"),
        text("british", "privacy", "GB"),
    ]
    content = parse(
        screening("credit", consent_texts=["credit-disclosure", "shared", "british"]),
        screening("driving", consent_texts=["shared"]),
        texts=texts,
    )
    shown = [(row.purpose, row.key, row.screenings) for row in list_shown_texts(content, "US")]
    # The stand-alone disclosure of the package stays the first one, on a page of its own.
    assert shown == [
        ("disclosure", "us-disclosure", ()),
        ("disclosure", "credit-disclosure", ("Credit",)),
        ("rights", "us-rights", ()),
        ("authorization", "us-authorization", ()),
        ("authorization", "shared", ("Credit", "Driving")),
    ]
    assert [row.key for row in list_shown_texts(content, "GB")] == ["jobs", "british"]


def place(services: Services, country: str, *screenings: dict[str, Any], texts: Any) -> str:
    """Return the public id of a check whose candidate of a country has signed."""
    first = screening("identity", asks=[*SCREENING_TYPES["credit"].asks, "driving_licence"])
    second = screening("document", documents=["driving_licence"])
    product_id = check_factories.create_package(
        services, screenings=[first, second, *screenings], legal_texts=texts
    )
    public_id = check_factories.place_check(services, product_id)
    check_decision_factories.set_country(services, public_id, country)
    check_factories.give_consent(services, public_id, **SAMPLE_DETAILS)
    return public_id


def addable(services: Services, public_id: str) -> set[str]:
    with services.db.reading() as session:
        return set(list_addable_types(Check.find(session, public_id)))


def add(services: Services, public_id: str, type_name: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        add_screening(session, check, type_name, "Added", "Hm.", SAM, services.now())


@pytest.mark.both
def test_consent_and_its_proof_have_the_texts_of_screenings(services: Services) -> None:
    driving = screening("driving", consent_texts=["our-driving"])
    texts = [*US_TEXTS, text("our-driving"), text("british", "privacy", "GB")]
    public_id = place(services, "US", driving, texts=texts)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        (consent,) = check.consents
        rows = {row.key: row.digest for row in consent.texts}
        assert list(rows) == ["us-disclosure", "us-rights", "us-authorization", "our-driving"]
        assert rows["our-driving"] == text_digest("The text our-driving.")
        evidence = {row["title"]: row["screenings"] for row in list_evidence_texts(check, consent)}
        assert evidence["Our-Driving"] == "Driving"
        assert evidence["Us-Authorization"] == ""
        pdf = render_consent_proof(
            check, consent, services.secret_box, services.settings, services.now()
        )
    pages = PdfReader(io.BytesIO(pdf)).pages
    words = " ".join(" ".join(page.extract_text().split()) for page in pages)
    assert "For Driving" in words
    assert words.count("For ") == 1
    assert "The text our-driving." in words
    assert rows["our-driving"] in words


@pytest.mark.parametrize(
    ("country", "has_text", "is_addable"),
    [
        ("US", True, True),
        ("US", False, False),
        ("DE", False, True),  # no text is known to be wanted there
        ("", False, False),  # the candidate may live in the US
    ],
)
def test_screening_is_added_only_if_its_texts_were_read(
    services: Services, country: str, has_text: bool, is_addable: bool
) -> None:
    texts = [*US_TEXTS, *([text(DRIVING)] if has_text else [])]
    public_id = place(services, country, texts=texts)
    types = addable(services, public_id)
    assert ("motor_vehicle" in types) == is_addable
    assert "other" in types
    assert "credit" not in types
    if not is_addable:
        with pytest.raises(Invalid, match="has not agreed to this"):
            add(services, public_id, "motor_vehicle")
        return
    add(services, public_id, "motor_vehicle")
    with services.db.reading() as session:
        added = Check.find(session, public_id).screenings[-1]
        assert added.consent_texts == ((DRIVING,) if has_text else ())


def test_text_that_the_last_consent_lacks_allows_no_addition(services: Services) -> None:
    driving = screening(
        "driving", type="motor_vehicle", documents=[], consent_texts=["our-driving"]
    )
    public_id = place(services, "US", driving, texts=[*US_TEXTS, text("our-driving")])
    assert "motor_vehicle" in addable(services, public_id)
    with services.db.writing() as session:
        (consent,) = Check.find(session, public_id).consents
        next(row for row in consent.texts if row.key == "our-driving").digest = "0" * 64
    assert "motor_vehicle" not in addable(services, public_id)


def test_added_dbs_check_has_the_options_and_texts_of_the_package(services: Services) -> None:
    options = {"workforce": "child", "barred_lists": "children"}
    dbs = screening("dbs", type="dbs_enhanced", **options)
    public_id = place(services, "GB", dbs, texts=[text("our-privacy", "privacy", "GB")])
    add(services, public_id, "dbs_enhanced")
    with services.db.reading() as session:
        added = Check.find(session, public_id).screenings[-1]
        assert (added.options, added.consent_texts) == (options, ("our-privacy",))


def test_text_of_another_screening_fills_no_slot() -> None:
    texts = [text("credit-privacy", "privacy", "GB")]
    credit = screening("credit", type="credit", consent_texts=["credit-privacy"])
    content = parse(credit, screening("dbs", type="dbs_basic"), texts=texts)
    (privacy,) = [shown for shown in list_shown_texts(content, "GB") if shown.purpose == "privacy"]
    assert privacy.screenings == ("Credit",)
    problems = [problem for path, problem in warnings_of(content) if path.startswith("screenings")]
    assert any("has no text uk-dbs-privacy for GB" in problem for problem in problems)


def test_text_of_the_package_is_not_that_of_a_slot_with_its_own_text() -> None:
    texts = [text("gb-privacy", "privacy", "GB"), text("uk-dbs-privacy", "privacy", "GB")]
    content = parse(screening("dbs", type="dbs_basic"), texts=texts)
    shown = {entry.key: entry.screenings for entry in list_shown_texts(content, "GB")}
    assert (shown["gb-privacy"], shown["uk-dbs-privacy"]) == ((), ("Dbs",))


def test_named_disclosure_with_the_key_of_the_disclosure_is_refused() -> None:
    key = check_factories.PACKAGE_CONTENT["disclosure"]["key"]
    texts = [text(key, "disclosure")]
    assert parse(screening("jobs"), texts=texts).legal_texts
    with pytest.raises(Invalid, match="give this text another key"):
        parse(screening("jobs", consent_texts=[key]), texts=texts)
