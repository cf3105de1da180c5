"""The console's pages of an account's notices: which text applies, previews, and versions."""

import io
import re
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.core.kinds.check.adverse.notice_text import save_text
from provider.core.kinds.check.packages.legal_text_record import text_digest
from provider.core.kinds.check.packages.package import Package
from provider.services import Services
from tests import check_decision_factories, check_factories, factories
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

ANN = "ann@provider.test"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2027, 2, 1, 12, tzinfo=UTC))


@pytest.fixture
def check_id(services: Services) -> str:
    return check_decision_factories.consider_check(services)


@pytest.fixture
def console(services: Services, client: FlaskClient, check_id: str) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


def notices_path(services: Services, page: str = "", account: str = "Groove Tech") -> str:
    with services.db.reading() as session:
        query = select(Account.public_id).where(Account.name == account)
        return f"/console/accounts/{session.scalars(query).one()}/notices/{page}"


def package_of(services: Services, check_id: str) -> str:
    with services.db.reading() as session:
        return Check.find(session, check_id).product.public_id


def save(console: ConsoleClient, path: str, text: str) -> int:
    seen = console.read_field(path, "seen")
    return console.submit(path, page=path, seen=seen, text=text).status_code


def cells_of(page: str) -> list[str]:
    """Return the texts of the first notice's cells, without what is for screen readers."""
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    table = re.sub(r'<span class="visually-hidden">.*?</span>|<svg.*?</svg>', "", table, flags=re.S)
    cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", table, flags=re.S)
    return [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in cells]


def test_list_shows_which_text_applies_where(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    listing, package = notices_path(services), package_of(services, check_id)
    assert cells_of(console.get_text(listing)) == ["All packages", *["Sample"] * 6]
    assert save(console, f"{listing}pre_adverse?language=de", "Hallo") == 302
    assert save(console, f"{listing}pre_adverse?package={package}", "For the package") == 302
    cells = cells_of(console.get_text(listing))
    since = "since 1 February 2027, 14:00 Athens time"
    assert [cell.replace(since, "").strip() for cell in cells] == [
        "All packages",
        "Sample",  # all languages, then English, Arabic, German, Spanish, French
        "Sample",
        "Sample",
        "Version 1",
        "Sample",
        "Sample",
        "Full screening",
        "Version 2",
        *["As version 2 Full screening , all languages"] * 5,
    ]


def test_text_of_a_wider_scope_is_named_and_can_be_ended(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    path, package = notices_path(services, "pre_adverse"), package_of(services, check_id)
    exact = f"{path}?package={package}&language=fr"
    assert "A sample, not for real use" in console.get_text(exact)
    assert save(console, path, "For everybody") == 302
    page = console.get_text(exact)
    assert "A sample, not for real use" not in page
    assert "There is no text for exactly this" in page
    assert "the text for all packages and all languages" in " ".join(page.split())
    assert "For everybody</textarea>" in page
    assert "End the use" not in page
    assert save(console, exact, "Pour vous") == 302
    end = exact.replace("?", "/end?")
    assert console.submit(end, page=exact, seen="stale").status_code == 409
    seen = console.read_field(exact, "seen")
    assert console.submit(end, page=exact, seen=seen).status_code == 302
    assert console.submit(end, page=exact, seen=seen).status_code == 409
    page = console.get_text(exact)
    assert "For everybody</textarea>" in page
    assert "use ended 1 February 2027" in page
    assert text_digest("Pour vous") in page


def test_save_refuses_bad_texts_and_stale_forms(services: Services, console: ConsoleClient) -> None:
    path = notices_path(services, "final_adverse")
    seen = console.read_field(path, "seen")
    for text, problem in (
        (" ", "The text is empty"),
        ("By {last_day}", "“{last_day}” is not known here"),
        ("Dear {candidate", "A brace of the text has no partner"),
    ):
        for act in ("", "preview", "pdf"):
            response = console.submit(path, page=path, seen=seen, text=text, act=act)
            assert response.status_code == 400
            assert problem in response.text
            assert text.strip() in response.text
    assert console.submit(path, page=path, seen=seen, text="Hello").status_code == 302
    assert console.submit(path, page=path, seen=seen, text="Hi").status_code == 409
    for language in ("xx", "de_AT"):
        response = console.submit(f"{path}?language={language}", page=path, text="Hello")
        assert response.status_code == 400
        assert f"“{language}” is not a language of the candidates" in response.text


def test_preview_is_the_email_and_the_pdf_in_the_language(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    package = package_of(services, check_id)
    path = notices_path(services, f"pre_adverse?package={package}&language=de")
    text = "Guten Tag, {candidate}!\n\nEs geht um {package}, bis {last_day}."
    response = console.submit(path, page=path, text=text, act="preview")
    assert response.status_code == 200
    assert "Es geht um Full screening, bis 8. Februar 2027." in response.text
    assert text in response.text
    assert "This is a sample" not in response.text
    response = console.submit(path, page=path, text=text, act="pdf")
    assert (response.status_code, response.mimetype) == (200, "application/pdf")
    reader = PdfReader(io.BytesIO(response.data))
    shown = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    for part in ("Es geht um Full screening", "A summary of your rights", text_digest(text)[:20]):
        assert part in shown
    assert "Version 1" not in console.get_text(path)  # nothing is saved


def test_preview_of_the_sample_is_marked(services: Services, console: ConsoleClient) -> None:
    path = notices_path(services, "pre_adverse?language=de")
    page = console.get_text(path)
    sample = page[page.index("Guten Tag") : page.index("</textarea>")]
    response = console.submit(path, page=path, text=sample, act="preview")
    assert "Dies ist ein Muster" in response.text


def test_sent_notice_leads_to_its_text(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    text = "Dear *{candidate}*,\n\nplease answer."
    assert save(console, notices_path(services, "pre_adverse?language=en"), text) == 302
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.begin(session, services.secret_box, check, "us", 5, "Why", ANN, services.now())
    page = console.get_text(f"/console/checks/{check_id}/adverse/")
    assert text_digest(text) in page
    page = console.get_text(f"/console/legal-texts/{text_digest(text)}")
    assert text in page
    assert "Notice before a decision" in page
    assert "sample" not in page


def test_texts_of_another_account_are_invisible(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    other, _ = factories.create_account(services, "Rival Corp", all_products=False)
    with services.db.writing() as session:
        save_text(session, other, "pre_adverse", "A rival’s words", ANN, services.now())
        own = session.scalars(select(Account.id).where(Account.name == "Groove Tech")).one()
    limited = ConsoleClient.signed_in(services, client, "admin", [own])
    digest, package = text_digest("A rival’s words"), package_of(services, check_id)
    rival, listing = notices_path(services, "", "Rival Corp"), notices_path(services)
    for path in (rival, f"{rival}pre_adverse", f"/console/legal-texts/{digest}"):
        assert client.get(path).status_code == 404
    token = limited.read_field(f"{listing}pre_adverse", "csrf_token")
    for path in (f"{rival}pre_adverse", f"{rival}pre_adverse/end"):
        data = {"csrf_token": token, "text": "Mine"}
        assert client.post(path, data=data).status_code == 404
    assert "rival" not in limited.get_text(listing).lower()
    assert client.get(f"{listing}pre_adverse?package={package}").status_code == 200
    assert client.get(f"{listing}other").status_code == 404
    everybody = ConsoleClient.signed_in(services, client, "owner")
    assert "A rival’s words" in everybody.get_text(f"/console/legal-texts/{digest}")
    # The package is published, but this account may not order it.
    assert client.get(f"{rival}pre_adverse?package={package}").status_code == 404
    assessment = factories.create_test(services)
    assert client.get(f"{listing}pre_adverse?package={assessment}").status_code == 404


def test_text_for_a_package_stays_reachable_after_it_is_archived(
    services: Services, console: ConsoleClient
) -> None:
    package = check_factories.create_package(services, "old", "Old package")
    path = notices_path(services, f"pre_adverse?package={package}")
    assert save(console, path, "Hello") == 302
    with services.db.writing() as session:
        product = session.scalars(select(Package).where(Package.public_id == package)).one()
        product.archived_at = services.now()
    assert "Hello</textarea>" in console.get_text(path)
    assert "Old package" in console.get_text(notices_path(services))
