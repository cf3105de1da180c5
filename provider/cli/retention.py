"""`provider retention …`: what the times of storage of the accounts delete."""

import click

from provider import maintenance
from provider.cli.common import json_option, open_services, print_json, print_records


@click.group()
def retention() -> None:
    """How long recordings and candidates are stored."""


@retention.command()
@json_option
def preview(as_json: bool) -> None:
    """Show what the next hourly run deletes; nothing is deleted now."""
    with open_services() as services, services.db.reading() as session:
        previews = maintenance.preview_retention(session, services.now())
    if as_json:
        print_json([vars(account) for account in previews])
        return
    records = [
        {
            "account": account.account,
            "recordings": len(account.recordings),
            "candidates": len(account.candidates),
            "waiting": len(account.waiting),
            "parts": len(account.parts),
        }
        for account in previews
    ]
    columns = {
        "Account": "account",
        "Orders whose recordings go": "recordings",
        "Orders that are erased": "candidates",
        "Of these, not yet": "waiting",
        "Checks of which data goes": "parts",
    }
    print_records(records, columns, as_json=False)
