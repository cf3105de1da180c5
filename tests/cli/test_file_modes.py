"""Modes of the files that commands and servers write: nobody but their own user may read them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from provider.cli import main
from provider.config import SETTINGS
from provider.storage.database import Database

PRODUCT = """\
kind: assessment
key: small
name: Small
sections:
  - key: one
    title: One
    items: [{kind: true_false, key: a, prompt: Is it so?, answer: true}]
"""


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """Return an instance folder that was there before and that everybody may enter."""
    folder = tmp_path / "instance"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    previous_umask = os.umask(0o022)
    yield
    assert os.umask(previous_umask) == 0o022


def run(instance: Path, *words: str, stdin: str = "") -> None:
    """Run a command on an instance, under the usual umask of a shell."""
    settings = dict.fromkeys(SETTINGS) | {"PROVIDER_INSTANCE": str(instance)}
    result = CliRunner(env=settings).invoke(main, words, input=stdin)
    assert result.exit_code == 0, result.output


def readable_by_others(folder: Path) -> list[str]:
    """Return the paths below a folder that its group or others may use."""
    return [
        str(path.relative_to(folder)) for path in paths_in(folder) if path.stat().st_mode & 0o077
    ]


def paths_in(folder: Path) -> Iterator[Path]:
    yield from folder.rglob("*")


def test_commands_write_files_for_their_user_only(instance: Path, tmp_path: Path) -> None:
    product = tmp_path / "product.yaml"
    product.write_text(PRODUCT)
    commands = [
        (["init"], ""),
        (["seed"], ""),
        (["account", "create", "A", "--ats", "workable", "--callback-token", "-"], "token\n"),
        (["product", "import", str(product)], ""),
        (
            ["staff", "create", "a@b.test", "--role", "viewer", "--password-stdin"],
            "krumpel 7 vast\n",
        ),
        (["backup", str(instance / "backup")], ""),
    ]
    for words, stdin in commands:
        run(instance, *words, stdin=stdin)
        assert readable_by_others(instance) == [], words
    names = {path.name for path in paths_in(instance)}
    assert {"provider.db", "secret.key", "manifest.json"} <= names
    restored = tmp_path / "restored"
    restored.mkdir(mode=0o755)
    run(restored, "restore", str(instance / "backup"))
    assert readable_by_others(restored) == []
    copy = tmp_path / "copy"
    copy.mkdir()
    urls = [f"sqlite:///{folder}/provider.db" for folder in (instance, copy)]
    files = f"file:{copy / 'media'}"
    run(instance, "copy-instance", "-", "-", "--files-to", files, stdin="\n".join(urls))
    assert readable_by_others(copy) == []


def test_init_takes_permissions_from_files_that_were_there(instance: Path) -> None:
    run(instance, "init")
    for name in ("media/recordings/a/original", "mail/b.eml"):
        (instance / name).parent.mkdir(parents=True, exist_ok=True)
        (instance / name).write_bytes(b"x")
    for path in paths_in(instance):
        path.chmod(0o755 if path.is_dir() else 0o644)
    run(instance, "init")
    assert readable_by_others(instance) == []
    assert instance.stat().st_mode & 0o777 == 0o755  # a folder of the system may be named


@pytest.mark.sqlite
def test_database_takes_permissions_from_its_side_files(tmp_path: Path) -> None:
    file = tmp_path / "provider.db"
    first, second = (Database(f"sqlite:///{file}") for _ in range(2))
    with first.writing() as session:
        session.connection().exec_driver_sql("CREATE TABLE t (x)")
    assert (tmp_path / "provider.db-wal").exists()
    for path in tmp_path.iterdir():
        path.chmod(0o666)
    with second.reading() as session:
        session.connection().exec_driver_sql("SELECT * FROM t")
    assert readable_by_others(tmp_path) == []
    first.close()
    second.close()


def test_backup_without_key_is_restored_with_the_key_from_elsewhere(
    instance: Path, tmp_path: Path
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    run(instance, "init")
    run(instance, "backup", str(backup), "--without-key")
    assert not list(backup.rglob("secret.key"))
    settings = dict.fromkeys(SETTINGS) | {"PROVIDER_INSTANCE": str(restored)}
    refused = CliRunner(env=settings).invoke(main, ["restore", str(backup)])
    assert refused.exit_code == 1
    assert "does not contain its key: set PROVIDER_SECRET_KEY" in refused.stderr
    assert not (restored / "secret.key").exists()
    restored.mkdir()
    (restored / "secret.key").write_bytes((instance / "secret.key").read_bytes())
    run(restored, "restore", str(backup))
