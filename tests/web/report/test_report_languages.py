"""The report and its PDF in the language of the recruiter's browser."""

from flask.testing import FlaskClient

from provider.core.orders import PDF
from provider.services import Services
from tests import factories
from tests.core.test_report import pdf_text
from tests.web.report.test_pages import finish_order, report_path, shared_path

GERMAN, ARABIC = ({"Accept-Language": tags} for tags in ("de-AT,de;q=0.9,en;q=0.5", "ar"))


def test_report_is_in_the_language_of_the_browser(client: FlaskClient, services: Services) -> None:
    order = finish_order(services)
    for path in (report_path(services, order), shared_path(services, order)):
        page = client.get(path, headers=GERMAN).text
        assert '<html lang="de" dir="ltr">' in page
        assert "Ergebnisse nach Teilen" in page
        assert "Uhr (Zeit in Athen)" in page
        assert "Results by part" in client.get(path).text
        assert '<html lang="ar" dir="rtl">' in client.get(path, headers=ARABIC).text


def test_pdf_is_in_the_language_of_the_browser(client: FlaskClient, services: Services) -> None:
    path = report_path(services, finish_order(services), PDF)
    german = pdf_text(client.get(path, headers=GERMAN).data)
    assert "Ergebnisse nach Teilen" in german
    assert "Results by part" in pdf_text(client.get(path).data)


def test_confirm_view_is_in_the_language_of_the_browser(
    client: FlaskClient, services: Services
) -> None:
    path = shared_path(services, finish_order(services), 2, "views")
    page = client.get(path, headers=GERMAN).text
    assert "Dieser Link öffnet ihn noch 2-mal." in page
    assert "noch 2 Aufrufe" in page


def test_report_error_is_in_the_language_of_the_browser(client: FlaskClient) -> None:
    assert "Unter dieser Adresse gibt es keinen Bericht" in client.get("/r/x", headers=GERMAN).text


def test_console_is_english_in_any_browser(client: FlaskClient, services: Services) -> None:
    factories.create_staff(services)
    page = client.get("/console/sign-in", headers=ARABIC, follow_redirects=True).text
    assert '<html lang="en" dir="ltr">' in page
