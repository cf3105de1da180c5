"""A hidden name is hidden everywhere: no answer of the console has it before the own scorecard."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select

import provider
from provider.core.accounts import Account
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.candidate_names import label_of
from provider.core.kinds.answer_files import AnswerFile, media_key
from provider.core.kinds.assessment import Assessment, file_answers
from provider.core.kinds.check import Check
from provider.core.kinds.interview import Interview, given_answers
from provider.core.orders import GivenTime, Order
from provider.core.staff import ROLE_PERMISSIONS
from provider.outbox import Attempt, Message
from provider.services import Services
from provider.storage import secrets
from provider.storage.media import StoredFile
from tests import check_factories, factories, interview_factories, marking_factories
from tests.web.console.test_interview_reviews import post, rate_all
from tests.web.console.test_interviews import rate
from tests.web.console.test_permissions import ANY_ROLE, REQUIREMENTS, console_routes
from tests.web.console_client import ORDERS_PATH, ConsoleClient

CANDIDATE = {
    "first_name": "Quillfeather",
    "last_name": "Zyxquass",
    "email": "bird@aviary.test",
    "phone": "+44 7700 900977",
}
CANARIES = ("quillfeather", "zyxquass", "aviary", "900977")
PERSONAL_FIELD = re.compile(r"candidate\.(?:email|phone|first_name|last_name)")
FILE_ITEM = {"kind": "file", "key": "cv", "prompt": "Send a sample.", "points": 5}
FILE_QUESTION = {"key": "cv", "text": "Send a sample.", "answer": "file"}
REVIEWER = "reviewer@provider.test"


@dataclass(frozen=True)
class Aviary:
    """Three orders of one candidate whose name the account hides, and the ids in addresses."""

    account_id: int
    interview: str
    test: str
    check: str
    ids: dict[str, list[str]]

    @property
    def label(self) -> str:
        return label_of(self.interview)


@pytest.fixture
def aviary(services: Services) -> Aviary:
    account_id, _ = factories.create_account(services, "Birds Ltd")
    hide_names(services, account_id, "yes")
    with services.db.writing() as session:  # a report shows the first outcomes
        COMMON_SETTINGS["partial_results"].change(session.get_one(Account, account_id), "yes")
    interview = place(services, account_id, "interview", interview_template(services))
    recordings = submit(services, interview)
    marked_test = marking_factories.create_marked_test(services, FILE_ITEM)
    test = place(services, account_id, "assessment", marked_test)
    submit_file(services, test)
    check = place(services, account_id, "check", check_factories.create_package(services))
    check_factories.give_consent(services, check, "Quillfeather Zyxquass")
    with services.db.writing() as session:
        order, box, now = Check.find(session, check), services.secret_box, services.now()
        order.record_finding(session, box, "identity", "clear", "", REVIEWER, now)
    for public_id in (interview, test, check):
        leave_traces(services, public_id)
    with services.db.reading() as session:
        files = list(session.scalars(select(AnswerFile.public_id)))
    ids = {
        "order_id": [interview, test, check],
        "recording_id": recordings,
        "file_id": files,
        "task_id": list(marking_factories.task_ids(services, test).values()),
    }
    return Aviary(account_id, interview, test, check, ids)


@pytest.fixture
def reviewer(services: Services, app: Flask) -> ConsoleClient:
    return ConsoleClient.signed_in(services, app.test_client(), "reviewer")


@pytest.fixture
def operator(services: Services, app: Flask) -> ConsoleClient:
    return ConsoleClient.signed_in(services, app.test_client(), "operator")


def hide_names(services: Services, account_id: int, value: str) -> None:
    with services.db.writing() as session:
        COMMON_SETTINGS["hide_names"].change(session.get_one(Account, account_id), value)


def interview_template(services: Services) -> str:
    content = interview_factories.TEMPLATE_CONTENT
    questions = [*content["questions"], FILE_QUESTION]
    return factories.create_product(
        services, "interview", content | {"questions": questions}, "first", "First interview"
    )


def place(services: Services, account_id: int, kind: str, product: str) -> str:
    url = f"https://birds.workable.com/{kind}/{product}"
    return factories.place_order(services, account_id, product, kind, callback_url=url, **CANDIDATE)


def submit(services: Services, interview: str) -> list[str]:
    """Record and send the answers of an interview; return the ids of the recordings."""
    with services.db.writing() as session:
        Interview.find(session, interview).start(session, services.now())
    recordings = [
        interview_factories.record_answer(services, interview, key, tint=tint)
        for tint, key in enumerate(("why", "proud", "ask"))
    ]
    file, now = store_file(services), services.now()
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        question = order.find_question("cv")
        given_answers.save_file(session, order, question, *file, now, GivenTime(now))
    interview_factories.submit_interview(services, interview)
    return recordings


def submit_file(services: Services, test: str) -> None:
    """Send the file that a test asks for, and submit the test."""
    file, now = store_file(services), services.now()
    with services.db.writing() as session:
        order = Assessment.find(session, test)
        order.start(session, now)
        file_answers.save_file(session, order, "cv", *file, GivenTime(now), now)
        order.submit(session, services.secret_box, now)


def store_file(services: Services) -> tuple[str, str, str, StoredFile]:
    """Return the id, the name, the type and the place of a stored file."""
    file_id = secrets.generate_public_id()
    stored_file = services.media.put(media_key(file_id), [b"%PDF-1.7 a sample"])
    return file_id, "Quillfeather CV.pdf", "application/pdf", stored_file


def rate_everything(console: ConsoleClient, interview: str) -> None:
    rate_all(console, interview, 4)
    assert rate(console, interview, "cv", 3) == 303


def leave_traces(services: Services, public_id: str) -> None:
    """Write the name where the program and the staff write it: notes, answers of a mail server."""
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        note = "No name → Quillfeather Zyxquass"
        order.record_event(session, "name corrected", "candidate", services.now(), note)
        order.hold_reason = "Zyxquass objects"
        of_order = select(Message).where(Message.ordering_key.startswith(public_id))
        for message in session.scalars(of_order):
            session.add(
                Attempt(
                    message_id=message.id,
                    number=1,
                    started_at=services.now(),
                    duration_ms=3,
                    outcome="retry",
                    status_code=450,
                    response_excerpt="450 <bird@aviary.test> is busy",
                    error="",
                )
            )


def filled_paths(app: Flask, aviary: Aviary, role: str) -> Iterator[str]:
    """Yield the path of every page that a role may open, with each id that it can have."""
    for endpoint, method, rule in console_routes(app):
        requirement = REQUIREMENTS[endpoint, method]
        is_allowed = requirement == ANY_ROLE or requirement in ROLE_PERMISSIONS[role]
        if method != "GET" or not is_allowed:
            continue
        paths = [re.sub(r"<any\('?(\w+)[^)]*\):\w+>", r"\1", rule.rule)]
        for argument in re.findall(r"<(?:\w+:)?(\w+)>", rule.rule):
            pattern = rf"<(?:\w+:)?{argument}>"
            values = aviary.ids.get(argument, ["1"])
            paths = [re.sub(pattern, value, path) for path in paths for value in values]
        yield from paths


def linked_paths(html: str) -> Iterator[str]:
    """Yield the addresses in a page, of the console and of reports."""
    for address in re.findall(r'(?:href|src|data-refresh-url)="([^"]+)"', html):
        url = urlsplit(unescape(address))
        if url.path.startswith(("/console/", "/r/", "/s/")):
            yield url.path + (f"?{url.query}" if url.query else "")


def crawl(console: ConsoleClient, app: Flask, aviary: Aviary, role: str) -> dict[str, list[str]]:
    """Open every page that a role reaches; return the canaries that each answer has."""
    waiting, seen = list(filled_paths(app, aviary, role)), dict[str, list[str]]()
    # Pages that were opened before the last change ask for what is new.
    waiting += [f"{ORDERS_PATH}{order}/presence?seen=0-old" for order in aviary.ids["order_id"]]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        response = console.client.get(path)
        assert response.status_code < 500, path
        text = f"{response.headers}{unescape(response.data.decode('utf-8', 'replace'))}".lower()
        seen[path] = [canary for canary in CANARIES if canary in text]
        if response.mimetype == "text/html":
            waiting += linked_paths(response.text)
    return {path: canaries for path, canaries in seen.items() if canaries}


def test_no_page_shows_a_blind_reviewer_the_name_or_address(
    services: Services, pages_app: Flask, reviewer: ConsoleClient, aviary: Aviary
) -> None:
    assert crawl(reviewer, pages_app, aviary, "reviewer") == {}
    hide_names(services, aviary.account_id, "no")
    seen = crawl(reviewer, pages_app, aviary, "reviewer")
    assert {ORDERS_PATH, f"{ORDERS_PATH}{aviary.interview}"} < set(seen)
    assert any(path.startswith("/r/") for path in seen)
    assert len(seen) >= 8, seen


def test_scorecard_shows_the_name_on_each_page_of_the_interview(
    pages_app: Flask, reviewer: ConsoleClient, aviary: Aviary
) -> None:
    page = f"{ORDERS_PATH}{aviary.interview}"
    rate_everything(reviewer, aviary.interview)
    assert crawl(reviewer, pages_app, aviary, "reviewer") == {}
    assert post(reviewer, aviary.interview, "scorecard/submit")[0] == 303
    seen = crawl(reviewer, pages_app, aviary, "reviewer")
    assert {ORDERS_PATH, page, f"{page}/interview", f"{page}/interview/complete"} < set(seen)
    assert not any(aviary.test in path or aviary.check in path for path in seen)


def test_operator_sees_the_name_and_the_reviewer_the_label(
    operator: ConsoleClient, reviewer: ConsoleClient, aviary: Aviary
) -> None:
    for path in (ORDERS_PATH, f"{ORDERS_PATH}{aviary.interview}"):
        assert "Quillfeather Zyxquass" in operator.get_text(path)
        assert aviary.label in reviewer.get_text(path)
    page = f"{ORDERS_PATH}{aviary.interview}"
    assert f"<title>{aviary.label}, First interview" in reviewer.get_text(page)
    assert f"<title>Interview of {aviary.label}" in reviewer.get_text(f"{page}/interview")
    assert "Quillfeather Zyxquass" in operator.get_text(f"{page}/interview")


@pytest.mark.parametrize("role", ["viewer", "adjudicator", "support", "admin", "owner"])
def test_role_that_does_not_only_review_sees_the_name(
    services: Services, app: Flask, aviary: Aviary, role: str
) -> None:
    console = ConsoleClient.signed_in(services, app.test_client(), role)
    assert "Quillfeather Zyxquass" in console.get_text(f"{ORDERS_PATH}{aviary.interview}")


@pytest.mark.both
@pytest.mark.parametrize("query", ["quillf", "Zyxquass", "bird@aviary.test", "aviary first"])
def test_search_by_a_hidden_name_finds_nothing(
    operator: ConsoleClient, reviewer: ConsoleClient, aviary: Aviary, query: str
) -> None:
    path = f"{ORDERS_PATH}?q={query}"
    assert "No order matches" in reviewer.get_text(path)
    found = operator.get_text(path)
    assert ("No order matches" in found) == ("first" in query)


@pytest.mark.both
def test_search_by_label_id_or_job_finds_the_hidden_order(
    reviewer: ConsoleClient, aviary: Aviary
) -> None:
    part = aviary.label.removeprefix("Candidate ")
    for query in (aviary.label, part.lower(), aviary.interview, f"manager {part}"):
        page = reviewer.get_text(f"{ORDERS_PATH}?q={query}")
        assert f"/console/orders/{aviary.interview}" in page, query


@pytest.mark.both
def test_search_by_name_finds_the_order_after_the_scorecard(
    reviewer: ConsoleClient, aviary: Aviary
) -> None:
    rate_everything(reviewer, aviary.interview)
    assert post(reviewer, aviary.interview, "scorecard/submit")[0] == 303
    page = reviewer.get_text(f"{ORDERS_PATH}?q=zyxquass")
    assert f"/console/orders/{aviary.interview}" in page
    assert f"/console/orders/{aviary.test}" not in page


@pytest.mark.both
def test_export_has_the_label_instead_of_the_name(
    operator: ConsoleClient, reviewer: ConsoleClient, aviary: Aviary
) -> None:
    names = {}
    for console in (operator, reviewer):
        response = console.submit(f"{ORDERS_PATH}export/")
        rows = csv.DictReader(io.StringIO(response.data.decode("utf-8-sig")))
        row = next(row for row in rows if row["Id"].lstrip("'") == aviary.interview)
        names[console] = (row["First name"], row["Last name"], row["E-mail"])
    assert names[operator] == ("Quillfeather", "Zyxquass", "bird@aviary.test")
    assert names[reviewer] == (aviary.label, "", "")


def test_export_of_a_search_by_name_is_empty(reviewer: ConsoleClient, aviary: Aviary) -> None:
    response = reviewer.submit(f"{ORDERS_PATH}export/", q="zyxquass")
    assert len(response.data.decode("utf-8-sig").splitlines()) == 1


def test_submitted_scorecard_stays_where_names_are_hidden(
    services: Services, reviewer: ConsoleClient, aviary: Aviary
) -> None:
    rate_everything(reviewer, aviary.interview)
    assert post(reviewer, aviary.interview, "scorecard/submit")[0] == 303
    page = f"{ORDERS_PATH}{aviary.interview}/interview"
    assert "Change my scorecard again" not in reviewer.get_text(page)
    status, text = post(reviewer, aviary.interview, "scorecard/take-back")
    assert (status, "You have seen the candidate’s name" in text) == (409, True)
    hide_names(services, aviary.account_id, "no")
    assert post(reviewer, aviary.interview, "scorecard/take-back")[0] == 303


def test_reopened_interview_hides_the_name_again(
    services: Services, pages_app: Flask, reviewer: ConsoleClient, aviary: Aviary
) -> None:
    now = services.now()
    with services.db.writing() as session:
        order = Interview.find(session, aviary.interview)
        for question in order.answered_questions():
            order.rate(question.key, 4, "", REVIEWER, now)
        order.conclude(session, services.secret_box, "Zyxquass convinces", REVIEWER, now)
    page = f"{ORDERS_PATH}{aviary.interview}"
    assert "Zyxquass convinces" in reviewer.get_text(page)
    with services.db.writing() as session:
        order = Interview.find(session, aviary.interview)
        order.reopen(session, services.secret_box, "boss@provider.test", "Zyxquass asked", now)
    assert crawl(reviewer, pages_app, aviary, "reviewer") == {}


def test_label_is_the_same_for_an_order_and_says_nothing_of_the_name() -> None:
    assert label_of("aB3dE6gH-IjKl_MnOpQrSt") == "Candidate AB3D"
    assert label_of("a-b_c-9xYz123456789012") == "Candidate 9XYZ"
    assert label_of("a-b") == "Candidate AB"


def test_templates_take_the_name_of_a_candidate_from_one_function() -> None:
    """Only pages for those who manage orders show an address or a part of a name."""
    folder = Path(provider.__file__).parent / "web/templates/console"
    templates = {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.suffix == ".html"
    }
    by_name = [name for name, text in templates.items() if "candidate.name" in text]
    by_address = {name for name, text in templates.items() if PERSONAL_FIELD.search(text)}
    assert by_name == []
    assert by_address == {"correct.html", "erase.html", "order.html", "resend.html"}
