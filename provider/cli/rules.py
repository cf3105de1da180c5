"""`provider rule …`: which product is ordered when a candidate of an ATS reaches a stage."""

from typing import Any

import click

from provider.ats.rules import add_rule, require_api, require_match
from provider.cli.common import (
    json_option,
    open_services,
    print_json,
    print_records,
    record_command,
)
from provider.cli.products import find_product
from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.connections import (
    Arrival,
    Rule,
    find_rule,
    list_arrivals,
    open_rules,
    resume_sources,
)
from provider.errors import Invalid

SHOWN_MATCHES = 20

when_option = click.option(
    "--when",
    "conditions",
    multiple=True,
    required=True,
    metavar="FACT=VALUE",
    help="What the candidate must have at the ATS, e.g. tag=numeracy; repeatable.",
)


@click.group()
def rule() -> None:
    """Rules: order a product when a candidate reaches a stage, gets a tag, awaits a check."""


@rule.command()
@click.argument("account_name", metavar="ACCOUNT")
@when_option
@click.option("--product", required=True, metavar="KEY", help="The product to order.")
@click.option("--repeat", is_flag=True, help="Order again at each new entry into the stage.")
@click.option(
    "--backfill",
    is_flag=True,
    help="Order for the candidates who match already, too; see `provider rule preview`.",
)
@json_option
def add(
    account_name: str,
    conditions: tuple[str, ...],
    product: str,
    repeat: bool,
    backfill: bool,
    as_json: bool,
) -> None:
    """Add a rule. It concerns candidates who match from now on."""
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, account_name, lock=True)
        new_rule = add_rule(
            session,
            account,
            find_product(session, product),
            _parse_conditions(conditions),
            once=not repeat,
            backfills=backfill,
            now=services.now(),
        )
        subject = f"account:{account.public_id}"
        fields = {"rule": new_rule.id, **new_rule.audit_fields()}
        record_command(session, services.now(), Action.RULE_ADDED, subject, after=fields)
        record = _rule_record(new_rule)
    if as_json:
        print_json(record)
    else:
        click.echo(f"Rule {record['rule']}: when {record['when']}, order {record['product']}.")


@rule.command("list")
@click.argument("account_name", metavar="ACCOUNT")
@json_option
def list_(account_name: str, as_json: bool) -> None:
    """List the rules of an account."""
    with open_services() as services, services.db.reading() as session:
        account = Account.get_by_name(session, account_name)
        records = [_rule_record(open_rule) for open_rule in open_rules(session, account.id)]
    columns = {
        "Rule": "rule",
        "When": "when",
        "Order": "product",
        "Repeat": "repeat",
        "Since": "created_at",
    }
    print_records(records, columns, as_json=as_json)


@rule.command()
@click.argument("account_name", metavar="ACCOUNT")
@click.argument("number", type=int)
def remove(account_name: str, number: int) -> None:
    """Remove a rule; its orders stay."""
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, account_name, lock=True)
        removed = find_rule(session, account, number)
        removed.removed_at = services.now()
        subject = f"account:{account.public_id}"
        fields = {"rule": removed.id, **removed.audit_fields()}
        record_command(session, services.now(), Action.RULE_REMOVED, subject, before=fields)
    click.echo(f"Removed rule {number} of {account_name}.")


@rule.command()
@click.argument("account_name", metavar="ACCOUNT")
@when_option
@json_option
def preview(account_name: str, conditions: tuple[str, ...], as_json: bool) -> None:
    """Show the candidates who match at present. Nothing is ordered."""
    from provider.delivery.ats_gateway import ApiGateway  # late: most commands send no request

    with open_services() as services:
        with services.db.reading() as session:
            account = Account.get_by_name(session, account_name)
            match = require_match(require_api(account), _parse_conditions(conditions))
        matches = ApiGateway(services).find_matches(account.id, match)
    records = [
        {"key": record.key, "name": record.name, "problem": record.refusal()} for record in matches
    ]
    if as_json:
        print_json(records)
        return
    columns = {"Id at the ATS": "key", "Name": "name", "Problem": "problem"}
    print_records(records[:SHOWN_MATCHES], columns, as_json=False)
    verb = "candidate matches" if len(records) == 1 else "candidates match"
    click.echo(f"\n{len(records)} {verb}; --backfill would order for each of them.")


@rule.command()
@click.argument("account_name", metavar="ACCOUNT")
@click.option("--refused", is_flag=True, help="Only those for whom no order could be placed.")
@json_option
def arrivals(account_name: str, refused: bool, as_json: bool) -> None:
    """List the candidates who matched a rule last, and what became of each."""
    with open_services() as services, services.db.reading() as session:
        account = Account.get_by_name(session, account_name)
        outcomes = ("refused",) if refused else ()
        records = [
            _arrival_record(arrival) for arrival in list_arrivals(session, account.id, *outcomes)
        ]
    columns = {
        "Seen": "seen_at",
        "Rule": "rule",
        "Id at the ATS": "key",
        "Outcome": "outcome",
        "Order": "order",
        "Reason": "reason",
    }
    print_records(records, columns, as_json=as_json)


@rule.command()
@click.argument("account_name", metavar="ACCOUNT")
def resume(account_name: str) -> None:
    """Let rules go on that stopped: after very many orders, or a refusal of the list."""
    with open_services() as services, services.db.writing() as session:
        account = Account.get_by_name(session, account_name, lock=True)
        count = resume_sources(session, account.id, services.now())
        if count:
            record_command(
                session,
                services.now(),
                Action.RULES_RESUMED,
                f"account:{account.public_id}",
                after={"sources": count},
            )
    click.echo("The rules go on." if count else "No rule of this account has stopped.")


def _parse_conditions(conditions: tuple[str, ...]) -> dict[str, str]:
    pairs = [condition.partition("=") for condition in conditions]
    if not all(equals and value.strip() for _, equals, value in pairs):
        raise Invalid("A condition should look like FACT=VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _rule_record(shown: Rule) -> dict[str, Any]:
    return {
        "rule": shown.id,
        "when": shown.describe(),
        "product": f"{shown.product.kind}/{shown.product.key}",
        "repeat": not shown.once,
        "backfills": shown.backfills,
        "created_at": shown.created_at,
    }


def _arrival_record(arrival: Arrival) -> dict[str, Any]:
    return {
        "seen_at": arrival.seen_at,
        "rule": arrival.rule_id,
        "key": arrival.record_key,
        "outcome": arrival.outcome,
        "order": arrival.order_public_id,
        "reason": arrival.reason,
    }
