"""The deployment guide and its files: commands, systemd units, the nginx file, the lock file."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import tomllib
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection, HTTPSConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from provider.app import ContractFlask
from provider.cli import main
from provider.config import Settings
from provider.web import http_server
from provider.web.body_limits import MAX_BODY_BYTES, max_body_bytes
from tests import nginx
from tests.conftest import app_for
from tests.factories import build_services
from tests.hostile_clients import HOST, HostileClients, dripped_body
from tests.web.test_http_server import serving

ROOT = Path(__file__).parents[1]
FILES = ROOT / "provider" / "samples" / "deployment"
GUIDE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
UNITS = sorted(FILES.glob("*.service"))


def run(*command: str | Path) -> str:
    """Return the output, stderr included."""
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True
    )
    return process.stdout


def test_guide_names_every_deployment_file() -> None:
    assert [path.name for path in FILES.iterdir() if path.name not in GUIDE] == []


@pytest.mark.parametrize(
    "text",
    [GUIDE, *(path.read_text("utf-8") for path in UNITS)],
    ids=["guide", *(path.name for path in UNITS)],
)
def test_installed_program_has_the_commands_in_use(text: str) -> None:
    commands = re.findall(r"/opt/provider/bin/provider ([a-z-]+)", text)
    assert commands
    for command in commands:
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0, command


needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd is not installed"
)


def copy_unit(unit: Path, folder: Path) -> Path:
    """Return a copy whose program exists: systemd checks that, and ours is not installed here."""
    copy = folder / unit.name.replace("@", "@8000")
    copy.write_text(unit.read_text("utf-8").replace("/opt/provider/bin/provider", "/bin/true"))
    return copy


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    assert run("systemd-analyze", "verify", copy_unit(unit, tmp_path)) == ""


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_units_have_an_exposure_of_at_most_three(unit: Path, tmp_path: Path) -> None:
    copy = copy_unit(unit, tmp_path)
    report = run("systemd-analyze", "security", "--offline=true", "--no-pager", copy)
    level = re.search(r"Overall exposure level for .*: ([0-9.]+) ", report)
    assert level, report
    assert float(level[1]) <= 3.0, report


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_units_keep_their_folder_private(unit: Path) -> None:
    lines = unit.read_text("utf-8").splitlines()
    assert {"StateDirectoryMode=0700", "UMask=0077"} <= set(lines)
    # The decoder sets limits of its own, which this group of system calls contains.
    assert not any("~@resources" in line for line in lines)


needs_nginx = pytest.mark.skipif(not nginx.is_installed(), reason="nginx is not installed")


def test_guide_names_the_connections_of_nginx() -> None:
    assert all(f"`{words}`" in GUIDE for words in (nginx.WORKER_CONNECTIONS, nginx.WORKER_FILES))


@pytest.mark.parametrize(
    "path", [f"/c/o/{'x' * 22}/documents/identity", f"/c/o/{'x' * 22}/uploads/{'y' * 22}"]
)
def test_nginx_allows_the_large_bodies_of_the_server(path: str) -> None:
    configuration = nginx.SAMPLE_FILE.read_text("utf-8")
    limits = re.findall(r"location ~ (\S+) \{\s+client_max_body_size (\d+)m;", configuration)
    sizes = [
        int(megabytes) * 1024 * 1024 for location, megabytes in limits if re.match(location, path)
    ]
    assert sizes == [max_body_bytes(path)]


@needs_nginx
def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    path = nginx.write_configuration(tmp_path, {})
    output = run("nginx", "-t", "-q", "-e", tmp_path / "errors", "-c", path)
    assert "emerg" not in output, output


@needs_nginx
def test_nginx_limits_bodies_and_knows_one_name(settings: Settings, tmp_path: Path) -> None:
    services = build_services(replace(settings, base_url=f"https://{nginx.HOST_NAME}"))
    with (
        serving(app_for(services, "behind nginx")) as url,
        nginx.running_nginx(tmp_path, int(url.rpartition(":")[2])) as proxy,
    ):
        answers = {
            (host, size): ask_nginx(proxy.https_port, host, size)
            for host, size in (
                (nginx.HOST_NAME, 0),
                (nginx.HOST_NAME, MAX_BODY_BYTES),
                (nginx.HOST_NAME, MAX_BODY_BYTES + 1),
                ("other.example.com", 0),
            )
        }
        no_answer = ask_nginx(proxy.http_port, "other.example.com", 0, tls=False)
    not_allowed = (405, {"status": 405, "message": "Method Not Allowed"}, ["max-age=31536000"])
    too_large = {"status": 413, "message": f"The body should have at most {MAX_BODY_BYTES} bytes"}
    assert answers == {
        (nginx.HOST_NAME, 0): not_allowed,
        (nginx.HOST_NAME, MAX_BODY_BYTES): not_allowed,
        (nginx.HOST_NAME, MAX_BODY_BYTES + 1): (413, too_large, ["max-age=31536000"]),
        ("other.example.com", 0): None,
    }
    assert no_answer is None


@needs_nginx
def test_slow_body_behind_nginx_ends_at_the_deadline(
    app: ContractFlask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "CHECK_INTERVAL_SECONDS", 0)
    with (
        serving(app, request_timeout_seconds=0.3) as url,
        nginx.running_nginx(
            tmp_path, int(url.rpartition(":")[2]), host_name=HOST, tls=False
        ) as proxy,
        HostileClients(proxy.https_port, [dripped_body("/s/x")], tick_seconds=0.05) as clients,
    ):
        assert clients.wait_until_closed(1, timeout_seconds=10)
    # A mere close would count as a broken server, and nginx would leave it out for ten seconds.
    assert (tmp_path / "provider.log").read_text("ascii").split()[4] == "408"


def ask_nginx(
    port: int, host: str, size: int, *, tls: bool = True
) -> tuple[int, Any, list[str] | None] | None:
    """Post a body to /health; return status, JSON and the values of Strict-Transport-Security.

    None when the connection is closed.
    """
    context = ssl._create_unverified_context()
    connection = (
        HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        if tls
        else HTTPConnection("127.0.0.1", port, timeout=10)
    )
    with closing(connection):
        if tls:
            plain = socket.create_connection(("127.0.0.1", port), timeout=10)
            # The TLS layer, too, names the host.
            connection.sock = context.wrap_socket(plain, server_hostname=nginx.HOST_NAME)
        try:
            connection.request("POST", "/health", bytes(size), {"Host": host})
            response = connection.getresponse()
        except RemoteDisconnected:
            return None
        strict = response.headers.get_all("Strict-Transport-Security")
        return response.status, json.load(response), strict


def test_server_lock_has_the_tested_versions() -> None:
    tested, installed = (
        dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))
        for name in ("requirements.lock", "requirements-server.lock")
    )
    assert installed.items() <= tested.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.match(r"[\w-]+", entry)[0].lower() for entry in project["dependencies"]}  # type: ignore[index]
    assert needed <= installed.keys()
    assert {"psycopg", "procrastinate"} <= installed.keys()
    assert not {"pytest", "moto", "playwright"} & installed.keys()
