"""`provider backup` and `restore`: whole or not at all, and nothing else than what was there."""

import json
import resource
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

from provider.cli import main
from provider.config import SETTINGS, Settings
from provider.core.orders import Order
from provider.errors import Conflict, Invalid, ProviderError, Unavailable
from provider.maintenance import (
    Manifest,
    create_backup,
    manifest,
    restore_backup,
    row_codec,
    schema_version,
)
from provider.maintenance.table_copy import ProgressCallback
from provider.services import Services
from provider.storage.database import Base, Database
from provider.storage.media import MediaStore
from tests import factories
from tests.endurance.actors import PROCESS_CONTEXT
from tests.maintenance import test_schema_version
from tests.maintenance.test_copy_instance import Death, dump, filled, held, quiet, record

pytestmark = pytest.mark.sqlite  # where it is about PostgreSQL it makes one itself

KEY = b"k" * 32
__all__ = ["filled"]


@pytest.fixture
def instance(
    tmp_path: Path, filled: Path, settings: Settings, clock: factories.ManualClock
) -> Iterator[Services]:
    """An instance with rows in every table, recordings, letters, and the key beside them."""
    here = settings.instance
    shutil.copy(filled, here / "provider.db")
    (here / "secret.key").write_bytes(urlsafe_b64encode(KEY))
    (here / "mail").mkdir()
    for name in ("one.eml", ".two.eml"):  # the other one is being written
        (here / "mail" / name).write_bytes(b"To: you\r\n\r\n" + name.encode())
    with closing(Database(settings.database_url)) as db:
        record(db, MediaStore(settings.media_url))
    services = Services.build(settings, clock)
    yield services
    services.db.close()


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of an instance that does not exist yet, with the same key."""
    folder = tmp_path_factory.mktemp("elsewhere") / "new"
    return Settings(
        instance=folder,
        database_url=f"sqlite:///{folder / 'provider.db'}",
        media_url=f"file:{folder / 'media'}",
        secret_keys=(KEY,),
    )


def made(services: Services, folder: Path, tell: ProgressCallback = quiet) -> Manifest:
    try:
        return create_backup(
            services.db, services.media, services.settings, folder, services.now(), tell
        )
    finally:
        services.db.close()


def content(settings: Settings) -> tuple[list[str], dict[str, bytes], dict[str, bytes]]:
    """Return all that an instance on SQLite holds: rows, media, letters."""
    letters = (settings.instance / "mail").glob("[!.]*.eml")
    return (
        dump(Database(settings.database_url)),
        held(MediaStore(settings.media_url)),
        {letter.name: letter.read_bytes() for letter in letters},
    )


def names(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


# Whole


def test_what_is_restored_is_what_was_backed_up(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    listed = made(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", elsewhere, quiet)
    assert content(elsewhere) == content(instance.settings)
    with closing(Database(elsewhere.database_url)) as db:
        schema_version.require_current(db)
    assert listed.amiss == {}
    assert len(listed.files) == 1 + 6 + 1 + 1  # the database, media, a letter, the key


def test_a_backup_is_laid_out_like_an_instance_and_is_its_owners_alone(
    instance: Services, tmp_path: Path
) -> None:
    listed = made(instance, tmp_path / "backup")
    assert names(tmp_path / "backup") == {"manifest.json", *listed.files}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "backup" / "secret.key").stat().st_mode & 0o777 == 0o600
    copied = replace(instance.settings, database_url=f"sqlite:///{tmp_path}/backup/provider.db")
    assert dump(Database(copied.database_url)) == dump(instance.db)


def test_a_restored_letter_and_key_are_their_owners_alone(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", elsewhere, quiet)
    assert (elsewhere.instance / "mail" / "one.eml").stat().st_mode & 0o777 == 0o600
    assert elsewhere.instance.stat().st_mode & 0o777 == 0o700


def test_restoring_changes_nothing_in_the_backup(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "backup").rglob("*")}
    restore_backup(tmp_path / "backup", elsewhere, quiet)
    assert {each: each.stat().st_mtime_ns for each in (tmp_path / "backup").rglob("*")} == before
    assert not list(elsewhere.instance.glob(".*"))


def test_a_backup_comes_from_postgresql_and_goes_there(
    instance: Services, elsewhere: Settings, tmp_path: Path, postgres_url: str
) -> None:
    there = replace(elsewhere, database_url=postgres_url)
    made(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", there, quiet)
    services = Services.build(there, instance.clock)
    second = made(services, tmp_path / "second")
    assert second.tables == json_of(tmp_path / "backup", "tables")
    restore_backup(tmp_path / "second", replace(elsewhere, instance=tmp_path / "i"), quiet)
    assert dump(Database(elsewhere.database_url)) == dump(instance.db)


def test_files_that_rows_name_and_nobody_has_are_told_and_do_not_stand_in_the_way(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    gone = next(iter(held(instance.media)))
    instance.media.delete(gone)
    assert made(instance, tmp_path / "backup").amiss.keys() <= {gone}
    restore_backup(tmp_path / "backup", elsewhere, quiet)
    assert content(elsewhere) == content(instance.settings)


def test_a_backup_by_an_earlier_version_is_brought_to_this_one(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    old = tmp_path / "backup" / "provider.db"
    old.unlink()
    with closing(Database(f"sqlite:///{old}")) as db:
        schema_version.upgrade(db, schema_version.revisions()[0])
        test_schema_version.fill(db)
    list_again(tmp_path / "backup", version=schema_version.revisions()[0])
    restore_backup(tmp_path / "backup", elsewhere, quiet)
    with closing(Database(elsewhere.database_url)) as db:
        schema_version.require_current(db)
        assert test_schema_version.counts(db)["orders"] == test_schema_version.ROWS


# Under load


def test_a_backup_holds_all_that_was_acknowledged_before_and_nothing_by_halves(
    services: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    account, product = factories.create_account(services)[0], factories.create_test(services)
    acknowledged: list[str] = []
    enough, over = threading.Event(), threading.Event()

    def place() -> None:
        while not over.is_set():
            url = f"https://groove-tech.workable.com/{len(acknowledged)}"
            acknowledged.append(factories.place_order(services, account, product, callback_url=url))
            if len(acknowledged) == 20:
                enough.set()

    writer = threading.Thread(target=place)
    writer.start()
    try:
        assert enough.wait(60)
        before = list(acknowledged)
        create_backup(
            services.db, services.media, services.settings, tmp_path / "b", services.now(), quiet
        )
        assert len(acknowledged) > len(before)  # it went on meanwhile
    finally:
        over.set()
        writer.join()
    restore_backup(tmp_path / "b", elsewhere, quiet)
    with closing(Database(elsewhere.database_url)) as db, db.reading() as session:
        found = session.scalars(sa.select(Order.public_id).order_by(Order.id)).all()
    assert found[: len(before)] == before
    assert set(found) <= set(acknowledged)
    assert test_schema_version.broken_references(Database(elsewhere.database_url)) == []


# Or not at all


def in_a_process(act: Callable[..., None], *told: object) -> int | None:
    """Do something in a process of its own; return how that ended, with 0 if it went well."""
    process = PROCESS_CONTEXT.Process(
        target=act, args=told
    )  # not forked from this one: obstore has threads
    process.start()
    process.join(60)
    return process.exitcode


def test_a_backup_that_is_killed_leaves_nothing_of_its_name_and_the_next_one_cleans_up(
    instance: Services, tmp_path: Path
) -> None:
    place = tmp_path / "backups"
    place.mkdir()
    for calls in (1, 40, 85, 110):  # rows, files, the trial
        told = instance.settings, place / f"b{calls}", Death(calls)
        assert in_a_process(_back_up_anew, *told) == -signal.SIGKILL
        assert [each.name for each in place.iterdir()] == [f".b{calls}.provider-draft"]
    made(instance, place / "whole")
    assert [each.name for each in place.iterdir()] == ["whole"]


def _back_up_anew(settings: Settings, folder: Path, tell: ProgressCallback) -> None:
    made(Services.build(settings, factories.ManualClock()), folder, tell)


def test_a_backup_for_which_the_disk_is_too_small_says_so_and_leaves_nothing(
    instance: Services, tmp_path: Path
) -> None:
    place, said = tmp_path / "backups", tmp_path / "said"
    place.mkdir()

    assert in_a_process(_on_a_small_disk, instance.settings, place / "backup", said) == 0
    assert "disk fails or is full" in said.read_text()
    assert list(place.iterdir()) == []


def test_a_recording_for_which_the_disk_is_too_small_is_named(
    instance: Services, tmp_path: Path
) -> None:
    place, said = tmp_path / "backups", tmp_path / "said"
    place.mkdir()
    film = next(key for key in held(instance.media) if key.endswith("original"))
    instance.media.put(film, [b"film" * 1_000_000])
    told = instance.settings, place / "backup", said, 3_000_000
    assert in_a_process(_on_a_small_disk, *told) == 0
    assert f"The file {film} cannot be copied: the disk fails, is full" in said.read_text()
    assert list(place.iterdir()) == []


def _on_a_small_disk(settings: Settings, folder: Path, said: Path, most: int = 200_000) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        _back_up_anew(settings, folder, quiet)
    except (ProviderError, OSError) as error:
        said.write_text(f"{type(error).__name__}: {error}")


def test_a_second_backup_at_the_same_place_waits_for_nobody(
    instance: Services, tmp_path: Path
) -> None:
    told: list[str] = []

    def again(*_: object) -> None:
        if not told:
            told.append("")
            with pytest.raises(Conflict, match="Another program is making") as error:
                _back_up_anew(instance.settings, tmp_path / "backup", quiet)
            told[0] = str(error.value)

    made(instance, tmp_path / "backup", again)
    assert told[0]
    with pytest.raises(Conflict, match="is there already"):
        made(instance, tmp_path / "backup")
    with pytest.raises(Invalid, match="There is no folder"):
        made(instance, tmp_path / "nowhere" / "backup")


def test_a_backup_that_cannot_be_restored_is_not_kept(instance: Services, tmp_path: Path) -> None:
    def damage(what: str, *_: object) -> None:
        if what == "Reading the backup":
            for database in tmp_path.glob(".backup*/provider.db"):
                with closing(Database(f"sqlite:///{database}")) as db, db.writing() as session:
                    session.execute(sa.text("UPDATE orders SET revision = 4711"))

    with pytest.raises(Conflict, match="damaged"):
        made(instance, tmp_path / "backup", damage)
    assert not list(tmp_path.glob("*backup*"))


# A restore that is refused


def json_of(folder: Path, part: str) -> Any:
    return getattr(manifest.read_manifest(folder), part)


def list_again(folder: Path, **changes: Any) -> None:
    """Write the list of a backup anew, for what is in it now."""
    from provider.maintenance.manifest import inspect_file, read_manifest

    old = read_manifest(folder)
    replace(old, files={path: inspect_file(folder / path) for path in old.files}, **changes).write(
        folder
    )


def refused(folder: Path, settings: Settings, kind: type[ProviderError], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        restore_backup(folder, settings, quiet)
    assert "\n" not in str(error.value)


def test_an_instance_that_holds_something_is_refused_and_left_alone(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    restore_backup(tmp_path / "backup", elsewhere, quiet)
    before = content(elsewhere)
    refused(tmp_path / "backup", elsewhere, Conflict, "holds something already")
    assert content(elsewhere) == before


def test_every_damage_to_a_backup_is_noticed(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    whole, spoilt = tmp_path / "backup", tmp_path / "spoilt"
    for path in made(instance, whole).files:
        for damage in (_turn_a_bit, _cut, Path.unlink):
            shutil.copytree(whole, spoilt)
            damage(spoilt / path)
            refused(spoilt, elsewhere, Conflict, "The backup is damaged: ")
            shutil.rmtree(spoilt)
    assert not elsewhere.instance.exists()


def _turn_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "manifest.json cannot be read"),
        ("[]", "of a form that this program does not know"),
        ('{"form": 2}', "of a form that this program does not know"),
        ('{"form": 1}', "lacks something"),
    ],
)
def test_what_is_no_backup_is_refused(
    elsewhere: Settings, tmp_path: Path, text: str, words: str
) -> None:
    refused(tmp_path, elsewhere, Invalid, "is no backup: there is no manifest.json in it")
    (tmp_path / "manifest.json").write_text(text)
    refused(tmp_path, elsewhere, Invalid, words)


def test_rows_that_the_list_does_not_know_are_refused(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    db = Database(f"sqlite:///{tmp_path / 'backup/provider.db'}")
    with closing(db), db.writing() as session:
        session.execute(sa.text("DELETE FROM sign_in_attempts WHERE id = 1"))
    list_again(tmp_path / "backup")
    refused(tmp_path / "backup", elsewhere, Conflict, "not what it should be")
    with closing(Database(elsewhere.database_url)) as db, pytest.raises(Unavailable):
        schema_version.require_current(db)


def test_a_backup_that_lacks_a_file_that_its_rows_name_is_refused(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    files = made(instance, tmp_path / "backup").files
    original = next(path for path in files if path.endswith("original"))
    told = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    del told["files"][original]
    (tmp_path / "backup" / "manifest.json").write_text(json.dumps(told))
    refused(tmp_path / "backup", elsewhere, Conflict, "lacks files that its rows name")


def test_a_backup_by_a_newer_program_is_refused(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    list_again(tmp_path / "backup", version="9999")
    refused(tmp_path / "backup", elsewhere, Invalid, "newer than this program")


def test_without_a_key_that_was_in_use_nothing_is_restored(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    other = replace(elsewhere, secret_keys=(b"x" * 32,))
    refused(
        tmp_path / "backup", other, Unavailable, "set PROVIDER_SECRET_KEY to what is in .*secret"
    )
    assert not elsewhere.instance.exists()
    restore_backup(tmp_path / "backup", replace(elsewhere, secret_keys=(b"x" * 32, KEY)), quiet)


def test_a_restore_that_is_killed_again_and_again_goes_on(
    instance: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    made(instance, tmp_path / "backup")
    kills = 0
    while in_a_process(_restore_anew, tmp_path / "backup", elsewhere, Death(12 + 40 * kills)):
        kills += 1
        if elsewhere.instance.exists():
            with closing(Database(elsewhere.database_url)) as db, pytest.raises(Unavailable):
                schema_version.require_current(db)
    assert kills > 2
    assert content(elsewhere) == content(instance.settings)
    assert not list(elsewhere.instance.glob(".*"))


def _restore_anew(folder: Path, settings: Settings, tell: ProgressCallback) -> None:
    row_codec.BATCH_SIZE = 2
    restore_backup(folder, settings, tell)


# The commands


Run = Callable[..., Result]


@pytest.fixture
def run(instance: Services, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(instance.settings.instance))

    def run(*words: str | Path, code: int = 0) -> Result:
        done = CliRunner().invoke(
            main, list(map(str, words)), prog_name="provider", obj=instance.clock
        )
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return run


def test_the_commands_take_an_instance_to_another_place_and_back(
    run: Run, instance: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(instance.settings)
    done = run("backup", tmp_path / "backup")
    assert f"rows in {len(Base.metadata.tables)} tables and 9 files, checked, in " in done.stdout
    assert "The backup contains the key" in done.stderr
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "new"))
    told = json.loads(run("restore", tmp_path / "backup", "--json").stdout)
    assert (len(told["tables"]), told["files"], told["amiss"]) == (len(Base.metadata.tables), 9, {})
    assert told["rows"] == len(before[0]) - 1  # the database's version is none of them
    assert (tmp_path / "new" / "secret.key").read_bytes() == urlsafe_b64encode(KEY)
    database, again = f"sqlite:///{tmp_path}/new/provider.db", f"sqlite:///{tmp_path}/again.db"
    done = run("copy-instance", database, again, "--files-to", f"file:{tmp_path / 'films'}")
    assert "Do not serve the old instance again" in done.stderr
    assert (dump(Database(again)), held(MediaStore(f"file:{tmp_path / 'films'}"))) == before[:2]


def test_a_key_from_the_environment_is_not_in_the_backup_and_that_is_said(
    run: Run, instance: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_SECRET_KEY", urlsafe_b64encode(b"e" * 32).decode())
    assert "does not contain PROVIDER_SECRET_KEY" in run("backup", tmp_path / "backup").stderr
    assert "secret.key" not in names(tmp_path / "backup")


@pytest.mark.parametrize(
    ("words", "said"),
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
        (["restore", "nowhere"], "nowhere is no backup"),
        (["backup", "nowhere/backup"], "There is no folder"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(run: Run, words: list[str], said: str) -> None:
    done = run(*words, code=1)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_server_that_does_not_answer_is_one_line_without_its_password(
    run: Run, instance: Services
) -> None:
    instance.db.close()
    url = "postgresql+psycopg://user:very-secret@127.0.0.1:1/name"
    done = run("copy-instance", instance.settings.database_url, url, code=1)
    assert "very-secret" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_warning_names_what_is_amiss(run: Run, instance: Services, tmp_path: Path) -> None:
    gone = next(key for key in held(instance.media) if key.endswith("original"))
    instance.media.delete(gone)
    assert f"Warning: {gone} is not there" in run("backup", tmp_path / "backup").stderr
