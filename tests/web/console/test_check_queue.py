"""The queue of screenings: its filters, its pages, and the indexes that it reads."""

import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.services import Services
from provider.web.console import bounded_search, check_queue, pagination
from provider.web.console.bounded_search import PARTITION, PARTITIONS, Filter, Search
from tests import check_factories, factories
from tests.check_work_factories import MONDAY, ask_candidate, consented_check
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

QUEUE = "/console/screenings/"
ME = "adjudicator@provider.test"
PAGE_SIZE, MAX_COMPARED_ROWS = 4, 60  # of the tests that leaf through the queue
NAMES = {"identity": "Identity", "jobs": "Employment history", "record": "Criminal record"}
NO_FILTER = dict.fromkeys(("type", "state", "whose", "due", "account"), "")


@pytest.fixture
def check_id(services: Services, clock: ManualClock) -> str:
    clock.current_time = MONDAY
    return consented_check(services)


@pytest.fixture
def console(services: Services, client: FlaskClient, check_id: str) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "adjudicator")


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "PAGE_SIZE", PAGE_SIZE)
    monkeypatch.setattr(bounded_search, "MAX_COMPARED_ROWS", MAX_COMPARED_ROWS)


def rows(page: str) -> list[str]:
    """Return the names of the screenings of the list."""
    return re.findall(r'<th scope="row"><a [^>]*>([^<]+)</a>', page)


def set_task(services: Services, check_id: str, key: str, **values: Any) -> None:
    with services.db.writing() as session:
        task = Check.find(session, check_id).find_task(key)
        for name, value in values.items():
            setattr(task, name, value)


def fill_tasks(services: Services, check_id: str, account_ids: list[int], count: int) -> None:
    """Insert screenings of one check, as if they belonged to the accounts in turn."""
    today = services.now().date()
    states = ("to do", "in progress", "asked", "submitted", "done", "done", "done", "withdrawn")
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        session.execute(
            insert(ScreeningTask),
            [
                {
                    "public_id": f"t{number}",
                    "order_id": check.id,
                    "account_id": account_ids[number % len(account_ids)],
                    "key": f"t{number}",
                    "screening_type": "identity" if number % 11 == 0 else "credit",
                    "performer": "staff",
                    "state": states[number % 8],
                    "assignee": (None, f"c{number % 40}@provider.test", ME)[number // 8 % 3],
                    "due_on": today + timedelta(days=number * 7 % 50 - 20),
                    "created_at": services.now(),
                    "done_at": None if number % 8 < 4 else services.now(),
                }
                for number in range(count)
            ],
        )


def own_account(session: Session) -> Account:
    return session.scalars(select(Account).where(Account.name == "Groove Tech")).one()


def leaf_through(console: ConsoleClient, path: str, way: str) -> tuple[list[list[str]], int]:
    """Follow the links to the next pages; return the rows of each, and how many are partial."""
    pages, partial_count = [], 0
    link: str | None = path
    while link:
        page = console.get_text(link)
        pages.append(rows(page))
        is_partial = "to search on" in page
        partial_count += is_partial
        match = re.search(rf'rel="{way}" href="([^"]+)"', page)
        assert match or not is_partial, "a partial page has a link to go on"
        link = unescape(match[1]) if match else None
        assert len(pages) < 200
    return pages, partial_count


def test_queue_lists_open_screenings_by_due_date(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    today = services.now().date()
    set_task(services, check_id, "record", due_on=today - timedelta(days=1))
    check_factories.record_findings(services, check_id, {"identity": "clear"})
    page = console.get_text(QUEUE)
    assert rows(page) == ["Criminal record", "Employment history"]
    assert page.count("Overdue</span>") == 1
    assert "Lakita Marrero" in page
    assert "Groove Tech" in page
    assert rows(console.get_text(QUEUE + "?state=done")) == ["Identity"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("whose=mine", ["Employment history"]),
        ("whose=free", ["Identity", "Criminal record"]),
        ("due=overdue", ["Identity"]),
        ("state=in+progress", ["Employment history"]),
        ("type=sanctions", ["Criminal record"]),
        ("type=sanctions&whose=mine", []),
        ("state=withdrawn", []),
    ],
)
def test_queue_shows_what_the_filter_matches(
    services: Services, console: ConsoleClient, check_id: str, query: str, expected: list[str]
) -> None:
    set_task(services, check_id, "jobs", assignee=ME, state="in progress")
    overdue = services.now().date() - timedelta(days=3)
    set_task(services, check_id, "identity", due_on=overdue)
    set_task(services, check_id, "record", screening_type="sanctions")
    assert rows(console.get_text(f"{QUEUE}?{query}")) == expected


def test_queue_with_unknown_filter_value_is_refused(console: ConsoleClient) -> None:
    assert console.client.get(QUEUE + "?whose=nobody").status_code == 400
    assert console.client.get(QUEUE + "?before=nothing").status_code == 404


def test_queue_pages_by_key(
    services: Services,
    console: ConsoleClient,
    check_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pagination, "PAGE_SIZE", 2)
    page = console.get_text(QUEUE)
    assert rows(page) == ["Identity", "Employment history"]
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following
    page = console.get_text(following[1])
    assert rows(page) == ["Criminal record"]
    previous = re.search(r'rel="prev" href="([^"]+)"', page)
    assert previous
    assert rows(console.get_text(previous[1])) == ["Identity", "Employment history"]


def test_queue_of_limited_staff_has_their_accounts_only(
    services: Services, client: FlaskClient, check_id: str
) -> None:
    other, _ = factories.create_account(services, "Rival Corp")
    console = ConsoleClient.signed_in(services, client, "adjudicator", [other])
    assert rows(console.get_text(QUEUE)) == []
    with services.db.reading() as session:
        own = session.query(Account).filter_by(name="Groove Tech").one()
    ConsoleClient.signed_in(services, client, "operator", [own.id, other])
    assert len(rows(console.get_text(QUEUE))) == 3
    assert len(rows(console.get_text(f"{QUEUE}?account={own.public_id}"))) == 3
    assert console.client.get(f"/console/checks/{check_id}/screenings/jobs/").status_code == 200


def test_overview_counts_waiting_and_overdue_screenings(
    services: Services, console: ConsoleClient, check_id: str
) -> None:
    ask_candidate(services, check_id)
    page = re.sub("<[^>]+>", " ", console.get_text("/console/"))
    assert re.search(r"2\s+Screenings that wait for the staff", page)
    assert "overdue" not in page
    for key in check_factories.OUTCOMES:
        set_task(services, check_id, key, due_on=services.now().date() - timedelta(days=1))
    page = re.sub("<[^>]+>", " ", console.get_text("/console/"))
    assert re.search(r"2\s+Screenings that are overdue", page)


@pytest.mark.both
@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    ("query", "matches", "is_partial"),
    [
        ("", lambda task, _: task.done_at is None, False),
        ("state=asked", lambda task, _: task.state == "asked", False),
        (
            "state=to+do&whose=mine",
            lambda task, _: task.state == "to do" and task.assignee == ME,
            False,
        ),
        (
            "type=identity&whose=free&due=overdue",
            lambda task, today: (
                task.screening_type == "identity"
                and task.assignee is None
                and task.done_at is None
                and task.due_on < today
            ),
            False,
        ),
        (
            "state=done&type=identity&whose=mine",
            lambda task, _: (
                task.state == "done" and task.screening_type == "identity" and task.assignee == ME
            ),
            True,
        ),
        ("state=done&type=document", lambda task, _: False, True),
    ],
)
def test_queue_pages_have_every_match_once_both_ways(
    services: Services,
    console: ConsoleClient,
    check_id: str,
    query: str,
    matches: Callable[[ScreeningTask, date], bool],
    is_partial: bool,
) -> None:
    with services.db.reading() as session:
        account_ids = [own_account(session).id]
    fill_tasks(services, check_id, account_ids, 500)
    check_all_pages(services, console, query, matches, is_partial=is_partial)


@pytest.mark.both
@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("is_chosen", [False, True])
def test_queue_pages_of_limited_staff_have_every_match_once(
    services: Services, client: FlaskClient, check_id: str, is_chosen: bool
) -> None:
    hidden, _ = factories.create_account(services, "Rival Corp")
    other, _ = factories.create_account(services, "Other Tech")
    with services.db.reading() as session:
        own = own_account(session)
    # The search stops in the account with few matches; later matches of the other one must wait.
    fill_tasks(services, check_id, [*[own.id] * 6, other, hidden, hidden, hidden], 1500)
    with services.db.writing() as session:
        of_other = update(ScreeningTask).where(ScreeningTask.account_id == other)
        session.execute(of_other.values(screening_type="identity", assignee=ME))
    console = ConsoleClient.signed_in(services, client, "adjudicator", [own.id, other])
    account_ids = [own.id] if is_chosen else [own.id, other]
    query = f"type=identity&whose=mine{f'&account={own.public_id}' if is_chosen else ''}"

    def is_match(task: ScreeningTask, _: date) -> bool:
        return (
            task.done_at is None
            and task.screening_type == "identity"
            and task.assignee == ME
            and task.account_id in account_ids
        )

    check_all_pages(services, console, query, is_match, is_partial=True, account_ids=account_ids)


def check_all_pages(
    services: Services,
    console: ConsoleClient,
    query: str,
    matches: Callable[[ScreeningTask, date], bool],
    *,
    is_partial: bool,
    account_ids: Sequence[int] = (),
) -> None:
    """Check that the pages have the matches in order, in either direction."""
    today = services.now().date()
    with services.db.reading() as session:
        tasks = list(session.scalars(select(ScreeningTask)))
    tasks.sort(key=lambda task: (task.due_on or today, task.id))
    matching = [task for task in tasks if matches(task, today)]
    pages, partial_count = leaf_through(console, f"{QUEUE}?{query}", "next")
    assert [name for page in pages for name in page] == [NAMES.get(t.key, t.key) for t in matching]
    assert bool(partial_count) == is_partial
    last = [task for task in tasks if not account_ids or task.account_id in account_ids][-1]
    pages, _ = leaf_through(console, f"{QUEUE}?{query}&after={last.public_id}", "prev")
    assert [name for page in reversed(pages) for name in page] == [
        NAMES.get(task.key, task.key) for task in matching if task is not last
    ]


INDEXES: list[tuple[dict[str, str], str]] = [
    ({}, "open"),
    ({"due": "overdue"}, "open"),
    ({"type": "identity"}, "type"),
    ({"state": "asked"}, "state"),
    ({"state": "done"}, "state"),
    ({"whose": "mine"}, "assignee"),
    ({"whose": "free"}, "free"),
    ({"account": "yes"}, "account"),
    ({"account": "yes", "state": "done"}, "ended"),
    ({"whose": "mine", "type": "identity"}, "assignee"),
    ({"whose": "free", "type": "identity"}, "type"),
    ({"whose": "free", "state": "asked"}, "state"),
    ({"whose": "mine", "state": "done"}, "state"),
    ({"type": "identity", "state": "to do", "whose": "free", "account": "yes"}, "account"),
    ({"type": "identity", "state": "done", "whose": "mine", "account": "yes"}, "ended"),
]


@pytest.mark.both
def test_queue_is_read_by_an_index_without_sorting(
    services: Services, check_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_search, "MAX_COMPARED_ROWS", 100)
    other, _ = factories.create_account(services, "Rival Corp")
    with services.db.reading() as session:
        account = own_account(session)
    fill_tasks(services, check_id, [account.id, other, other], 6000)
    with services.db.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    columns = {
        table_index["name"]: set(table_index["column_names"])
        for table_index in inspect(services.db.engine).get_indexes("screening_tasks")
    }
    staff = type("Staff", (), {"email": ME, "account_ids": None})
    monkeypatch.setattr(check_queue, "current_staff", lambda: staff)
    for args, index in INDEXES:
        values = NO_FILTER | args | ({"account": account.public_id} if "account" in args else {})
        with services.db.reading() as session:
            row_filter = check_queue.build_filter(session, values, services.now().date())
            for plan in read_plans(services, session, row_filter, [account.id, other]):
                assert re.search(rf"\bix_screening_tasks_{index}\b", plan), f"{args}: {plan}"
                assert "TEMP B-TREE" not in plan, f"{args}: {plan}"
                assert "Sort" not in plan, f"{args}: {plan}"
        # Otherwise the table would be read for each row that is compared.
        compared = {column.key for column, _ in row_filter.compared}
        assert compared <= columns[f"ix_screening_tasks_{index}"], args


def read_plans(
    services: Services, session: Session, row_filter: Filter, account_ids: list[int]
) -> list[str]:
    """Return the plans of the queries of a filter."""
    search = Search(check_queue.BY_DUE_DATE.columns, row_filter)
    queries = [search.match_query(), search.stop_query()]
    if row_filter.partition_column is not None and not services.db.is_sqlite:
        queries += map(search.query_of_all_partitions, (Search.match_query, Search.stop_query))
    explain = "EXPLAIN QUERY PLAN" if services.db.is_sqlite else "EXPLAIN"
    plans = []
    for query in queries:
        query = query.params({PARTITION: account_ids[0], PARTITIONS: account_ids})
        compiled = query.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        plans.append("\n".join(map(str, session.execute(text(f"{explain} {compiled}")))))
    return plans
