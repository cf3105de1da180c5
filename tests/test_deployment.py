"""The deployment guide and its files: commands, systemd units, the nginx file, the lock file."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from provider.cli import main

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


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@", "@8000")
    # systemd checks that the program exists; it is not installed here.
    copy.write_text(unit.read_text("utf-8").replace("/opt/provider/bin/provider", "/bin/true"))
    assert run("systemd-analyze", "verify", copy) == ""


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")
def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    conf = (FILES / "nginx.conf").read_text("utf-8")
    for path in ("/etc/letsencrypt/live/tests.example.com", "/var/log/nginx"):
        conf = conf.replace(path, str(tmp_path))
    certificate = ("fullchain.pem", "privkey.pem")
    run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-out",
        tmp_path / certificate[0],
        "-keyout",
        tmp_path / certificate[1],
    )
    # nginx only reads the file and opens no port.
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{conf}\n}}\n"
    )
    output = run("nginx", "-t", "-q", "-e", tmp_path / "errors", "-c", tmp_path / "nginx.conf")
    assert "emerg" not in output, output


def test_server_lock_has_the_tested_versions() -> None:
    tested, installed = (
        dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))
        for name in ("requirements.lock", "requirements-server.lock")
    )
    assert installed.items() <= tested.items()
    assert {"flask", "psycopg", "procrastinate"} <= installed.keys()
    assert not {"pytest", "moto", "playwright"} & installed.keys()
