"""The texts of notices: which one applies, what is refused, and how a digest finds it."""

import io
from datetime import UTC, datetime

import pytest
from pypdf import PdfReader
from sqlalchemy import func, select

from provider.core.accounts import Account
from provider.core.kinds import find_texts
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.core.kinds.check.adverse.notice_pdf import render_notice_pdf
from provider.core.kinds.check.adverse.notice_samples import MAX_NOTICE_LENGTH, translate_sample
from provider.core.kinds.check.adverse.notice_text import (
    NoticeScope,
    NoticeText,
    choose_text,
    end_text,
    save_text,
)
from provider.core.kinds.check.packages.legal_text_record import LegalTextRecord, text_digest
from provider.core.kinds.check.packages.package import Package
from provider.core.kinds.check.tables.adverse_action import NOTICES, AdverseNotice
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import check_decision_factories, check_factories, factories
from tests.factories import ManualClock

ANN = "ann@provider.test"
FIRST = NOTICES[0]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2027, 2, 1, 12, tzinfo=UTC))


@pytest.fixture
def check_id(services: Services) -> str:
    """Return a check whose candidate reads German."""
    check_id = check_decision_factories.consider_check(services)
    with services.db.writing() as session:
        Check.find(session, check_id).language = "de"
    return check_id


def save(
    services: Services,
    text: str,
    language: str = "",
    package: str = "",
    purpose: str = FIRST,
    account: str = "Groove Tech",
) -> None:
    with services.db.writing() as session:
        account_id = session.scalars(select(Account.id).where(Account.name == account)).one()
        package_id = session.scalar(select(Package.id).where(Package.key == package))
        scope = NoticeScope(package_id, language)
        save_text(session, account_id, purpose, text, ANN, services.now(), scope)


def begin(services: Services, check_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.begin(session, services.secret_box, check, "us", 5, "Why", ANN, services.now())


def sent_text(services: Services, check_id: str) -> tuple[str, AdverseNotice]:
    with services.db.reading() as session:
        check = Check.find(session, check_id)
        notice = check.find_notice(FIRST)
        assert notice
        return check.decrypt_notice(services.secret_box, notice)["text"], notice


# From the widest to the most exact. The package of the check has the key “screened”.
SCOPES = [("", ""), ("de", ""), ("", "screened"), ("de", "screened")]


@pytest.mark.parametrize("number", range(len(SCOPES)))
def test_most_exact_text_applies(services: Services, check_id: str, number: int) -> None:
    for language, package in SCOPES[: number + 1]:
        save(services, f"for {language} {package}", language, package)
    check_factories.create_package(services, "other", "Another")
    for language, package in [("fr", ""), ("fr", "screened"), ("", "other"), ("de", "other")]:
        save(services, "of others", language, package)
    factories.create_account(services, "Rival Corp")
    save(services, "of a rival", "de", "screened", account="Rival Corp")
    save(services, "of another notice", "de", "screened", purpose=NOTICES[1])
    begin(services, check_id)
    language, package = SCOPES[number]
    assert sent_text(services, check_id)[0] == f"for {language} {package}".strip()


@pytest.mark.both
def test_ended_text_gives_way_to_the_wider_one(services: Services, check_id: str) -> None:
    save(services, "wide")
    save(services, "old", "de")
    save(services, "new", "de")
    scope = NoticeScope(None, "de")
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        ended = end_text(session, account.id, FIRST, scope, ANN, services.now())
        assert (ended.text, ended.ended_by) == ("new", ANN)
        with pytest.raises(Conflict, match="No text of its own is in use here"):
            end_text(session, account.id, FIRST, scope, ANN, services.now())
    begin(services, check_id)
    assert sent_text(services, check_id)[0] == "wide"
    save(services, "new", "de")  # the same words again are a version of their own
    with services.db.reading() as session:
        numbers = session.scalars(select(NoticeText.number).order_by(NoticeText.id)).all()
        assert numbers == [1, 2, 3, 4]
        account = session.scalars(select(Account)).one()
        assert choose_text(session, account, FIRST, scope, services.now()).text == "new"


def test_sent_notice_names_the_digest_that_finds_its_text(
    services: Services, check_id: str
) -> None:
    text = "Guten Tag, {candidate}: {package}"
    save(services, text, "de", "screened")
    begin(services, check_id)
    save(services, "A later text", "de", "screened")
    words, notice = sent_text(services, check_id)
    assert words.startswith("Guten Tag, ")
    assert (notice.text_version, notice.text_digest) == ("1", text_digest(text))
    with services.db.reading() as session:
        (found,) = find_texts(session, notice.text_digest)
        assert (found.text, found.sample, found.purpose) == (text, False, FIRST)
        assert found.key.endswith("/pre_adverse/screened/de")
        check = Check.find(session, check_id)
        content = check.decrypt_notice(services.secret_box, check.adverse_actions[0].notices[0])
        pdf = render_notice_pdf(check, content, notice.sent_at)
    shown = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    assert notice.text_digest in "".join(shown.split())


def test_sample_is_in_the_language_and_is_found_by_its_digest(
    services: Services, check_id: str
) -> None:
    begin(services, check_id)
    rights = [check_decision_factories.RIGHTS]
    package = check_factories.create_package(services, "again", legal_texts=rights)
    second = factories.place_order(
        services,
        1,
        package,
        "check",
        callback_url="https://groove-tech.workable.com/assessments/2",
        email="second@example.com",
    )
    check_factories.give_consent(services, second)
    check_factories.record_findings(services, second)
    check_factories.complete_check(services, second)
    check_decision_factories.set_country(services, second, "US")
    with services.db.writing() as session:
        Check.find(session, second).language = "de"
    begin(services, second)
    words, notice = sent_text(services, check_id)
    assert "Noch ist nichts entschieden" in words
    assert notice.text_version == "sample"
    with services.db.reading() as session:
        (found,) = find_texts(session, notice.text_digest)
        assert (found.text, found.sample) == (translate_sample(FIRST, "de"), True)
        assert (
            session.scalar(select(func.count(LegalTextRecord.id)).where(LegalTextRecord.sample))
            == 1
        )


def test_account_without_a_text_in_the_language_sends_no_sample(
    services: Services, check_id: str
) -> None:
    save(services, "Bonjour", "fr")
    with services.db.writing() as session:
        session.scalars(select(Account)).one().sandbox = False
    with pytest.raises(Conflict, match=r"no text of its own for .* in this language \(Deutsch\)"):
        begin(services, check_id)
    save(services, "Hallo", "de")
    begin(services, check_id)
    assert sent_text(services, check_id)[0] == "Hallo"


@pytest.mark.parametrize(
    ("purpose", "text", "problem"),
    [
        (FIRST, " \r\n ", "The text is empty: write what the candidate should read"),
        (FIRST, "Dear {nobody}", r"“\{nobody\}” is not known here: a notice can name .*last_day"),
        (
            NOTICES[1],
            "By {last_day}",
            r"“\{last_day\}” is not known here: a notice can name .*package\}, \{completed_on\}$",
        ),
        (FIRST, "Dear {candidate", r"A brace of the text has no partner: write names as one of \{"),
        (FIRST, "x" * (MAX_NOTICE_LENGTH + 1), "has 20001 characters: shorten it to 20000"),
        ("other", "Hello", "There is no such notice"),
    ],
)
def test_bad_text_gets_one_clear_error(
    services: Services, check_id: str, purpose: str, text: str, problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        save(services, text, purpose=purpose)


@pytest.mark.parametrize("language", ["xx", "DE", "de_AT"])
def test_language_that_no_candidate_has_is_refused(
    services: Services, check_id: str, language: str
) -> None:
    problem = f"“{language}” is not a language of the candidates: choose one of en, ar, de, es, fr"
    with pytest.raises(Invalid, match=problem):
        save(services, "Hello", language)
