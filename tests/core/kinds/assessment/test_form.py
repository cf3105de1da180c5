"""The form of a test: what is drawn, and that it never changes afterwards."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.core.kinds.assessment import Assessment, content
from provider.core.kinds.assessment.form import apply_form, draw_form
from provider.core.kinds.assessment.items import options
from provider.core.kinds.assessment.parts import split_parts
from provider.errors import Invalid
from provider.services import Services
from tests import factories


def item(key: str, *tags: str, **fields: Any) -> dict[str, Any]:
    choices = [{"key": name, "text": name.upper(), "correct": name == "a"} for name in "abcdef"]
    common = {"key": key, "kind": "single_choice", "prompt": f"{key}?", "options": choices}
    return common | ({"tags": list(tags)} if tags else {}) | fields


def section(key: str, items: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"key": key, "title": key.title(), "items": items} | fields


BANK = [item(f"e{number}", "easy") for number in range(4)] + [
    item(f"h{number}", "hard", "long") for number in range(4)
]


def make_test(*sections: dict[str, Any], **fields: Any) -> content.TestContent:
    return content.parse({"schema": 1, "name": "Bank", "sections": list(sections)} | fields)


@given(
    count=st.integers(1, 4),
    tags=st.sampled_from([[], ["easy"], ["hard"], ["hard", "long"]]),
    order=st.sampled_from(["fixed", "shuffled"]),
    seed=st.integers(0, 2**32),
)
def test_draw_form_takes_count_items_with_all_tags(
    count: int, tags: list[str], order: str, seed: int
) -> None:
    draw = {"count": count} | ({"tags": tags} if tags else {})
    test = make_test(section("one", BANK, draw=draw, order=order), shuffle=True)
    form = draw_form(test, Random(seed))
    drawn = list(apply_form(test, form).items)
    keys = [item.key for item in drawn]
    assert len(set(keys)) == len(keys) == count
    assert all(set(tags) <= set(item.tags) for item in drawn)
    bank_keys = [item.key for item in test.items]
    assert order == "shuffled" or keys == sorted(keys, key=bank_keys.index)
    assert all(sorted(item.shown_order) == list("abcdef") for item in drawn)


def test_draw_form_gives_every_item_and_several_orders() -> None:
    test = make_test(section("one", BANK, draw={"count": 2}, order="shuffled"), shuffle=True)
    forms = [draw_form(test)["sections"][0] for _ in range(200)]
    assert {key for form in forms for key, _ in form} == {item["key"] for item in BANK}
    assert len({tuple(form[0][1]) for form in forms}) > 50


def test_attempt_keeps_its_form_when_the_mixing_changes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id, _ = factories.create_account(services)
    sections = [section("one", BANK, draw={"count": 3}, order="shuffled")]
    test = factories.create_test(services, sections=sections, shuffle=True)
    public_id = factories.place_order(services, account_id, test)

    def shown() -> list[tuple[str, list[str]]]:
        with services.db.reading() as session:
            order = Assessment.find(session, public_id)
            drawn: list[Any] = list(order.content.items)
            return [
                (item.key, [option.key for option in item.shuffled_options("", True)])
                for item in drawn
            ]

    with services.db.writing() as session:
        Assessment.find(session, public_id).start(session, services.now())
    first = shown()
    assert len(first) == 3
    monkeypatch.setattr(options, "shuffle_parts", lambda parts, *_: tuple(parts))
    assert shown() == first


def test_reopened_order_keeps_its_form_and_a_retake_draws_another(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    bank = [item(f"q{number}") for number in range(60)]
    test = factories.create_test(
        services, sections=[section("one", bank, draw={"count": 30})], grades=None
    )
    public_id = factories.place_order(services, account_id, test)

    def take() -> list[str]:
        with services.db.writing() as session:
            order = Assessment.find(session, public_id)
            order.start(session, services.now())
            keys = [item.key for item in order.content.items]
            order.save(keys[0], {"answer": "a"}, services.now())
            order.submit(session, services.secret_box, services.now())
            result = order.result
            assert result
            assert result.score == pytest.approx(3.3)  # one of the 30 drawn, not of the 60
            return keys

    first = take()
    with services.db.writing() as session:
        order = Assessment.find(session, public_id)
        order.reopen(session, services.secret_box, "sam", "again", services.now())
    assert take() == first
    with services.db.writing() as session:
        order = Assessment.find(session, public_id)
        order.retake(session, services.secret_box, "sam", "again", services.now())
    assert take() != first
    with services.db.reading() as session:
        order = Assessment.find(session, public_id)
        earlier = order.earlier_evidence(order.results[1])
        assert [item.prompt for item in earlier.items] == [f"{key}?" for key in first]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([section("one", BANK, draw={"count": 9})], "draw.count: should be at most 8"),
        (
            [section("one", BANK, draw={"count": 5, "tags": ["easy"]})],
            "at most 4: the section has 4 items with the tags easy",
        ),
        (
            [section("one", BANK, draw={"count": 1, "tags": ["new"]})],
            "nothing to draw from: the section has no items with the tags new",
        ),
        ([section("one", BANK, practice=True)], "should have one that is not for practice"),
        ([section("one", BANK, practice=True, time_limit=3)], "should be left out of a section"),
        ([section("one", BANK, **{"break": 5})], "break: should be between two sections"),
        ([section("one", [item("a", time_limit_seconds=30)])], "navigation: forward"),
    ],
)
def test_document_with_an_impossible_structure_is_refused(
    sections: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        make_test(*sections)


def test_split_parts_joins_only_sections_without_a_border() -> None:
    sections = [
        section("try", [item("t1")], practice=True),
        section("a", [item("a1"), item("a2")]),
        section("b", [item("b1")], **{"break": 5}),
        section("c", [item("c1")]),
        section("d", [item("d1")], time_limit=3),
        section("e", [item("e1")], navigation="forward"),
        section("f", [item("f1")]),
        section("g", [item("g1")]),
    ]
    parts = split_parts(make_test(*sections))
    keys = ["".join(section.key for section in part.sections) for part in parts]
    assert keys == ["try", "ab", "c", "d", "e", "fg"]
    assert [(part.first, part.last) for part in parts][:3] == [(1, 1), (2, 4), (5, 5)]
    assert [part.is_forward for part in parts] == [False, False, False, False, True, False]
    assert len(split_parts(make_test(*sections, navigation="forward"))) == 8
