"""A take that begins on one version of the server, and is saved by the next one."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.endurance.server import ROOT, SERVER_TIMEOUT_SECONDS, Instance, is_answering
from tests.web.recording import (
    LONG_QUESTION,
    RecordedTakes,
    count_kept_chunks,
    expect_nothing_else,
    expect_plays,
    list_recordings,
    order_interview,
    press,
    start_interview,
    start_recording,
    wait_for_chunks,
)

NEWER_SIGN = "// A newer version."
READ_SCRIPT = "fetch(document.querySelector('script[src*=interview-question]').src)"


@contextmanager
def running_newer_version(instance: Instance, folder: Path) -> Iterator[None]:
    """Run a copy of the program whose scripts differ, on the same data and port."""
    shutil.copytree(ROOT / "provider", folder / "provider")
    for script in (folder / "provider/web/static").glob("interview-*.js"):
        script.write_text(script.read_text("utf-8") + NEWER_SIGN, "utf-8")
    command = [sys.executable, "-m", "provider.cli", "serve", "--port", str(instance.port)]
    environment = instance.process_environment()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.DEVNULL
    ) as server:
        deadline = time.monotonic() + SERVER_TIMEOUT_SECONDS
        while not is_answering(instance.port):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
        server.send_signal(signal.SIGKILL)


@pytest.mark.sqlite
@pytest.mark.machine_time
def test_take_goes_on_with_a_new_version_of_the_server(page: Page, tmp_path: Path) -> None:
    (tmp_path / "instance").mkdir()
    instance, takes = Instance(tmp_path / "instance"), RecordedTakes(page.context)
    with instance.open_services() as services:
        invited = order_interview(services, [LONG_QUESTION])
        with instance.start_server() as server:
            server.wait_until_ready()
            start_interview(page, services, invited)
            start_recording(page)
            wait_for_chunks(page, 3)
            server.kill()
        wait_for_chunks(page, count_kept_chunks(page) + 2)
        with running_newer_version(instance, tmp_path / "newer"):
            wait_for_chunks(page, count_kept_chunks(page) + 1)  # the older page goes on
            page.reload()
            script = page.evaluate(f"{READ_SCRIPT}.then((response) => response.text())")
            assert script.endswith(NEWER_SIGN)
            press(page, "Send this answer")
            expect(page.locator("[data-step=saved]")).to_be_visible(timeout=40_000)
            (recording,) = list_recordings(services, invited)
            expect_plays(services, recording, takes.chunks(0), tmp_path)
            expect_nothing_else(services, page, invited, takes=1)
