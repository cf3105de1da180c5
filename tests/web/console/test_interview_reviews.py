"""Several reviewers on the page of an interview: what each sees, saves, submits and completes."""

import json
import re
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.accounts.settings import COMMON_SETTINGS
from provider.core.audit import Action, AuditEntry
from provider.core.kinds.interview import Interview
from provider.services import Services
from tests import factories, interview_factories
from tests.web.console.test_interviews import (
    complete,
    interview_path,
    post_rating,
    rate,
    read_edit_token,
)
from tests.web.console_client import ORDERS_PATH, ConsoleClient

SECRET_NOTE = "Zanzibar"  # no page has this word by itself
ADMIN, OPERATOR, REVIEWER = (f"{role}@provider.test" for role in ("admin", "operator", "reviewer"))


@pytest.fixture
def interview(services: Services) -> str:
    return interview_factories.submitted_interview(services)[0]


@pytest.fixture
def admin(services: Services, app: Flask) -> ConsoleClient:
    return ConsoleClient.signed_in(services, app.test_client(), "admin")


@pytest.fixture
def reviewer(services: Services, app: Flask) -> ConsoleClient:
    return ConsoleClient.signed_in(services, app.test_client(), "reviewer")


def post(console: ConsoleClient, interview: str, path: str, **fields: Any) -> tuple[int, str]:
    page = interview_path(interview)
    response = console.submit(f"{page}/{path}", page=page, **fields)
    return response.status_code, response.text


def post_json(
    console: ConsoleClient, interview: str, path: str, **fields: Any
) -> tuple[int, dict[str, Any]]:
    page = interview_path(interview)
    token = factories.csrf_token(console.client.get(page).text)
    response = console.client.post(
        f"{page}/{path}",
        data=fields | {"csrf_token": token},
        headers={"Accept": "application/json"},
    )
    return response.status_code, json.loads(response.text)


def rate_all(console: ConsoleClient, interview: str, value: int, note: str = "") -> None:
    for question in ("why", "proud", "ask"):
        assert rate(console, interview, question, value, note) == 303


def recording_of(services: Services, interview: str) -> str:
    with services.db.reading() as session:
        take = Interview.find(session, interview).selected_recording("why")
        assert take
        return take.public_id


def give_secret_scorecard(services: Services, console: ConsoleClient, interview: str) -> None:
    """Fill in a whole scorecard with a word that no colleague may see yet."""
    rate_all(console, interview, 2, SECRET_NOTE)
    assert post(console, interview, "overall", value="1", note=SECRET_NOTE, based_on="0")[0] == 303
    path = f"notes/{recording_of(services, interview)}"
    assert post(console, interview, path, time="0:01", text=SECRET_NOTE)[0] == 303


# Blindness


def pages_about(interview: str, recording: str) -> list[str]:
    page = interview_path(interview)
    return [
        page,
        f"{page}/complete",
        f"{page}/captions/{recording}",
        ORDERS_PATH + interview,
        f"{ORDERS_PATH}{interview}/presence",
        ORDERS_PATH,
        f"{ORDERS_PATH}export.csv",
        "/console/marking/?whose=all",
        "/console/marking/?whose=mine",
        "/console/",
        "/console/audit/",
    ]


@pytest.mark.parametrize("role", ["reviewer", "operator", "admin"])
@pytest.mark.parametrize("state", ["open", "in"])
def test_nobody_who_rates_reads_the_scorecard_of_another(
    services: Services, app: Flask, interview: str, role: str, state: str
) -> None:
    writer_role = "operator" if role != "operator" else "admin"
    writer = ConsoleClient.signed_in(services, app.test_client(), writer_role)
    reader = ConsoleClient.signed_in(services, app.test_client(), role)
    give_secret_scorecard(services, writer, interview)
    if state == "in":
        assert post(writer, interview, "scorecard/submit")[0] == 303
    seen = {}
    for path in pages_about(interview, recording_of(services, interview)):
        response = reader.client.get(path, follow_redirects=True)
        assert response.status_code in (200, 403, 404), (path, response.status_code)
        seen[path] = (SECRET_NOTE in response.text, "25%" in response.text)
    assert set(seen.values()) == {(False, False)}
    assert SECRET_NOTE in writer.get_text(interview_path(interview))


def test_answers_of_saves_say_nothing_about_others(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient, interview: str
) -> None:
    give_secret_scorecard(services, admin, interview)
    assert post(admin, interview, "scorecard/submit")[0] == 303
    # The number of a save counts one's own saves.
    assert post_json(reviewer, interview, "ratings/why", value="4", note="", based_on="0") == (
        200,
        {"saved": 1},
    )
    token = {"edit_token": "0 25 1"}
    status_code, text = post(reviewer, interview, "complete", **token)
    assert status_code == 409
    assert "25%" not in text
    assert SECRET_NOTE not in text


def test_queue_is_the_same_whatever_a_colleague_rated(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient
) -> None:
    rows = []
    account = factories.create_account(services)[0]
    for number, value in ((1, 1), (2, 5)):
        interview, _ = interview_factories.submitted_interview(services, number, account=account)
        rate_all(admin, interview, value)
        assert post(admin, interview, "scorecard/submit")[0] == 303
        page = reviewer.get_text("/console/marking/?whose=all")
        row = re.search(rf"<tr>(?:(?!</tr>).)*{interview}.*?</tr>", page, re.DOTALL)
        assert row
        rows.append(re.sub(r"<time.*?</time>|<[^>]+>", "", row[0].replace(interview, "")).split())
    assert rows[0] == rows[1]


def test_scorecards_of_others_appear_after_the_own_one(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient, interview: str
) -> None:
    give_secret_scorecard(services, admin, interview)
    assert post(admin, interview, "scorecard/submit")[0] == 303
    rate_all(reviewer, interview, 4, "Mine")
    assert SECRET_NOTE not in reviewer.get_text(interview_path(interview))
    assert "Submit your scorecard first" in reviewer.get_text(
        f"{interview_path(interview)}/complete"
    )
    assert post(reviewer, interview, "scorecard/submit")[0] == 303
    page = reviewer.get_text(interview_path(interview))
    assert page.count(SECRET_NOTE) == 5  # three answers, the overall rating, a note at a time
    assert "Mine" in admin.get_text(interview_path(interview))
    page = reviewer.get_text(f"{interview_path(interview)}/complete")
    assert "average of 2 scorecards" in page
    assert "Question 1: 3 of 5, 2 reviewers, from 2 to 4" in page
    assert complete(reviewer, interview, read_edit_token(reviewer, interview))[0] == 303
    with services.db.reading() as session:
        result = Interview.find(session, interview).result
        assert result
        assert result.score == 50
        assert result.details["Overall rating"] == 1


def test_observer_reads_and_completes_without_rating(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient, interview: str
) -> None:
    give_secret_scorecard(services, admin, interview)
    assert post(admin, interview, "scorecard/submit")[0] == 303
    assert "Read without rating" in reviewer.get_text(interview_path(interview))
    assert post(reviewer, interview, "observe")[0] == 303
    page = reviewer.get_text(interview_path(interview))
    assert SECRET_NOTE in page
    assert 'name="value"' not in page
    status_code, text = post_rating(reviewer, interview, "why", "0", 5)
    assert (status_code, "cannot rate any more" in text) == (409, True)
    assert complete(reviewer, interview, read_edit_token(reviewer, interview))[0] == 303


# Two at once


def test_two_reviewers_who_save_at_once_lose_nothing(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient, interview: str
) -> None:
    page = interview_path(interview)
    tokens = [factories.csrf_token(console.client.get(page).text) for console in (admin, reviewer)]
    barrier = threading.Barrier(2)
    replies: list[int] = []

    def save(console: ConsoleClient, token: str, value: int) -> None:
        for number in range(5):
            barrier.wait()
            response = console.client.post(
                f"{page}/ratings/why",
                data={"csrf_token": token, "value": value, "note": number, "based_on": number},
                headers={"Accept": "application/json"},
            )
            replies.append(json.loads(response.text)["saved"])

    threads = [
        threading.Thread(target=save, args=(console, token, value))
        for console, token, value in zip((admin, reviewer), tokens, (2, 5), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(replies) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    with services.db.reading() as session:
        ratings = Interview.find(session, interview).ratings
        assert sorted((row.actor, row.value, row.note) for row in ratings) == [
            (ADMIN, 2, "4"),
            (REVIEWER, 5, "4"),
        ]


def test_save_of_a_script_is_numbered(
    services: Services, reviewer: ConsoleClient, interview: str
) -> None:
    def save(**fields: Any) -> tuple[int, dict[str, Any]]:
        return post_json(reviewer, interview, "ratings/why", **fields)

    assert save(value="", note="A note first", based_on="0") == (200, {"saved": 1})
    assert save(value="4", note="A note first", based_on="1") == (200, {"saved": 2})
    # An older save that a middlebox kept for a while.
    status_code, reply = save(value="", note="A note", based_on="0")
    assert status_code == 409
    assert "The newer save stands" in reply["error"]
    assert save(value="9", note="", based_on="2")[0] == 400
    assert save(value="4", note="x" * 2001, based_on="2")[0] == 400
    with services.db.reading() as session:
        (rating,) = Interview.find(session, interview).ratings
        assert (rating.value, rating.note) == (4, "A note first")


# Reviewers


def test_manager_assigns_and_withdraws_reviewers(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient, interview: str
) -> None:
    assert f'<option value="{REVIEWER}">' in admin.get_text(interview_path(interview))
    assert post(admin, interview, "reviewers", reviewer=REVIEWER)[0] == 303
    page = admin.get_text(interview_path(interview))
    assert f"asked by {ADMIN}" in page
    assert f'<option value="{REVIEWER}">' not in page
    assert interview in reviewer.get_text("/console/marking/?whose=mine")
    rate_all(admin, interview, 4)
    assert "Submit your scorecard first" in admin.get_text(f"{interview_path(interview)}/complete")
    assert post(admin, interview, "scorecard/submit")[0] == 303
    assert "asked for and not submitted yet" in admin.get_text(
        f"{interview_path(interview)}/complete"
    )
    assert post(admin, interview, "reviewers/withdraw", reviewer=REVIEWER)[0] == 303
    assert interview not in reviewer.get_text("/console/marking/?whose=mine")
    assert complete(admin, interview, read_edit_token(admin, interview))[0] == 303
    assert post(admin, interview, "reviewers", reviewer=REVIEWER)[0] == 409


@pytest.mark.parametrize(
    ("role", "accounts"), [("viewer", None), ("author", None), ("reviewer", [99])]
)
def test_somebody_who_may_not_rate_it_is_no_reviewer(
    services: Services,
    app: Flask,
    client: FlaskClient,
    interview: str,
    role: str,
    accounts: list[int] | None,
) -> None:
    console = ConsoleClient.signed_in(services, client)
    ConsoleClient.signed_in(services, app.test_client(), role, accounts)
    email = f"{role}@provider.test"
    assert f'value="{email}"' not in console.get_text(interview_path(interview))
    status_code, text = post(console, interview, "reviewers", reviewer=email)
    assert (status_code, "may not rate this interview" in text) == (409, True)
    assert post(console, interview, "reviewers", reviewer="nobody@provider.test")[0] == 404


def test_support_assigns_and_sees_no_results(
    services: Services, app: Flask, reviewer: ConsoleClient, interview: str
) -> None:
    rate_all(reviewer, interview, 4, SECRET_NOTE)
    assert post(reviewer, interview, "scorecard/submit")[0] == 303
    support = ConsoleClient.signed_in(services, app.test_client(), "support")
    ConsoleClient.signed_in(services, app.test_client(), "operator")
    page = f"{interview_path(interview)}/reviewers"
    for email, status_code in ((OPERATOR, 303), (REVIEWER, 403)):
        response = support.submit(page, reviewer=email)
        assert response.status_code == status_code
        assert SECRET_NOTE not in response.text
        assert response.headers.get("Location") in (None, f"{ORDERS_PATH}{interview}")
    assert support.submit(f"{page}/withdraw", reviewer="x").status_code == 403


def test_reviewer_may_not_assign(reviewer: ConsoleClient, interview: str) -> None:
    assert "Ask a colleague" not in reviewer.get_text(interview_path(interview))
    assert post(reviewer, interview, "reviewers", reviewer=REVIEWER)[0] == 403
    assert post(reviewer, interview, "reviewers/withdraw", reviewer=REVIEWER)[0] == 403


def test_scorecard_is_taken_back_on_the_page(reviewer: ConsoleClient, interview: str) -> None:
    rate_all(reviewer, interview, 4)
    assert post(reviewer, interview, "scorecard/submit")[0] == 303
    assert 'name="value"' not in reviewer.get_text(interview_path(interview))
    assert post(reviewer, interview, "scorecard/take-back")[0] == 303
    assert rate(reviewer, interview, "why", 5) == 303
    assert post(reviewer, interview, "scorecard/take-back")[0] == 409


def test_incomplete_scorecard_is_not_submitted(reviewer: ConsoleClient, interview: str) -> None:
    assert rate(reviewer, interview, "why", 4) == 303
    status_code, text = post(reviewer, interview, "scorecard/submit")
    assert (status_code, "2 of the answers have no rating yet" in text) == (409, True)


# Notes at a time


def test_note_at_a_time_seeks_without_a_script(
    services: Services, reviewer: ConsoleClient, interview: str
) -> None:
    recording = recording_of(services, interview)
    assert post(reviewer, interview, f"notes/{recording}", time="0:01", text="A fact")[0] == 303
    page = reviewer.get_text(interview_path(interview))
    assert f'takes/{recording}#t=1.0" data-seek="1.0"' in page
    assert "A fact" in page
    note = re.search(rf"notes/{recording}/([\w-]+)/delete", page)
    assert note
    assert post(reviewer, interview, f"notes/{recording}/{note[1]}/delete")[0] == 303
    assert "A fact" not in reviewer.get_text(interview_path(interview))


@pytest.mark.parametrize(
    ("time", "text", "message"),
    [
        ("soon", "x", "minutes and seconds"),
        ("9:00", "x", "before the end"),
        ("0:01", " ", "Write a note first"),
        ("0:01", "x" * 1001, "Shorten the text"),
    ],
)
def test_wrong_note_is_refused_and_stays_typed(
    services: Services,
    reviewer: ConsoleClient,
    interview: str,
    time: str,
    text: str,
    message: str,
) -> None:
    recording = recording_of(services, interview)
    status_code, page = post(reviewer, interview, f"notes/{recording}", time=time, text=text)
    assert status_code == 400
    assert message in page
    assert f'value="{time}"' in page


def test_note_of_a_colleague_cannot_be_deleted(
    services: Services, admin: ConsoleClient, reviewer: ConsoleClient, interview: str
) -> None:
    recording = recording_of(services, interview)
    post(admin, interview, f"notes/{recording}", time="0:01", text="A fact")
    page = admin.get_text(interview_path(interview))
    note = re.search(rf"notes/{recording}/([\w-]+)/delete", page)
    assert note
    assert post(reviewer, interview, f"notes/{recording}/{note[1]}/delete")[0] == 404
    assert post(admin, interview, f"notes/{recording}/nothing/delete")[0] == 404


# Names, and who watched


def test_hidden_name_appears_after_the_own_scorecard(
    services: Services, reviewer: ConsoleClient, interview: str
) -> None:
    with services.db.writing() as session:
        account = Interview.find(session, interview).account
        assert isinstance(account, Account)
        COMMON_SETTINGS["hide_names"].change(account, "yes")
    pages = [interview_path(interview), f"{interview_path(interview)}/complete"]
    recording = recording_of(services, interview)
    pages.append(f"{interview_path(interview)}/captions/{recording}")
    for path in pages:
        assert "Lakita" not in reviewer.get_text(path), path
    rate_all(reviewer, interview, 4)
    assert post(reviewer, interview, "scorecard/submit")[0] == 303
    for path in pages:
        assert "Lakita" in reviewer.get_text(path), path


def test_audit_log_says_once_who_watched_which_recording(
    services: Services, reviewer: ConsoleClient, interview: str
) -> None:
    recording = recording_of(services, interview)
    path = f"{interview_path(interview)}/takes/{recording}"
    for _ in range(3):
        assert reviewer.client.get(path, headers={"Range": "bytes=0-9"}).status_code == 206
    assert reviewer.client.get(path.replace("takes", "posters")).status_code == 200
    with services.db.reading() as session:
        query = select(AuditEntry.actor, AuditEntry.subject, AuditEntry.after)
        rows = session.execute(query.where(AuditEntry.action == Action.RECORDING_WATCHED)).all()
        assert [tuple(row) for row in rows] == [
            (REVIEWER, f"order:{interview}", {"recording": recording})
        ]
    assert "Recording watched" in reviewer.get_text(ORDERS_PATH + interview)


def test_page_says_that_nothing_analyses_faces(reviewer: ConsoleClient, interview: str) -> None:
    assert "No software analyses faces or voices" in reviewer.get_text(interview_path(interview))
