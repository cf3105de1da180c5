"""The legal texts of packages: one text for a key and a version, found by its digest."""

import hashlib
from copy import deepcopy
from typing import Any

import pytest
from sqlalchemy import select

from provider.core import kinds
from provider.core.kinds import find_texts
from provider.core.kinds.check import Check, Package
from provider.core.kinds.check.packages.legal_text_record import LegalTextRecord
from provider.core.products.documents import Document
from provider.errors import Invalid, NotFound
from provider.services import Services
from tests import check_factories

RIGHTS_TEXT = "# Your rights\n\nYou may **ask**."
RIGHTS: dict[str, Any] = {
    "key": "us-rights",
    "version": "1",
    "purpose": "rights",
    "title": "Your rights",
    "text": RIGHTS_TEXT,
    "countries": ["US"],
}


def publish(services: Services, *texts: dict[str, Any], key: str = "one") -> Package:
    content = check_factories.PACKAGE_CONTENT | {"name": key, "legal_texts": list(texts)}
    document = Document("check", key, key, deepcopy(content), source="factories")
    with services.db.writing() as session:
        package, _ = kinds.import_document(session, document, services.now())
        assert isinstance(package, Package)
        package.publish(services.now())
        session.flush()
        return package


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.both
def test_legal_text_is_found_by_its_digest(services: Services) -> None:
    publish(services, RIGHTS)
    publish(services, RIGHTS, key="two")
    publish(services, RIGHTS | {"key": "other", "version": "a"}, key="three")
    with services.db.reading() as session:
        first, second = find_texts(session, digest_of(RIGHTS_TEXT).upper())
        assert (first.key, first.version, first.purpose) == ("us-rights", "1", "rights")
        assert (first.title, first.text, first.sample) == ("Your rights", RIGHTS_TEXT, False)
        assert (second.key, second.version) == ("other", "a")


def test_digest_on_a_consent_finds_its_text(services: Services) -> None:
    check_id = check_factories.place_check(services)
    check_factories.give_consent(services, check_id)
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        (text,) = find_texts(session, check.consents[0].disclosure_digest)
        assert (text.text, text.purpose) == (check.content.disclosure.text, "disclosure")


@pytest.mark.parametrize("digest", ["", "0" * 64, "x" * 64, "0" * 63, "%" * 64])
def test_unknown_digest_is_not_found(services: Services, digest: str) -> None:
    publish(services, RIGHTS)
    with services.db.reading() as session, pytest.raises(NotFound):
        find_texts(session, digest)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"text": "Another text"}, "text"),
        ({"title": "Another title"}, "title"),
        ({"purpose": "privacy"}, "purpose"),
        ({"sample": True}, "`sample`"),
    ],
)
def test_changed_text_in_the_same_version_is_refused(
    services: Services, change: dict[str, Any], difference: str
) -> None:
    publish(services, RIGHTS)
    with pytest.raises(Invalid) as caught:
        publish(services, RIGHTS | change, key="two")
    assert str(caught.value).endswith(
        f"legal_texts[0].version: us-rights 1 already exists with another {difference}; "
        "give the changed text a new version"
    )
    publish(services, RIGHTS | change | {"version": "2"}, key="two")
    with services.db.reading() as session:
        records = session.scalars(select(LegalTextRecord).order_by(LegalTextRecord.id)).all()
        assert [(record.version, record.text) for record in records] == [
            ("1", RIGHTS_TEXT),
            ("2", (RIGHTS | change)["text"]),
        ]


def test_other_countries_need_no_new_version(services: Services) -> None:
    publish(services, RIGHTS)
    publish(services, RIGHTS | {"countries": ["US", "PR"]}, key="two")


def test_package_with_a_sample_text_is_for_sandboxes(services: Services) -> None:
    assert not publish(services, RIGHTS).sandbox_only
    assert publish(services, RIGHTS | {"version": "2", "sample": True}, key="two").sandbox_only


def test_texts_are_those_of_the_candidates_country() -> None:
    disclosure = RIGHTS | {"key": "us-disclosure", "purpose": "disclosure", "text": "Alone"}
    everywhere = {**RIGHTS, "key": "all", "countries": []}
    texts = {"name": "a", "legal_texts": [RIGHTS, disclosure, everywhere]}
    content = Package.parse(check_factories.PACKAGE_CONTENT | texts)
    keys = {
        country: [text.key for text in content.legal_texts_for(country)]
        for country in ("US", "DE", "")
    }
    assert keys == {"US": ["us-rights", "us-disclosure", "all"], "DE": ["all"], "": ["all"]}
    assert content.disclosure_for("US").text == "Alone"
    assert content.disclosure_for("DE") == content.disclosure


def test_wrong_country_is_refused() -> None:
    texts = {"name": "a", "legal_texts": [RIGHTS | {"countries": ["UK"]}]}
    with pytest.raises(Invalid, match=r"legal_texts\[0\]\.countries\[0\]: should be the code"):
        Package.parse(check_factories.PACKAGE_CONTENT | texts)
