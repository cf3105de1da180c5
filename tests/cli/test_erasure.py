"""Commands that erase, hold and export: `order`, `person` and `retention`."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from provider.core.orders import Candidate, Order
from provider.services import Services
from provider.storage.media import MediaStore
from tests import factories
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES
from tests.maintenance.test_erasure import (
    PERSON,
    completed_order,
    deliver_everything,
    table_texts,
)

pytestmark = pytest.mark.both

ERASE_PERSON = ("person", "erase", "Groove Tech", PERSON["email"])


def test_person_command_erases_all_orders_after_a_question(services: Services, run: Run) -> None:
    completed_order(services, "assessment")
    with services.db.reading() as session:
        account_id = session.scalars(select(Order.account_id)).one()
    other = factories.place_order(
        services,
        account_id,
        KIND_FACTORIES["check"].create_product(services),
        "check",
        **PERSON | {"email": "Zenobia.Quill@Example.com"},
    )
    refusal = error_message(run(*ERASE_PERSON, "--yes", code=1))
    advice = f"`provider order cancel {other}`"
    assert refusal == f"Order {other} is open: cancel it first ({advice})"
    assert "Zenobia" in table_texts(services)  # one cannot be erased, so none is

    run("order", "cancel", other, "--reason", "The candidate asked for it")
    deliver_everything(services)
    run(*ERASE_PERSON, stdin="n\n", code=130)
    assert "Zenobia" in table_texts(services)

    certificate = parse_json(run(*ERASE_PERSON, "--yes", "--json"))
    assert [order["status"] for order in certificate["orders"]] == ["completed", "cancelled"]
    assert certificate["rows"] == sum(
        sum(order["rows"].values()) for order in certificate["orders"]
    )
    assert "Zenobia" not in table_texts(services)
    message = f"Account Groove Tech has no order of {PERSON['email']}"
    assert error_message(run(*ERASE_PERSON, code=1)) == message


def test_order_command_erases_one_order(services: Services, run: Run) -> None:
    order_id = completed_order(services, "interview")
    output = run("order", "erase", order_id, stdin="y\n").output
    assert f"{order_id}  interview, completed: " in output
    assert "3 files. Backups from before still have the data." in output
    with services.db.reading() as session:
        assert session.scalars(select(Candidate)).all() == []


def test_hold_and_release_are_shown_with_the_order(services: Services, run: Run) -> None:
    order_id = completed_order(services, "assessment")
    run("order", "hold", order_id, "--reason", "A dispute")
    assert parse_json(run("order", "show", order_id, "--json"))["hold_reason"] == "A dispute"
    refusal = error_message(run("order", "erase", order_id, "--yes", code=1))
    assert "is on hold (A dispute)" in refusal
    run("order", "release", order_id, "--reason", "Settled")
    run("order", "erase", order_id, "--yes")


def test_retention_preview_counts_per_account(
    services: Services, run: Run, clock: ManualClock
) -> None:
    order_id = completed_order(services, "interview")
    run("account", "set", "Groove Tech", "keep_recordings=30d", "keep_candidates=104w")
    clock.advance(timedelta(days=31))
    (account,) = parse_json(run("retention", "preview", "--json"))
    assert (account["recordings"], account["candidates"]) == ([order_id], [])
    assert "Groove Tech" in run("retention", "preview").output
    run("account", "set", "Groove Tech", "keep_recordings=none", "keep_candidates=none")
    assert parse_json(run("retention", "preview", "--json")) == []
    message = error_message(run("account", "set", "Groove Tech", "keep_recordings=long", code=1))
    assert "is not a duration" in message


def test_retention_preview_counts_checks_of_which_data_goes(
    services: Services, run: Run, clock: ManualClock
) -> None:
    order_id = completed_order(services, "check")
    run("account", "set", "Groove Tech", "keep_screenings=other=30d")
    assert parse_json(run("retention", "preview", "--json")) == []
    clock.advance(timedelta(days=30))
    (account,) = parse_json(run("retention", "preview", "--json"))
    assert (account["parts"], account["candidates"]) == ([order_id], [])
    shown = parse_json(run("account", "show", "Groove Tech", "--json"))
    assert (shown["keep_screenings"], shown["check_copies"]) == ("other=30d", True)
    message = error_message(run("account", "set", "Groove Tech", "keep_screenings=x=1d", code=1))
    assert "no type of screening “x”" in message


def test_person_export_writes_a_private_folder(
    services: Services, run: Run, tmp_path: Path
) -> None:
    completed_order(services, "interview")
    folder = tmp_path / "export"
    output = run("person", "export", "Groove Tech", PERSON["email"], str(folder)).output
    assert output == f"{folder} has 1 orders and 3 files.\n"
    assert (folder / "data.json").stat().st_mode & 0o777 == 0o600


def test_person_export_lets_a_server_write_meanwhile(
    services: Services, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_order(services, "interview")
    fetch = MediaStore.fetch

    def write_and_fetch(store: MediaStore, key: str, path: Path) -> None:
        with services.db.writing() as session:
            session.execute(update(Candidate).values(phone="+1"))
        fetch(store, key, path)

    monkeypatch.setattr(MediaStore, "fetch", write_and_fetch)
    run("person", "export", "Groove Tech", PERSON["email"], str(tmp_path / "export"))
