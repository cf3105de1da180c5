"""The form of each type of item, by plain forms."""

import re
from decimal import Decimal
from fractions import Fraction
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.items import ITEM_KINDS
from provider.core.kinds.grading import to_percent
from provider.core.marking import MarkForm, list_open_tasks, save_mark
from provider.core.orders import PDF
from provider.core.report import build_report
from provider.core.report_pdf import render_pdf
from provider.services import Services
from tests import factories
from tests.example_test import create_example_test, example_numbers
from tests.web.candidate.test_assessment import saved_answers, score, start_test

NUMBERS = example_numbers()
each_kind = pytest.mark.parametrize(
    "kind", [name for name, kind in ITEM_KINDS.items() if not kind.schema.item_class.takes_file]
)


@pytest.fixture
def invited(services: Services) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, create_example_test(services))


def path_of(public_id: str, kind: str) -> str:
    return f"/c/o/{public_id}/items/{NUMBERS[kind]}"


def hidden_fields(page: str) -> list[tuple[str, str]]:
    """Return the hidden fields of the page's answer form, as a browser sends them."""
    form = page.partition("data-saving")[2].partition("</form>")[0]
    tags = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return [(name, unescape(value)) for name, value in tags]


def post_fields(
    client: FlaskClient, path: str, fields: list[tuple[str, str]], go: str = "next"
) -> TestResponse:
    """Send the form of a question with these fields of the answer and its own hidden ones."""
    names = {name for name, _ in fields}
    hidden = [field for field in hidden_fields(client.get(path).text) if field[0] not in names]
    return client.post(path, data=MultiDict([*hidden, *fields, ("go", go)]))


@each_kind
def test_form_saves_each_answer_and_shows_it_again(
    client: FlaskClient, services: Services, invited: str, kind: str
) -> None:
    start_test(client, services, invited)
    item = ITEM_KINDS[kind].schema.load(ITEM_KINDS[kind].example)
    path = path_of(invited, kind)
    assert "Not answered yet" in client.get(path).text
    for answer in item.trial_answers():
        assert post_fields(client, path, item.form_fields(answer)).status_code == 303
        assert saved_answers(services, invited) == {item.key: answer}
        shown = [field for field in hidden_fields(client.get(path).text) if "shown" in field[0]]
        assert [(name.replace("shown", "answer"), text) for name, text in shown] == (
            item.form_fields(answer)
        )
        # Another window saves nothing, and this one sends the form as it was shown.
        assert post_fields(client, path, item.form_fields(answer)).status_code == 303
        assert saved_answers(services, invited) == {item.key: answer}
    error = post_fields(client, path, [("answer", "x" * 300), ("answer.x", "1")])
    assert error.status_code == 400 or saved_answers(services, invited) != {item.key: answer}


@each_kind
def test_unchanged_blank_form_deletes_no_answer(
    client: FlaskClient, services: Services, invited: str, kind: str
) -> None:
    start_test(client, services, invited)
    item = ITEM_KINDS[kind].schema.load(ITEM_KINDS[kind].example)
    path = path_of(invited, kind)
    blank_form = hidden_fields(client.get(path).text)
    answer = next(iter(item.trial_answers()))
    post_fields(client, path, item.form_fields(answer))
    old_window = client.post(path, data=MultiDict([*blank_form, ("go", "next")]))
    assert old_window.status_code == 303
    assert saved_answers(services, invited) == {item.key: answer}


def test_buttons_of_an_ordering_work_without_scripts(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    path = path_of(invited, "ordering")
    order = dict(hidden_fields(client.get(path).text))["order"].split()
    moved = post_fields(client, path, [("move", f"down {order[0]}")], go="")
    assert moved.headers["Location"] == f"{path}#down-{order[0]}"
    expected = [order[1], order[0], *order[2:]]
    assert saved_answers(services, invited) == {"complaint": expected}
    post_fields(client, path, [("move", f"up {order[3]}")], go="")
    expected = [*expected[:2], order[3], order[2]]
    assert saved_answers(services, invited) == {"complaint": expected}
    assert "Keep this order" not in client.get(path).text


def test_kept_order_is_saved_and_next_alone_saves_none(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    path = path_of(invited, "ordering")
    order = dict(hidden_fields(client.get(path).text))["order"].split()
    post_fields(client, path, [])
    assert saved_answers(services, invited) == {}
    post_fields(client, path, [("move", "keep")], go="")
    assert saved_answers(services, invited) == {"complaint": order}


def test_half_answered_items_are_named_on_the_overview_and_kept(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    halves: dict[str, Any] = {
        "matching": [("answer.japan", "japan"), ("answer.india", "")],
        "gap_fill": [("answer.degrees", "100")],
        "forced_choice": [("answer.most", "plans")],
    }
    for kind, fields in halves.items():
        assert post_fields(client, path_of(invited, kind), fields).status_code == 303
    overview = client.get(f"/c/o/{invited}/overview").text
    assert overview.count("Please check it") == len(halves)
    assert f"You have answered 0 of {len(NUMBERS)} questions." in overview


def test_report_shows_the_answer_to_each_type(
    client: FlaskClient, services: Services, invited: str
) -> None:
    start_test(client, services, invited)
    with services.db.writing() as session:
        test = Assessment.find(session, invited)
        answers = {
            item.key: max(item.trial_answers(), key=item.score)
            for item in test.content.items
            if not item.takes_file
        }
        for item in test.content.items:
            if item.takes_file:
                continue
            fields = MultiDict(item.form_fields(answers[item.key]))
            test.save(item.key, fields, services.now())
        test.submit(session, services.secret_box, services.now())
        for task in list_open_tasks(session, test):
            rows = {row.key: row.points for row in test.marking_unit(task.unit).rubric}
            form = MarkForm(Decimal(task.max_points), rows)
            save_mark(session, services.secret_box, task, form, "system", services.now())
    with services.db.reading() as session:
        test = Assessment.find(session, invited)
        shown = {item.prompt: item.answer for item in test.evidence(services.secret_box).items}
        for item in test.content.items:
            if item.takes_file:
                continue
            assert shown[item.prompt_text] == item.format_answer(answers[item.key])
        pdf = render_pdf(build_report(test, services.secret_box, {PDF}))
        assert pdf.startswith(b"%PDF-")
    # All points but those of the file.
    points = {item.kind: Fraction(item.points) for item in test.content.sections[0].items}
    assert score(services, invited) == float(to_percent(1 - points["file"] / sum(points.values())))
