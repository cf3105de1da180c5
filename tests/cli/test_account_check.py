"""`provider account check`: what works of a connection, and what is missing."""

from datetime import timedelta
from typing import Any

import pytest

from provider import outbox
from provider.core.orders import Order
from provider.services import Services
from tests import factories
from tests.cli.test_commands import Run, parse_json
from tests.cli.test_commands import run as run


@pytest.fixture
def account_id(services: Services, monkeypatch: pytest.MonkeyPatch, run: Run) -> int:
    """A connection that works."""
    monkeypatch.setenv("PROVIDER_BASE_URL", "https://tests.example.com")
    account_id, token = factories.create_account(services)
    factories.create_test(services)
    services.authenticator.authenticate(token, "workable", services.now())
    return account_id


def missing(run: Run) -> list[str]:
    """Return what `provider account check` finds missing."""
    findings: list[dict[str, Any]] = parse_json(
        run("account", "check", "Groove Tech", "--json", code=1)
    )
    return [finding["text"] for finding in findings if not finding["ok"]]


def test_working_connection_has_nothing_missing(
    account_id: int, run: Run, services: Services
) -> None:
    output = run("account", "check", "Groove Tech").stdout
    assert "missing" not in output
    assert "https://tests.example.com" in output
    assert f"called last at about {services.now():%H:%M UTC on %d %B %Y}" in output
    assert "The ATS sees 1 product\n" in output


def test_new_connection_misses_address_call_and_product(run: Run) -> None:
    run("account", "create", "Groove Tech", "--ats", "greenhouse")
    address, call, product = missing(run)
    assert "PROVIDER_BASE_URL" in address
    assert "has not called" in call
    assert "no product" in product


def test_account_without_open_token_is_told_how_to_create_one(
    account_id: int, run: Run, services: Services
) -> None:
    prefix = parse_json(run("account", "show", "Groove Tech", "--json"))["tokens"][0]["prefix"]
    run("account", "revoke", "Groove Tech", prefix)
    assert missing(run) == ["The ATS has no token: `provider account token` creates one"]


def test_product_of_another_kind_is_not_seen(account_id: int, run: Run, services: Services) -> None:
    factories.create_account(services, "Acme", ats="greenhouse")
    factories.create_product(
        services, "check", factories.PACKAGE_CONTENT, "package", "A package of checks"
    )
    output = run("account", "check", "Acme", code=1).stdout
    assert "The ATS sees 1 product\n" in output
    run("account", "set", "Acme", "checks=yes")
    assert "The ATS sees 2 products\n" in run("account", "check", "Acme", code=1).stdout


def test_pause_and_failed_callback_are_named(account_id: int, run: Run, services: Services) -> None:
    test = factories.create_test(services, key="other")
    order_id = factories.place_order(services, account_id, test)
    with services.db.writing() as session:
        Order.find(session, order_id).decline(session, "", services.now())
        retry_at = services.now() + timedelta(minutes=10)
        scope = f"account/{account_id}/callback"
        outbox.pause(session, scope, "The ATS refuses the token", retry_at, services.now())
        messages = outbox.history(session, order_id)
        (callback,) = (message for message in messages if "/callback/" in message.queue)
        callback.state = outbox.PARKED
    pause, failed = missing(run)
    assert "callbacks wait: The ATS refuses the token. To go on: `provider account set" in pause
    assert failed == "1 callback failed: see `provider delivery list --state parked`"


def test_callbacks_without_a_token_are_named(account_id: int, run: Run) -> None:
    run("account", "set", "Groove Tech", "callback_token=none")
    (text,) = missing(run)
    assert "Callbacks carry no token" in text


def test_unknown_account_is_one_line_of_error(run: Run) -> None:
    assert "There is no account" in run("account", "check", "Nobody", code=1).stderr
