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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provider.errors import Invalid, Unavailable

READER_PATH = Path(__file__).with_name("recording_reader.py")
ENCODER_PATH = Path(__file__).with_name("recording_encoder.py")
TIMEOUT_SECONDS = 170  # of one run: all runs end within the lease of a recording
SMALL_HEIGHT_PIXELS = 480
HEAVY_BITS_PER_SECOND = 2_000_000
MAX_ENCODED_SECONDS = 600  # a longer recording is not encoded again: it would take too long
MAX_RUNS = 2  # of the reader: a machine that is short of memory may have ended the first


@dataclass(frozen=True)
class RemuxResult:
    """The length of the copy in seconds, and its size in pixels as players display it.

    `damaged` counts the packets of the recording that no decoder accepts.
    """

    seconds: float
    width: int
    height: int
    damaged: int = 0


def remux(
    source: Path,
    copy: Path,
    poster: Path,
    *,
    sound_only: bool = False,
    shrink: bool = False,
) -> RemuxResult:
    """Write a playable copy of `source`, and a poster as JPEG.

    The copy of a damaged recording has what can be decoded. With `shrink`, a heavy picture becomes
    smaller. A recording may have no picture if it is `sound_only`. Raises Invalid when the
    recording cannot be decoded, has a codec or a size that is not allowed, or stops the process
    that reads it. Raises Unavailable when this machine is at fault.
    """
    result = _read(source, copy, poster, sound_only)
    short_side = min(result.width, result.height)
    if result.damaged:
        mended = copy.with_name("mended")
        if not _encode_again(copy, short_side or SMALL_HEIGHT_PIXELS):
            raise Invalid("The recording cannot be read: %(reason)s", reason="it is damaged")
        mended_result = _read(copy, mended, poster, sound_only)
        mended.replace(copy)
        return replace(mended_result, damaged=result.damaged)
    if shrink and _is_heavy(copy, result) and _encode_again(copy, SMALL_HEIGHT_PIXELS):
        factor = min(1.0, SMALL_HEIGHT_PIXELS / short_side)
        width, height = (round(side * factor) for side in (result.width, result.height))
        return replace(result, width=width, height=height)
    return result


def _read(source: Path, copy: Path, poster: Path, sound_only: bool) -> RemuxResult:
    options = ["sound"] if sound_only else []
    for _ in range(MAX_RUNS):
        verdict = _run(READER_PATH, source, copy, poster, TIMEOUT_SECONDS, *options)
        if verdict is not None:
            return _to_result(verdict)
    raise Invalid("The recording cannot be read: %(reason)s", reason="it stops its reader")


def _is_heavy(copy: Path, result: RemuxResult) -> bool:
    if not result.width or result.seconds > MAX_ENCODED_SECONDS:
        return False
    bits_per_second = copy.stat().st_size * 8 / max(result.seconds, 1)
    is_large = min(result.width, result.height) > SMALL_HEIGHT_PIXELS
    return is_large or bits_per_second > HEAVY_BITS_PER_SECOND


def _encode_again(copy: Path, height: int) -> bool:
    """Replace the copy by one that is encoded again; return False, and keep it, if that fails."""
    target = copy.with_name("encoded")
    verdict = _run(ENCODER_PATH, copy, target, height, TIMEOUT_SECONDS)
    if verdict is None:
        return False
    target.replace(copy)
    return True


def _to_result(verdict: dict[str, Any]) -> RemuxResult:
    if "broken" in verdict:
        raise Invalid("The recording cannot be read: %(reason)s", reason=verdict["broken"])
    if "unavailable" in verdict:
        raise _unavailable(verdict["unavailable"])
    return RemuxResult(**verdict)


def _run(*program_and_arguments: object) -> dict[str, Any] | None:
    """Return the verdict on a recording; None if the recording stopped the process first."""
    # -I: neither the environment nor the current folder adds modules.
    command = [sys.executable, "-I", *map(str, program_and_arguments)]
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
    from structlog import get_logger  # late: see `logging_config`

    log = get_logger()
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
