"""Backup and restore: complete or absent, equal, verified; and their commands."""

import json
import shutil
import signal
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy import select

from provider.cli import main
from provider.config import SETTINGS, Settings
from provider.core.connections import ApiToken
from provider.core.orders import Order
from provider.errors import Conflict, Invalid, ProviderError, Unavailable
from provider.maintenance import (
    create_backup,
    restore_backup,
    schema_version,
)
from provider.maintenance.manifest import inspect_file, read_manifest
from provider.maintenance.table_copy import TableChecksums
from provider.services import Services
from provider.storage.database import Base, Database
from provider.storage.media import MediaStore
from tests import factories
from tests.maintenance import test_schema_version
from tests.maintenance.backup_processes import (
    KillAfter,
    back_up_in_process,
    back_up_to_small_disk,
    backup,
    ignore_progress,
    restore_in_process,
    run_in_process,
)
from tests.maintenance.test_copy_instance import (
    dump,
    filled_database,
    read_files,
    store_recordings,
)
from tests.maintenance.test_schema_version import AddRevision, add_revision

pytestmark = pytest.mark.sqlite  # tests of PostgreSQL create a database of their own

KEY = b"k" * 32
__all__ = ["add_revision", "filled_database"]


@pytest.fixture
def instance(
    tmp_path: Path, filled_database: Path, settings: Settings, clock: factories.ManualClock
) -> Iterator[Services]:
    """An instance with rows in every table, recordings, e-mails and a key file."""
    folder = settings.instance
    shutil.copy(filled_database, folder / "provider.db")
    (folder / "secret.key").write_bytes(urlsafe_b64encode(KEY))
    (folder / "mail").mkdir()
    for name in ("one.eml", ".two.eml"):  # a name with a dot is an unfinished file
        (folder / "mail" / name).write_bytes(b"To: you\r\n\r\n" + name.encode())
    with closing(Database(settings.database_url)) as db:
        store_recordings(db, MediaStore(settings.media_url))
    services = factories.build_services(settings, clock)
    yield services
    services.db.close()


@pytest.fixture
def empty_instance(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of an instance with the same key, whose folder does not exist yet."""
    folder = tmp_path_factory.mktemp("empty") / "new"
    return factories.make_settings(folder)


def instance_content(settings: Settings) -> tuple[list[str], dict[str, bytes], dict[str, bytes]]:
    """Return the rows, the media and the e-mails of an instance on SQLite.

    The tokens of ATSes are left out: a restore forgets them.
    """
    email_files = (settings.instance / "mail").glob("[!.]*.eml")
    rows = dump(Database(settings.database_url))
    return (
        [row for row in rows if "api_tokens" not in row],
        read_files(MediaStore(settings.media_url)),
        {email_file.name: email_file.read_bytes() for email_file in email_files},
    )


def file_names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _without_tokens(tables: TableChecksums) -> TableChecksums:
    """Return the checksums that are equal after a restore, which forgets tokens of ATSes."""
    return {name: checksum for name, checksum in tables.items() if name != "api_tokens"}


# Equality


def test_restored_instance_is_equal(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    manifest = backup(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    assert instance_content(empty_instance) == instance_content(instance.settings)
    with closing(Database(empty_instance.database_url)) as db:
        schema_version.require_current(db)
    assert manifest.problems == {}
    assert len(manifest.files) == 1 + 11 + 1 + 1  # the database, media, an e-mail, the key


def test_restored_instance_uses_no_token_of_the_backup(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    """An ATS may have replaced the tokens since: a replaced one could end the connection."""
    backup(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    with closing(Database(empty_instance.database_url)) as db, db.reading() as session:
        tokens = session.scalars(select(ApiToken)).all()
        assert tokens
        for token in tokens:
            assert (token.access_encrypted, token.refresh_encrypted) == (None, None)
            assert token.reconnect_reason == "A backup was restored"


def test_backup_has_instance_layout_and_private_modes(instance: Services, tmp_path: Path) -> None:
    manifest = backup(instance, tmp_path / "backup")
    assert file_names(tmp_path / "backup") == {"manifest.json", *manifest.files}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "backup" / "secret.key").stat().st_mode & 0o777 == 0o600
    copied = replace(instance.settings, database_url=f"sqlite:///{tmp_path}/backup/provider.db")
    assert dump(Database(copied.database_url)) == dump(instance.db)


def test_restored_files_have_private_modes(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    assert (empty_instance.instance / "mail" / "one.eml").stat().st_mode & 0o777 == 0o600
    assert empty_instance.instance.stat().st_mode & 0o777 == 0o700


def test_restore_does_not_change_the_backup(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").rglob("*")}
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").rglob("*")} == before
    assert not list(empty_instance.instance.glob(".*"))


def test_backup_and_restore_work_with_postgresql(
    instance: Services, empty_instance: Settings, tmp_path: Path, postgres_url: str
) -> None:
    postgres_instance = replace(empty_instance, database_url=postgres_url)
    backup(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", postgres_instance, ignore_progress)
    services = factories.build_services(postgres_instance, instance.clock)
    second = backup(services, tmp_path / "second")
    first = read_manifest(tmp_path / "backup")
    assert _without_tokens(second.tables) == _without_tokens(first.tables)
    restore_backup(
        tmp_path / "second", replace(empty_instance, instance=tmp_path / "i"), ignore_progress
    )
    assert instance_content(empty_instance)[0] == instance_content(instance.settings)[0]


def test_missing_files_are_reported_and_restore_works(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    missing = next(iter(read_files(instance.media)))
    instance.media.delete(missing)
    assert backup(instance, tmp_path / "backup").problems.keys() <= {missing}
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    assert instance_content(empty_instance) == instance_content(instance.settings)


def test_backup_of_earlier_version_is_upgraded_by_restore(
    instance: Services, empty_instance: Settings, tmp_path: Path, add_revision: AddRevision
) -> None:
    backup(instance, tmp_path / "backup")
    add_revision("9001", 'op.execute("UPDATE orders SET revision = 4711")')
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    with closing(Database(empty_instance.database_url)) as db:
        schema_version.require_current(db)
        with db.reading() as session:
            revisions = session.scalars(sa.text("SELECT revision FROM orders")).all()
    assert revisions == [4711] * test_schema_version.ROWS_PER_TABLE


# Under load


def test_backup_under_load_has_every_acknowledged_order(
    services: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    account, product = factories.create_account(services)[0], factories.create_test(services)
    acknowledged: list[str] = []
    has_twenty, stop = threading.Event(), threading.Event()

    def place_orders() -> None:
        while not stop.is_set():
            url = f"https://groove-tech.workable.com/{len(acknowledged)}"
            acknowledged.append(factories.place_order(services, account, product, callback_url=url))
            if len(acknowledged) == 20:
                has_twenty.set()

    writer = threading.Thread(target=place_orders)
    writer.start()
    try:
        assert has_twenty.wait(60)
        before = list(acknowledged)
        create_backup(
            services.db,
            services.media,
            services.settings,
            tmp_path / "b",
            services.now(),
            ignore_progress,
        )
        assert len(acknowledged) > len(before)  # orders were placed during the backup
    finally:
        stop.set()
        writer.join()
    restore_backup(tmp_path / "b", empty_instance, ignore_progress)
    with closing(Database(empty_instance.database_url)) as db, db.reading() as session:
        restored = session.scalars(sa.select(Order.public_id).order_by(Order.id)).all()
    assert restored[: len(before)] == before
    assert set(restored) <= set(acknowledged)
    assert test_schema_version.broken_references(Database(empty_instance.database_url)) == []


# Interruption and failure


def test_killed_backup_leaves_temporary_folder_that_next_one_deletes(
    instance: Services, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for calls in (1, 40, 85, 110):  # during rows, files, and the trial restore
        args = instance.settings, folder / f"b{calls}", KillAfter(calls)
        assert run_in_process(back_up_in_process, *args) == -signal.SIGKILL
        assert [path.name for path in folder.iterdir()] == [f".b{calls}.provider-draft"]
    backup(instance, folder / "complete")
    assert [path.name for path in folder.iterdir()] == ["complete"]


def test_backup_on_full_disk_fails_and_leaves_nothing(instance: Services, tmp_path: Path) -> None:
    folder, error_file = tmp_path / "backups", tmp_path / "error"
    folder.mkdir()

    assert (
        run_in_process(back_up_to_small_disk, instance.settings, folder / "backup", error_file) == 0
    )
    assert "disk fails or is full" in error_file.read_text()
    assert list(folder.iterdir()) == []


def test_backup_on_full_disk_names_the_recording(instance: Services, tmp_path: Path) -> None:
    folder, error_file = tmp_path / "backups", tmp_path / "error"
    folder.mkdir()
    recording = next(key for key in read_files(instance.media) if key.endswith("original"))
    instance.media.put(recording, [b"data" * 1_000_000])
    args = instance.settings, folder / "backup", error_file, 3_000_000
    assert run_in_process(back_up_to_small_disk, *args) == 0
    assert (
        f"The file {recording} cannot be copied: the disk fails, is full" in error_file.read_text()
    )
    assert list(folder.iterdir()) == []


def test_concurrent_or_repeated_backup_of_same_name_is_refused(
    instance: Services, tmp_path: Path
) -> None:
    errors: list[str] = []

    def back_up_again(*_: object) -> None:
        if not errors:
            errors.append("")
            with pytest.raises(Conflict, match="Another program is creating") as error:
                back_up_in_process(instance.settings, tmp_path / "backup", ignore_progress)
            errors[0] = str(error.value)

    backup(instance, tmp_path / "backup", back_up_again)
    assert errors[0]
    with pytest.raises(Conflict, match="exists already"):
        backup(instance, tmp_path / "backup")
    with pytest.raises(Invalid, match="There is no folder"):
        backup(instance, tmp_path / "nowhere" / "backup")


def test_backup_that_cannot_be_restored_is_deleted(instance: Services, tmp_path: Path) -> None:
    def damage(label: str, *_: object) -> None:
        if label == "Reading the backup":
            for database in tmp_path.glob(".backup*/provider.db"):
                with closing(Database(f"sqlite:///{database}")) as db, db.writing() as session:
                    session.execute(sa.text("UPDATE orders SET revision = 4711"))

    with pytest.raises(Conflict, match="damaged"):
        backup(instance, tmp_path / "backup", damage)
    assert not list(tmp_path.glob("*backup*"))


# Refused restores


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """Write a manifest for the present files of a backup."""
    manifest = read_manifest(folder)
    files = {path: inspect_file(folder / path) for path in manifest.files}
    replace(manifest, files=files, **changes).write(folder)


def check_refused(
    folder: Path, settings: Settings, error_type: type[ProviderError], message: str
) -> None:
    with pytest.raises(error_type, match=message) as error:
        restore_backup(folder, settings, ignore_progress)
    assert "\n" not in str(error.value)


def test_restore_into_used_instance_is_refused(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", empty_instance, ignore_progress)
    before = instance_content(empty_instance)
    check_refused(tmp_path / "backup", empty_instance, Conflict, "has rows already")
    assert instance_content(empty_instance) == before


def test_restore_of_damaged_backup_is_refused(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    intact, damaged = tmp_path / "backup", tmp_path / "damaged"
    for path in backup(instance, intact).files:
        for damage in (_flip_bit, _truncate, Path.unlink):
            shutil.copytree(intact, damaged)
            damage(damaged / path)
            check_refused(damaged, empty_instance, Conflict, "The backup is damaged: ")
            shutil.rmtree(damaged)
    assert not empty_instance.instance.exists()


def _flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "manifest.json cannot be read"),
        ("[]", "has a format that this program does not know"),
        ('{"format_version": 2}', "has a format that this program does not know"),
        ('{"format_version": 1}', "is incomplete"),
    ],
)
def test_restore_with_wrong_manifest_is_refused(
    empty_instance: Settings, tmp_path: Path, text: str, message: str
) -> None:
    check_refused(tmp_path, empty_instance, Invalid, "is not a backup: it has no manifest.json")
    (tmp_path / "manifest.json").write_text(text)
    check_refused(tmp_path, empty_instance, Invalid, message)


def test_restore_of_rows_that_differ_from_manifest_is_refused(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    db = Database(f"sqlite:///{tmp_path / 'backup/provider.db'}")
    with closing(db), db.writing() as session:
        session.execute(sa.text("DELETE FROM sign_in_attempts WHERE id = 1"))
    rewrite_manifest(tmp_path / "backup")
    check_refused(tmp_path / "backup", empty_instance, Conflict, "rows differ from the manifest")
    with closing(Database(empty_instance.database_url)) as db, pytest.raises(Unavailable):
        schema_version.require_current(db)


def test_restore_without_referenced_file_is_refused(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    files = backup(instance, tmp_path / "backup").files
    original = next(path for path in files if path.endswith("original"))
    data = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    del data["files"][original]
    (tmp_path / "backup" / "manifest.json").write_text(json.dumps(data))
    check_refused(tmp_path / "backup", empty_instance, Conflict, "lacks files that its rows name")


def test_restore_of_newer_backup_is_refused(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    rewrite_manifest(tmp_path / "backup", database_version="9999")
    check_refused(tmp_path / "backup", empty_instance, Invalid, "newer than this program")


def test_restore_without_the_key_is_refused(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    other_key = replace(empty_instance, secret_keys=(b"x" * 32,))
    check_refused(
        tmp_path / "backup",
        other_key,
        Unavailable,
        "set PROVIDER_SECRET_KEY to the content of .*secret",
    )
    assert not empty_instance.instance.exists()
    restore_backup(
        tmp_path / "backup", replace(empty_instance, secret_keys=(b"x" * 32, KEY)), ignore_progress
    )


def test_restore_that_is_killed_repeatedly_continues(
    instance: Services, empty_instance: Settings, tmp_path: Path
) -> None:
    backup(instance, tmp_path / "backup")
    kills = 0
    while run_in_process(
        restore_in_process, tmp_path / "backup", empty_instance, KillAfter(12 + 40 * kills)
    ):
        kills += 1
        if empty_instance.instance.exists():
            with closing(Database(empty_instance.database_url)) as db, pytest.raises(Unavailable):
                schema_version.require_current(db)
    assert kills > 2
    assert instance_content(empty_instance) == instance_content(instance.settings)
    assert not list(empty_instance.instance.glob(".*"))


# The commands


Run = Callable[..., Result]


@pytest.fixture
def run(instance: Services, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(instance.settings.instance))

    def run(*words: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(
            main, list(map(str, words)), prog_name="provider", obj=instance.clock
        )
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


def test_commands_backup_restore_and_copy_are_equal(
    run: Run, instance: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = instance_content(instance.settings)
    result = run("backup", tmp_path / "backup")
    assert f"rows in {len(Base.metadata.tables)} tables and 14 files, checked, in " in result.stdout
    assert "The backup contains the key" in result.stderr
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "new"))
    summary = json.loads(run("restore", tmp_path / "backup", "--json").stdout)
    assert (len(summary["tables"]), summary["files"], summary["problems"]) == (
        len(Base.metadata.tables),
        14,
        {},
    )
    token_rows = summary["tables"]["api_tokens"]["rows"]
    # Without the row of the schema version, and with those of tokens.
    assert summary["rows"] == len(before[0]) - 1 + token_rows
    assert (tmp_path / "new" / "secret.key").read_bytes() == urlsafe_b64encode(KEY)
    database, copy = f"sqlite:///{tmp_path}/new/provider.db", f"sqlite:///{tmp_path}/copy.db"
    result = run("copy-instance", database, copy, "--files-to", f"file:{tmp_path / 'media'}")
    assert "Do not serve the old instance again" in result.stderr
    rows = [row for row in dump(Database(copy)) if "api_tokens" not in row]
    acts = [row for row in rows if "instance.restored" in row or "instance.copied" in row]
    assert (len(acts), sorted({*rows} - {*acts})) == (2, before[0])
    assert read_files(MediaStore(f"file:{tmp_path / 'media'}")) == before[1]


def test_backup_command_warns_if_key_is_not_included(
    run: Run, instance: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_SECRET_KEY", urlsafe_b64encode(b"e" * 32).decode())
    output = run("backup", tmp_path / "backup").stderr
    assert "does not contain the key (PROVIDER_SECRET_KEY or secret.key)" in output
    assert "secret.key" not in file_names(tmp_path / "backup")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["copy-instance", "provider.db", "sqlite:////x/y"],
            "“provider.db” is not the address of a database",
        ),
        (
            ["copy-instance", "sqlite:///", "sqlite:////x/y"],
            "“sqlite:///” is not the address of a database",
        ),
        (
            ["copy-instance", "sqlite:////x", "sqlite:////y", "--files-from", "file:/x"],
            "needs --files-to",
        ),
        (
            ["copy-instance", "sqlite:////x/y", "postgresql+psycopg://u:p@127.0.0.1:1/x"],
            "no database",
        ),
        (["restore", "nowhere"], "nowhere is not a backup"),
        (["backup", "nowhere/backup"], "There is no folder"),
    ],
)
def test_command_with_wrong_argument_prints_one_line(
    run: Run, words: list[str], message: str
) -> None:
    result = run(*words, code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_unreachable_database_error_hides_password(run: Run, instance: Services) -> None:
    instance.db.close()
    url = "postgresql+psycopg://user:very-secret@127.0.0.1:1/name"
    result = run("copy-instance", instance.settings.database_url, url, code=1)
    assert "very-secret" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_backup_command_warns_of_missing_file(run: Run, instance: Services, tmp_path: Path) -> None:
    missing = next(key for key in read_files(instance.media) if key.endswith("original"))
    instance.media.delete(missing)
    assert f"Warning: {missing} is missing" in run("backup", tmp_path / "backup").stderr
