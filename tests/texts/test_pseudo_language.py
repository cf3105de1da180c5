"""Pages, e-mails and PDFs in a pseudo-language: every text passes through gettext."""

import email
import io
from collections.abc import Iterator
from datetime import timedelta
from email import policy
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider import texts
from provider.core import emails
from provider.core.accounts.email_policy import CANDIDATE_EMAILS
from provider.core.emails.email_to_other import render_email_to_other
from provider.core.kinds import KINDS
from provider.core.kinds.check.referees.referee_acts import REFEREE_TOPICS
from provider.core.kinds.check.tables.referee_request import RefereeRequest
from provider.core.orders import PDF, REPORT, Link, Order
from provider.core.orders.accommodation import Decision, Terms
from provider.services import Services
from tests import check_document_factories, check_factories, factories, interview_factories
from tests.core.orders.test_accommodation import decide_on
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES
from tests.texts.pseudo_language import (
    PseudoTranslations,
    to_cyrillic,
    untranslated,
    untranslated_in_page,
)
from tests.web.candidate.test_assessment import ALL_KINDS

pytestmark = pytest.mark.usefixtures("pseudo_language")

CONTENTS: dict[str, dict[str, Any]] = {
    "assessment": factories.TEST_CONTENT
    | {"sections": [*factories.TEST_CONTENT["sections"], *ALL_KINDS], "instructions": "Тихо."},
    "interview": interview_factories.TEMPLATE_CONTENT,
    "check": check_factories.PACKAGE_CONTENT,
}
ACCOUNT_NAME, CANDIDATE_NAME, JOB_TITLE = "Фирма", "Лакита", "Пекарь"
each_kind = pytest.mark.parametrize("kind", [*KINDS])


@pytest.fixture
def pseudo_language(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    translations = PseudoTranslations()
    monkeypatch.setattr(texts, "load_translations", lambda _: translations)
    yield
    monkeypatch.undo()
    texts.set_language(texts.DEFAULT_LANGUAGE)


def place_order(services: Services, kind: str, **content: Any) -> str:
    account_id, _ = factories.create_account(services, ACCOUNT_NAME)
    product_id = factories.create_product(
        services, kind, to_cyrillic(CONTENTS[kind] | content), "key", "Пробник"
    )
    return factories.place_order(
        services,
        account_id,
        product_id,
        kind,
        first_name=CANDIDATE_NAME,
        last_name="Марреро",
        job_title=JOB_TITLE,
    )


class Candidate:
    """A candidate's browser. Each page that it loads must be translated."""

    def __init__(self, client: FlaskClient, services: Services, public_id: str) -> None:
        self.client, self.public_id = client, public_id
        path = urlsplit(factories.invitation_url(services, public_id)).path
        self._check(client.get(path, follow_redirects=True))
        self.csrf_token = factories.csrf_token(self.get("decline"))

    def get(self, path: str = "") -> str:
        return self._check(self.client.get(f"/c/o/{self.public_id}/{path}"))

    def post(self, path: str, **fields: Any) -> str:
        form = {"csrf_token": self.csrf_token, **fields}
        url = f"/c/o/{self.public_id}/{path}"
        return self._check(self.client.post(url, data=form, follow_redirects=True))

    def _check(self, response: TestResponse) -> str:
        assert_translated(response, self.public_id)  # the reference of a receipt
        return response.text


def assert_translated(response: TestResponse, *data: str) -> None:
    assert "⟦" in response.text
    assert untranslated_in_page(response.text, *data) == [], response.request.path


def test_pages_of_a_test_are_translated(client: FlaskClient, services: Services) -> None:
    candidate = Candidate(client, services, place_order(services, "assessment"))
    candidate.post("start")
    for number in range(1, 11):
        candidate.get(f"items/{number}")
    assert "⟦Write a number only" in candidate.post("items/2", answer="x")
    candidate.post("items/2", answer="3.5")
    candidate.get("overview")
    candidate.get("submit")
    candidate.get()
    candidate.post("submit", blank="9")


@each_kind
def test_pages_before_the_start_are_translated(
    client: FlaskClient, services: Services, kind: str
) -> None:
    public_id = place_order(services, kind)
    candidate = Candidate(client, services, public_id)
    candidate.get("name")
    assert "⟦Please write your name" in candidate.post("name", first_name="", last_name="")
    candidate.get("accommodation")
    assert "⟦Please choose or write" in candidate.post("accommodation")
    form = {"time": "50", "pause": "5", "way": "live", "text": "Ясно."}
    assert "⟦Your request is with" in candidate.post("accommodation", **form)
    for is_granted, text in ((True, "⟦This was granted"), (False, "⟦Your request was refused")):
        decide_on(services, public_id, is_granted=is_granted, percent=25, text="Ясно.")
        assert text in candidate.get()


def test_page_of_missing_answers_is_translated(client: FlaskClient, services: Services) -> None:
    items = [{**item, "required": True} for item in ALL_KINDS[0]["items"][:3]]
    sections = [{**ALL_KINDS[0], "items": items}]
    public_id = place_order(services, "assessment", sections=sections, time_limit=None)
    candidate = Candidate(client, services, public_id)
    candidate.post("start")
    assert "⟦question 1⟧" in candidate.get("submit")


def test_pages_of_an_interview_are_translated(client: FlaskClient, services: Services) -> None:
    public_id = place_order(services, "interview")
    candidate = Candidate(client, services, public_id)
    candidate.get("camera")
    candidate.post("interview")
    candidate.get()
    for tint in (1, 2):
        interview_factories.record_answer(services, public_id, "why", tint=tint)
        candidate.get("questions/1")
    candidate.get("questions/2")
    candidate.get("answers")
    for key in ("proud", "ask"):
        interview_factories.record_answer(services, public_id, key)
    candidate.get("answers")
    candidate.get()
    candidate.post("send")


def test_pages_of_a_check_are_translated(client: FlaskClient, services: Services) -> None:
    public_id = place_order(services, "check")
    candidate = Candidate(client, services, public_id)
    candidate.get("consent/disclosure")
    for path in ("disclosure", "details/names", "details/birth", "details/employers"):
        candidate.post(f"consent/{path}", **{"date_of_birth.0.date": "1890-01-01"})
    candidate.get("consent/details/birth?check=1")
    candidate.get("consent/details/employers?check=1")
    assert "⟦Please type your name" in candidate.post("consent/review")
    check_factories.give_consent(services, public_id, "Лакита")
    # The name of the disclosure is data of the author.
    consented = client.get(f"/c/o/{public_id}/")
    assert_translated(consented, "jobs 3", public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    data = ("jobs 3", *check_factories.REPORT_TEXT.split("\n"))
    assert_translated(client.get(f"/c/o/{public_id}/"), *data, public_id)


def test_page_of_documents_is_translated(client: FlaskClient, services: Services) -> None:
    screenings = [
        {"key": "who", "name": "Кто", "type": "identity", "asks": []},
        {"key": "dbs", "name": "Что", "type": "dbs_basic", "asks": []},
    ]
    public_id = place_order(services, "check", screenings=screenings)
    candidate = Candidate(client, services, public_id)
    check_document_factories.send_document(services, public_id)
    check_document_factories.send_document(services, public_id, "dbs_group_1", label="passport")
    assert "⟦Passport⟧" in candidate.get("documents")
    assert "⟦Please choose a file first⟧" in candidate.post("documents/identity")
    candidate.get("consent/disclosure")


@each_kind
def test_pages_of_ended_orders_are_translated(
    client: FlaskClient, services: Services, clock: ManualClock, kind: str
) -> None:
    public_id = place_order(services, kind)
    candidate = Candidate(client, services, public_id)
    candidate.post("decline")
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.reopen(session, services.secret_box, "sam@provider.test", "", services.now())
        order.cancel(session, "sam@provider.test", "", services.now())
    candidate.get()
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.reopen(session, services.secret_box, "sam@provider.test", "", services.now())
    candidate = Candidate(client, services, public_id)
    clock.advance(timedelta(days=30))
    candidate.get()


def test_error_pages_are_translated(client: FlaskClient, services: Services) -> None:
    public_id = place_order(services, "assessment")
    Candidate(client, services, public_id)
    for path, status in {
        "/": 200,
        "/c/unknown": 404,
        "/c/o/unknown/": 403,
        f"/c/o/{public_id}/items/99": 404,
        "/r/unknown": 404,
        "/s/unknown/more": 404,
    }.items():
        response = client.get(path, follow_redirects=True)
        assert_translated(response)
        assert response.status_code in (status, 200), path
    response = client.post(f"/c/o/{public_id}/decline")
    assert response.status_code == 400
    assert_translated(response)


# Reports and e-mails


@each_kind
def test_report_and_pdf_are_translated(client: FlaskClient, services: Services, kind: str) -> None:
    public_id = place_order(services, kind)
    complete_order(services, kind, public_id)
    with services.db.reading() as session:
        order = Order.find(session, public_id)
        report, pdf = (
            Link.find_permanent(session, order, purpose).get_token(services.secret_box)  # type: ignore[union-attr]
            for purpose in (REPORT, PDF)
        )
    # The answer of the test is the candidate's.
    assert_translated(client.get(f"/r/{report}"), public_id, "Late")
    response = client.get(f"/r/{pdf}/report.pdf")
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(response.data)).pages)
    assert "⟦" in text
    assert untranslated(" ".join(text.split()), public_id, "Late") == []


def complete_order(services: Services, kind: str, public_id: str) -> None:
    if kind == "interview":
        with services.db.writing() as session:
            order = Order.find(session, public_id)
            order.start(session, services.now())  # type: ignore[attr-defined]
        for key in ("why", "proud"):
            interview_factories.record_answer(services, public_id, key)
        with services.db.writing() as session:
            order = Order.find(session, public_id)
            order.submit(session, services.now(), actor="system")  # type: ignore[attr-defined]
        interview_factories.rate_answers(services, public_id, 4, 2, note="Ясно.")
        interview_factories.complete_interview(services, public_id)
    elif kind == "check":
        check_factories.give_consent(services, public_id)
        check_factories.record_findings(services, public_id, report_text="Ясно.")
        check_factories.complete_check(services, public_id)
    else:
        KIND_FACTORIES[kind].complete(services, public_id)


def test_pages_of_a_shared_link_are_translated(client: FlaskClient, services: Services) -> None:
    public_id = place_order(services, "assessment")
    factories.finish_test(services, public_id)
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        link = Link.get_or_create_shared(
            session, services.secret_box, order, 2, "views", services.now()
        )
        session.flush()
        token = link.get_token(services.secret_box)
    assert_translated(client.get(f"/s/{token}"))
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.reopen(session, services.secret_box, "sam@provider.test", "", services.now())
    assert_translated(client.get(f"/s/{token}"))


@each_kind
def test_invitations_are_translated(services: Services, kind: str) -> None:
    assert_email_translated(services, "invitation", place_order(services, kind))


@each_kind
def test_extensions_are_translated(services: Services, kind: str) -> None:
    assert_email_translated(services, "extension", place_order(services, kind))


@each_kind
@pytest.mark.parametrize("template", ["reminder", "accommodation", *CANDIDATE_EMAILS])
def test_emails_to_candidates_are_translated(services: Services, kind: str, template: str) -> None:
    assert_email_translated(services, template, place_order(services, kind))


def test_request_for_another_document_is_translated(services: Services) -> None:
    assert_email_translated(services, "document", place_order(services, "check"))


def test_copy_of_a_consent_is_translated(services: Services) -> None:
    public_id = place_order(services, "check")
    check_factories.give_consent(services, public_id, "Лакита")
    assert_email_translated(services, "consent", public_id, "jobs 3")


def ask_referee(services: Services) -> tuple[str, RefereeRequest]:
    """Return a check and the request to its referee."""
    screening = {"key": "references", "name": "R", "type": "references", "asks": ["referees"]}
    public_id = place_order(services, "check", screenings=[screening])
    check_factories.give_consent(services, public_id, "Лакита", referees="Рина, rina@old.example")
    with services.db.reading() as session:
        return public_id, session.scalars(select(RefereeRequest)).one()


def test_pages_of_a_referee_are_translated(client: FlaskClient, services: Services) -> None:
    _, request = ask_referee(services)
    path = f"/f/{request.get_token(services.secret_box)}"
    page = client.get(path)
    assert_translated(page)
    form = {"csrf_token": factories.csrf_token(page.text)}
    assert_translated(client.post(path, data=form))
    assert_translated(client.get(f"{path}/decline"))
    assert_translated(client.post(f"{path}/decline", data=form, follow_redirects=True))


@pytest.mark.parametrize("topic", sorted(REFEREE_TOPICS))
def test_emails_to_referees_are_translated(services: Services, topic: str) -> None:
    public_id, request = ask_referee(services)
    with services.db.reading() as session:
        rendered = render_email_to_other(
            session,
            services.secret_box,
            Order.find(session, public_id),
            topic,
            request.public_id,
            urls=services.urls,
            sender="provider@example.com",
            message_id="m1",
            now=services.now(),
        )
    assert rendered
    url = services.urls.referee(request.get_token(services.secret_box))
    assert_message_translated(rendered, url)


def assert_email_translated(services: Services, topic: str, public_id: str, *data: str) -> None:
    url = "https://tests.example.com/c/token"
    with services.db.reading() as session:
        order = Order.find(session, public_id)
        rendered = emails.render_email(
            topic,
            order,
            url=url,
            sender="provider@example.com",
            message_id="m1",
            now=services.now(),
            kind_context=order.kind_context(services.secret_box),
            decision=Decision(True, Terms(25, 0, 5, "live")),
        )
    assert_message_translated(rendered, url, public_id, *data)


def assert_message_translated(rendered: bytes, *data: str) -> None:
    message = email.message_from_bytes(rendered, policy=policy.SMTPUTF8)
    plain, html = (
        part.get_content()
        for subtype in ("plain", "html")
        if (part := message.get_body((subtype,)))
    )
    assert "⟦" in message["Subject"]
    assert untranslated(message["Subject"]) == []
    assert untranslated(plain, *data) == []
    assert untranslated_in_page(html, *data) == []


# The check finds text outside brackets


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>⟦Saved by ⟦him⟧⟧ Иван</p>", []),
        ("<p>⟦Press <b>Start</b> now⟧</p>", []),
        ("<p>⟦Saved⟧ now</p>", ["now"]),
        ('<img alt="A dog"><script>let a</script>', ["A dog"]),
        ('<script data-texts>{"a": "Saved", "b": "⟦Saving⟧"}</script>', ["Saved"]),
    ],
)
def test_untranslated_in_page_finds_text_outside_brackets(page: str, expected: list[str]) -> None:
    assert untranslated_in_page(page) == expected
