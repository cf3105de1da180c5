"""Checks: disclosures, consents, encryption, findings, completion and reopening."""

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
from provider.core.kinds import KINDS
from provider.core.kinds.check import (
    CandidateDetail,
    Check,
    Consent,
    Finding,
    IncompleteForm,
    Package,
)
from provider.core.kinds.check.evidence import ReportedFinding
from provider.core.kinds.check.packages.package import DisclosureRecord
from provider.core.orders import Order, Placement, place
from provider.core.products import Product, list_published_products
from provider.core.products.documents import parse_documents, read_file
from provider.errors import Conflict, Invalid, NotFound, Unavailable
from provider.services import Services
from tests import check_factories, factories
from tests.factories import ManualClock

PACKAGE_DOCUMENT = """\
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


def publish_package(services: Services, text: str = "One text", **more: str) -> Product:
    values = {"key": "one", "version": "1", "sample": "false"} | more
    source = PACKAGE_DOCUMENT.format(text=text, **values)
    (document,) = parse_documents(source, "packages.yaml")
    with services.db.writing() as session:
        product, _ = kinds.import_document(session, document, services.now())
        product.publish(services.now())
        session.flush()
        return product


def load_check(services: Services, public_id: str) -> Check:
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        _ = check.consents, check.candidate_details, check.findings, check.events, check.version
        return check


def event_types(services: Services, public_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Order.find(session, public_id).events]


def enqueued_topics(services: Services, public_id: str) -> list[str]:
    """Return the messages of an order: the status of a callback, the topic of an e-mail."""
    with services.db.reading() as session:
        messages = outbox.history(session, public_id)
        return [
            message.get_payload(services.secret_box).get("status") or message.topic
            for message in messages
        ]


# Disclosures


def test_disclosure_same_text_in_another_package_is_shared(services: Services) -> None:
    publish_package(services)
    publish_package(services, key="two")
    with services.db.reading() as session:
        (record,) = session.scalars(select(DisclosureRecord))
        assert (record.key, record.version, record.text) == ("terms", "1", "One text")
        assert record.digest == hashlib.sha256(b"One text").hexdigest()


@pytest.mark.parametrize("key", ["one", "two"])
def test_disclosure_changed_text_same_version_is_refused(services: Services, key: str) -> None:
    publish_package(services)
    with pytest.raises(Invalid) as caught:
        publish_package(services, "Another text", key=key)
    assert str(caught.value) == (
        "packages.yaml line 9, disclosure.version: terms 1 already exists with another text; "
        "give the changed disclosure a new version"
    )
    publish_package(services, "Another text", key=key, version="2")


def test_disclosure_sample_cannot_become_real_in_same_version(services: Services) -> None:
    publish_package(services, sample="true")
    with pytest.raises(Invalid, match="already exists with another `sample`"):
        publish_package(services, sample="false")


def test_disclosure_refused_package_is_not_stored(services: Services) -> None:
    publish_package(services)
    with pytest.raises(Invalid):
        publish_package(services, "Another text", key="two")
    with services.db.reading() as session:
        assert session.scalars(select(Product.key)).all() == ["one"]


# Samples


def create_caller(services: Services, name: str, *, sandbox: bool) -> Caller:
    account_id, _ = factories.create_account(services, name, sandbox=sandbox)
    with services.db.reading() as session:
        return Caller.from_account(session.get_one(Account, account_id))


def test_sample_package_is_for_sandbox_accounts_only(services: Services) -> None:
    product = publish_package(services, sample="true")
    customer = create_caller(services, "Customer", sandbox=False)
    sandbox = create_caller(services, "Sandbox", sandbox=True)
    placement = Placement(
        product=product.public_id, external_key="https://a.test/1", email="a@example.com"
    )
    with services.db.writing() as session:
        assert [row.name for row in list_published_products(session, "check", sandbox)] == ["one"]
        assert list_published_products(session, "check", customer) == []
        secret_box, now = services.secret_box, services.now()
        assert place(session, secret_box, ("check",), placement, customer, now) is None
        assert place(session, secret_box, ("check",), placement, sandbox, now)


def test_sample_package_with_real_version_is_for_all_accounts(services: Services) -> None:
    publish_package(services, sample="true")
    product = publish_package(services, version="2")
    assert not product.sandbox_only
    customer = create_caller(services, "Customer", sandbox=False)
    with services.db.reading() as session:
        assert [row.name for row in list_published_products(session, "check", customer)] == ["one"]


def test_bundled_package_is_a_sample_and_requests_details() -> None:
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


def test_requested_details_are_those_of_the_screenings(services: Services) -> None:
    check = load_check(services, check_factories.place_check(services))
    assert check.content.requested_details == ["full_name", "date_of_birth", "employers"]


def test_give_consent_records_name_time_browser_and_text(
    services: Services, clock: ManualClock
) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id, name="  Lakita \r\n J.\tMarrero ")
    check = load_check(services, public_id)
    (consent,) = check.consents
    text = check_factories.PACKAGE_CONTENT["disclosure"]["text"]
    assert consent.disclosure_digest == hashlib.sha256(text.encode()).hexdigest()
    assert (consent.disclosure_version, consent.ip_address) == ("jobs 3", "192.0.2.7")
    assert (consent.user_agent, consent.given_at) == ("A browser/1.0", clock.now())
    view = check.latest_consent_view(services.secret_box)
    assert view
    assert (view.name, view.text, view.sample) == (check_factories.SIGNED_NAME, text, False)
    assert (check.status, check.progress) == ("consented", "submitted")
    assert enqueued_topics(services, public_id) == ["invitation", "consented", "consent"]


def test_give_consent_removes_characters_that_turn_a_text(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id, name="Lakita \u202eJ.\u202c Marrero")
    view = load_check(services, public_id).latest_consent_view(services.secret_box)
    assert view
    assert view.name == check_factories.SIGNED_NAME


def test_give_consent_ignores_details_that_are_not_requested(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id, national_id="123", former_names=[])
    assert set(load_check(services, public_id).decrypt_details(services.secret_box)) == set(
        check_factories.FORM_VALUES
    )


def test_give_consent_invalid_form_reports_all_fields_and_stores_none(services: Services) -> None:
    public_id = check_factories.place_check(services)
    with pytest.raises(IncompleteForm) as error:
        check_factories.give_consent(
            services, public_id, " \n ", full_name={}, date_of_birth={"date": "yesterday"}
        )
    assert list(error.value.fields) == ["name", "full_name", "date_of_birth"]
    check = load_check(services, public_id)
    assert (check.status, check.consents, check.candidate_details) == ("pending", [], [])
    assert enqueued_topics(services, public_id) == ["invitation"]


def test_give_consent_twice_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with pytest.raises(Conflict):
        check_factories.give_consent(services, public_id)
    assert len(load_check(services, public_id).consents) == 1


def test_give_consent_to_overdue_check_is_refused(services: Services, clock: ManualClock) -> None:
    public_id = check_factories.place_check(services)
    clock.advance(timedelta(days=8))
    with pytest.raises(Conflict):
        check_factories.give_consent(services, public_id)


def test_consented_check_never_expires(services: Services, clock: ManualClock) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    now = clock.advance(timedelta(days=400))
    with services.db.writing() as session:
        assert factories.apply_deadlines(services, session, now) == 0
    assert factories.order_status(services, public_id) == "consented"


# Encryption


@pytest.mark.sqlite  # PostgreSQL does not store its files in tmp_path
def test_database_file_has_no_personal_data_in_clear_text(
    services: Services, tmp_path: Path
) -> None:
    public_id = check_factories.completed_check(services)
    with services.db.writing() as session:
        assert session.scalar(text("select count(*) from candidate_details")) == 3
    services.db.close()
    files = [path.read_bytes() for path in tmp_path.glob("provider.db*")]
    assert any(public_id.encode() in data for data in files)
    for secret in (*check_factories.SECRET_WORDS, check_factories.SIGNED_NAME):
        assert not any(secret.encode() in data for data in files), secret


@pytest.mark.parametrize(
    ("column", "decrypt"),
    [
        (CandidateDetail.value_encrypted, lambda check, box: check.decrypt_details(box)),
        (Consent.name, lambda check, box: check.latest_consent_view(box)),
        (
            Finding.note,
            lambda check, box: [check.decrypt_note(box, finding) for finding in check.findings],
        ),
    ],
)
def test_decrypt_value_of_another_order_is_refused(
    services: Services, column: Any, decrypt: Callable[[Check, Any], object]
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
    assert decrypt(load_check(services, ids[0]), services.secret_box)
    with services.db.writing() as session:
        first_id, second_id = (Check.find(session, public_id).id for public_id in ids)
        model = column.class_
        other_value = select(column).where(model.order_id == second_id).limit(1).scalar_subquery()
        session.execute(
            update(model).where(model.order_id == first_id).values({column: other_value})
        )
    with pytest.raises(Unavailable):
        decrypt(load_check(services, ids[0]), services.secret_box)


def test_decrypt_consent_with_changed_time_is_refused(
    services: Services, clock: ManualClock
) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        session.execute(update(Consent).values(given_at=clock.now() - timedelta(days=1)))
    with pytest.raises(Unavailable):
        load_check(services, public_id).latest_consent_view(services.secret_box)


def test_decrypt_detail_of_another_field_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check = load_check(services, public_id)
    first, second, *_ = check.candidate_details
    first.value_encrypted, second.value_encrypted = second.value_encrypted, first.value_encrypted
    with pytest.raises(Unavailable):
        check.decrypt_details(services.secret_box)


# Findings


def test_conclude_with_one_finding_to_consider_is_to_consider(services: Services) -> None:
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
        assert check.evidence(services.secret_box).sentence == "1 of 3 screenings to consider."
    assert enqueued_topics(services, public_id) == [
        "invitation",
        "consented",
        "consent",
        "completed",
        "completion",
    ]


def test_conclude_with_clear_findings_is_clear(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(
        services, public_id, dict.fromkeys(check_factories.OUTCOMES, "clear")
    )
    check_factories.complete_check(services, public_id)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.overall_status == "clear"
        assert (
            check.evidence(services.secret_box).sentence == "Nothing to consider in any screening."
        )


def test_evidence_without_result_has_no_sentence(services: Services) -> None:
    public_id = check_factories.place_check(services)
    with services.db.reading() as session:
        assert Check.find(session, public_id).evidence(services.secret_box).sentence == ""


def test_record_finding_again_replaces_it_and_logs_no_note(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    check_factories.record_findings(services, public_id, {"jobs": "clear"})
    check = load_check(services, public_id)
    (finding,) = check.findings
    assert (finding.status, finding.actor) == ("clear", "sam@provider.test")
    assert (finding.note, finding.report_text) == (None, None)
    events = [(event.type, event.note) for event in check.events if event.type == "outcome entered"]
    assert events == [
        ("outcome entered", "Employment history"),
        ("outcome entered", "Employment history"),
    ]


def test_record_finding_note_keeps_its_lines(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id, {"jobs": "consider"})
    check = load_check(services, public_id)
    assert (
        check.decrypt_note(services.secret_box, check.findings[0]) == check_factories.FINDING_NOTE
    )


def test_read_encrypted_names_the_texts_of_a_finding(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    with services.db.reading() as session:
        values = KINDS["check"].read_encrypted(Check.find(session, public_id), services.secret_box)
    assert values["finding_report_texts"]["jobs"] == check_factories.REPORT_TEXT
    assert values["finding_notes"]["jobs"] == check_factories.FINDING_NOTE


@pytest.mark.parametrize(
    ("status", "note", "report_text"),
    [("", "", ""), ("failed", "", ""), ("clear", "x" * 5001, ""), ("clear", "", "x" * 2001)],
)
def test_record_finding_invalid_status_or_text_is_refused(
    services: Services, status: str, note: str, report_text: str
) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        with pytest.raises(Invalid):
            check.record_finding(
                session,
                services.secret_box,
                "jobs",
                status,
                note,
                "sam",
                services.now(),
                report_text=report_text,
            )


def test_record_finding_unknown_screening_is_not_found(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with pytest.raises(NotFound):
        check_factories.record_findings(services, public_id, {"credit": "clear"})


def test_record_finding_before_consent_or_after_end_is_refused(services: Services) -> None:
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


@pytest.mark.both
def test_evidence_has_the_texts_for_the_report(services: Services) -> None:
    public_id = check_factories.completed_check(services)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.evidence(services.secret_box).findings == (
            ReportedFinding("Identity", "clear"),
            ReportedFinding("Employment history", "consider", check_factories.REPORT_TEXT),
            ReportedFinding("Criminal record", "clear"),
        )
        (text,) = [finding.report_text for finding in check.findings if finding.report_text]
        assert check_factories.REPORT_TEXT.encode() not in text


def test_conclude_with_unexplained_finding_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(
        services, public_id, dict.fromkeys(check_factories.OUTCOMES, "clear")
    )
    with services.db.writing() as session:
        Check.find(session, public_id).record_finding(
            session, services.secret_box, "record", "consider", "A note", "sam", services.now()
        )
    with pytest.raises(Conflict, match="no text in the report yet for: Criminal record"):
        check_factories.complete_check(services, public_id)


def test_conclude_with_missing_finding_is_refused(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    check_factories.record_findings(services, public_id, {"identity": "clear"})
    with pytest.raises(Conflict, match="no outcome yet for: Employment history, Criminal record"):
        check_factories.complete_check(services, public_id)


# Reopening and cancelling


def reopen(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).reopen(
            session, services.secret_box, "sam@provider.test", "A mix-up", services.now()
        )


def test_reopened_check_keeps_only_the_consent(services: Services, clock: ManualClock) -> None:
    public_id = check_factories.completed_check(services)
    reopen(services, public_id)
    check = load_check(services, public_id)
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
    check = load_check(services, public_id)
    view = check.latest_consent_view(services.secret_box)
    assert view
    assert (len(check.consents), view.name, view.given_at) == (2, "Lakita M", clock.now())
    assert enqueued_topics(services, public_id)[-6:] == [
        "pending",
        "invitation",
        "consented",
        "consent",
        "completed",
        "completion",
    ]


def test_reopen_open_check_is_refused_and_keeps_details(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with pytest.raises(Conflict):
        reopen(services, public_id)
    assert len(load_check(services, public_id).candidate_details) == 3


def test_cancel_consented_check(services: Services) -> None:
    public_id = check_factories.place_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        Order.find(session, public_id).cancel(session, "sam", "Withdrawn", services.now())
    assert factories.order_status(services, public_id) == "cancelled"
    assert event_types(services, public_id)[-1] == "cancelled"


def test_sample_package_promises_nothing_that_the_pages_do_not_do() -> None:
    path = Path(provider.__file__).parent / "samples" / "employment-screening.yaml"
    (document,) = parse_documents(path.read_text("utf-8"), path.name)
    texts = " ".join(str(value) for value in document.content.values()).lower()
    # There is no copy for the candidate, no dispute, no upload, and no promised day.
    for promise in ("copy", "dispute", "upload", "e-mail", "within", "days"):
        assert promise not in texts
