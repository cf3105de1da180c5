"""`provider key …`: which secret keys are still needed, and encrypting everything with the first.

A key is named by the first characters of its digest, never by itself.
"""

import time
from typing import Any

import click
from sqlalchemy import select

from provider import maintenance
from provider.ats.webhook_urls import webhook_urls
from provider.cli.common import (
    INSTANCE,
    json_option,
    open_services,
    print_json,
    print_records,
    printable_text,
    record_command,
)
from provider.cli.progress import progress_bar
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.errors import Conflict
from provider.maintenance import KeyUse
from provider.services import Services

COLUMNS = {
    "Key": "key",
    "Place": "place",
    "Values": "values",
    "Files": "files",
    "E-mail digests": "emails",
    "Order digests": "orders",
    "Needed": "needed",
}
FIRST, OLDER, MISSING = "first", "older", "not set"
UNKNOWN_KEY = "unknown"


@click.group()
def key() -> None:
    """Keys for encryption: which are still needed, and how to replace one."""


@key.command("list")
@click.option("--check", is_flag=True, help="Exit with 1 while an older key is still needed.")
@json_option
def list_(check: bool, as_json: bool) -> None:
    """Count what each key of PROVIDER_SECRET_KEY still decrypts; nothing is changed."""
    with open_services() as services:
        use = maintenance.count_key_use(services.db, services.media, services.secret_box)
        records, others = _describe(services, use), _count_others(services)
    if as_json:
        print_json({"keys": records, **others})
    else:
        print_records(records, COLUMNS, as_json=False)
        _explain(records, others)
    needed = [record["key"] for record in records if record["place"] != FIRST and record["needed"]]
    if check and needed:
        raise Conflict(f"Still needed: {', '.join(needed)}. Run `provider key reencrypt`")


@key.command()
@json_option
def reencrypt(as_json: bool) -> None:
    """Encrypt everything with the first key; run it again after an interruption.

    Servers and workers may go on. All of them must have the new key already.
    """
    started = time.monotonic()
    with open_services() as services, progress_bar() as report_progress:
        first = services.secret_box.first_key_id.hex()
        with services.db.writing() as session:
            record_command(
                session, services.now(), Action.INSTANCE_REENCRYPTED, INSTANCE, after={"key": first}
            )
        renewal = maintenance.renew_keys(
            services.db, services.media, services.secret_box, report_progress
        )
        use = maintenance.count_key_use(services.db, services.media, services.secret_box)
        records, others = _describe(services, use), _count_others(services)
    problems = {name: count for name, count in renewal.problems.items() if count}
    if as_json:
        changed = {"values": renewal.values, "files": renewal.files, **vars(renewal.digests)}
        print_json({"changed": changed, "problems": problems, "keys": records, **others})
    else:
        click.echo(
            f"Encrypted with the key {first}: {renewal.values:,} values and {renewal.files:,} "
            f"files, in {time.monotonic() - started:.1f} s. Computed anew: "
            f"{renewal.digests.emails:,} digests of e-mail addresses and "
            f"{renewal.digests.orders:,} of orders."
        )
        print_records(records, COLUMNS, as_json=False)
        _explain(records, others)
    for name, count in problems.items():
        click.echo(f"Warning: {count:,} of {name} cannot be decrypted or read", err=True)
    if problems:
        raise Conflict("Something could not be encrypted anew: see the warnings")


def _describe(services: Services, use: KeyUse) -> list[dict[str, Any]]:
    """Return a record of each key, those of the setting first, in their order."""
    own = services.secret_box.key_ids
    return [
        {
            "key": key_id.hex() or UNKNOWN_KEY,
            "place": FIRST if key_id == own[0] else OLDER if key_id in own else MISSING,
            "values": use.values.get(key_id, 0),
            "files": use.files.get(key_id, 0),
            "emails": use.emails.get(key_id, 0),
            "orders": use.orders.get(key_id, 0),
            "needed": key_id == own[0] or use.is_needed(key_id),
        }
        for key_id in [*own, *sorted(use.key_ids - set(own))]
    ]


def _count_others(services: Services) -> dict[str, Any]:
    """Return what depends on older keys and cannot be made anew here."""
    with services.db.reading() as session:
        accounts = session.scalars(select(Account).order_by(Account.name)).all()
    return {
        **maintenance.count_fixed_digests(services.db),
        "webhook_accounts": [
            account.name
            for account in accounts
            if webhook_urls(services.secret_box, account, services.settings.base_url)
        ],
    }


def _explain(records: list[dict[str, Any]], others: dict[str, Any]) -> None:
    """Say which keys can be removed, and what goes with them."""
    older = [record for record in records if record["place"] == OLDER]
    removable = [record["key"] for record in older if not record["needed"]]
    if removable:
        click.echo(
            f"No longer needed: {', '.join(removable)}. Keep a removed key with the backups that "
            "were made with it."
        )
    if any(record["needed"] for record in older):
        click.echo("Run `provider key reencrypt`, so that an older key can be removed.")
    if older and (others["erased_orders"] or others["recovery_codes"]):
        click.echo(
            f"{others['erased_orders']:,} erased orders and {others['recovery_codes']:,} recovery "
            "codes do not tell their keys. Without its key, an erased order can be placed again, "
            "and a recovery code does not sign in."
        )
    if older and others["webhook_accounts"]:
        names = printable_text(", ".join(others["webhook_accounts"]))
        click.echo(
            "Before an older key is removed, the ATS must have the addresses for events that "
            f"`provider account show` prints now: {names}."
        )
