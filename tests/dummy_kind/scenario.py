"""The life of an order of the dummy kind. `tests/test_new_kind.py` runs this in its own process."""

import io
from dataclasses import replace

import pytest
from flask import Flask
from pypdf import PdfReader
from sqlalchemy import Table

from provider.core import kinds
from provider.core.labels import label_for
from provider.core.orders import PDF, REPORT, Link, Order
from provider.core.products.documents import parse_documents
from provider.delivery import Dispatcher
from provider.outbox import EMAIL
from provider.services import Services
from provider.web.kinds import KIND_PAGES
from tests import factories
from tests.dummy_kind.kind import KIND, GreetingText
from tests.dummy_kind.pages import PAGES
from tests.fake_ats import FakeAts
from tests.kind_parts import missing_core_parts, missing_pages
from tests.web.console_client import ConsoleClient

# The two lines that a new kind adds to the program.
kinds.register(KIND)
KIND_PAGES[KIND.name] = PAGES

DOCUMENT = """
kind: greeting
key: birthday
name: Birthday card
max_length: 20
"""


@pytest.fixture
def order_id(services: Services, ats: FakeAts) -> str:
    """Return a placed order of an imported card. Its callbacks go to the fake ATS."""
    table = GreetingText.__table__
    assert isinstance(table, Table)
    table.create(services.db.engine)
    account_id, _ = factories.create_account(services, hosts=[ats.host])
    with services.db.writing() as session:
        (document,) = parse_documents(DOCUMENT, "card.yaml")
        product, _ = kinds.import_document(session, document, services.now())
        product.publish(services.now())
        session.flush()
        product_id = product.public_id
    return factories.place_order(
        services, account_id, product_id, "greeting", callback_url=f"{ats.url}/greetings/1"
    )


def test_dummy_kind_is_complete(pages_app: Flask) -> None:
    assert missing_core_parts(KIND) == []
    assert missing_pages(KIND, PAGES, pages_app) == []
    assert label_for("kind", "greeting") == "Greeting"


def test_dummy_kind_from_order_to_report_and_callback(
    services: Services, app: Flask, ats: FakeAts, order_id: str
) -> None:
    client = app.test_client()
    url = factories.invitation_url(services, order_id).removeprefix("http://provider.test")
    landing = client.get(url, follow_redirects=True).text
    assert "invites you to write a greeting" in landing
    assert "reads your greeting" in landing
    form = {"csrf_token": factories.csrf_token(landing), "text": "Hello!"}
    page = client.post(f"/c/o/{order_id}/greeting", data=form, follow_redirects=True)
    assert "Your answers have been submitted." in page.text

    with services.db.reading() as session:
        order = Order.find(session, order_id)
        links = [Link.find_permanent(session, order, purpose) for purpose in (REPORT, PDF)]
        report, pdf = (link.get_token(services.secret_box) for link in links if link)
    report_page = client.get(f"/r/{report}").text
    assert "30%" in report_page
    assert "Hello!" in report_page
    document = PdfReader(io.BytesIO(client.get(f"/r/{pdf}/report.pdf").data))
    assert "Hello!" in document.pages[0].extract_text()

    dispatch_everything(services)
    (callback,) = ats.received
    assert callback.json["status"] == "completed"
    assert callback.json["greeting"] == {"score": "30", "summary": "A friendly greeting."}
    assert callback.json["attachments"][0]["description"] == "Greeting Report"
    emails = [path.read_text() for path in sorted((services.settings.instance / "mail").iterdir())]
    assert any("asks you for a greeting" in email for email in emails)
    assert any("Thanks, Lakita!" in email for email in emails)

    staff = ConsoleClient.signed_in(services, app.test_client())
    order_page = staff.get_text(f"/console/orders/{order_id}")
    assert "Greeting written" in order_page
    assert "Read the greeting" in order_page
    assert staff.get_text(f"/console/greetings/{order_id}/") == "Hello!"
    assert "Birthday card" in staff.get_text("/console/orders/?kind=greeting")


def dispatch_everything(services: Services) -> None:
    """Send every message that waits, to a receiver on this machine too."""
    settings = replace(services.settings, private_callbacks=True)
    dispatcher = Dispatcher(replace(services, settings=settings))
    dispatcher.drain(*factories.queue_names(services))
    dispatcher.drain(*factories.queue_names(services, channel=EMAIL))
    dispatcher.stop()
