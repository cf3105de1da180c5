"""Checks in the core: texts that stand, consents, what is kept secret, outcomes, the end."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

import provider
from provider import outbox
from provider.core import kinds
from provider.core.accounts import Account, Caller
from provider.core.kinds.check import (
    CandidateDetail,
    Check,
    Consent,
    Finding,
    IncompleteForm,
    Package,
)
from provider.core.kinds.check.candidate_details import DETAIL_FIELDS, MAX_DETAIL_LENGTH
from provider.core.kinds.check.models import DisclosureRecord
from provider.core.orders import Order, Placement, place
from provider.core.products import Product, list_published_products
from provider.core.products.documents import parse_documents, read_file
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.services import Services
from tests import check_factories, factories
from tests.factories import ManualClock

FILE = """\
kind: check
key: {key}
name: {key}
screenings:
  - key: identity
    name: Identity
disclosure:
  key: terms
  version: "{version}"
  sample: {sample}
  text: {text}
"""


def kept(services: Services, text: str = "One text", **more: str) -> Product:
    told = {"key": "one", "version": "1", "sample": "false"} | more
    (document,) = parse_documents(FILE.format(text=text, **told), "packages.yaml")
    with services.db.writing() as session:
        product, _ = kinds.import_document(session, document, services.now())
        product.publish(services.now())
        session.flush()
        return product


def find(services: Services, public_id: str) -> Check:
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        _ = check.consents, check.candidate_details, check.findings, check.events, check.version
        return check


def words(services: Services, public_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Order.find(session, public_id).events]


def news(services: Services, public_id: str) -> list[str]:
    """Return what was put into the outbox for an order, in its order."""
    with services.db.reading() as session:
        story = outbox.history(session, public_id)
        return [message.payload.get("status") or message.topic for message in story]


# The texts


def test_another_package_may_use_the_same_text_under_its_version(services: Services) -> None:
    kept(services)
    kept(services, key="two")
    with services.db.reading() as session:
        (standing,) = session.scalars(select(DisclosureRecord))
        assert (standing.key, standing.version, standing.text) == ("terms", "1", "One text")
        assert standing.digest == hashlib.sha256(b"One text").hexdigest()


@pytest.mark.parametrize("key", ["one", "two"])
def test_another_text_under_the_same_version_is_refused_with_its_line(
    services: Services, key: str
) -> None:
    kept(services)
    with pytest.raises(Invalid) as refused:
        kept(services, "Another text", key=key)
    assert str(refused.value) == (
        "packages.yaml line 9, disclosure.version: terms 1 already stands with another text; "
        "give the changed one a new version"
    )
    kept(services, "Another text", key=key, version="2")


def test_a_sample_does_not_turn_real_by_itself(services: Services) -> None:
    kept(services, sample="true")
    with pytest.raises(Invalid, match="already stands with another `sample`"):
        kept(services, sample="false")


def test_a_refused_text_leaves_no_version_behind(services: Services) -> None:
    kept(services)
    with pytest.raises(Invalid):
        kept(services, "Another text", key="two")
    with services.db.reading() as session:
        assert session.scalars(select(Product.key)).all() == ["one"]


# Samples


def caller(services: Services, name: str, *, sandbox: bool) -> Caller:
    account_id, _ = factories.create_account(services, name, sandbox=sandbox)
    with services.db.reading() as session:
        return Caller.from_account(session.get_one(Account, account_id))


def test_a_package_with_a_sample_text_is_seen_and_ordered_by_sandboxes_alone(
    services: Services,
) -> None:
    product = kept(services, sample="true")
    real = caller(services, "Real", sandbox=False)
    trial = caller(services, "Trial", sandbox=True)
    wish = Placement(
        product=product.public_id, external_key="https://a.test/1", email="a@example.com"
    )
    with services.db.writing() as session:
        assert [row.name for row in list_published_products(session, "check", trial)] == ["one"]
        assert list_published_products(session, "check", real) == []
        assert place(session, services.secret_box, "check", wish, real, services.now()) is None
        assert place(session, services.secret_box, "check", wish, trial, services.now())


def test_a_real_text_makes_a_package_of_samples_one_for_everybody(services: Services) -> None:
    kept(services, sample="true")
    product = kept(services, version="2")
    assert not product.sandbox_only
    real = caller(services, "Real", sandbox=False)
    with services.db.reading() as session:
        assert [row.name for row in list_published_products(session, "check", real)] == ["one"]


def test_the_sample_package_is_marked_and_asks_for_what_its_screenings_need() -> None:
    (document,) = read_file(
        Path(provider.__file__).parent / "samples" / "employment-screening.yaml"
    )
    content = Package.parse(document.content)
    assert content.disclosure.sample
    assert content.requested_details == [
        "full_name",
        "former_names",
        "date_of_birth",
        "address",
        "education",
        "employers",
    ]


# Consent


def test_the_form_asks_only_what_the_screenings_need(services: Services) -> None:
    check = find(services, check_factories.place_check(services))
    assert check.content.requested_details == ["full_name", "date_of_birth", "employers"]


def test_a_consent_keeps_who_when_where_and_the_hash_of_the_exact_text(
    services: Services, clock: ManualClock
) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id, name="  Lakita \r\n J.\tMarrero ")
    check = find(services, public_id)
    (consent,) = check.consents
    text = check_factories.PACKAGE_CONTENT["disclosure"]["text"]
    assert consent.disclosure_digest == hashlib.sha256(text.encode()).hexdigest()
    assert (consent.disclosure_version, consent.ip_address) == ("jobs 3", "192.0.2.7")
    assert (consent.user_agent, consent.given_at) == ("A browser/1.0", clock.now())
    agreed = check.latest_consent_view(services.secret_box)
    assert agreed
    assert (agreed.name, agreed.text, agreed.sample) == (check_factories.SIGNED_NAME, text, False)
    assert (check.status, check.progress) == ("consented", "submitted")
    assert news(services, public_id) == ["invitation", "consented", "consent"]


def test_lines_stay_lines_and_one_line_stays_one(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(
        services,
        public_id,
        full_name=" Lakita\r\nJane\x00 Marrero ",
        employers=" one \r\n\r\ntwo\rthree ",
    )
    kept = find(services, public_id).decrypt_details(services.secret_box)
    assert kept["full_name"] == "Lakita Jane Marrero"
    assert kept["employers"] == "one\n\ntwo\nthree"


def test_what_the_form_does_not_ask_is_not_kept(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id, national_id="123", former_names="Smith")
    assert set(find(services, public_id).decrypt_details(services.secret_box)) == set(
        check_factories.FORM_VALUES
    )


def test_all_that_is_missing_is_said_at_once_and_nothing_is_kept(services: Services) -> None:
    public_id = check_factories.place_check(services)
    with pytest.raises(IncompleteForm) as error:
        check_factories.give_consent(
            services, public_id, " \n ", full_name="", date_of_birth="yesterday"
        )
    assert list(error.value.fields) == ["name", "full_name", "date_of_birth"]
    check = find(services, public_id)
    assert (check.status, check.consents, check.candidate_details) == ("pending", [], [])
    assert news(services, public_id) == ["invitation"]


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("date_of_birth", "28.02.1990", "year-month-day, such as 1990-02-28"),
        ("date_of_birth", "1990-02-31", "year-month-day"),
        ("date_of_birth", "{today}", "check the year"),
        ("date_of_birth", "1890-01-01", "check the year"),
        ("employers", "x" * (MAX_DETAIL_LENGTH + 1), "at most 1000 characters"),
        ("address", " \r\n ", "Please fill in: Home address"),
    ],
)
def test_each_particular_says_what_it_wants(
    services: Services, field: str, typed: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        DETAIL_FIELDS[field].parse(typed.format(today=services.now().date()), services.now())


@pytest.mark.parametrize("name", DETAIL_FIELDS)
def test_every_particular_takes_what_people_write(services: Services, name: str) -> None:
    typed = "1990-02-28" if DETAIL_FIELDS[name].input_type == "date" else "Łukasz Żółć, 東京"
    assert DETAIL_FIELDS[name].parse(typed, services.now()) == typed


def test_a_second_consent_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with pytest.raises(Conflict):
        check_factories.give_consent(services, public_id)
    assert len(find(services, public_id).consents) == 1


def test_an_overdue_check_cannot_be_consented_to(services: Services, clock: ManualClock) -> None:
    public_id = check_factories.place_check(services)
    clock.advance(timedelta(days=8))
    with pytest.raises(Conflict):
        check_factories.give_consent(services, public_id)


def test_what_is_consented_to_never_expires(services: Services, clock: ManualClock) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    at = clock.advance(timedelta(days=400))
    with services.db.writing() as session:
        assert not kinds.has_overdue(session, at)
        assert kinds.apply_deadlines(session, services.secret_box, at) == 0
    assert factories.order_status(services, public_id) == "consented"


# Secrets


@pytest.mark.sqlite  # the other keeps its files where it likes
def test_the_database_holds_nothing_of_it_in_the_clear(services: Services, tmp_path: Path) -> None:
    public_id = check_factories.completed_check(services)
    with services.db.writing() as session:
        assert session.scalar(text("select count(*) from candidate_details")) == 3
    services.db.close()
    files = [path.read_bytes() for path in tmp_path.glob("provider.db*")]
    assert any(public_id.encode() in data for data in files)
    for secret in (*check_factories.SECRET_WORDS, check_factories.SIGNED_NAME):
        assert not any(secret.encode() in data for data in files), secret


@pytest.mark.parametrize(
    ("swap", "read"),
    [
        (CandidateDetail.value_encrypted, lambda check, vault: check.decrypt_details(vault)),
        (Consent.name, lambda check, vault: check.latest_consent_view(vault)),
        (Finding.note, lambda check, vault: [check.decrypt_note(vault, x) for x in check.findings]),
    ],
)
def test_what_was_sealed_for_another_order_does_not_open(
    services: Services, swap: Any, read: Callable[[Check, Any], object]
) -> None:
    product_id = check_factories.create_package(services)
    account_id, _ = factories.create_account(services)
    ids = []
    for number in (1, 2):
        url = f"https://groove-tech.workable.com/checks/{number}"
        ids.append(
            factories.place_order(services, account_id, product_id, "check", callback_url=url)
        )
        check_factories.give_consent(services, ids[-1])
        check_factories.record_findings(services, ids[-1], {"jobs": "consider"})
    assert read(find(services, ids[0]), services.secret_box)
    with services.db.writing() as session:
        first, second = (Check.find(session, each).id for each in ids)
        owner = swap.class_
        theirs = select(swap).where(owner.order_id == second).limit(1).scalar_subquery()
        session.execute(update(owner).where(owner.order_id == first).values({swap: theirs}))
    with pytest.raises(Unavailable):
        read(find(services, ids[0]), services.secret_box)


def test_the_time_of_a_consent_cannot_be_moved(services: Services, clock: ManualClock) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        session.execute(update(Consent).values(given_at=clock.now() - timedelta(days=1)))
    with pytest.raises(Unavailable):
        find(services, public_id).latest_consent_view(services.secret_box)


def test_one_field_does_not_open_as_another(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check = find(services, public_id)
    name, born = check.candidate_details[0], check.candidate_details[1]
    name.value_encrypted, born.value_encrypted = born.value_encrypted, name.value_encrypted
    with pytest.raises(Unavailable):
        check.decrypt_details(services.secret_box)


# Outcomes


def test_one_screening_to_consider_makes_it_all_to_consider(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.result
        assert check.result.figures == {
            "overall_status": "consider",
            "findings": [
                {"name": "Identity", "status": "clear"},
                {"name": "Employment history", "status": "consider"},
                {"name": "Criminal record", "status": "clear"},
            ],
        }
        assert check.evidence().sentence == "1 of 3 screenings to consider."
    assert news(services, public_id) == ["invitation", "consented", "consent", "completed"]


def test_all_clear_is_clear(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(
        services, public_id, dict.fromkeys(check_factories.OUTCOMES, "clear")
    )
    check_factories.complete_check(services, public_id)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.overall_status == "clear"
        assert check.evidence().sentence == "Nothing to consider in any screening."


def test_without_a_result_nothing_is_said_of_it(services: Services) -> None:
    public_id = check_factories.place_check(services)
    with services.db.reading() as session:
        assert Check.find(session, public_id).evidence().sentence == ""


def test_an_outcome_is_changed_in_its_place_and_told_without_its_note(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    check_factories.record_findings(services, public_id, {"jobs": "clear"})
    check = find(services, public_id)
    (finding,) = check.findings
    assert (finding.status, finding.actor, finding.note) == ("clear", "sam@provider.test", None)
    told = [(each.type, each.note) for each in check.events if each.type == "outcome entered"]
    assert told == [
        ("outcome entered", "Employment history: to consider"),
        ("outcome entered", "Employment history: clear"),
    ]


def test_a_note_keeps_its_lines(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    check = find(services, public_id)
    assert (
        check.decrypt_note(services.secret_box, check.findings[0]) == check_factories.FINDING_NOTE
    )


@pytest.mark.parametrize(
    ("outcome", "note", "error"),
    [("", "", Invalid), ("failed", "", Invalid), ("clear", "x" * 5001, Invalid)],
)
def test_an_outcome_that_is_none_is_refused(
    services: Services, outcome: str, note: str, error: type[Exception]
) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        with pytest.raises(error):
            check.record_finding(
                session, services.secret_box, "jobs", outcome, note, "sam", services.now()
            )


def test_a_screening_that_is_not_in_the_package_is_not_found(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with pytest.raises(NotFound):
        check_factories.record_findings(services, public_id, {"credit": "clear"})


def test_nothing_is_entered_before_the_consent_or_after_the_end(services: Services) -> None:
    public_id = check_factories.place_check(services)
    with pytest.raises(Conflict, match="once the candidate has agreed"):
        check_factories.record_findings(services, public_id)
    with pytest.raises(Conflict):
        check_factories.complete_check(services, public_id)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    with pytest.raises(Conflict):
        check_factories.record_findings(services, public_id, {"jobs": "clear"})


def test_a_check_is_not_completed_while_an_outcome_is_missing(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id, {"identity": "clear"})
    with pytest.raises(Conflict, match="no outcome yet for: Employment history, Criminal record"):
        check_factories.complete_check(services, public_id)


# The end, and another beginning


def reopen(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).reopen(
            session, services.secret_box, "sam@provider.test", "A mix-up", services.now()
        )


def test_a_reopened_check_asks_anew_and_keeps_only_the_consent_on_record(
    services: Services, clock: ManualClock
) -> None:
    public_id = check_factories.completed_check(services)
    reopen(services, public_id)
    check = find(services, public_id)
    assert (check.status, check.candidate_details, check.findings) == ("pending", [], [])
    assert len(check.consents) == 1
    with services.db.reading() as session:
        assert session.scalar(select(func.count(Finding.id))) == 0
    with pytest.raises(Conflict):
        check_factories.record_findings(services, public_id)
    clock.advance(timedelta(hours=1))
    check_factories.give_consent(services, public_id, name="Lakita M")
    check_factories.record_findings(
        services, public_id, dict.fromkeys(check_factories.OUTCOMES, "clear")
    )
    check_factories.complete_check(services, public_id)
    check = find(services, public_id)
    agreed = check.latest_consent_view(services.secret_box)
    assert agreed
    assert (len(check.consents), agreed.name, agreed.given_at) == (2, "Lakita M", clock.now())
    assert news(services, public_id)[-5:] == [
        "pending",
        "invitation",
        "consented",
        "consent",
        "completed",
    ]


def test_an_open_check_cannot_be_reopened_and_loses_nothing(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with pytest.raises(Conflict):
        reopen(services, public_id)
    assert len(find(services, public_id).candidate_details) == 3


def test_staff_can_take_a_check_back_after_the_consent(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        Order.find(session, public_id).cancel(session, "sam", "Withdrawn", services.now())
    assert factories.order_status(services, public_id) == "cancelled"
    assert words(services, public_id)[-1] == "cancelled"
