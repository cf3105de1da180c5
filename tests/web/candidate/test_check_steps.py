"""The steps to the consent by country, corrections after it, and the proof as a PDF."""

import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.check import Check
from provider.services import Services
from tests import check_factories, check_outside_factories, factories
from tests.check_outside_factories import REFEREE_SCREENING
from tests.check_way import give_consent, open_invitation, send, walk, way
from tests.core.kinds.check.test_consent_proof import LEGAL_TEXTS

US_DISCLOSURE = {
    "key": "us-jobs",
    "version": "1",
    "purpose": "disclosure",
    "title": "Disclosure for the US",
    "text": "A consumer report may be obtained.",
    "countries": ["US"],
}
EMPLOYERS = {"employers": check_factories.FORM_VALUES["employers"]}


@pytest.fixture
def public_id(services: Services, client: FlaskClient) -> str:
    """A check whose texts depend on the country, and whose candidate has a session."""
    product = check_factories.create_package(services, legal_texts=LEGAL_TEXTS)
    placed = check_factories.place_check(services, product)
    open_invitation(services, client, placed)
    return placed


def load_events(services: Services, public_id: str) -> list[tuple[str, str]]:
    with services.db.reading() as session:
        return [(event.type, event.note) for event in Check.find(session, public_id).events]


def test_candidate_of_the_us_reads_her_texts_and_asks_for_a_copy(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    assert client.get(way(public_id)).location == way(public_id, "country")
    assert client.get(way(public_id, "disclosure")).location == way(public_id, "country")
    # The country has states, so that the page asks again.
    asked = send(client, way(public_id, "country"), country="US")
    assert asked.status_code == 200
    assert "California" in asked.text
    refused = send(client, way(public_id, "country"), country="US", subdivision="XX")
    assert "Please choose: State or region" in refused.text
    response = send(client, way(public_id, "country"), country="US", subdivision="CA")
    assert response.location == way(public_id, "disclosure")
    response = send(client, response.location)
    assert response.location == way(public_id, "texts/rights/rights")
    assert "Summary of rights" in client.get(response.location).text
    assert client.get(way(public_id, "texts/privacy/policy")).status_code == 404
    review = walk(client, public_id)
    page = client.get(review).text
    assert "I allow it." in page
    assert send(client, review, name="Lakita", wants_copy="1").status_code == 303
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.case
        assert (check.case.country, check.case.subdivision) == ("US", "CA")
        assert check.case.wants_copy
        (consent,) = check.consents
        assert [row.key for row in consent.texts] == ["jobs", "rights", "permission"]


def test_candidate_who_changes_the_country_reads_the_other_texts(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    send(client, way(public_id, "country"), country="US", subdivision="CA")
    walk(client, public_id)
    send(client, way(public_id, "country"), country="GB", subdivision="SCT")
    assert client.get(way(public_id)).location == way(public_id, "texts/privacy/policy")
    review = walk(client, public_id)
    assert "Send me a copy" in client.get(review).text  # as in the US
    send(client, review, name="Lakita")
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert [row.key for row in check.consents[0].texts] == ["jobs", "policy"]
        assert check.confirmed_texts == []


@pytest.mark.parametrize("is_given", [True, False])
def test_copy_is_offered_elsewhere_where_the_account_gives_it(
    services: Services, client: FlaskClient, public_id: str, is_given: bool
) -> None:
    with services.db.writing() as session:
        account = Check.find(session, public_id).account
        account.options = account.options | {"check_copies": is_given}
    send(client, way(public_id, "country"), country="DE", subdivision="BE")
    review = walk(client, public_id)
    assert ("Send me a copy" in client.get(review).text) == is_given
    assert send(client, review, name="Lakita", wants_copy="1").status_code == 303
    with services.db.reading() as session:
        case = Check.find(session, public_id).case
        assert case
        assert case.wants_copy == is_given


def test_text_of_a_screening_says_its_name_but_no_disclosure_does(
    services: Services, client: FlaskClient
) -> None:
    terms = LEGAL_TEXTS[0] | {"key": "terms", "purpose": "disclosure", "title": "Terms of credit"}
    named = ["rights", "terms", "permission", "policy"]
    screenings = [{"key": "credit", "name": "Credit file", "consent_texts": named}]
    product = check_factories.create_package(
        services, screenings=screenings, legal_texts=[terms, *LEGAL_TEXTS]
    )
    placed = check_factories.place_check(services, product)
    open_invitation(services, client, placed)
    send(client, way(placed, "country"), country="US", subdivision="CA")
    page = client.get(way(placed, "disclosure")).text
    assert "We may <strong>ask</strong> around." in page
    assert "Credit file" not in page
    alone = send(client, way(placed, "disclosure")).location
    assert alone == way(placed, "texts/disclosure/terms")
    page = client.get(alone).text
    assert "Terms of credit" in page
    # The law wants nothing else on the page of a disclosure.
    assert "For: Credit file" not in page
    assert "<footer" not in page
    rights = send(client, alone).location
    assert rights == way(placed, "texts/rights/rights")
    page = client.get(rights).text
    assert "For: Credit file" in page
    assert "<footer" in page
    review = walk(client, placed, {})
    assert client.get(review).text.count("For: Credit file") == 1
    send(client, review, name="Lakita")
    with services.db.reading() as session:
        (consent,) = Check.find(session, placed).consents
        assert [row.key for row in consent.texts] == ["jobs", "terms", "rights", "permission"]


def test_unknown_country_is_refused(client: FlaskClient, public_id: str) -> None:
    response = send(client, way(public_id, "country"), country="XX")
    assert response.status_code == 400
    assert "Please choose: Country" in response.text


def test_country_page_of_a_package_without_countries_is_not_found(
    services: Services, client: FlaskClient
) -> None:
    placed = check_factories.place_check(services)
    open_invitation(services, client, placed)
    assert client.get(way(placed, "country")).status_code == 404


@pytest.fixture
def consented(services: Services, client: FlaskClient) -> str:
    placed = check_factories.place_check(services)
    open_invitation(services, client, placed)
    give_consent(client, placed)
    return placed


def test_correction_is_saved_and_told_to_the_staff(
    services: Services, client: FlaskClient, consented: str
) -> None:
    assert "Correct what you typed" in client.get(f"/c/o/{consented}/").text
    overview = unescape(client.get(way(consented, "corrections")).text)
    assert "until the first part of your check that needs it begins" in overview
    assert "Details that are not listed" not in overview
    assert "Lakita Jane, Marrero-Quux" in overview
    path = way(consented, "corrections/names")
    response = send(client, path, **{"full_name.0.family": "Marrero"})
    assert (response.status_code, response.location) == (303, way(consented, "corrections"))
    assert load_events(services, consented)[-1] == ("details changed", "Full legal name")
    with services.db.reading() as session:
        details = Check.find(session, consented).decrypt_details(services.secret_box)
    assert details["full_name"] == "Marrero"


def test_incomplete_correction_changes_nothing(
    services: Services, client: FlaskClient, consented: str
) -> None:
    path = way(consented, "corrections/employers")
    fields = check_factories.form_fields(EMPLOYERS)
    response = send(client, path, **fields | {"employers.0.from": "2020-01"})
    assert response.status_code == 400
    assert "The end is before the beginning" in response.text
    added = send(client, path, **fields, do="add:employers")
    assert added.status_code == 200
    assert "Employer 3" in added.text
    with services.db.reading() as session:
        details = Check.find(session, consented).decrypt_details(services.secret_box)
    assert details == check_factories.STORED_DETAILS
    assert "details changed" not in dict(load_events(services, consented))


def test_correction_after_the_work_has_begun_is_refused(
    services: Services, client: FlaskClient, consented: str
) -> None:
    path = way(consented, "corrections/names")
    page = client.get(path).text
    with services.db.writing() as session:
        for task in Check.find(session, consented).tasks:
            task.started_at = services.now()
    data = {"csrf_token": factories.csrf_token(page), "full_name.0.family": "Marrero"}
    assert client.post(path, data=data).status_code == 409
    for page_path in (path, way(consented, "corrections")):
        assert client.get(page_path).location == f"/c/o/{consented}/"
    assert "Correct what you typed" not in client.get(f"/c/o/{consented}/").text


def test_details_of_a_begun_screening_only_are_locked(
    services: Services, client: FlaskClient
) -> None:
    jobs = {"key": "jobs", "name": "Jobs", "asks": ["full_name", "former_names", "employers"]}
    placed = check_outside_factories.place_check(services, REFEREE_SCREENING, jobs)
    open_invitation(services, client, placed)
    check_factories.give_consent(
        services, placed, referees=check_outside_factories.REFEREE_LINES, former_names=[]
    )
    assert "Correct what you typed" in client.get(f"/c/o/{placed}/").text
    overview = client.get(way(placed, "corrections")).text
    for group, is_offered in (("names", True), ("employers", True), ("referees", False)):
        assert (f"corrections/{group}" in overview) == is_offered
    assert "Details that are not listed can no longer be changed here" in overview
    assert "Marrero-Quux" not in overview
    overview_path = way(placed, "corrections")
    assert client.get(way(placed, "corrections/referees")).location == overview_path
    path = way(placed, "corrections/names")
    page = client.get(path).text
    assert "former_names" in page
    assert "full_name" not in page
    forged = send(client, path, **{"full_name.0.family": "Marrero"})
    assert forged.status_code == 409
    assert "A part of your check that needs this has begun" in forged.text
    forged = send(client, path, way(placed, "corrections/referees"), **{"referees.none": "1"})
    assert forged.status_code == 409
    saved = send(client, path, **{"former_names.0.name": "Quince"})
    assert (saved.status_code, saved.location) == (303, overview_path)
    assert load_events(services, placed)[-1][0] == "details changed"


def test_evidence_is_for_this_candidate_only_and_not_cached(
    services: Services, client: FlaskClient, consented: str
) -> None:
    response = client.get(way(consented, "evidence.pdf"))
    assert (response.status_code, response.data[:5]) == (200, b"%PDF-")
    assert "no-store" in response.headers["Cache-Control"]
    client.delete_cookie(f"c-{consented}")
    assert client.get(way(consented, "evidence.pdf")).status_code == 403


def test_disclosure_of_another_tab_confirms_no_other_text(
    services: Services, client: FlaskClient
) -> None:
    texts = [*LEGAL_TEXTS, US_DISCLOSURE]
    product = check_factories.create_package(services, legal_texts=texts)
    public_id = check_factories.place_check(services, product)
    open_invitation(services, client, public_id)
    send(client, way(public_id, "country"), country="GB", subdivision="SCT")
    page = way(public_id, "disclosure")
    (seen,) = re.findall('name="digest" value="(.*?)"', client.get(page).text)
    send(client, way(public_id, "country"), country="US", subdivision="CA")
    assert send(client, page, digest=seen).location == page
    with services.db.reading() as session:
        assert Check.find(session, public_id).confirmed_texts == []
    (shown,) = re.findall('name="digest" value="(.*?)"', client.get(page).text)
    assert shown != seen
    assert send(client, page, digest=shown).location == way(public_id, "texts/rights/rights")


def test_signature_of_another_tab_agrees_to_no_other_authorization(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    send(client, way(public_id, "country"), country="GB", subdivision="SCT")
    review = walk(client, public_id)
    (seen,) = re.findall('name="shown_texts" value="(.*?)"', client.get(review).text)
    send(client, way(public_id, "country"), country="US", subdivision="CA")
    walk(client, public_id)
    assert send(client, review, name="Lakita", shown_texts=seen).location == review
    with services.db.reading() as session:
        assert Check.find(session, public_id).consents == []
    (shown,) = re.findall('name="shown_texts" value="(.*?)"', client.get(review).text)
    assert shown != seen
    send(client, review, name="Lakita", shown_texts=shown)
    with services.db.reading() as session:
        assert len(Check.find(session, public_id).consents) == 1
