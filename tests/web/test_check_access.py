"""Who must not see a check learns nothing of it: the same answer as for a check that is not there.

The paths come from the route table, so that a new route of checks is tried without a change here.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule

from provider.core.kinds.check import Check, decisions
from provider.core.kinds.check.decisions import RevisionForm
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.orders import PDF, REPORT, Link, Order
from provider.core.orders.link import CANDIDATE_SESSION_LIFETIME
from provider.core.staff import ROLE_PERMISSIONS, Permission
from provider.services import Services
from tests import check_factories, factories
from tests.check_status_factories import DISPUTE_TEXT, RECORD_TEXT, add_record, dispute, set_case
from tests.check_way import open_invitation
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

CANDIDATE_BLUEPRINTS = ("candidate.check",)  # and those whose names begin so
CONSOLE_BLUEPRINTS = ("console.check", "console.dispute", "console.screening", "console.adverse")
UNKNOWN = "nothing"
# No answer may have one of these words.
HINTS = (
    *check_factories.SECRET_WORDS,
    "Lakita",
    "lakita",
    "Full screening",
    "Employment history",
    "To consider",
    "One employer",
    RECORD_TEXT,
    DISPUTE_TEXT,
)


@pytest.fixture
def order_id(services: Services) -> str:
    """A completed check with a record and a dispute, whose candidate may read the report."""
    placed = check_factories.place_check(services)
    check_factories.give_consent(services, placed)
    set_case(services, placed, country="US")
    add_record(services, placed)
    check_factories.record_findings(services, placed)
    check_factories.complete_check(services, placed)
    dispute(services, placed)
    return placed


def revise(services: Services, order_id: str) -> None:
    """Correct the outcome of one screening."""
    with services.db.writing() as session:
        check, now = Check.find(session, order_id, lock=True), services.now()
        form = RevisionForm("jobs", "clear", "", "", "The employer was wrong")
        decisions.revise(session, services.secret_box, check, form, "ann@provider.test", now)


def check_rules(app: Flask, *prefixes: str) -> Iterator[tuple[str, Rule]]:
    """Yield the method and the rule of each route whose endpoint begins with a prefix."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(prefixes):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule


def fill(services: Services, rule: Rule, order_id: str, *, is_known: bool = True) -> str:
    """Return the path of a rule, with the ids of a check, or with ids that do not exist."""
    with services.db.reading() as session:
        check = session.scalars(select(Check).where(Check.public_id == order_id)).one()
        task = session.scalars(select(ScreeningTask.public_id)).first()
        values = {
            "order_id": order_id,
            "public_id": order_id,
            "screening": "jobs",
            "dispute_id": check.disputes[0].public_id,
            "task_id": task,
        }
    path = re.sub(
        r"<any\(([^)]+)\):\w+>", lambda match: match[1].split(",")[0].strip("'"), rule.rule
    )
    path = re.sub(r"<int:\w+>", "1", path)
    return re.sub(
        r"<(?:\w+:)?(\w+)>",
        lambda match: str(values.get(match[1]) or UNKNOWN) if is_known else UNKNOWN,
        path,
    )


def request_all(
    services: Services, client: FlaskClient, rules: Iterator[tuple[str, Rule]], order_id: str
) -> dict[tuple[str, str], tuple[int, int, str]]:
    """Return the status for the check, for an unknown one, and the first text, by route."""
    token = factories.csrf_token(client.get("/console/sign-in").text)
    answers = {}
    for method, rule in rules:
        form = {"csrf_token": token}
        known = client.open(fill(services, rule, order_id), method=method, data=form)
        unknown_path = fill(services, rule, order_id, is_known=False)
        unknown = client.open(unknown_path, method=method, data=form)
        answers[method, rule.rule] = (known.status_code, unknown.status_code, known.text)
    assert answers
    return answers


def find_hints(answers: dict[tuple[str, str], tuple[int, int, str]]) -> list[object]:
    """Return the routes that answer a check otherwise than an unknown one, or with a hint."""
    return [
        (route, known, unknown)
        for route, (known, unknown, text) in answers.items()
        if known != unknown or known < 400 or any(hint in text for hint in HINTS)
    ]


def test_candidate_routes_without_a_session_answer_as_for_no_check(
    services: Services, client: FlaskClient, pages_app: Flask, order_id: str
) -> None:
    rules = check_rules(pages_app, *CANDIDATE_BLUEPRINTS)
    answers = request_all(services, client, rules, order_id)
    assert find_hints(answers) == []
    assert {known for known, _, _ in answers.values()} == {403}


def test_candidate_of_another_check_gets_no_hint(
    services: Services, client: FlaskClient, pages_app: Flask, order_id: str
) -> None:
    with services.db.reading() as session:
        version = Order.find(session, order_id)
        account_id, product = version.account_id, version.product.public_id
    other = factories.place_order(
        services,
        account_id,
        product,
        "check",
        email="zoe@example.com",
        callback_url="https://a.workable.com/2",
    )
    open_invitation(services, client, other)
    answers = request_all(services, client, check_rules(pages_app, *CANDIDATE_BLUEPRINTS), order_id)
    assert find_hints(answers) == []


@pytest.mark.parametrize("end", ["expired", "revoked", "reopened"])
def test_candidate_whose_link_has_ended_gets_no_hint(
    services: Services,
    client: FlaskClient,
    pages_app: Flask,
    clock: ManualClock,
    order_id: str,
    end: str,
) -> None:
    invitation = urlsplit(factories.invitation_url(services, order_id)).path
    open_invitation(services, client, order_id)
    assert client.get(f"/c/o/{order_id}/check/report").status_code == 200
    if end == "expired":
        clock.advance(CANDIDATE_SESSION_LIFETIME + timedelta(seconds=1))
    else:
        with services.db.writing() as session:
            order, box, now = Order.find(session, order_id), services.secret_box, services.now()
            if end == "revoked":
                order.revoke_links(session, box, "sam@provider.test", "Lost", now)
            else:
                order.end_invitations(session, now)
    rules = check_rules(pages_app, *CANDIDATE_BLUEPRINTS)
    assert find_hints(request_all(services, client, rules, order_id)) == []
    if end != "expired":
        response = client.get(invitation)
        assert response.status_code in (404, 410)
        assert not any(hint in response.text for hint in HINTS)


@pytest.mark.parametrize(
    "role",
    [
        role
        for role, permissions in ROLE_PERMISSIONS.items()
        if Permission.DECIDE_CHECKS not in permissions
    ],
)
def test_role_without_the_permission_gets_the_same_answer(
    services: Services, client: FlaskClient, pages_app: Flask, order_id: str, role: str
) -> None:
    ConsoleClient.signed_in(services, client, role)
    answers = request_all(services, client, check_rules(pages_app, *CONSOLE_BLUEPRINTS), order_id)
    may_see_results = Permission.VIEW_RESULTS in ROLE_PERMISSIONS[role]
    overview = ("GET", "/console/checks/<order_id>/")
    if may_see_results:
        assert answers.pop(overview)[0] == 200
    assert find_hints(answers) == []
    assert {known for known, _, _ in answers.values()} == {403}


@pytest.mark.parametrize(
    "role",
    [
        role
        for role, permissions in ROLE_PERMISSIONS.items()
        if Permission.VIEW_ORDERS in permissions and Permission.VIEW_RESULTS not in permissions
    ],
)
def test_order_page_without_view_results_tells_no_outcome(
    services: Services, client: FlaskClient, order_id: str, role: str
) -> None:
    revise(services, order_id)
    page = ConsoleClient.signed_in(services, client, role).get_text(f"/console/orders/{order_id}")
    assert "Outcome entered" in page
    assert "Outcome corrected" in page
    found = re.findall(r"to consider|: clear", page, re.IGNORECASE)
    assert found == []
    assert not any(hint in page for hint in (*check_factories.SECRET_WORDS, RECORD_TEXT))


@pytest.mark.parametrize(("role", "is_shown"), [("support", False), ("admin", True)])
def test_records_and_notices_are_named_to_those_who_see_results(
    services: Services, client: FlaskClient, order_id: str, role: str, is_shown: bool
) -> None:
    with services.db.writing() as session:
        check = Check.find(session, order_id)
        now = services.now()
        check.record_event(session, "record added", "sam@provider.test", now, "Criminal record")
        check.enqueue_email(session, "pre_adverse", now)
    staff = ConsoleClient.signed_in(services, client, role)
    pages = [
        staff.get_text(path)
        for path in (f"/console/orders/{order_id}", "/console/deliveries/?state=any")
    ]
    assert ("Record added" in pages[0], "Dispute by" in pages[0]) == (is_shown, is_shown)
    for page in pages:
        assert ("notice before a decision" in page.lower()) == is_shown
        assert ("E-mail: about the order" in page) != is_shown


@pytest.mark.parametrize("role", ["operator", "adjudicator", "admin"])
def test_staff_of_another_account_get_404_for_every_route(
    services: Services, client: FlaskClient, pages_app: Flask, order_id: str, role: str
) -> None:
    other_account, _ = factories.create_account(services, "Rival Corp")
    ConsoleClient.signed_in(services, client, role, [other_account])
    rules = [
        (method, rule)
        for method, rule in check_rules(pages_app, *CONSOLE_BLUEPRINTS)
        if rule.arguments
    ]
    answers = request_all(services, client, iter(rules), order_id)
    assert find_hints(answers) == []
    assert {known for known, _, _ in answers.values()} == {404}
    listing = client.get("/console/disputes/")
    assert listing.status_code == 200
    assert not any(hint in listing.text for hint in HINTS)


def test_stranger_at_the_console_is_sent_to_the_sign_in(
    services: Services, client: FlaskClient, pages_app: Flask, order_id: str
) -> None:
    for method, rule in check_rules(pages_app, *CONSOLE_BLUEPRINTS):
        known = client.open(fill(services, rule, order_id), method=method)
        unknown = client.open(fill(services, rule, order_id, is_known=False), method=method)
        assert known.status_code == unknown.status_code
        assert known.status_code in (302, 400, 403)
        assert not any(hint in known.text for hint in HINTS)


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_report_link_that_has_ended_gives_no_hint(
    services: Services, client: FlaskClient, order_id: str, end: str
) -> None:
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        links = [Link.find_permanent(session, order, purpose) for purpose in (REPORT, PDF)]
        tokens = [link.get_token(services.secret_box) for link in links if link]
        for link in links:
            assert link
            if end == "revoked":
                link.revoked_at = services.now()
            else:
                link.expires_at = services.now() - timedelta(seconds=1)
    for path in (f"/r/{tokens[0]}", f"/r/{tokens[1]}/report.pdf"):
        response = client.get(path)
        assert response.status_code in (404, 410)
        assert not any(hint in response.text for hint in HINTS)
