"""The end of an account: disabled, exported and erased, by a work that goes on after a crash."""

import io
import json
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from provider.config import Settings
from provider.core.accounts import Account
from provider.core.accounts.logo import set_logo
from provider.core.accounts.offboarding import Offboarding
from provider.core.audit import AuditEntry
from provider.core.connections import SourceCursor
from provider.core.orders import ErasedOrder, Order
from provider.core.orders.usage import Month, list_usage
from provider.core.scheduled import ScheduledWorkState, run_if_due
from provider.errors import Conflict, Unavailable
from provider.maintenance import account_erasure, offboarding
from provider.maintenance.account_export import write_account_export
from provider.maintenance.erasure import erase_order
from provider.maintenance.offboarding import (
    OFFBOARD_ACCOUNTS,
    begin_erasure,
    begin_export,
    disable,
    enable,
    export_to_file,
)
from provider.services import Services
from tests import factories
from tests.ats.workable_client import WorkableClient
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES
from tests.maintenance.backup_processes import run_in_process
from tests.maintenance.test_erasure import PERSON, table_texts
from tests.pictures import make_png

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"


def account_of(services: Services, account_id: int = 1) -> Account:
    with services.db.reading() as session:
        return session.get_one(Account, account_id)


def state_of(services: Services) -> Offboarding:
    with services.db.reading() as session:
        return session.scalars(select(Offboarding)).one()


def completed_orders(services: Services, kinds: Sequence[str] = ("assessment",)) -> list[str]:
    """Return completed orders of one person in one account, one of each kind."""
    account_id, _ = factories.create_account(services, branding={"display_name": "Groovy"})
    ids = []
    for number, kind in enumerate(kinds):
        product = KIND_FACTORIES[kind].create_product(services)
        url = f"https://groove-tech.workable.com/{number}"
        order_id = factories.place_order(
            services, account_id, product, kind, callback_url=url, **PERSON
        )
        KIND_FACTORIES[kind].complete(services, order_id)
        ids.append(order_id)
    return ids


def open_order(services: Services, product_id: str, number: int = 90) -> str:
    url = f"https://groove-tech.workable.com/{number}"
    return factories.place_order(services, 1, product_id, callback_url=url, **PERSON)


def take(services: Services, step: str, *, cancels_orders: bool = False) -> None:
    with services.db.writing() as session:
        account = session.get_one(Account, 1, with_for_update=True)
        if step == "disable":
            disable(session, account, ACTOR, services, cancels_orders=cancels_orders)
        else:
            {"enable": enable, "export": begin_export, "erase": begin_erasure}[step](
                session, account, ACTOR, services
            )


def work(services: Services) -> bool:
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(timedelta(seconds=5))
    return run_if_due(services, OFFBOARD_ACCOUNTS)


def offboard(services: Services) -> None:
    for step in ("disable", "export", "erase"):
        take(services, step)
        assert work(services)


def read_export(services: Services) -> ZipFile:
    key = state_of(services).export_key
    size = services.media.size(key)
    return ZipFile(io.BytesIO(b"".join(services.media.read_range(key, 0, size))))


def actions(services: Services) -> list[str]:
    subject = f"account:{account_of(services).public_id}"
    with services.db.reading() as session:
        query = select(AuditEntry.action).where(AuditEntry.subject == subject)
        return list(session.scalars(query.order_by(AuditEntry.id)))


def test_disabled_account_is_refused_until_it_is_enabled(
    services: Services, client: FlaskClient
) -> None:
    account_id, token = factories.create_account(services)
    factories.create_test(services)
    ats = WorkableClient(client, token)
    with services.db.writing() as session:
        session.add(
            SourceCursor(
                account_id=account_id,
                source="candidates",
                due_at=services.now(),
                read_until=services.now(),
            )
        )
    assert ats.get("/tests").status_code == 200
    take(services, "disable")
    assert ats.get("/tests").status_code == 401
    with services.db.reading() as session:
        assert session.scalars(select(SourceCursor.stopped_reason)).one()
    take(services, "enable")
    assert ats.get("/tests").status_code == 200
    with services.db.reading() as session:
        assert session.scalars(select(SourceCursor.stopped_reason)).one() == ""
        assert session.scalars(select(Offboarding)).all() == []
    assert actions(services) == ["account.disabled", "account.enabled"]


@pytest.mark.parametrize("cancels", [True, False])
def test_open_orders_are_cancelled_only_if_asked_for(services: Services, cancels: bool) -> None:
    (order_id,) = completed_orders(services)
    open_id, held_id = (
        open_order(services, factories.create_test(services, key=f"other-{n}"), n) for n in (1, 2)
    )
    with services.db.writing() as session:
        Order.find(session, held_id).hold(session, ACTOR, "A lawsuit", services.now())
    take(services, "disable", cancels_orders=cancels)
    work(services)
    statuses = [factories.order_status(services, id_) for id_ in (order_id, open_id, held_id)]
    assert statuses == ["completed", "cancelled" if cancels else "pending", "pending"]


def test_export_has_every_order_with_its_files_report_and_audit(services: Services) -> None:
    order_ids = completed_orders(services, tuple(KIND_FACTORIES))
    with services.db.writing() as session:
        set_logo(session, session.get_one(Account, 1), make_png(), services.now())
    take(services, "disable")
    take(services, "export")
    assert state_of(services).export_total == len(order_ids)
    assert work(services)
    with read_export(services) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        for order_id in order_ids:
            document = json.loads(archive.read(f"orders/{order_id}/data.json"))
            assert document["order"] == order_id
            assert document["candidate"]["email"] == PERSON["email"]
            assert {"results", "order_events"} <= document["tables"].keys()
            assert archive.read(f"orders/{order_id}/report.pdf").startswith(b"%PDF")
        account = json.loads(archive.read("account.json"))
        assert account["settings"]["name"] == "Groove Tech"
        assert archive.read("logo.png") == make_png()
        assert [entry["action"] for entry in account["audit"]] == [
            "account.disabled",
            "account.export_requested",
        ]
    assert len([name for name in names if "/files/" in name]) == 3  # of the interview
    state = state_of(services)
    assert (state.export_done, bool(state.exported_at), state.problem) == (3, True, "")


def test_export_that_was_interrupted_begins_again(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_orders(services, ("assessment", "check"))
    take(services, "disable")
    take(services, "export")
    finish = offboarding._finish_export

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(offboarding, "_finish_export", die)
    with pytest.raises(Killed):
        work(services)
    monkeypatch.setattr(offboarding, "_finish_export", finish)
    assert not work(services)  # the lease of the killed run
    clock.advance(OFFBOARD_ACCOUNTS.lease)
    problems: list[tuple[int, str]] = []

    def look_first(*args: object) -> object:
        problems.append((state_of(services).export_done, state_of(services).problem))
        assert list(services.media.list_files(folder="exports")) == []
        return write_account_export(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(offboarding, "write_account_export", look_first)
    assert work(services)
    assert problems == [
        (0, "The export was interrupted and begins again from the first order"),
    ]
    assert state_of(services).problem == ""
    with read_export(services) as archive:
        assert len([name for name in archive.namelist() if name.endswith("data.json")]) == 2
    files = [key for key, _ in services.media.list_files(folder="exports")]
    assert files == [state_of(services).export_key]  # that of the killed run is deleted


def export_until_killed(settings: Settings, temporary: str) -> None:
    """Export in a process that is killed while the file is copied to media storage."""
    tempfile.tempdir = temporary
    services = factories.build_services(settings, ManualClock())

    def read_and_die(file: IO[bytes]) -> Iterator[bytes]:
        yield file.read(100)
        os.kill(os.getpid(), signal.SIGKILL)

    offboarding._read_chunks = read_and_die
    OFFBOARD_ACCOUNTS.run(services)


def test_killed_export_leaves_no_part_of_a_file(services: Services, tmp_path: Path) -> None:
    completed_orders(services)
    take(services, "disable")
    take(services, "export")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    exit_code = run_in_process(export_until_killed, services.settings, str(temporary))
    assert exit_code == -signal.SIGKILL
    assert list(temporary.iterdir()) == []
    folder = services.settings.instance / "media" / "exports"
    assert [path for path in folder.rglob("*") if path.is_file()] != []  # it has no key yet
    assert work(services)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path.name for path in files] == [state_of(services).export_key.rpartition("/")[2]]


def test_problem_of_a_failed_export_stays_until_it_succeeds(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_orders(services)
    take(services, "disable")
    take(services, "export")

    def fail(*_: object) -> None:
        raise Unavailable("The disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(offboarding, "_finish_export", fail)
        for _ in range(2):
            assert work(services)
            assert state_of(services).problem == "The disk is full"
    assert work(services)
    assert (state_of(services).problem, state_of(services).export_done) == ("", 1)


def test_interrupted_command_leaves_no_file_and_can_be_repeated(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_orders(services)
    take(services, "disable")
    path, partial = tmp_path / "export.zip", tmp_path / "export.zip.partial"

    def stop(
        _: object, __: object, ___: object, ____: object, target: Path, *_____: object
    ) -> None:
        target.write_bytes(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(offboarding, "write_account_export", stop)
        with pytest.raises(KeyboardInterrupt):
            export_to_file(services, 1, path, ACTOR)
    assert (path.exists(), partial.exists()) == (False, False)
    assert state_of(services).exported_at is None
    partial.write_bytes(b"PK of a command that was killed" * 10_000)
    export_to_file(services, 1, path, ACTOR)
    assert (path.exists(), partial.exists()) == (True, False)
    with ZipFile(path) as archive:
        assert archive.testzip() is None


def test_long_run_keeps_its_lease(services: Services, clock: ManualClock) -> None:
    def lease_end() -> datetime:
        with services.db.reading() as session:
            state = session.get_one(ScheduledWorkState, OFFBOARD_ACCOUNTS.name)
            assert state.leased_until
            return state.leased_until

    completed_orders(services)
    take(services, "disable")
    take(services, "export")
    ends = []

    def slow_write(*args: object) -> object:
        ends.append(lease_end())
        clock.advance(timedelta(minutes=4))
        result = write_account_export(*args)  # type: ignore[arg-type]
        ends.append(lease_end())
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offboarding, "write_account_export", slow_write)
        assert work(services)
    assert ends[1] == clock.now() + OFFBOARD_ACCOUNTS.lease
    assert ends[0] == ends[1] - timedelta(minutes=4)


def test_erasure_leaves_only_figures_and_the_audit_log(services: Services) -> None:
    order_ids = completed_orders(services, tuple(KIND_FACTORIES))
    open_order(services, factories.create_test(services, key="other"))
    with services.db.writing() as session:
        set_logo(session, session.get_one(Account, 1), make_png(), services.now())
    months = [Month.of(services.now())]
    with services.db.reading() as session:
        usage = list_usage(session, months)
    offboard(services)
    stored = table_texts(services)
    for word in (*PERSON.values(), "Groovy"):
        assert word not in stored
    with services.db.reading() as session:
        account = session.get_one(Account, 1)
        assert (account.name, account.tokens, account.callback_token) == ("Groove Tech", [], None)
        assert (account.branding, account.callback_hosts, account.options) == ({}, [], {})
        assert len(session.scalars(select(ErasedOrder)).all()) == len(order_ids) + 1
        assert list_usage(session, months) == usage
        assert session.scalar(text("SELECT count(*) FROM account_logos")) == 0
    assert list(services.media.list_files()) == []
    state = state_of(services)
    assert state.erased_at
    assert state.certificate
    assert state.certificate["orders"] == {"assessment": 2, "interview": 1, "check": 1}
    assert state.certificate["files"] == 3
    assert state.certificate["rows"]["orders"] == 4
    assert state.certificate["rows"]["account_logos"] == 1
    assert actions(services)[-2:] == ["account.erasure_requested", "account.erased"]


def test_erasure_touches_no_other_account(services: Services) -> None:
    completed_orders(services)
    other_id, _ = factories.create_account(services, "Other Ltd")
    order_id = factories.place_order(services, other_id, factories.create_test(services, key="o"))
    offboard(services)
    other = account_of(services, other_id)
    with services.db.reading() as session:
        assert len(session.get_one(Account, other_id).tokens) == 1
    assert other.callback_token
    assert factories.order_status(services, order_id) == "pending"


def test_erasure_goes_on_after_a_crash(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_orders(services, ("assessment", "check"))
    for step in ("disable", "export"):
        take(services, step)
        assert work(services)
    take(services, "erase")
    erased: list[object] = []

    class Killed(BaseException):
        pass

    def die_after_one(*args: object, **options: object) -> object:
        if erased:
            raise Killed
        erased.append(args)
        return erase_order(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(account_erasure, "erase_order", die_after_one)
    with pytest.raises(Killed):
        work(services)
    monkeypatch.setattr(account_erasure, "erase_order", erase_order)
    clock.advance(OFFBOARD_ACCOUNTS.lease)
    assert work(services)
    state = state_of(services)
    assert state.erased_at
    assert state.certificate
    assert state.certificate["orders"] == {"assessment": 1, "check": 1}


def test_order_on_hold_stops_the_erasure_and_is_named(services: Services) -> None:
    order_ids = completed_orders(services, ("assessment", "check"))
    for step in ("disable", "export"):
        take(services, step)
        assert work(services)
    take(services, "erase")
    with services.db.writing() as session:  # after the request: the work finds it
        Order.find(session, order_ids[0]).hold(session, ACTOR, "A lawsuit", services.now())
    assert work(services)
    state = state_of(services)
    assert state.problem == f"Release these orders first, which are on hold: {order_ids[0]}"
    assert factories.order_status(services, order_ids[1]) == "completed"  # nothing is erased
    with pytest.raises(Conflict, match=order_ids[0]):
        take(services, "erase")
    with services.db.writing() as session:
        Order.find(session, order_ids[0]).release(session, ACTOR, "Over", services.now())
    assert work(services)
    assert (bool(state_of(services).erased_at), state_of(services).problem) == (True, "")


def test_steps_are_refused_in_another_order(services: Services) -> None:
    completed_orders(services)
    for step in ("export", "erase", "enable"):
        with pytest.raises(Conflict, match="Disable account Groove Tech first"):
            take(services, step)
    take(services, "disable")
    with pytest.raises(Conflict, match="is disabled already"):
        take(services, "disable")
    with pytest.raises(Conflict, match="Export account Groove Tech first"):
        take(services, "erase")
    take(services, "export")
    with pytest.raises(Conflict, match="is being made already"):
        take(services, "export")
    with pytest.raises(Conflict, match="Export account Groove Tech first"):
        take(services, "erase")
    assert work(services)
    take(services, "erase")
    for step in ("enable", "export"):
        with pytest.raises(Conflict, match="has begun already"):
            take(services, step)
    assert work(services)
    with pytest.raises(Conflict, match="is erased already"):
        take(services, "erase")


def test_enabled_account_has_no_export_any_more(services: Services) -> None:
    completed_orders(services)
    take(services, "disable")
    take(services, "export")
    assert work(services)
    take(services, "enable")
    assert list(services.media.list_files(folder="exports")) == []


def test_export_stops_when_the_account_is_enabled_again(services: Services) -> None:
    completed_orders(services, ("assessment", "check"))
    take(services, "disable")
    take(services, "export")

    def enable_first(*args: object) -> object:
        take(services, "enable")
        return write_account_export(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offboarding, "write_account_export", enable_first)
        assert work(services)
    assert list(services.media.list_files(folder="exports")) == []
    assert account_of(services).disabled_at is None
