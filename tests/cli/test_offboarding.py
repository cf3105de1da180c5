"""The commands of the end of an account: `provider account disable`, `export`, `erase`."""

from pathlib import Path
from zipfile import ZipFile

from provider.core.orders import Order
from provider.services import Services
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run
from tests.maintenance.test_erasure import PERSON, table_texts
from tests.maintenance.test_offboarding import completed_orders

ACCOUNT = "Groove Tech"


def test_account_is_disabled_exported_and_erased_by_commands(
    services: Services, run: Run, tmp_path: Path
) -> None:
    (order_id,) = completed_orders(services)
    file = tmp_path / "account.zip"
    state = parse_json(run("account", "disable", ACCOUNT, "--json", stdin=f"{ACCOUNT}\n"))
    assert (state["orders"], state["orders_on_hold"]) == (1, [])
    assert state["disabled_at"]
    exported = parse_json(run("account", "export", ACCOUNT, str(file), "--yes", "--json"))
    assert (exported["orders"], exported["files"]) == (1, 0)
    with ZipFile(file) as archive:
        assert f"orders/{order_id}/data.json" in archive.namelist()
    assert parse_json(run("account", "offboarding", ACCOUNT, "--json"))["exported_at"]
    state = parse_json(run("account", "erase", ACCOUNT, "--yes", "--json"))
    assert (state["orders"], state["erased_orders"]) == (0, 1)
    assert state["certificate"]["orders"] == {"assessment": 1}
    assert PERSON["email"] not in table_texts(services)


def test_commands_ask_for_the_name_and_keep_the_order(
    services: Services, run: Run, tmp_path: Path
) -> None:
    (order_id,) = completed_orders(services)
    asked = run("account", "disable", ACCOUNT, stdin="Groove\n", code=1).stderr
    assert asked.endswith("Error: Type the account's name to confirm: Groove Tech\n")
    file = str(tmp_path / "account.zip")
    refusal = error_message(run("account", "export", ACCOUNT, file, "--yes", code=1))
    assert refusal == "Disable account Groove Tech first"
    run("account", "disable", ACCOUNT, "--yes")
    refusal = error_message(run("account", "erase", ACCOUNT, "--yes", code=1))
    assert refusal == "Export account Groove Tech first"
    run("account", "export", ACCOUNT, file, "--yes")
    refusal = error_message(run("account", "export", ACCOUNT, file, "--yes", code=1))
    assert "exists already" in refusal
    with services.db.writing() as session:
        Order.find(session, order_id).hold(session, "sam", "A lawsuit", services.now())
    refusal = error_message(run("account", "erase", ACCOUNT, "--yes", code=1))
    assert refusal == f"Release these orders first, which are on hold: {order_id}"
