"""The list of orders as a CSV file: its rows, formulas, permissions, and memory."""

import csv
import gc
import io
import tracemalloc
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select
from werkzeug.test import TestResponse

from provider.core.audit import AuditEntry
from provider.core.orders import Candidate, Order
from provider.services import Services
from provider.storage.database import Base
from provider.web.console import order_list
from provider.web.console.csv_download import write_csv
from tests import factories
from tests.factories import ManualClock
from tests.web.console.test_orders import place_in_every_state, place_orders
from tests.web.console_client import ConsoleClient

EXPORT_PATH = "/console/orders/export/"


def export(console: ConsoleClient, **filters: str) -> TestResponse:
    response = console.submit(EXPORT_PATH, **filters)
    assert response.status_code == 200, response.text
    return response


def read_rows(response: TestResponse) -> list[dict[str, str]]:
    assert response.text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(response.text[1:])))


@pytest.mark.both
def test_export_has_the_rows_of_the_list(services: Services, client: FlaskClient) -> None:
    expected = place_in_every_state(services)
    response = export(ConsoleClient.signed_in(services, client))
    assert response.content_type == "text/csv; charset=utf-8"
    date = f"{services.now():%Y-%m-%d}"
    assert response.headers["Content-Disposition"] == f"attachment; filename=orders-{date}.csv"
    rows = read_rows(response)
    assert [row["Id"] for row in rows] == list(expected)[::-1]
    assert {row["Id"]: (row["Needs"] or "Nothing", row["Score (%)"]) for row in rows} == {
        order_id: (needs, score.replace("None", "").replace("75%", "75.0"))
        for order_id, (needs, score) in expected.items()
    }
    assert rows[-1] == {
        "Id": next(iter(expected)),
        "First name": "Lakita",
        "Last name": "Marrero",
        "E-mail": "lakita_marrero@gmail.com",
        "Job": "Operations Manager",
        "Job reference": "",
        "Product": "Reasoning",
        "Kind": "Assessment",
        "Account": "Groove Tech",
        "Status": "Waiting",
        "Progress": "Invited",
        "Needs": "Candidate: start",
        "Placed (UTC)": f"{services.now():%Y-%m-%d %H:%M:%S}",
        "Start by (UTC)": f"{services.now() + timedelta(days=7):%Y-%m-%d %H:%M:%S}",
        "Ended (UTC)": "",
        "Score (%)": "",
    }


def test_export_for_support_has_no_scores(services: Services, client: FlaskClient) -> None:
    place_in_every_state(services)
    response = export(ConsoleClient.signed_in(services, client, "support"))
    assert "Score" not in response.text
    assert "75" not in [cell for row in read_rows(response) for cell in row.values()]


def test_export_needs_a_csrf_token(services: Services, client: FlaskClient) -> None:
    console = ConsoleClient.signed_in(services, client)
    assert console.client.post(EXPORT_PATH).status_code == 400


@pytest.mark.both
@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, range(25)),
        ({"q": "candidate1"}, [1, *range(10, 20)]),
        ({"q": "candidate", "status": "cancelled"}, [3, 14]),
        ({"status": "cancelled"}, [3, 14]),
        ({"q": "zenobia"}, []),
        ({"to": "2001-01-01"}, []),
    ],
)
def test_export_reads_every_batch_of_a_filter(
    services: Services,
    client: FlaskClient,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    filters: dict[str, str],
    numbers: list[int],
) -> None:
    ids = place_orders(services, clock, 25)
    with services.db.writing() as session:
        for number in (3, 14):
            order = Order.find(session, ids[number])
            order.cancel(session, "sam@provider.test", "because", services.now())
    monkeypatch.setattr(order_list, "BATCH_SIZE", 5)
    rows = read_rows(export(ConsoleClient.signed_in(services, client), **filters))
    assert [row["Id"] for row in rows] == [ids[number] for number in numbers][::-1]


def test_export_is_in_the_audit_log_without_the_search(
    services: Services, client: FlaskClient
) -> None:
    factories.create_account(services)
    console = ConsoleClient.signed_in(services, client)
    export(console, q="Zenobia", status="pending")
    with services.db.reading() as session:
        exports = select(AuditEntry).where(AuditEntry.subject == "orders")
        entry = session.scalars(exports).one()
    assert (entry.actor, entry.action) == ("operator@provider.test", "orders.exported")
    assert entry.after == {"status": "pending", "search": True, "scores": True}
    page = ConsoleClient.signed_in(services, client, "admin").get_text("/console/audit/")
    assert "List of orders exported" in page
    assert "With a search: yes" in page


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+44 7700", "'+44 7700"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ('=HYPERLINK("https://a.b";"x")', '\'=HYPERLINK("https://a.b";"x")'),
        ("a=1", "a=1"),
        ('Ana, "the" second\nline', 'Ana, "the" second\nline'),
        ("", ""),
        (None, ""),
    ],
)
def test_csv_cell_is_never_a_formula(text: str | None, cell: str) -> None:
    content = "".join(write_csv(["Name", "Score"], [[text, -1.5]]))
    assert list(csv.reader(io.StringIO(content[1:]))) == [["Name", "Score"], [cell, "-1.5"]]


def insert_copies(services: Services, order_id: str, numbers: range) -> None:
    """Insert copies of an order that was placed, with long names."""
    table = Base.metadata.tables["orders"]
    with services.db.writing() as session:
        order = Order.find(session, order_id)
        columns = {column.name: getattr(order, column.name) for column in table.columns}
        names = {"first_name": "N" * 200, "last_name": "M" * 200}
        candidate = {"email": "a@b.c", "email_digest": b"-", "phone": ""} | names
        session.execute(insert(Candidate), [{"id": number, **candidate} for number in numbers])
        keys = (
            {"id": number, "candidate_id": number}
            | {"public_id": f"copy{number}", "external_key": f"{number}"}
            for number in numbers
        )
        session.execute(insert(table), [columns | key for key in keys])


def test_export_needs_the_same_memory_for_any_length(
    services: Services, clock: ManualClock, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_list, "BATCH_SIZE", 50)
    (order_id,) = place_orders(services, clock, 1)
    console = ConsoleClient.signed_in(services, client)
    token = factories.csrf_token(client.get("/console/orders/").text)

    def export_size_and_peak() -> tuple[int, int]:
        """Return the bytes of the file, and the most bytes in memory on the way."""
        tracemalloc.start()
        response = console.client.post(EXPORT_PATH, data={"csrf_token": token}, buffered=False)
        size = 0
        for piece in response.iter_encoded():
            size += len(piece)
            gc.collect()  # or the peak depends on when the statements' cycles are collected
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, peak

    insert_copies(services, order_id, range(10, 510))
    gc.freeze()  # or each collection goes through the objects of all other tests
    export_size_and_peak()  # fills the caches
    size, peak = export_size_and_peak()
    insert_copies(services, order_id, range(510, 4010))
    large_size, large_peak = export_size_and_peak()
    assert large_size > 7 * size
    assert large_peak < 1.2 * peak
