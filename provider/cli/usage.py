"""`provider usage`: how many orders each account has placed and completed, for invoices."""

from typing import Any

import click

from provider.cli.common import json_option, open_services, print_records
from provider.core.accounts import Account
from provider.core.orders.usage import Month, Usage, list_months, list_usage

MAX_MONTHS = 240
DEFAULT_MONTH_COUNT = 3


@click.command()
@click.option("--from", "first", metavar="MONTH", help="The first month, e.g. 2026-09.")
@click.option("--to", "last", metavar="MONTH", help="The last month. Default: this month.")
@click.option("--account", "account_name", metavar="NAME", help="One account only.")
@json_option
def usage(first: str | None, last: str | None, account_name: str | None, as_json: bool) -> None:
    """Count orders by month, account and product, for invoices.

    An order counts as ordered when it was placed, and as completed when its result was ready.
    Months are in UTC, by default this one and the two before. Erased orders are counted.
    """
    with open_services() as services, services.db.reading() as session:
        end = Month.parse(last) if last else Month.of(services.now())
        start = Month.parse(first) if first else end.plus(1 - DEFAULT_MONTH_COUNT)
        account = Account.get_by_name(session, account_name) if account_name else None
        rows = list_usage(
            session, list_months(start, end, MAX_MONTHS), account.id if account else None
        )
    columns = {
        "Month": "month",
        "Account": "account",
        "Product": "product",
        "Kind": "kind",
        "Ordered": "ordered",
        "Completed": "completed",
    }
    print_records([_usage_record(row) for row in rows], columns, as_json=as_json)


def _usage_record(row: Usage) -> dict[str, Any]:
    return {
        "month": str(row.month),
        "account": row.account,
        "account_id": row.account_id,
        "product": row.product,
        "product_id": row.product_id,
        "product_key": row.product_key,
        "kind": row.kind,
        "ordered": row.ordered,
        "completed": row.completed,
    }
