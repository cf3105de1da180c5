"""The report as people get to it: by its own link, as a PDF, and by links that are shared."""

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
from provider.web.report import pages
from tests import factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.web.accessibility import AccessibilityChecker

HALF = {"sum": {"answer": "b"}, "opposite": {"answer": "soon"}}


@pytest.fixture
def finished(services: Services) -> str:
    """Lakita's test, half of it right."""
    return taken(services)


def taken(services: Services, **wish: str) -> str:
    account, _ = factories.create_account(services, timezone="Europe/Athens")
    order = factories.place_order(services, account, factories.create_test(services), **wish)
    factories.finish_test(services, order, HALF)
    return order


def path(services: Services, order: str, purpose: str = REPORT) -> str:
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, order), purpose)
        assert link
        token = link.get_token(services.secret_box)
    return f"/r/{token}" + ("/report.pdf" if purpose == PDF else "")


def shared(services: Services, order: str, ttl: int | None = None, units: str | None = None) -> str:
    with services.db.writing() as session:
        found = Order.find(session, order)
        link = Link.get_or_create_shared(
            session, services.secret_box, found, ttl, units, services.now()
        )
        session.flush()
        return f"/s/{link.get_token(services.secret_box)}"


def reopen(services: Services, order: str) -> None:
    with services.db.writing() as session:
        found = Assessment.find(session, order)
        found.reopen(
            session, services.secret_box, "sam@provider.test", "the line broke", services.now()
        )


def ticket(services: Services, door: str) -> str:
    """The name of the cookie that one view of a shared link is kept in."""
    with services.db.reading() as session:
        link = Link.find(session, door.split("/")[2], SHARED)
        assert link
        return f"view-{link.token_hash.hex()[:16]}"


def words(html: str) -> str:
    """What a page says, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def press(client: FlaskClient, door: str) -> int:
    """Press the button of a door and return the answer's code."""
    form = {"csrf_token": factories.csrf_token(client.get(door).text)}
    return client.post(door, data=form).status_code


# The report


def test_the_report_says_the_figures_that_were_scored(
    client: FlaskClient, services: Services, finished: str
) -> None:
    said = words(client.get(path(services, finished)).text)

    with services.db.reading() as session:
        report = build_report(Order.find(session, finished))
        figures = Order.find(session, finished).result.figures  # type: ignore[union-attr]
    assert (report.score, report.grade) == ("25%", "failed")
    assert "25%" in said
    assert "Did not pass" in said
    for bar in figures["bars"]:
        assert f"{bar['label']} {bar['note']} {bar['percent']}%" in said
    assert "Questions answered 2 of 4" in said
    assert "What is 17 + 25? 42 1 of 1" in said
    assert "What is half of 7? No answer 0 of 1" in said


def test_the_report_names_candidate_test_job_and_company(
    client: FlaskClient, services: Services, finished: str
) -> None:
    said = words(client.get(path(services, finished)).text)

    for name in ("Lakita Marrero", "Reasoning", "Operations Manager", "Groove Tech"):
        assert name in said
    assert factories.athens_time(services.now()) in said


def test_the_report_is_kept_by_nobody_on_the_way(
    client: FlaskClient, services: Services, finished: str
) -> None:
    for address in (
        path(services, finished),
        path(services, finished, PDF),
        shared(services, finished),
    ):
        headers = client.get(address).headers
        assert headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
        assert headers["Referrer-Policy"] == "no-referrer"


def test_an_unknown_token_opens_nothing(client: FlaskClient) -> None:
    for token in ("nobody", "x" * 5000, "%00", "%F0%9F%99%82"):
        for address in (f"/r/{token}", f"/s/{token}"):
            for answer in (client.get(address), client.get(f"{address}/report.pdf")):
                assert answer.status_code == 404
                assert "This address leads to no report" in answer.text


def test_a_token_opens_only_what_it_was_made_for(
    client: FlaskClient, services: Services, finished: str
) -> None:
    report, pdf = (path(services, finished, purpose).split("/")[2] for purpose in (REPORT, PDF))
    public = shared(services, finished).split("/")[2]
    invitation = factories.invitation_url(services, finished).rsplit("/", 1)[1]

    wrong = [f"/r/{pdf}", f"/r/{public}", f"/r/{invitation}", f"/r/{report}/report.pdf"]
    wrong += [f"/s/{report}", f"/s/{pdf}", f"/s/{invitation}", f"/r/{public}/report.pdf"]
    assert [client.get(address).status_code for address in wrong] == [404] * len(wrong)


def test_a_revoked_link_opens_nothing(
    client: FlaskClient, services: Services, finished: str
) -> None:
    address = path(services, finished)
    with services.db.writing() as session:
        for link in Order.find(session, finished).links:
            link.revoked_at = services.now()

    assert client.get(address).status_code == 404


def test_a_reopened_order_shows_no_old_result(
    client: FlaskClient, services: Services, finished: str
) -> None:
    report, pdf, public = (
        path(services, finished),
        path(services, finished, PDF),
        shared(services, finished),
    )
    reopen(services, finished)

    for address in (report, public):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "The result is being redone" in answer.text
        assert "25%" not in answer.text
    assert client.get(pdf).status_code == 409


def test_a_result_that_was_redone_is_at_the_old_address(
    client: FlaskClient, services: Services, finished: str
) -> None:
    address = path(services, finished)
    assert "25%" in client.get(address).text
    reopen(services, finished)
    factories.finish_test(services, finished, factories.CORRECT_ANSWERS)

    said = words(client.get(address).text)
    assert "100%" in said
    assert "Excelled" in said


# The PDF


def paper(content: bytes) -> str:
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


def test_the_pdf_says_what_the_page_says(
    client: FlaskClient, services: Services, finished: str
) -> None:
    answer = client.get(path(services, finished, PDF))

    assert answer.mimetype == "application/pdf"
    assert answer.data.startswith(b"%PDF")
    said = paper(answer.data)
    for word in ("Lakita Marrero", "25%", "Did not pass", "Operations Manager", "2 of 4"):
        assert word in said


def test_the_pdf_is_shown_in_the_browser_under_a_good_name(
    client: FlaskClient, services: Services, finished: str
) -> None:
    answer = client.get(path(services, finished, PDF))

    name = "Reasoning-Lakita-Marrero.pdf"
    assert answer.headers["Content-Disposition"] == (
        f"inline; filename={name}; filename*=UTF-8''{name}"
    )


def test_a_name_in_any_script_names_the_pdf(client: FlaskClient, services: Services) -> None:
    order = taken(services, first_name="Λακίτα", last_name='М"; \r\nX: y')
    answer = client.get(path(services, order, PDF))

    assert answer.headers["Content-Disposition"] == (
        "inline; filename=assessment-report.pdf; filename*=UTF-8''"
        "Reasoning-%CE%9B%CE%B1%CE%BA%CE%AF%CF%84%CE%B1-%D0%9C-X-y.pdf"
    )
    assert answer.data.startswith(b"%PDF")


def test_head_tells_the_size_of_the_pdf(
    client: FlaskClient, services: Services, finished: str
) -> None:
    address = path(services, finished, PDF)
    head, answer = client.head(address), client.get(address)

    assert head.status_code == 200
    assert head.data == b""
    assert head.content_length == len(answer.data)


def test_the_same_result_makes_its_pdf_once(
    client: FlaskClient, services: Services, finished: str
) -> None:
    address = path(services, finished, PDF)
    before = pages._cached_pdf.cache_info().misses

    assert client.get(address).data == client.get(address).data
    assert pages._cached_pdf.cache_info().misses == before + 1


# Shared links


def test_a_permanent_link_shows_the_report_at_once(
    client: FlaskClient, services: Services, finished: str
) -> None:
    door = shared(services, finished)

    assert "25%" in client.get(door).text
    assert client.get(f"{door}/report.pdf").data.startswith(b"%PDF")


def test_a_shared_report_leads_to_no_console(
    client: FlaskClient, services: Services, finished: str
) -> None:
    assert "/console" not in client.get(shared(services, finished)).text


@pytest.mark.parametrize(("ttl", "units"), [(30, "minutes"), (2, "days")])
def test_a_link_for_a_time_ends_with_it(
    client: FlaskClient, services: Services, clock: ManualClock, finished: str, ttl: int, units: str
) -> None:
    door = shared(services, finished, ttl, units)
    clock.advance(timedelta(**{units: ttl}) - timedelta(seconds=1))
    assert client.get(door).status_code == 200

    clock.advance(timedelta(seconds=1))
    answer = client.get(door)
    assert answer.status_code == 410
    assert "limited time" in answer.text
    assert client.get(f"{door}/report.pdf").status_code == 410


def test_looking_at_the_door_takes_no_view(
    client: FlaskClient, services: Services, finished: str
) -> None:
    door = shared(services, finished, 3, "views")

    for _ in range(5):
        answer = client.get(door)
        assert "Open the report – 3 views left" in answer.text
        assert "Lakita" not in answer.text
    assert client.get(f"{door}/report.pdf").headers["Location"] == door


def test_one_view_lasts_for_half_an_hour(
    client: FlaskClient, services: Services, clock: ManualClock, finished: str
) -> None:
    door = shared(services, finished, 1, "views")

    assert press(client, door) == 303
    for _ in range(3):
        assert "25%" in client.get(door).text
        assert client.get(f"{door}/report.pdf").data.startswith(b"%PDF")
    clock.advance(timedelta(minutes=30))
    assert client.get(door).status_code == 410
    assert client.get(f"{door}/report.pdf").status_code == 410


def test_pressing_twice_takes_one_view(
    client: FlaskClient, services: Services, finished: str
) -> None:
    door = shared(services, finished, 2, "views")
    form = {"csrf_token": factories.csrf_token(client.get(door).text)}

    assert [client.post(door, data=form).status_code for _ in range(3)] == [303] * 3
    assert "1 view left" in client.application.test_client().get(door).text


def test_a_view_of_one_link_opens_no_other(
    client: FlaskClient, services: Services, finished: str
) -> None:
    first, second = (shared(services, finished, 1, "views") for _ in range(2))
    press(client, first)
    mine = client.get_cookie(ticket(services, first))
    assert mine
    client.set_cookie(ticket(services, second), mine.value)

    assert "1 view left" in client.get(second).text


def test_a_forged_view_opens_nothing(
    client: FlaskClient, services: Services, finished: str
) -> None:
    door = shared(services, finished, 1, "views")
    for forged in ("", "nonsense", "WzEsOTk5OTk5OTk5OTldCg.x", "é"):
        client.set_cookie(ticket(services, door), forged)
        assert "1 view left" in client.get(door).text


def test_a_view_is_taken_only_by_our_own_button(
    client: FlaskClient, services: Services, finished: str
) -> None:
    door = shared(services, finished, 1, "views")

    assert client.post(door).status_code == 400
    assert "1 view left" in client.get(door).text


def test_no_view_is_taken_while_there_is_nothing_to_see(
    client: FlaskClient, services: Services, finished: str
) -> None:
    door = shared(services, finished, 1, "views")
    form = {"csrf_token": factories.csrf_token(client.get(door).text)}
    reopen(services, finished)

    assert client.post(door, data=form).status_code == 303
    assert "being redone" in client.get(door).text
    factories.finish_test(services, finished)
    assert "1 view left" in client.get(door).text


def test_of_three_views_a_hundred_at_once_get_three(live_server: LiveServer) -> None:
    door = live_server.url + shared(live_server.services, taken(live_server.services), 3, "views")
    with requests.Session() as visitor:
        form = {"csrf_token": factories.csrf_token(visitor.get(door).text)}
        cookies = visitor.cookies.get_dict()

    def enter(_: int) -> int:
        with requests.post(
            door, data=form, cookies=cookies, allow_redirects=False, timeout=30
        ) as answer:
            return answer.status_code

    with ThreadPoolExecutor(100) as crowd:
        codes = list(crowd.map(enter, range(100)))

    assert sorted(set(codes)) == [303, 410]
    assert codes.count(303) == 3


# How it looks


def places(services: Services) -> list[str]:
    """One of each page that a recruiter may meet."""
    order = taken(services)
    doors = [path(services, order), shared(services, order), shared(services, order, 3, "views")]
    again = factories.place_order(
        services,
        1,
        factories.create_test(services, key="other"),
        callback_url="https://a.workable.com/2",
    )
    factories.finish_test(services, again)
    redone = path(services, again)
    reopen(services, again)
    return [*doors, redone, "/r/nobody"]


def test_every_page_is_fit_for_everybody(page: Page, live_server: LiveServer) -> None:
    eye = AccessibilityChecker(page)
    for place in places(live_server.services):
        page.goto(live_server.url + place)
        eye.check_page(place)
    assert eye.problems == []


def test_the_door_opens_by_the_keyboard_alone(page: Page, live_server: LiveServer) -> None:
    page.goto(
        live_server.url + shared(live_server.services, taken(live_server.services), 1, "views")
    )
    page.get_by_role("button", name="Open the report").focus()
    page.keyboard.press("Enter")

    page.get_by_text("25%").first.wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "Lakita Marrero"


def test_the_report_prints_without_buttons(page: Page, live_server: LiveServer) -> None:
    page.goto(live_server.url + path(live_server.services, taken(live_server.services)))
    button = page.get_by_role("link", name="PDF")
    assert button.is_visible()

    page.emulate_media(media="print")
    assert not button.is_visible()
    said = paper(page.pdf())
    assert "Lakita Marrero" in said
    assert "25%" in said
