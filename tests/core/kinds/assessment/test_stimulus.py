"""The stimulus of an item: documents, their errors, and the pages."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from provider.core.kinds import document_warnings
from provider.core.kinds.assessment import content
from provider.core.kinds.assessment.items.stimulus import TableStimulus
from provider.core.products.documents import parse_documents, to_yaml
from provider.errors import Invalid
from provider.services import Services
from tests import factories
from tests.core.kinds.assessment.test_item_kinds import document_of
from tests.web.candidate.test_assessment import start_test

PROMPT = {"kind": "true_false", "key": "a", "prompt": "So?", "answer": True}


def load(*stimulus: Any) -> content.TestContent:
    item = {**PROMPT, "stimulus": list(stimulus)}
    section = {"key": "one", "title": "One", "items": [item]}
    return content.parse({"name": "Test", "sections": [section]})


def test_table_cells_are_texts_and_its_first_row_names_the_columns() -> None:
    table = load({"table": [["Year", "km"], [2025, 1.50], ["", "all"]]}).sections[0].items[0]
    [part] = table.stimulus
    assert isinstance(part, TableStimulus)
    assert part.head == ("Year", "km")
    assert part.body == (("2025", "1.5"), ("", "all"))
    [plain] = load({"table": [["a"]], "header": False}).sections[0].items[0].stimulus
    assert isinstance(plain, TableStimulus)
    assert (plain.head, plain.body) == ((), (("a",),))


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({}, "stimulus[0]: should be a mapping with text or table"),
        ("text", "stimulus[0]: should be a mapping with text or table"),
        ({"text": "a", "alt": "b"}, "stimulus[0].alt: is not known here; the names are text"),
        ({"table": [["a", "b"], ["c"]]}, "stimulus[0].table[1]: should have 2 cells, as the first"),
        ({"table": [["a"]]}, "stimulus[0].table: should have a row below the header"),
        ({"table": [["a"], [True]]}, "stimulus[0].table[1][0]: should be text or a number"),
        ({"table": [["a"], ["x" * 501]]}, "stimulus[0].table[1][0]: should have at most 500"),
    ],
)
def test_wrong_part_is_named_with_its_path(part: Any, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        load(part)
    assert str(caught.value).removeprefix("sections[0].items[0].").startswith(problem)


def test_stimulus_survives_export_and_its_markdown_is_checked() -> None:
    stimulus = [{"text": "2*3*4"}, {"table": [["a", "b"], [1, 2.5]], "caption": "T"}]
    document = document_of({**PROMPT, "stimulus": stimulus})
    [imported] = parse_documents(to_yaml(document), "test.yaml")
    assert imported == document
    [warning] = document_warnings(imported)
    assert "stimulus[0].text: “*" in warning


def test_stimulus_is_above_the_prompt_of_the_page(client: FlaskClient, services: Services) -> None:
    stimulus = [{"text": "Read *this*"}, {"table": [["", "<b>"], ["x", 2]], "caption": "Cap"}]
    sections = document_of({**PROMPT, "stimulus": stimulus}).content["sections"]
    account_id, _ = factories.create_account(services)
    product_id = factories.create_test(services, sections=sections)
    page = start_test(client, services, factories.place_order(services, account_id, product_id))
    texts = ("<em>this</em>", "<caption>Cap</caption>", "<td></td>", '<th scope="col">&lt;b&gt;')
    places = [page.index(text) for text in (*texts, "<td>2</td>", 'id="prompt"')]
    assert places == sorted(places)
