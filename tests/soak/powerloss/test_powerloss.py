"""The proofs about disks in short, and the rules by which a power loss is played."""

import os
import random
import shutil
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from provider.house import House
from provider.outbox import DELIVERED, Message
from tests import cast
from tests.soak.powerloss import judge, prove
from tests.soak.powerloss.replay import FOLDER, HEAD, Tape
from tests.soak.proof import Proof, Run

ROOT = Path("/disk")
TOP, FILE, OTHER = 1, 2, 3  # inodes
THREAD = 77


@pytest.fixture
def run(tmp_path: Path) -> Run:
    if shutil.which("gcc") is None:
        if os.environ.get("CI"):
            pytest.fail("gcc is missing: apt-get install gcc libc6-dev")
        pytest.skip("gcc is missing: apt-get install gcc libc6-dev")
    return Run(tmp_path, short=True, seed=4, loud=False)


def test_what_is_acknowledged_outlives_a_power_loss(run: Run) -> None:
    verdict = prove.powerloss(run)
    assert verdict.problems == []
    assert "FULL: 20 points" in verdict.figures


def test_a_disk_that_fails_or_is_full_makes_nobody_lie_and_mends_without_hands(run: Run) -> None:
    verdict = prove.disk(run)
    assert verdict.problems == []
    assert "× 503" in verdict.figures


@pytest.mark.parametrize("proof", [prove.powerloss, prove.disk])
def test_without_gcc_nothing_is_proved_and_that_is_said(
    proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = proof(Run(tmp_path, short=True, loud=False))
    assert not verdict.passed
    assert "gcc is missing" in verdict.problems[0]


# The rules


Entry = tuple[str, str, bytes, int, int, int]


def opened(name: str, inode: int = FILE, flags: int = 0) -> Entry:
    return "O", str(ROOT / name), b"", flags, inode, 0


def write(at: int, data: bytes, inode: int = FILE) -> Entry:
    return "W", "", data, 0, inode, at


def sync(inode: int, end: str = "E") -> tuple[Entry, Entry]:
    return ("B", "", b"", 0, inode, THREAD), (end, "", b"", 0, inode, THREAD)


FOLDER_SYNCED = (("O", str(ROOT), b"", FOLDER, TOP, 0), *sync(TOP))


def left(folder: Path, *entries: Entry, tries: int = 200) -> list[dict[str, bytes]]:
    """Return what many power losses at the end of a log leave."""
    log = folder / "log"
    with log.open("wb") as file:
        for kind, path, data, flags, inode, at in entries:
            name = path.encode()
            file.write(HEAD.pack(ord(kind), len(name), len(data), flags, inode, at) + name + data)
    outcomes = []
    for seed in range(tries):
        tape = Tape(log, ROOT, seed)
        tape.play(len(tape.entries))
        outcomes.append(tape.after_power_loss(random.Random(seed)))
    return outcomes


def contents(outcomes: list[dict[str, bytes]], name: str = "a") -> set[bytes | None]:
    return {outcome.get(name) for outcome in outcomes}


def test_what_was_synced_stays_with_its_name(tmp_path: Path) -> None:
    kept = left(tmp_path, opened("a"), write(0, b"one"), *sync(FILE), *FOLDER_SYNCED)
    assert contents(kept) == {b"one"}


def test_a_name_whose_folder_was_not_synced_may_be_lost(tmp_path: Path) -> None:
    kept = left(tmp_path, opened("a"), write(0, b"one"), *sync(FILE))
    assert contents(kept) == {b"one", None}


def test_a_write_after_the_sync_began_may_be_lost(tmp_path: Path) -> None:
    begin, end = sync(FILE)
    kept = left(tmp_path, opened("a"), write(0, b"one"), begin, write(3, b"two"), end,
                *FOLDER_SYNCED)  # fmt: skip
    assert contents(kept) == {b"one", b"onetwo"}


def test_a_later_write_may_be_there_without_an_earlier_one(tmp_path: Path) -> None:
    kept = left(tmp_path, opened("a"), write(0, b"one"), write(3, b"two"), *FOLDER_SYNCED)
    assert contents(kept) == {b"", b"one", b"onetwo", b"\0\0\0two"}


def test_a_write_tears_between_sectors_and_nowhere_else(tmp_path: Path) -> None:
    kept = left(tmp_path, opened("a"), write(0, b"o" * 1024), *sync(FILE), write(0, b"n" * 1024),
                *FOLDER_SYNCED)  # fmt: skip
    halves = {content[:512] + b"|" + content[512:] for content in contents(kept) if content}
    old, new = b"o" * 512, b"n" * 512
    assert halves == {a + b"|" + b for a in (old, new) for b in (old, new)}


def test_what_a_failed_sync_forgot_no_later_one_brings_back(tmp_path: Path) -> None:
    kept = left(tmp_path, opened("a"), write(0, b"one"), *sync(FILE, "F"), *sync(FILE),
                *FOLDER_SYNCED)  # fmt: skip
    assert contents(kept) == {b"", b"one"}


def test_a_move_is_done_or_not_and_never_half(tmp_path: Path) -> None:
    before = (opened("a"), write(0, b"old"), opened("b", OTHER), write(0, b"new", OTHER))
    move: Entry = ("R", str(ROOT / "b"), str(ROOT / "a").encode(), 0, OTHER, 0)
    kept = left(tmp_path, *before, *sync(FILE), *sync(OTHER), *FOLDER_SYNCED, move)
    assert {tuple(sorted(each.items())) for each in kept} == {
        (("a", b"new"),), (("a", b"old"), ("b", b"new")),
    }  # fmt: skip


def test_a_file_is_lost_with_its_folders_name(tmp_path: Path) -> None:
    made: Entry = ("M", str(ROOT / "deep"), b"", 0, OTHER, 0)
    kept = left(tmp_path, made, opened("deep/a"), write(0, b"one"), *sync(FILE), *sync(OTHER))
    assert contents(kept, "deep/a") == {b"one", None}


# The judge bites


def judged(house: House, left: Path, *promises: dict[str, str]) -> list[str]:
    """Judge a house's database as a power loss might have left it."""
    house.db.close()
    files = {
        "instance/provider.db": (house.settings.instance / "provider.db").read_bytes(),
        "instance/secret.key": urlsafe_b64encode(house.settings.secret_keys[0]),
    }
    return judge.Orders(left)(files, list(promises))


@pytest.fixture
def order(house: House) -> str:
    account, _ = cast.account(house)
    return cast.order(house, account, cast.test(house))


@pytest.mark.sqlite  # it reads the file
def test_the_judge_finds_nothing_where_nothing_is_missing(
    house: House, order: str, tmp_path: Path
) -> None:
    assert judged(house, tmp_path / "left", {"order": order, "status": "pending"}) == []


@pytest.mark.sqlite  # it reads the file
def test_the_judge_finds_an_order_that_is_gone_and_a_status_that_went_back(
    house: House, order: str, tmp_path: Path
) -> None:
    gone, stale = {"order": "x", "status": "pending"}, {"order": order, "status": "declined"}
    found = judged(house, tmp_path / "left", gone, stale)
    assert found == ["order x", f"order {order} is pending, not declined"]


@pytest.mark.sqlite  # it reads the file
def test_the_judge_finds_an_order_without_its_message(
    house: House, order: str, tmp_path: Path
) -> None:
    with house.db.writing() as session:
        session.execute(delete(Message))
    found = judged(house, tmp_path / "left")
    assert found == [f"order {order} is pending without its invitation message"]


@pytest.mark.sqlite  # it reads the file
def test_the_judge_finds_a_letter_that_is_said_to_be_kept(
    house: House, order: str, tmp_path: Path
) -> None:
    with house.db.writing() as session:
        session.execute(update(Message).values(state=DELIVERED, rendered=b"Dear Lakita"))
    (found,) = judged(house, tmp_path / "left")
    assert found.startswith("letter ")


@pytest.mark.sqlite  # it reads the file
def test_the_judge_does_not_take_a_damaged_database_for_a_database(
    house: House, order: str, tmp_path: Path
) -> None:
    house.db.close()
    path = house.settings.instance / "provider.db"
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 65_536)
    with pytest.raises(judge.Broken):
        judged(house, tmp_path / "left")
