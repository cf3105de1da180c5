"""The texts that a consent records, its proof as a PDF, and the seal of the PDF."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.x509.oid import NameOID
from pypdf import PdfReader
from sqlalchemy import select

from provider.config import Settings
from provider.core.kinds.check import Check
from provider.core.kinds.check.consent_proof import (
    list_evidence_texts,
    render_consent_proof,
)
from provider.core.kinds.check.packages.package import text_digest
from provider.core.kinds.check.tables.consent import ConsentText
from provider.core.markdown import markdown_to_text
from provider.core.orders import Order
from provider.core.products.samples import load_sample_documents
from provider.errors import Unavailable
from provider.services import Services
from provider.texts import use_language
from tests import check_decision_factories, check_factories, factories
from tests.factories import ManualClock

PASSWORD = "a password of the test"
LEGAL_TEXTS = [
    {
        "key": "rights",
        "version": "1",
        "purpose": "rights",
        "title": "Summary of rights",
        "text": "You may **ask**.",
        "countries": ["US"],
    },
    {
        "key": "permission",
        "version": "2",
        "purpose": "authorization",
        "title": "Authorization",
        "text": "I allow it.",
        "countries": ["US"],
    },
    {
        "key": "policy",
        "version": "1",
        "purpose": "privacy",
        "title": "Privacy policy",
        "text": "We keep little.",
        "countries": ["GB"],
    },
]


DISCLOSURES = {"US": "us-disclosure", "GB": "general-disclosure", "DE": "general-disclosure"}


def place_american_check(services: Services) -> str:
    product_id = check_factories.create_package(services, legal_texts=LEGAL_TEXTS)
    public_id = check_factories.place_check(services, product_id)
    with services.db.writing() as session:
        case = Check.find(session, public_id).own_case
        case.country, case.subdivision, case.wants_copy = "US", "CA", True
    return public_id


def render(services: Services, public_id: str, settings: Settings | None = None) -> bytes:
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        return render_consent_proof(
            check,
            check.consents[-1],
            services.secret_box,
            settings or services.settings,
            services.now(),
        )


def pdf_text(pdf: bytes) -> str:
    return " ".join(
        " ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages
    )


def test_give_consent_records_the_texts_of_the_country(
    services: Services, clock: ManualClock
) -> None:
    public_id = place_american_check(services)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        assert check.own_case.country == "US"
    check_factories.give_consent(services, public_id)
    with services.db.reading() as session:
        (consent,) = Check.find(session, public_id).consents
        texts = [(row.purpose, row.key, row.version, row.digest) for row in consent.texts]
        assert texts == [
            ("disclosure", "jobs", "3", consent.disclosure_digest),
            ("rights", "rights", "1", text_digest("You may **ask**.")),
            ("authorization", "permission", "2", text_digest("I allow it.")),
        ]
        assert {row.shown_at for row in consent.texts} == {clock.now()}


@pytest.mark.both
def test_reopened_check_keeps_the_texts_of_its_consents(
    services: Services, clock: ManualClock
) -> None:
    public_id = place_american_check(services)
    for _ in range(2):
        check_factories.give_consent(services, public_id)
        check_factories.record_findings(
            services, public_id, dict.fromkeys(check_factories.OUTCOMES, "clear")
        )
        check_factories.complete_check(services, public_id)
        with services.db.writing() as session:
            Order.find(session, public_id).reopen(
                session, services.secret_box, "sam", "", clock.advance(timedelta(hours=1))
            )
    with services.db.reading() as session:
        rows = session.scalars(select(ConsentText)).all()
        assert len(rows) == 6
        assert all(row.consent_id for row in rows)
        assert Check.find(session, public_id).confirmed_texts == []


def test_evidence_has_the_signature_the_browser_and_every_text(services: Services) -> None:
    public_id = place_american_check(services)
    check_factories.give_consent(services, public_id)
    text = pdf_text(render(services, public_id))
    for part in (
        check_factories.SIGNED_NAME,
        "192.0.2.7",
        "A browser/1.0",
        public_id,
        "We may ask around.",
        "Summary of rights",
        "You may ask.",
        "I allow it.",
        text_digest("I allow it."),
        "Asked for a copy of the report Yes",
        "US CA",
    ):
        assert part in text, part
    assert "We keep little" not in text
    for secret in check_factories.SECRET_WORDS:
        assert secret not in text


def test_evidence_keeps_the_place_of_its_consent_after_a_reopening(services: Services) -> None:
    public_id = place_american_check(services)
    check_factories.give_consent(services, public_id)
    with services.db.writing() as session:
        check = Check.find(session, public_id)
        check.cancel(session, "sam", "A mistake", services.now())
        check.reopen(session, services.secret_box, "sam", "Again", services.now())
        # The candidate chooses another country on the way to the next consent.
        case = check.own_case
        case.country, case.subdivision, case.wants_copy = "GB", "SCT", False
    text = pdf_text(render(services, public_id))
    assert "US CA" in text
    assert "Asked for a copy of the report Yes" in text
    assert "GB" not in text


@pytest.mark.parametrize(("country", "key"), DISCLOSURES.items())
def test_disclosure_of_the_country_is_the_only_one(
    services: Services, country: str, key: str
) -> None:
    (document,) = (row for row in load_sample_documents() if row.key == "us-employment")
    content = {name: document.content[name] for name in ("disclosure", "legal_texts")}
    product_id = check_factories.create_package(services, **content)
    account_id, _ = factories.create_account(services, sandbox=True)
    public_id = factories.place_order(services, account_id, product_id, "check")
    check_decision_factories.set_country(services, public_id, country)
    check_factories.give_consent(services, public_id)
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        expected = check.content.disclosure_for(country)
        assert expected.key == key
        (consent,) = check.consents
        assert [row.key for row in consent.texts if row.purpose == "disclosure"] == [key]
        assert consent.disclosure_digest == text_digest(expected.text)
        assert consent.disclosure_version == f"{expected.key} {expected.version}"
        assert check.consent_view(services.secret_box, consent).text == expected.text
        assert next(list_evidence_texts(check, consent))["digest"] == consent.disclosure_digest
        consent.texts.clear()  # as in a consent from before texts were recorded
        (text,) = list_evidence_texts(check, consent)
        assert text["text"] == markdown_to_text(expected.text)


def test_evidence_in_arabic_is_a_pdf(services: Services) -> None:
    public_id = place_american_check(services)
    check_factories.give_consent(services, public_id, name="محمد")
    with use_language("ar"):
        assert render(services, public_id).startswith(b"%PDF")


def create_key(folder: Path) -> Path:
    """Write a key with a certificate of its own as a PKCS#12 file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Provider's seal")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.KeyUsage(*[True, True, *[False] * 7]), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "seal.p12"
    encryption = BestAvailableEncryption(PASSWORD.encode())
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"seal", key, certificate, None, encryption)
    )
    return path


def in_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call it in a thread without an event loop: pyhanko starts its own; Playwright has another."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def find_signatures(pdf: bytes) -> Any:
    from pyhanko.pdf_utils.reader import PdfFileReader

    return PdfFileReader(io.BytesIO(pdf)).embedded_signatures


def read_seal(pdf: bytes) -> Any:
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    (signature,) = find_signatures(pdf)
    roots = ValidationContext(trust_roots=[signature.signer_cert], allow_fetching=False)
    return validate_pdf_signature(signature, roots)


def test_sealed_evidence_is_broken_by_one_changed_byte(services: Services, tmp_path: Path) -> None:
    public_id = place_american_check(services)
    check_factories.give_consent(services, public_id)
    settings = replace(services.settings, seal_file=create_key(tmp_path), seal_password=PASSWORD)
    sealed = in_a_thread(render, services, public_id, settings)
    assert check_factories.SIGNED_NAME in pdf_text(sealed)
    status = in_a_thread(read_seal, sealed)
    assert (status.intact, status.valid) == (True, True)
    position = sealed.index(b"stream\n") + 20
    changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
    assert not in_a_thread(read_seal, changed).intact


def test_seal_has_the_time_that_is_passed_in(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    public_id = place_american_check(services)
    check_factories.give_consent(services, public_id)
    settings = replace(services.settings, seal_file=create_key(tmp_path), seal_password=PASSWORD)
    clock.current_time = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)  # no clock of a machine
    sealed = in_a_thread(render, services, public_id, settings)
    (signature,) = find_signatures(sealed)
    signed = {
        attribute["type"].native: attribute["values"].native
        for attribute in signature.signer_info["signed_attrs"]
    }
    assert signed["signing_time"] == [clock.current_time]
    assert signature.sig_object.get("/M") == "D:20310506070809Z"


def test_seal_with_a_wrong_password_says_what_to_check(services: Services, tmp_path: Path) -> None:
    public_id = place_american_check(services)
    check_factories.give_consent(services, public_id)
    settings = replace(services.settings, seal_file=create_key(tmp_path), seal_password="wrong")
    with pytest.raises(Unavailable, match="check the file and its password"):
        render(services, public_id, settings)
