"""The files for containers. No image is built: their shell parts run here, and the rest is read."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from provider.config import SETTINGS

ROOT = Path(__file__).parents[1]
FILES = ROOT / "provider" / "samples" / "deployment"
CONTAINERFILE = (FILES / "Containerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((FILES / "compose.yaml").read_text("utf-8"))
OWN_SERVICES = {name: s for name, s in COMPOSE["services"].items() if s["image"] == "provider"}
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a container, with the program of this working copy."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "provider").write_text(f'#!/bin/sh\nexec {sys.executable} -m provider.cli "$@"\n')
    (programs / "python").symlink_to(sys.executable)
    (programs / "provider").chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PROVIDER_INSTANCE": str(tmp_path / "instance"),
        "PORT": str(free_port()),
    }


def is_healthy(environment: dict[str, str]) -> bool:
    command = [FILES / "container-health.sh"]
    return not subprocess.run(command, env=environment, capture_output=True, check=False).returncode


@contextmanager
def started(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([FILES / "container-entrypoint.sh", *arguments], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_entrypoint_creates_the_database_and_serves(environment: dict[str, str]) -> None:
    assert not is_healthy(environment)
    with started(environment, "start") as process:
        deadline = time.monotonic() + START_SECONDS
        while not is_healthy(environment):  # each check starts a Python
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        for file in Path(environment["PROVIDER_INSTANCE"]).iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert process.returncode == 0  # the program itself got the signal
    assert not is_healthy(environment)


def test_entrypoint_passes_other_commands_on(environment: dict[str, str]) -> None:
    command = [str(FILES / "container-entrypoint.sh"), "config"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert environment["PROVIDER_INSTANCE"] in result.stdout


def test_image_runs_as_an_ordinary_user_and_has_its_files() -> None:
    final_stage = CONTAINERFILE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\S+)$", final_stage, re.MULTILINE)
    assert f"--uid {user} " in final_stage
    assert int(user) > 0
    assert final_stage.index("\nUSER ") < final_stage.index("\nENTRYPOINT ")
    assert 'CMD ["container-health.sh"]' in final_stage
    copied = re.findall(
        r"(?<!=)\b(?:provider/samples/[\w./-]+|[\w-]+\.(?:lock|toml|md)|LICENSE)", CONTAINERFILE
    )
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_builder_gets_only_the_copied_files() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert rules[1] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    sources = re.findall(
        r"^COPY (?!--from)((?:--\S+ )?.+?) \S+$", CONTAINERFILE.replace("\\\n", ""), re.M
    )
    copied = {path for line in sources for path in line.split() if not path.startswith("--")}
    assert {path.partition("/")[0] for path in copied} == allowed


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_compose_service_is_confined(name: str) -> None:
    service = OWN_SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "10001"
    assert set(service["environment"]) <= set(SETTINGS)
    assert (Path(FILES / service["build"]["context"]).resolve()) == ROOT
    # Only the server's port is published, and to this machine alone.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_compose_has_both_shapes() -> None:
    shapes: dict[str, set[str]] = {}
    for name, service in COMPOSE["services"].items():
        for profile in service["profiles"]:
            shapes.setdefault(profile, set()).add(name)
    assert shapes == {"one": {"one"}, "many": {"database", "init", "server", "worker"}}
