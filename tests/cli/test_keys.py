"""`provider key`: which keys are needed, and encrypting everything with the first one."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest

from provider.services import Services
from provider.storage.secrets import SecretBox
from tests import encrypted_rows, factories
from tests.cli.test_commands import Run, parse_json
from tests.cli.test_commands import run as run

SetKeys = Callable[..., None]
OLD, NEW = b"k" * 32, b"n" * 32
OLD_NAME, NEW_NAME = (key_id.hex() for key_id in SecretBox([OLD, NEW]).key_ids)


@pytest.fixture
def set_keys(run: Run, monkeypatch: pytest.MonkeyPatch) -> SetKeys:
    """Return a function that sets the keys of the next commands."""

    def set_keys(*keys: bytes) -> None:
        text = ",".join(urlsafe_b64encode(key).decode() for key in keys)
        monkeypatch.setenv("PROVIDER_SECRET_KEY", text)

    return set_keys


@pytest.mark.both
def test_old_key_is_needed_until_everything_is_encrypted_anew(
    services: Services, run: Run, set_keys: SetKeys
) -> None:
    encrypted_rows.fill(services)
    set_keys(NEW, OLD)
    first, second = parse_json(run("key", "list", "--json"))["keys"]
    assert (first["key"], first["place"], first["values"]) == (NEW_NAME, "first", 0)
    assert (second["key"], second["place"], second["needed"]) == (OLD_NAME, "older", True)
    assert (second["files"], second["emails"], second["orders"]) == (2, 2, 1)
    result = run("key", "list", "--check", code=1)
    assert "Run `provider key reencrypt`, so that" in result.stdout
    assert f"Still needed: {OLD_NAME}" in result.stderr
    changed = parse_json(run("key", "reencrypt", "--json"))
    assert changed["changed"] == {
        "values": second["values"],
        "files": 2,
        "emails": 2,
        "orders": 1,
        "changed_orders": 0,
    }
    assert changed["problems"] == {}
    text = run("key", "list", "--check").stdout
    assert f"No longer needed: {OLD_NAME}. Keep a removed key with the backups" in text
    set_keys(NEW)
    (only,) = parse_json(run("key", "list", "--check", "--json"))["keys"]
    assert (only["key"], only["values"]) == (NEW_NAME, second["values"])


def test_key_that_is_not_set_is_shown_with_a_warning(
    services: Services, run: Run, set_keys: SetKeys
) -> None:
    encrypted_rows.fill(services)
    set_keys(NEW)
    result = run("key", "reencrypt", code=1)
    assert "Encrypted with the key" in result.stdout
    assert "Warning: 2 of files cannot be decrypted or read" in result.stderr
    second = parse_json(run("key", "list", "--json"))["keys"][1]
    assert (second["key"], second["place"], second["needed"]) == (OLD_NAME, "not set", True)
    assert f"Still needed: {OLD_NAME}" in run("key", "list", "--check", code=1).stderr


def test_what_only_an_old_key_recognises_is_named(
    services: Services, run: Run, set_keys: SetKeys
) -> None:
    factories.create_account(services, ats="greenhouse")
    account_id, _ = factories.create_account(services, "Acme")
    product = factories.create_test(services)
    order_id = factories.place_order(services, account_id, product)
    run("order", "cancel", order_id, "--reason", "Gone")
    services.clock.sleep(timedelta(days=1))
    run("order", "erase", order_id, "--give-up-deliveries", "--yes")
    set_keys(NEW, OLD)
    text = run("key", "list").stdout
    assert "1 erased orders and 0 recovery codes do not tell their keys" in text
    assert "`provider account show` prints now:" in text
    assert "Groove Tech" in text
    set_keys(OLD)
    assert "do not tell their keys" not in run("key", "list").stdout


def test_reencrypt_with_one_key_changes_nothing(services: Services, run: Run) -> None:
    encrypted_rows.fill(services)
    changed = parse_json(run("key", "reencrypt", "--json"))["changed"]
    assert set(changed.values()) == {0}
