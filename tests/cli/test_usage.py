"""`provider usage`: orders by month, account and product."""

import pytest

from provider.services import Services
from tests import factories
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run
from tests.web.console.test_usage import place_orders


@pytest.mark.both
def test_usage_prints_the_figures_of_the_last_months(services: Services, run: Run) -> None:
    account_id = place_orders(services)
    place_orders(services, "Acme")
    month = f"{services.now():%Y-%m}"
    (record,) = parse_json(run("usage", "--account", "Groove Tech", "--json"))
    assert record == {
        "month": month,
        "account": "Groove Tech",
        "account_id": account_id,
        "product": "Test of Groove Tech",
        "product_id": record["product_id"],
        "product_key": "groove tech",
        "kind": "assessment",
        "ordered": 2,
        "completed": 1,
    }
    lines = run("usage", "--from", month, "--to", month).stdout.splitlines()
    assert [line.partition("Test of ")[2].split("  ")[0] for line in lines] == [
        "",
        "Acme",
        "Groove Tech",
    ]
    assert parse_json(run("usage", "--from", "2020-01", "--to", "2020-03", "--json")) == []


def test_usage_of_a_wrong_month_or_account_says_so(services: Services, run: Run) -> None:
    factories.create_account(services)
    assert "is not a month" in error_message(run("usage", "--from", "yesterday", code=1))
    assert "There is no account" in error_message(run("usage", "--account", "Nobody", code=1))
