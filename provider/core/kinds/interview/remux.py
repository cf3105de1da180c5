"""Makes a playable copy of a recording, and a poster.

A browser writes the file while it records, so the file has no duration and no index. A player
can neither show its length nor seek. The copy has both. Video and sound are not encoded again.

The bytes come from a stranger, and decoders have faults. A process with limits reads them, so that
no recording takes the server's memory or stops the server: see `recording_reader.py`.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from provider.errors import Invalid, Unavailable

READER_PATH = Path(__file__).with_name("recording_reader.py")
TIMEOUT_SECONDS = 240  # of one run: both runs end within the lease of a recording
MAX_RUNS = 2  # a machine that is short of memory may have ended the first

log = structlog.get_logger()


@dataclass(frozen=True)
class RemuxResult:
    """The length of the copy in seconds, and its size in pixels as players display it."""

    seconds: float
    width: int
    height: int


def remux(source: Path, copy: Path, poster: Path) -> RemuxResult:
    """Write a playable copy of `source`, and a poster as JPEG.

    Raises Invalid when the recording is damaged, has no picture, has a codec or a size that is not
    allowed, or stops the process that reads it. Raises Unavailable when this machine is at fault.
    """
    for _ in range(MAX_RUNS):
        verdict = _run_reader(source, copy, poster)
        if verdict is not None:
            return _to_result(verdict)
    raise Invalid("The recording cannot be read: %(reason)s", reason="it stops its reader")


def _to_result(verdict: dict[str, Any]) -> RemuxResult:
    if "broken" in verdict:
        raise Invalid("The recording cannot be read: %(reason)s", reason=verdict["broken"])
    if "unavailable" in verdict:
        raise _unavailable(verdict["unavailable"])
    return RemuxResult(**verdict)


def _run_reader(source: Path, copy: Path, poster: Path) -> dict[str, Any] | None:
    """Return the verdict on a recording; None if the recording stopped the process first."""
    # -I: neither the environment nor the current folder adds modules.
    paths = (READER_PATH, source, copy, poster)
    command = [sys.executable, "-I", *map(str, paths), str(TIMEOUT_SECONDS)]
    try:
        completed = subprocess.run(  # noqa: S603
            command,
            env={"PATH": os.defpath, "MALLOC_ARENA_MAX": "1"},  # nothing of the server's settings
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        exit_code, lines = completed.returncode, completed.stdout.splitlines()
    except subprocess.TimeoutExpired as error:
        exit_code, lines = None, (error.stdout or b"").splitlines()
    except OSError as error:
        raise _unavailable(error.strerror or "") from error
    if lines[:1] != [b"ready"]:
        log.error("recording_reader_not_started", exit_code=exit_code)
        raise _unavailable("its reader does not start")
    if exit_code != 0 or len(lines) < 2:
        log.warning("recording_reader_stopped", exit_code=exit_code)
        return None
    verdict: dict[str, Any] = json.loads(lines[1])
    return verdict


def _unavailable(reason: str) -> Unavailable:
    return Unavailable("The recording cannot be processed now: %(reason)s", reason=reason)
