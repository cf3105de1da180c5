"""The report by its own link, as a PDF, and by shared links."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import requests
from flask.testing import FlaskClient
from playwright.sync_api import Page
from pypdf import PdfReader

from provider.core.kinds.assessment import Assessment
from provider.core.orders import PDF, REPORT, SHARED, Link, Order
from provider.core.report import build_report
from provider.services import Services
from provider.texts import text_from_json
from provider.web import pdf_response
from tests import check_factories, factories, interview_factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker

HALF_CORRECT_ANSWERS = {"sum": {"answer": "b"}, "opposite": {"answer": "soon"}}


@pytest.fixture
def finished(services: Services) -> str:
    """A completed test with a score of 25%."""
    return finish_order(services)


def finish_order(services: Services, **fields: str) -> str:
    account, _ = factories.create_account(services, timezone="Europe/Athens")
    order = factories.place_order(services, account, factories.create_test(services), **fields)
    factories.finish_test(services, order, HALF_CORRECT_ANSWERS)
    return order


def report_path(services: Services, order: str, purpose: str = REPORT) -> str:
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, order), purpose)
        assert link
        token = link.get_token(services.secret_box)
    return f"/r/{token}" + ("/report.pdf" if purpose == PDF else "")


def shared_path(
    services: Services, order: str, ttl: int | None = None, units: str | None = None
) -> str:
    with services.db.writing() as session:
        session_order = Order.find(session, order)
        link = Link.get_or_create_shared(
            session, services.secret_box, session_order, ttl, units, services.now()
        )
        session.flush()
        return f"/s/{link.get_token(services.secret_box)}"


def reopen(services: Services, order: str) -> None:
    with services.db.writing() as session:
        assessment = Assessment.find(session, order)
        assessment.reopen(
            session, services.secret_box, "sam@provider.test", "the line broke", services.now()
        )


def view_cookie_name(services: Services, url: str) -> str:
    """Return the name of the cookie that opens a shared link after a confirmed view."""
    with services.db.reading() as session:
        link = Link.find(session, url.split("/")[2], SHARED)
        assert link
        return f"view-{link.token_hash.hex()[:16]}"


def page_text(html: str) -> str:
    """Return the text of a page without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def confirm_view(client: FlaskClient, url: str) -> int:
    """Press the button that uses a view; return the status code."""
    form = {"csrf_token": factories.csrf_token(client.get(url).text)}
    return client.post(url, data=form).status_code


# The report


@pytest.mark.parametrize(("kind", "act"), [("interview", "Submitted"), ("check", "Consent given")])
def test_report_shows_the_time_of_the_candidate_and_of_the_result(
    client: FlaskClient, services: Services, clock: ManualClock, kind: str, act: str
) -> None:
    placed_at = acted_at = services.now()
    if kind == "interview":
        order, _ = interview_factories.submitted_interview(services)
        first_dates = [("Invited", placed_at), ("Started", acted_at)]
    else:
        order = check_factories.place_check(services)
        acted_at = clock.advance(timedelta(hours=3))
        check_factories.give_consent(services, order)
        first_dates = [("Invited", placed_at)]
    finished_at = clock.advance(timedelta(days=1))
    if kind == "interview":
        interview_factories.rate_answers(services, order, 5, 4, 3)
        interview_factories.complete_interview(services, order)
    else:
        check_factories.record_findings(services, order)
        check_factories.complete_check(services, order)
    with services.db.reading() as session:
        dates = build_report(Order.find(session, order), services.secret_box, {REPORT}).dates
    assert dates == (*first_dates, (act, acted_at), ("Result ready", finished_at))
    rows = " ".join(f"{label} {factories.athens_time(moment)}" for label, moment in dates)
    assert rows in page_text(client.get(report_path(services, order)).text)
    pdf = client.get(report_path(services, order, PDF)).data
    assert rows in " ".join(pdf_text(pdf).split())


@pytest.mark.both
def test_report_of_a_test_shows_invitation_start_and_end(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    account, _ = factories.create_account(services, timezone="Europe/Athens")
    order = factories.place_order(services, account, factories.create_test(services))
    invited_at = services.now()
    started_at = clock.advance(timedelta(days=1))
    with services.db.writing() as session:
        Assessment.find(session, order).start(session, started_at)
    finished_at = clock.advance(timedelta(minutes=7))
    with services.db.writing() as session:
        Assessment.find(session, order).submit(session, services.secret_box, finished_at)
    with services.db.reading() as session:
        dates = build_report(Order.find(session, order), services.secret_box, {REPORT}).dates
    assert dates == (("Invited", invited_at), ("Started", started_at), ("Finished", finished_at))
    rows = " ".join(f"{label} {factories.athens_time(moment)}" for label, moment in dates)
    text = page_text(client.get(report_path(services, order)).text)
    assert rows in text
    assert "Result ready" not in text
    pdf = client.get(report_path(services, order, PDF)).data
    assert rows in " ".join(pdf_text(pdf).split())


def test_report_of_a_reopened_order_shows_the_new_invitation(
    services: Services, clock: ManualClock, finished: str
) -> None:
    reopened_at = clock.advance(timedelta(days=2))
    reopen(services, finished)
    started_at = clock.advance(timedelta(days=1))
    factories.finish_test(services, finished)
    with services.db.reading() as session:
        dates = build_report(Order.find(session, finished), services.secret_box, {REPORT}).dates
    assert dates[:2] == (("Invited", reopened_at), ("Started", started_at))


def test_report_shows_scored_figures(
    client: FlaskClient, services: Services, finished: str
) -> None:
    text = page_text(client.get(report_path(services, finished)).text)

    with services.db.reading() as session:
        report = build_report(Order.find(session, finished), services.secret_box, {REPORT})
        figures = Order.find(session, finished).result.figures  # type: ignore[union-attr]
    assert (report.score, report.grade) == ("25%", "failed")
    assert "25%" in text
    assert "Did not pass" in text
    for bar in figures["bars"]:
        note = text_from_json(bar["note"])
        assert f"{bar['label']} {note} {bar['percent']}%" in text
    assert "Questions answered 2 of 4" in text
    assert "What is 17 + 25? 42 Right 1 of 1" in text
    assert "The opposite of early? soon Wrong 0 of 1" in text
    assert "What is half of 7? No answer 0 of 1" in text


@pytest.mark.parametrize(
    ("places", "showing"),
    [
        (None, []),
        ([], []),
        (["report"], ["report"]),
        (["pdf"], ["PDF"]),
        (["shared"], ["shared"]),
        (["report", "pdf"], ["report", "PDF"]),
        (["pdf", "shared"], ["PDF", "shared", "shared PDF"]),
        (["report", "pdf", "shared"], ["report", "PDF", "shared", "shared PDF"]),
    ],
)
def test_report_shows_answers_only_in_the_places_of_the_product(
    client: FlaskClient, services: Services, places: list[str] | None, showing: list[str]
) -> None:
    account, _ = factories.create_account(services)
    content = {key: value for key, value in factories.TEST_CONTENT.items() if key != "report"}
    content |= {} if places is None else {"report": {"answers": places}}
    product = factories.create_product(services, "assessment", content, "switched", "Switched")
    order = factories.place_order(services, account, product)
    factories.finish_test(services, order, HALF_CORRECT_ANSWERS)
    shared = shared_path(services, order)
    texts = {
        "report": page_text(client.get(report_path(services, order)).text),
        "PDF": pdf_text(client.get(report_path(services, order, PDF)).data),
        "shared": page_text(client.get(shared).text),
        "shared PDF": pdf_text(client.get(f"{shared}/report.pdf").data),
    }
    assert all("25%" in text for text in texts.values())
    for part in ("17 + 25", "soon", "Wrong"):
        assert [place for place, text in texts.items() if part in text] == showing


def test_report_and_pdf_mark_right_and_wrong_answers(
    client: FlaskClient, services: Services, finished: str
) -> None:
    text = page_text(client.get(report_path(services, finished)).text)
    pdf = " ".join(pdf_text(client.get(report_path(services, finished, PDF)).data).split())
    for mark in ("Right", "Wrong", "Partly right"):
        assert text.count(mark) == pdf.count(mark) == (0 if mark == "Partly right" else 1)
    assert "late" not in text  # the right answer


@pytest.mark.parametrize("kind", ["assessment", "interview"])
def test_report_and_pdf_show_the_score_with_its_cut_scores(
    client: FlaskClient, services: Services, kind: str
) -> None:
    if kind == "assessment":
        order = finish_order(services)
    else:
        order, _ = interview_factories.completed_interview(services)
    page = client.get(report_path(services, order)).text
    pdf = " ".join(pdf_text(client.get(report_path(services, order, PDF)).data).split())
    for text in ("Passed from 50%", "Excelled from 80%"):
        assert text in page_text(page)
        assert text in pdf
    score = "25%" if kind == "assessment" else "75%"
    assert f"Score {score} on a scale from 0 to 100%; Passed from 50%; Excelled from 80%." in page


def test_report_without_grades_has_a_scale_without_cut_scores(
    client: FlaskClient, services: Services
) -> None:
    account, _ = factories.create_account(services)
    product = factories.create_test(services, grades=None)
    order = factories.place_order(services, account, product)
    factories.finish_test(services, order, HALF_CORRECT_ANSWERS)
    page = client.get(report_path(services, order)).text
    assert 'aria-label="Score 25% on a scale from 0 to 100%."' in page
    assert "scale-cut" not in page


def test_report_names_candidate_test_job_and_account(
    client: FlaskClient, services: Services, finished: str
) -> None:
    text = page_text(client.get(report_path(services, finished)).text)

    for name in ("Lakita Marrero", "Reasoning", "Operations Manager", "Groove Tech"):
        assert name in text
    assert factories.athens_time(services.now()) in text


def test_report_pages_have_the_colour_of_the_account(
    client: FlaskClient, services: Services
) -> None:
    account, _ = factories.create_account(services, branding={"colour": "#1a3b5c"})
    order = factories.place_order(services, account, factories.create_test(services))
    factories.finish_test(services, order, HALF_CORRECT_ANSWERS)
    for url in (report_path(services, order), shared_path(services, order)):
        assert 'href="/c/colour/1a3b5c.css"' in client.get(url).text
    assert "--accent: #1a3b5c" in client.get("/c/colour/1a3b5c.css").text


def test_report_is_not_cached_or_indexed(
    client: FlaskClient, services: Services, finished: str
) -> None:
    for url in (
        report_path(services, finished),
        report_path(services, finished, PDF),
        shared_path(services, finished),
    ):
        headers = client.get(url).headers
        assert headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
        assert headers["Referrer-Policy"] == "no-referrer"


def test_report_unknown_token_returns_404(client: FlaskClient) -> None:
    for token in ("nobody", "x" * 5000, "%00", "%F0%9F%99%82"):
        for url in (f"/r/{token}", f"/s/{token}"):
            for response in (client.get(url), client.get(f"{url}/report.pdf")):
                assert response.status_code == 404
                assert "This address leads to no report" in response.text


def test_report_token_of_other_purpose_returns_404(
    client: FlaskClient, services: Services, finished: str
) -> None:
    report, pdf = (
        report_path(services, finished, purpose).split("/")[2] for purpose in (REPORT, PDF)
    )
    public = shared_path(services, finished).split("/")[2]
    invitation = factories.invitation_url(services, finished).rsplit("/", 1)[1]

    paths = [f"/r/{pdf}", f"/r/{public}", f"/r/{invitation}", f"/r/{report}/report.pdf"]
    paths += [f"/s/{report}", f"/s/{pdf}", f"/s/{invitation}", f"/r/{public}/report.pdf"]
    assert [client.get(path).status_code for path in paths] == [404] * len(paths)


def test_report_revoked_link_returns_404(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = report_path(services, finished)
    with services.db.writing() as session:
        for link in Order.find(session, finished).links:
            link.revoked_at = services.now()

    assert client.get(url).status_code == 404


def test_report_of_reopened_order_hides_old_result(
    client: FlaskClient, services: Services, finished: str
) -> None:
    report, pdf, public = (
        report_path(services, finished),
        report_path(services, finished, PDF),
        shared_path(services, finished),
    )
    reopen(services, finished)

    for url in (report, public):
        response = client.get(url)
        assert response.status_code == 200
        assert "The result is being redone" in response.text
        assert "25%" not in response.text
    assert client.get(pdf).status_code == 409


def test_report_new_result_has_the_same_url(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = report_path(services, finished)
    assert "25%" in client.get(url).text
    reopen(services, finished)
    factories.finish_test(services, finished, factories.CORRECT_ANSWERS)

    text = page_text(client.get(url).text)
    assert "100%" in text
    assert "Excelled" in text


def test_report_and_pdf_of_a_check_show_the_text_of_a_finding(
    client: FlaskClient, services: Services
) -> None:
    order = check_factories.completed_check(services)
    shared = shared_path(services, order)
    documents = [
        page_text(client.get(report_path(services, order)).text),
        page_text(client.get(shared).text),
        pdf_text(client.get(report_path(services, order, PDF)).data),
        pdf_text(client.get(f"{shared}/report.pdf").data),
    ]
    reason = " ".join(check_factories.REPORT_TEXT.split())
    for document in documents:
        assert " ".join(document.split()).count(reason) == 1
        for secret in check_factories.SECRET_WORDS:
            assert secret not in document


# The PDF


def pdf_text(content: bytes) -> str:
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


def test_pdf_has_the_text_of_the_page(
    client: FlaskClient, services: Services, finished: str
) -> None:
    response = client.get(report_path(services, finished, PDF))

    assert response.mimetype == "application/pdf"
    assert response.data.startswith(b"%PDF")
    text = pdf_text(response.data)
    for word in ("Lakita Marrero", "25%", "Did not pass", "Operations Manager", "2 of 4"):
        assert word in text


def test_pdf_is_inline_with_a_readable_file_name(
    client: FlaskClient, services: Services, finished: str
) -> None:
    response = client.get(report_path(services, finished, PDF))

    name = "Reasoning-Lakita-Marrero.pdf"
    assert response.headers["Content-Disposition"] == (
        f"inline; filename={name}; filename*=UTF-8''{name}"
    )


def test_pdf_non_ascii_name_is_encoded(client: FlaskClient, services: Services) -> None:
    order = finish_order(services, first_name="Λακίτα", last_name='М"; \r\nX: y')
    response = client.get(report_path(services, order, PDF))

    assert response.headers["Content-Disposition"] == (
        "inline; filename=assessment-report.pdf; filename*=UTF-8''"
        "Reasoning-%CE%9B%CE%B1%CE%BA%CE%AF%CF%84%CE%B1-%D0%9C-X-y.pdf"
    )
    assert response.data.startswith(b"%PDF")


def test_pdf_head_returns_content_length(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = report_path(services, finished, PDF)
    head, response = client.head(url), client.get(url)

    assert head.status_code == 200
    assert head.data == b""
    assert head.content_length == len(response.data)


def test_pdf_of_same_result_is_rendered_once(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = report_path(services, finished, PDF)
    before = pdf_response._cached_pdf.cache_info().misses

    assert client.get(url).data == client.get(url).data
    assert pdf_response._cached_pdf.cache_info().misses == before + 1


# Shared links


def test_shared_report_permanent_link_opens_directly(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = shared_path(services, finished)

    assert "25%" in client.get(url).text
    assert client.get(f"{url}/report.pdf").data.startswith(b"%PDF")


def test_shared_report_has_no_console_link(
    client: FlaskClient, services: Services, finished: str
) -> None:
    assert "/console" not in client.get(shared_path(services, finished)).text


@pytest.mark.parametrize(("ttl", "units"), [(30, "minutes"), (2, "days")])
def test_shared_report_link_with_ttl_expires(
    client: FlaskClient, services: Services, clock: ManualClock, finished: str, ttl: int, units: str
) -> None:
    url = shared_path(services, finished, ttl, units)
    clock.advance(timedelta(**{units: ttl}) - timedelta(seconds=1))
    assert client.get(url).status_code == 200

    clock.advance(timedelta(seconds=1))
    response = client.get(url)
    assert response.status_code == 410
    assert "limited time" in response.text
    assert client.get(f"{url}/report.pdf").status_code == 410


def test_shared_report_get_uses_no_view(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = shared_path(services, finished, 3, "views")

    for _ in range(5):
        response = client.get(url)
        assert "Open the report – 3 views left" in response.text
        assert "Lakita" not in response.text
    assert client.get(f"{url}/report.pdf").headers["Location"] == url


def test_confirm_view_opens_report_for_half_an_hour(
    client: FlaskClient, services: Services, clock: ManualClock, finished: str
) -> None:
    url = shared_path(services, finished, 1, "views")

    assert confirm_view(client, url) == 303
    for _ in range(3):
        assert "25%" in client.get(url).text
        assert client.get(f"{url}/report.pdf").data.startswith(b"%PDF")
    clock.advance(timedelta(minutes=30))
    assert client.get(url).status_code == 410
    assert client.get(f"{url}/report.pdf").status_code == 410


def test_confirm_view_twice_uses_one_view(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = shared_path(services, finished, 2, "views")
    form = {"csrf_token": factories.csrf_token(client.get(url).text)}

    assert [client.post(url, data=form).status_code for _ in range(3)] == [303] * 3
    assert "1 view left" in client.application.test_client().get(url).text


def test_view_cookie_of_other_link_is_ignored(
    client: FlaskClient, services: Services, finished: str
) -> None:
    first, second = (shared_path(services, finished, 1, "views") for _ in range(2))
    confirm_view(client, first)
    cookie = client.get_cookie(view_cookie_name(services, first))
    assert cookie
    client.set_cookie(view_cookie_name(services, second), cookie.value)

    assert "1 view left" in client.get(second).text


def test_view_cookie_forged_is_ignored(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = shared_path(services, finished, 1, "views")
    for cookie in ("", "nonsense", "WzEsOTk5OTk5OTk5OTldCg.x", "é"):
        client.set_cookie(view_cookie_name(services, url), cookie)
        assert "1 view left" in client.get(url).text


def test_confirm_view_without_csrf_token_uses_no_view(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = shared_path(services, finished, 1, "views")

    assert client.post(url).status_code == 400
    assert "1 view left" in client.get(url).text


def test_confirm_view_without_result_uses_no_view(
    client: FlaskClient, services: Services, finished: str
) -> None:
    url = shared_path(services, finished, 1, "views")
    form = {"csrf_token": factories.csrf_token(client.get(url).text)}
    reopen(services, finished)

    assert client.post(url, data=form).status_code == 303
    assert "being redone" in client.get(url).text
    factories.finish_test(services, finished)
    assert "1 view left" in client.get(url).text


def test_confirm_view_concurrent_requests_use_three_views(live_server: LiveServer) -> None:
    url = live_server.url + shared_path(
        live_server.services, finish_order(live_server.services), 3, "views"
    )
    with requests.Session() as session:
        form = {"csrf_token": factories.csrf_token(session.get(url).text)}
        cookies = session.cookies.get_dict()

    def use_view(_: int) -> int:
        with requests.post(
            url, data=form, cookies=cookies, allow_redirects=False, timeout=30
        ) as response:
            return response.status_code

    with ThreadPoolExecutor(100) as pool:
        status_codes = list(pool.map(use_view, range(100)))

    assert sorted(set(status_codes)) == [303, 410]
    assert status_codes.count(303) == 3


# Browser tests


def all_report_pages(services: Services) -> list[str]:
    """Return the path of each page that a recruiter can open."""
    order = finish_order(services)
    urls = [
        report_path(services, order),
        shared_path(services, order),
        shared_path(services, order, 3, "views"),
    ]
    reopened = factories.place_order(
        services,
        1,
        factories.create_test(services, key="other"),
        callback_url="https://a.workable.com/2",
    )
    factories.finish_test(services, reopened)
    reopened_path = report_path(services, reopened)
    reopen(services, reopened)
    return [*urls, reopened_path, report_path(services, finish_profile(services)), "/r/nobody"]


def finish_profile(services: Services) -> str:
    """Return a completed test with a scale that is compared with a norm group."""
    scale = {"key": "skill", "name": "Skill", "items": ["sum", "half", "opposite", "true"]}
    group = {"key": "all", "name": "All", "n": 500, "scales": {"skill": {"mean": 2, "sd": 1}}}
    test = factories.create_test(services, key="scaled", scales=[scale], norms=[group])
    order = factories.place_order(services, 1, test, callback_url="https://a.workable.com/3")
    factories.finish_test(services, order)
    return order


def test_report_pages_are_accessible(page: Page, live_server: LiveServer) -> None:
    checker = AccessibilityChecker(page)
    for path in all_report_pages(live_server.services):
        page.goto(live_server.url + path)
        checker.check_page(path)
    assert checker.problems == []


def test_confirm_view_by_keyboard_opens_report(page: Page, live_server: LiveServer) -> None:
    page.goto(
        live_server.url
        + shared_path(live_server.services, finish_order(live_server.services), 1, "views")
    )
    page.get_by_role("button", name="Open the report").focus()
    page.keyboard.press("Enter")

    page.get_by_text("25%").first.wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "Lakita Marrero"


def test_report_print_has_no_buttons(page: Page, live_server: LiveServer) -> None:
    page.goto(
        live_server.url + report_path(live_server.services, finish_order(live_server.services))
    )
    button = page.get_by_role("link", name="PDF")
    assert button.is_visible()

    page.emulate_media(media="print")
    assert not button.is_visible()
    text = pdf_text(page.pdf())
    assert "Lakita Marrero" in text
    assert "25%" in text
