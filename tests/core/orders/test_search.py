"""The search for orders: one meaning on both databases, whatever path leads to the rows."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from provider.core.orders import Order, filters, search
from provider.core.orders.filters import OrderFilters
from provider.core.orders.search import OrderSearch, find_order_ids, join_words, read_query
from provider.services import Services
from tests import factories
from tests.factories import ManualClock

pytestmark = pytest.mark.both

# Text of the order, query, whether the order is found.
CASES = [
    ("Marrero", "mar", True),
    ("Marrero", "arrero", False),
    ("Marrero", "marreros", False),
    ("Marrero", "MARRERO", True),
    ("Lakita Marrero", "marr lak", True),
    ("Lakita Marrero", "lakita smith", False),
    ("José Núñez", "jose nun", True),
    ("Jose Nunez", "José Núñez", True),
    ("Straße", "strasse", True),
    ("STRASSE", "straße", True),
    ("İpek", "ipek", True),
    ("Ωμέγας", "ΩΜΕΓΑΣ", True),
    ("Дмитрий", "дмит", True),
    ("محمد", "مح", True),
    ("مُحَمَّد", "محمد", True),
    ("山田太郎", "山田", True),
    ("山田太郎", "太郎", False),
    ("김철수", "김철", True),
    ("ﬁnance™", "financetm", True),
    ("Ｆｕｌｌ", "full", True),
    ("O'Neil", "o'neil", True),
    ("O'Neil", "neil", True),
    ("O'Neil", '"neil"', True),
    ("Anne-Marie", "anne-marie", True),
    ("Anne-Marie", "marie-anne", True),
    ("Anne-Marie", "-marie", True),
    ("Anne-Marie", "annemarie", False),
    ("Lakita", "lak*", True),
    ("Lakita", "*kita", False),
    ("Lakita", "lakita OR smith", False),
    ("Lakita or Smith", "lakita OR smith", True),
    ("Lakita", "NOT lakita", False),
    ("Lakita", "words:lakita", False),
    ("Lakita", "lakita)", True),
    ("Lakita", "lakita\\", True),
    ("Lakita", "lakita:*", True),
    ("Lakita", "lakita & !x", False),
    ("Lakita", "la%a", False),
    ("Lakita", "l_kita", False),
    ("Lakita", "lak\x00ita", False),
    ("lak ita", "lak\x00ita", True),
    ("Lakita", "", False),
    ("Lakita", "  '\"*-  ", False),
    ("Lakita", "😀", False),
    ("x" * 200, "x" * 64, True),
    ("x" * 200, "x" * 200, True),
    ("x" * 20, "x" * 200, False),
    ("Lakita", "lakita " * 1000, True),
    ("Lakita", "l la lak laki lakit lakita", True),
]


def place(services: Services, **fields: str) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services), **fields)


def find(services: Services, query: str, **options: int) -> list[int]:
    with services.db.reading() as session:
        return find_order_ids(session, read_query(query), OrderFilters(), 51, **options)


@pytest.mark.parametrize("path", ["scan", "index"])
def test_search_finds_the_same_on_both_databases(
    services: Services, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services)
    texts = list(dict.fromkeys(text for text, _, _ in CASES))
    for number in range(len(texts)):
        url = f"https://groove-tech.workable.com/{number}"
        factories.place_order(services, account_id, product, callback_url=url)
    with services.db.writing() as session:  # without the id, which may begin with any letter
        for number, text in enumerate(texts, 1):
            session.get_one(OrderSearch, number).words = join_words([text])
    if path == "index":
        monkeypatch.setattr(search, "SCANNED_ORDERS", -1)
        monkeypatch.setattr(search, "COMMON_SHARE", 1)  # of 1000 orders: no word is common
    wrong = [
        (text, query)
        for text, query, is_found in CASES
        if (texts.index(text) + 1 in find(services, query)) != is_found
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "query",
    [
        "zenobia",
        "quill",
        "zenobia quillfeather",
        "zenobia.quill@example.com",
        "zenobia.q",
        "operations man",
        "7A31",
        "https://groove-tech.workable.com/assessments/zq77193",
        "https://groove",
        "groove-tech",
        "zq77",
    ],
)
def test_search_finds_order_by_each_of_its_fields(services: Services, query: str) -> None:
    place(
        services,
        email="zenobia.quill@example.com",
        first_name="Zenobia",
        last_name="Quillfeather",
        job_reference="7A31F",
        callback_url="https://groove-tech.workable.com/assessments/zq77193",
    )
    assert find(services, query) == [1]


def test_search_finds_order_by_the_beginning_of_its_id(services: Services) -> None:
    order_id = place(services)
    assert find(services, order_id) == [1]
    assert find(services, order_id[:8]) == [1]


# Letters, marks, digits and punctuation of many scripts; no surrogates and no NUL.
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=NAMES, data=st.data())
def test_any_beginning_of_any_word_finds_a_changed_candidate(
    services: Services, name: str, data: st.DataObject
) -> None:
    with services.db.reading() as session:
        is_placed = session.scalar(select(Order.id)) is not None
    if not is_placed:
        place(services)
    with services.db.writing() as session:
        order = session.get_one(Order, 1)
        order.candidate.last_name = name
        session.flush()
        stored_name = order.candidate.last_name
    assert stored_name == name
    words = [word for word in re.split(r"\s+", name) if any(map(str.isalnum, word))]
    for word in words:
        beginning = word[: data.draw(st.integers(1, len(word)))]
        if not read_query(beginning):
            continue  # punctuation and marks alone
        assert find(services, beginning) == [1]
        with services.db.reading() as session:
            index = search._Search(
                session, read_query(beginning), OrderFilters(), 1, before=None, after=None
            )
            assert index.read_index() == [1]


def test_changed_candidate_is_no_longer_found_by_the_old_name(services: Services) -> None:
    place(services)
    with services.db.writing() as session:
        candidate = session.get_one(Order, 1).candidate
        candidate.last_name, candidate.email = "Osei", "osei@example.org"
    assert find(services, "osei") == find(services, "osei@example.org") == [1]
    assert find(services, "marrero") == find(services, "gmail") == []


def place_many(services: Services, clock: ManualClock, count: int) -> None:
    """Place orders one hour apart; every third is for Zenobia, the first one for Quintus, too."""
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services)
    for number in range(count):
        factories.place_order(
            services,
            account_id,
            product,
            callback_url=f"https://groove-tech.workable.com/{number}",
            first_name="Zenobia" if number % 3 == 0 else "Lakita",
            last_name="Quintus" if number == 0 else "Marrero",
            email="someone@example.com",
        )
        clock.advance(timedelta(hours=1))


@pytest.mark.parametrize("scanned", [-1, 4, 5000])
def test_search_returns_nearest_orders_before_and_after_an_id(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    place_many(services, clock, 12)  # 1, 4, 7 and 10 are Zenobia's
    monkeypatch.setattr(search, "SCANNED_ORDERS", scanned)
    with services.db.reading() as session:

        def search_for(query: str, limit: int, **options: int) -> list[int]:
            return find_order_ids(session, read_query(query), OrderFilters(), limit, **options)

        assert search_for("zenobia", 2) == [10, 7]
        assert search_for("zenobia", 9) == [10, 7, 4, 1]
        assert search_for("zenobia", 9, before=7) == [4, 1]
        assert search_for("zenobia", 1, before=7) == [4]
        assert search_for("zenobia", 9, after=4) == [7, 10]
        assert search_for("zenobia", 1, after=1) == [4]
        assert search_for("quintus zenobia", 9) == [1]
        assert search_for("quintus marrero", 9) == []


@pytest.mark.parametrize("scanned", [-1, 2, 5000])
def test_search_within_filters_finds_only_orders_of_both(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    place_many(services, clock, 6)  # 1 and 4 are Zenobia's
    other_account, _ = factories.create_account(services, "Other Ltd")
    factories.place_order(
        services, other_account, factories.create_test(services), first_name="Zenobia"
    )
    for module in (search, filters):
        monkeypatch.setattr(module, "SCANNED_ORDERS", scanned)
    with services.db.writing() as session:
        session.get_one(Order, 4).cancel(session, "sam@provider.test", "because", services.now())
    with services.db.reading() as session:
        cases: list[tuple[str, list[tuple[Any, Any]], list[int]]] = [
            ("zenobia", [(Order.account_id, other_account)], [7]),
            ("zenobia", [(Order.account_id, 1)], [4, 1]),
            ("zenobia", [(Order.status, "cancelled")], [4]),
            ("lakita", [(Order.status, "cancelled")], []),
            ("zenobia", [(Order.status, "pending"), (Order.account_id, 1)], [1]),
        ]
        for query, equal, expected in cases:
            ids = find_order_ids(session, read_query(query), OrderFilters(equal), 51)
            assert ids == expected, (query, expected)


@pytest.mark.sqlite
def test_words_in_nearly_all_orders_are_not_read_from_the_index(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_many(services, clock, 12)
    monkeypatch.setattr(search, "SCANNED_ORDERS", -1)
    monkeypatch.setattr(search, "SAMPLED_ORDERS", 12)
    matches: list[str] = []

    def record(_conn: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        if "MATCH" in sql:
            assert isinstance(values, tuple)
            matches.extend(value for value in values if isinstance(value, str) and '"' in value)

    event.listen(services.db._read_engine, "before_cursor_execute", record)
    assert find(services, "quintus operations manager") == [1]
    assert find(services, "operations manager")[:2] == [12, 11]
    event.remove(services.db._read_engine, "before_cursor_execute", record)
    assert matches == ['"quintus"*', '"operations"* AND "manager"*']


@pytest.mark.parametrize("scanned", [-1, 5000])
def test_orders_of_a_range_of_dates_are_those_placed_in_it(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    for module in (search, filters):
        monkeypatch.setattr(module, "SCANNED_ORDERS", scanned)
    start = services.now()
    place_many(services, clock, 72)
    with services.db.writing() as session:  # its clock was an hour slow
        session.get_one(Order, 40).placed_at -= timedelta(hours=2)
    with services.db.reading() as session:
        placed = dict(session.execute(select(Order.id, Order.placed_at)).all())
        for first, last in ((0, 72), (5, 30), (38, 39), (71, 90), (100, 200), (-50, -1)):
            begin, end = start + timedelta(hours=first), start + timedelta(hours=last)
            expected = {id for id, moment in placed.items() if begin <= moment < end}
            in_range = OrderFilters.placed_between(session, begin, end)
            for conditions in (in_range.indexed(), in_range.scanned()):
                assert set(session.scalars(select(Order.id).where(*conditions))) == expected
            assert set(find_order_ids(session, ("manager",), in_range, 99)) == expected
        assert OrderFilters.placed_between(session, None, None).indexed() == []


def test_range_of_dates_without_orders_is_empty(services: Services) -> None:
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    with services.db.reading() as session:
        in_range = OrderFilters.placed_between(session, moment, moment + timedelta(days=1))
        conditions = in_range.indexed()
        assert session.scalars(select(Order.id).where(*conditions)).all() == []


def test_search_row_has_the_folded_words_alone(services: Services) -> None:
    place(services, first_name="JOSÉ", last_name="Núñez", job_title="", email="j@x.org")
    with services.db.reading() as session:
        words = session.scalars(select(OrderSearch.words)).one().split(" ")
    assert words == sorted(set(words))
    assert {"jose", "nunez", "j", "x", "org", "8823119"} <= set(words)
    assert all(word == unicodedata.normalize("NFKD", word.casefold()) for word in words)
