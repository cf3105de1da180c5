"""Upgrading one machine after the other: what the previous release does on a newer database."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import provider
from provider.maintenance import schema_version
from provider.services import Services


@pytest.fixture
def previous_release(tmp_path: Path) -> Path:
    """A folder with the program as it was before the newest revision of the schema."""
    package = tmp_path / "previous" / "provider"
    shutil.copytree(Path(provider.__file__).parent, package)
    (newest,) = (package / "storage/migrations/versions").glob(f"{schema_version.head()}_*.py")
    newest.unlink()
    return package.parent


@pytest.mark.sqlite
@pytest.mark.parametrize("command", [("serve", "--port", "1"), ("init",), ("account", "list")])
def test_previous_release_refuses_a_newer_database(
    services: Services, previous_release: Path, command: tuple[str, ...]
) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(previous_release),
        "PROVIDER_INSTANCE": str(services.settings.instance),
        "PROVIDER_DATABASE_URL": services.settings.database_url,
    }
    process = subprocess.run(
        [sys.executable, "-m", "provider.cli", *command],
        env=environment,
        cwd=previous_release,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode != 0
    assert f"(version {schema_version.head()}) is newer than this program" in process.stderr
    with services.db.reading() as session:
        assert schema_version.current_version(session) == schema_version.head()
