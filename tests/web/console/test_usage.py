"""The page of the usage, and its CSV file."""

import csv
import io

import pytest
from flask.testing import FlaskClient

from provider.core.accounts import Account
from provider.services import Services
from provider.web.console import usage as usage_page
from provider.web.console.csv_download import BYTE_ORDER_MARK
from tests import factories
from tests.web.console_client import ConsoleClient

USAGE = "/console/usage/"


@pytest.fixture
def viewer(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "viewer")


def place_orders(services: Services, account: str = "Groove Tech", count: int = 2) -> str:
    """Place orders and complete the first; return the public id of the account."""
    account_id, _ = factories.create_account(services, account)
    product_id = factories.create_test(services, f"Test of {account}", account.casefold())
    orders = [
        factories.place_order(
            services,
            account_id,
            product_id,
            callback_url=f"https://groove-tech.workable.com/assessments/{number}",
        )
        for number in range(count)
    ]
    factories.finish_test(services, orders[0])
    with services.db.reading() as session:
        return session.get_one(Account, account_id).public_id


def read_csv(console: ConsoleClient, query: str = "") -> list[list[str]]:
    response = console.client.get(f"{USAGE}usage.csv?{query}")
    assert (response.status_code, response.mimetype) == (200, "text/csv")
    assert response.is_streamed
    text = response.data.decode()
    assert text.startswith(BYTE_ORDER_MARK)
    return list(csv.reader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK))))


@pytest.mark.both
def test_usage_page_and_file_have_the_same_figures(
    services: Services, viewer: ConsoleClient
) -> None:
    place_orders(services)
    acme = place_orders(services, "Acme", 3)
    month = f"{services.now():%Y-%m}"
    page = viewer.get_text(USAGE)
    assert f'name="to" type="month" value="{month}"' in page
    assert ("<dt>Ordered</dt><dd>5</dd>" in page, "<dt>Completed</dt><dd>2</dd>" in page) == (
        True,
        True,
    )
    assert "Groove Tech" not in viewer.get_text(f"{USAGE}?account={acme}").partition("<table")[2]
    header, *rows = read_csv(viewer)
    assert header == list(usage_page.CSV_COLUMNS)
    assert rows == [
        [month, "Acme", "assessment", "Test of Acme", "acme", "3", "1"],
        [month, "Groove Tech", "assessment", "Test of Groove Tech", "groove tech", "2", "1"],
    ]
    assert len(read_csv(viewer, f"account={acme}")) == 2
    assert read_csv(viewer, "from=2020-01&to=2020-12") == [header]
    assert "Nothing was ordered" in viewer.get_text(f"{USAGE}?from=2020-01&to=2020-12")


def test_usage_file_has_no_formula(services: Services, viewer: ConsoleClient) -> None:
    place_orders(services, '=HYPERLINK("https://evil.example")')
    (_, row) = read_csv(viewer)
    assert row[1] == '\'=HYPERLINK("https://evil.example")'


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=november", "“november” is not a month: write it like 2026-11"),
        ("from=2026-11&to=2026-10", "The first month should not be after the last one"),
        ("from=2000-01&to=2026-10", "Choose at most 24 months"),
    ],
)
def test_usage_of_wrong_months_says_so(viewer: ConsoleClient, query: str, words: str) -> None:
    assert words in viewer.get_text(f"{USAGE}?{query}", 400)
    assert viewer.client.get(f"{USAGE}?account=nobody").status_code == 404


def test_usage_page_shows_the_latest_lines_of_many(
    services: Services, viewer: ConsoleClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_orders(services)
    place_orders(services, "Acme")
    monkeypatch.setattr(usage_page, "MAX_ROWS", 1)
    page = viewer.get_text(USAGE)
    assert "The table has the latest 1 of 2 lines" in page
    assert "<dt>Ordered</dt><dd>4</dd>" in page
