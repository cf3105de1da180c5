"""The disk scenarios in their short forms, and the rules of the power loss model."""

import os
import random
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from provider import outbox
from provider.outbox import DELIVERED, EMAIL, Message
from provider.services import Services
from tests import factories
from tests.endurance.powerloss import scenarios, verification
from tests.endurance.powerloss.replay import ENTRY_HEADER, FOLDER_FLAG, DiskReplay
from tests.endurance.scenario import Run, Scenario

ROOT = Path("/disk")
ROOT_INODE, FILE_INODE, OTHER_INODE = 1, 2, 3
THREAD_ID = 77


@pytest.fixture
def run(tmp_path: Path) -> Run:
    if shutil.which("gcc") is None:
        if os.environ.get("CI"):
            pytest.fail("gcc is missing: apt-get install gcc libc6-dev")
        pytest.skip("gcc is missing: apt-get install gcc libc6-dev")
    return Run(tmp_path, short=True, seed=4, verbose=False)


def test_powerloss_short_form_keeps_acknowledged_data(run: Run) -> None:
    verdict = scenarios.powerloss(run)
    assert verdict.problems == []
    assert "FULL: 12 points" in verdict.figures


def test_disk_short_form_reports_errors_and_recovers(run: Run) -> None:
    verdict = scenarios.disk(run)
    assert verdict.problems == []
    assert "× 503" in verdict.figures


@pytest.mark.parametrize("scenario", [scenarios.powerloss, scenarios.disk])
def test_disk_scenario_without_gcc_fails_with_reason(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = scenario(Run(tmp_path, short=True, verbose=False))
    assert not verdict.passed
    assert "gcc is missing" in verdict.problems[0]


# The model


LogRecord = tuple[str, str, bytes, int, int, int]


def open_entry(name: str, inode: int = FILE_INODE, flags: int = 0) -> LogRecord:
    return "O", str(ROOT / name), b"", flags, inode, 0


def write_entry(offset: int, data: bytes, inode: int = FILE_INODE) -> LogRecord:
    return "W", "", data, 0, inode, offset


def sync_entries(inode: int, end_kind: str = "E") -> tuple[LogRecord, LogRecord]:
    return ("B", "", b"", 0, inode, THREAD_ID), (end_kind, "", b"", 0, inode, THREAD_ID)


FOLDER_SYNC_ENTRIES = (("O", str(ROOT), b"", FOLDER_FLAG, ROOT_INODE, 0), *sync_entries(ROOT_INODE))


def remaining_files(
    folder: Path, *entries: LogRecord, seed_count: int = 200
) -> list[dict[str, bytes]]:
    """Return the files left by many power losses at the end of a log."""
    log = folder / "log"
    with log.open("wb") as file:
        for kind, path, data, flags, inode, offset in entries:
            path_bytes = path.encode()
            file.write(
                ENTRY_HEADER.pack(ord(kind), len(path_bytes), len(data), flags, inode, offset)
                + path_bytes
                + data
            )
    outcomes = []
    for seed in range(seed_count):
        replay = DiskReplay(log, ROOT, seed)
        replay.replay_until(len(replay.entries))
        outcomes.append(replay.after_power_loss(random.Random(seed)))
    return outcomes


def contents(outcomes: list[dict[str, bytes]], name: str = "a") -> set[bytes | None]:
    return {outcome.get(name) for outcome in outcomes}


def test_replay_synced_file_and_folder_is_kept(tmp_path: Path) -> None:
    remaining = remaining_files(
        tmp_path,
        open_entry("a"),
        write_entry(0, b"one"),
        *sync_entries(FILE_INODE),
        *FOLDER_SYNC_ENTRIES,
    )
    assert contents(remaining) == {b"one"}


def test_replay_name_without_folder_sync_may_be_lost(tmp_path: Path) -> None:
    remaining = remaining_files(
        tmp_path, open_entry("a"), write_entry(0, b"one"), *sync_entries(FILE_INODE)
    )
    assert contents(remaining) == {b"one", None}


def test_replay_write_after_sync_began_may_be_lost(tmp_path: Path) -> None:
    begin, end = sync_entries(FILE_INODE)
    remaining = remaining_files(
        tmp_path,
        open_entry("a"),
        write_entry(0, b"one"),
        begin,
        write_entry(3, b"two"),
        end,
        *FOLDER_SYNC_ENTRIES,
    )
    assert contents(remaining) == {b"one", b"onetwo"}


def test_replay_later_write_may_survive_without_earlier(tmp_path: Path) -> None:
    remaining = remaining_files(
        tmp_path,
        open_entry("a"),
        write_entry(0, b"one"),
        write_entry(3, b"two"),
        *FOLDER_SYNC_ENTRIES,
    )
    assert contents(remaining) == {b"", b"one", b"onetwo", b"\0\0\0two"}


def test_replay_torn_write_splits_at_sectors_only(tmp_path: Path) -> None:
    remaining = remaining_files(
        tmp_path,
        open_entry("a"),
        write_entry(0, b"o" * 1024),
        *sync_entries(FILE_INODE),
        write_entry(0, b"n" * 1024),
        *FOLDER_SYNC_ENTRIES,
    )
    halves = {content[:512] + b"|" + content[512:] for content in contents(remaining) if content}
    old, new = b"o" * 512, b"n" * 512
    assert halves == {a + b"|" + b for a in (old, new) for b in (old, new)}


def test_replay_failed_sync_is_not_repaired_by_later_sync(tmp_path: Path) -> None:
    remaining = remaining_files(
        tmp_path,
        open_entry("a"),
        write_entry(0, b"one"),
        *sync_entries(FILE_INODE, "F"),
        *sync_entries(FILE_INODE),
        *FOLDER_SYNC_ENTRIES,
    )
    assert contents(remaining) == {b"", b"one"}


def test_replay_rename_is_atomic(tmp_path: Path) -> None:
    before = (
        open_entry("a"),
        write_entry(0, b"old"),
        open_entry("b", OTHER_INODE),
        write_entry(0, b"new", OTHER_INODE),
    )
    move: LogRecord = ("R", str(ROOT / "b"), str(ROOT / "a").encode(), 0, OTHER_INODE, 0)
    remaining = remaining_files(
        tmp_path,
        *before,
        *sync_entries(FILE_INODE),
        *sync_entries(OTHER_INODE),
        *FOLDER_SYNC_ENTRIES,
        move,
    )
    assert {tuple(sorted(files.items())) for files in remaining} == {
        (("a", b"new"),),
        (("a", b"old"), ("b", b"new")),
    }


def test_replay_file_in_unsynced_folder_may_be_lost(tmp_path: Path) -> None:
    mkdir_entry: LogRecord = ("M", str(ROOT / "deep"), b"", 0, OTHER_INODE, 0)
    remaining = remaining_files(
        tmp_path,
        mkdir_entry,
        open_entry("deep/a"),
        write_entry(0, b"one"),
        *sync_entries(FILE_INODE),
        *sync_entries(OTHER_INODE),
    )
    assert contents(remaining, "deep/a") == {b"one", None}


# The verifier


def find_problems(services: Services, folder: Path, *acknowledged: dict[str, str]) -> list[str]:
    """Verify the services' database as if a power loss had left it."""
    services.db.close()
    files = {
        "instance/provider.db": (services.settings.instance / "provider.db").read_bytes(),
        "instance/secret.key": urlsafe_b64encode(services.settings.secret_keys[0]),
    }
    return verification.OrderVerifier(folder)(files, list(acknowledged))


@pytest.fixture
def order(services: Services) -> str:
    account, _ = factories.create_account(services)
    return factories.place_order(services, account, factories.create_test(services))


@pytest.mark.sqlite  # reads the database file
def test_order_verifier_complete_database_has_no_problems(
    services: Services, order: str, tmp_path: Path
) -> None:
    assert find_problems(services, tmp_path / "left", {"order": order, "status": "pending"}) == []


@pytest.mark.sqlite  # reads the database file
def test_order_verifier_lost_order_and_status_are_reported(
    services: Services, order: str, tmp_path: Path
) -> None:
    lost, stale = {"order": "x", "status": "pending"}, {"order": order, "status": "declined"}
    problems = find_problems(services, tmp_path / "left", lost, stale)
    assert problems == ["order x", f"order {order} is pending, not declined"]


@pytest.mark.sqlite  # reads the database file
def test_order_verifier_order_without_message_is_reported(
    services: Services, order: str, tmp_path: Path
) -> None:
    with services.db.writing() as session:
        session.execute(delete(Message))
    problems = find_problems(services, tmp_path / "left")
    assert problems == [f"order {order} is pending without its invitation message"]


@pytest.mark.sqlite  # reads the database file
def test_order_verifier_lost_email_is_reported(
    services: Services, order: str, tmp_path: Path
) -> None:
    (queue,) = factories.queue_names(services, channel=EMAIL)
    with services.db.writing() as session:
        (claim,) = outbox.claim(session, queue, services.now(), 1)
        outbox.store_body(session, claim, b"Dear Lakita")
        session.execute(update(Message).values(state=DELIVERED))
    (problem,) = find_problems(services, tmp_path / "left")
    assert problem.startswith("e-mail ")


@pytest.mark.sqlite  # reads the database file
def test_order_verifier_damaged_database_is_rejected(
    services: Services, order: str, tmp_path: Path
) -> None:
    services.db.close()
    path = services.settings.instance / "provider.db"
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 65_536)
    with pytest.raises(verification.UnreadableState):
        find_problems(services, tmp_path / "left")
