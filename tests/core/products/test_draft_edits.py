"""Changes of the entries of a document, and the comparison of two documents."""

from copy import deepcopy
from typing import Any

import pytest

from provider.core.products.compare import compare
from provider.core.products.draft_edits import (
    add_node,
    duplicate_node,
    entry_keys,
    find_node,
    format_path,
    make_key,
    move_node,
    parse_document_path,
    parse_path,
    remove_node,
)
from provider.errors import NotFound
from tests.factories import TEST_CONTENT


def item_keys(content: dict[str, Any]) -> list[list[str]]:
    return [[item["key"] for item in section["items"]] for section in content["sections"]]


@pytest.mark.parametrize(
    ("path", "offset", "keys", "new_path"),
    [
        ("sections.0.items.0", 1, [["half", "sum"], ["opposite", "true"]], "sections.0.items.1"),
        ("sections.0.items.1", 1, [["sum"], ["half", "opposite", "true"]], "sections.1.items.0"),
        ("sections.1.items.0", -1, [["sum", "half", "opposite"], ["true"]], "sections.0.items.2"),
        ("sections.0.items.0", -1, [["sum", "half"], ["opposite", "true"]], "sections.0.items.0"),
        ("sections.1", -1, [["opposite", "true"], ["sum", "half"]], "sections.0"),
        ("sections.1", 1, [["sum", "half"], ["opposite", "true"]], "sections.1"),
    ],
)
def test_move_node_goes_on_in_the_neighbour_section(
    path: str, offset: int, keys: list[list[str]], new_path: str
) -> None:
    before = deepcopy(TEST_CONTENT)
    content, moved = move_node(TEST_CONTENT, parse_path(path), offset)
    assert (item_keys(content), format_path(moved)) == (keys, new_path)
    assert before == TEST_CONTENT


def test_duplicate_node_has_keys_that_no_other_entry_has() -> None:
    content, path = duplicate_node(TEST_CONTENT, ("sections", 0))
    copy = find_node(content, path)
    assert (path, copy["key"], copy["title"]) == (("sections", 1), "numbers-2", "Numbers (copy)")
    assert [item["key"] for item in copy["items"]] == ["sum-2", "half-2"]
    assert copy["items"][0]["options"] == TEST_CONTENT["sections"][0]["items"][0]["options"]
    content, path = duplicate_node(content, ("sections", 1, "items", 0))
    assert find_node(content, path)["key"] == "sum-3"
    keys = list(entry_keys(content))
    assert len(keys) == len(set(keys))


def test_added_node_is_last_and_a_removed_one_is_gone() -> None:
    content, path = add_node({"name": "A"}, ("sections",), {"key": "one"})
    assert (content["sections"], path) == ([{"key": "one"}], ("sections", 0))
    assert remove_node(content, path)["sections"] == []


@pytest.mark.parametrize("text", ["sections.9", "sections.x", "name.0", "a..b", "../x", "0", ""])
def test_wrong_path_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        find_node(TEST_CONTENT, parse_path(text))


def test_make_key_takes_whole_words_or_the_fallback() -> None:
    assert make_key("What is “2 + 2”?", "item") == "what-is-2-2"
    assert make_key("word " * 30, "item") == "word-word-word-word-word-word-word-word"
    assert make_key("你好", "item-1") == "item-1"


def test_compare_matches_entries_by_key() -> None:
    after = deepcopy(TEST_CONTENT)
    after["time_limit"] = 30
    after["sections"].reverse()
    numbers = after["sections"][1]
    numbers["items"][0]["prompt"] = "What is 17 + 26?"
    numbers["items"][1] = {"key": "third", "kind": "numeric", "prompt": "?", "answer": 1}
    del after["grades"]["excelled"]
    after["sections"][0]["items"][1]["answer"] = 1
    changes = {
        (format_path(change.path), change.action): change for change in compare(TEST_CONTENT, after)
    }
    assert list(changes) == [
        ("time_limit", "changed"),
        ("grades.excelled", "removed"),
        ("sections", "moved"),
        ("sections.0.items.1.answer", "changed"),
        ("sections.0.items.1", "removed"),
        ("sections.1.items.0.prompt", "changed"),
        ("sections.1.items.1", "added"),
    ]
    assert changes["sections.1.items.0.prompt", "changed"].lines() == [
        ("-", "What is 17 + 25?"),
        ("+", "What is 17 + 26?"),
    ]
    assert changes["sections.0.items.1.answer", "changed"].lines() == [("-", "yes"), ("+", "1")]
    assert list(compare(TEST_CONTENT, deepcopy(TEST_CONTENT))) == []


def test_parse_document_path_reads_the_path_of_a_problem() -> None:
    path = ("sections", 0, "items", 12, "options", 3, "text")
    assert parse_document_path("sections[0].items[12].options[3].text") == path
