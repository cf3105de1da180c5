"""Runs the programs that read and mend recordings on many files, and measures them.

Each run is a process of its own. The decoders are loaded once: a run costs a fork, not the start of
an interpreter. Arguments: the folder for copies, then the files. Standard output: one line of JSON
for each file.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av

from provider.core.kinds.interview import recording_encoder, recording_reader

WALL_CLOCK_SECONDS = 30


def run_reader(source: Path, folder: Path) -> dict[str, object]:
    """Do what `remux` does with a recording; `plays` says whether its copy plays to the end."""
    copy, poster = folder / "copy", folder / "poster.jpg"
    row = _measure(recording_reader.main, folder, source, copy, poster)
    verdict = row["verdict"] or {}
    if verdict.get("damaged"):
        encoded, copy = folder / "encoded", folder / "mended"
        height = min(verdict["width"], verdict["height"])
        runs = [_measure(recording_encoder.main, folder, folder / "copy", encoded, height)]
        if runs[0]["verdict"] is not None:
            runs.append(_measure(recording_reader.main, folder, encoded, copy, poster))
        row["verdict"] = runs[-1]["verdict"]
        for name in ("memory_bytes", "cpu_seconds"):
            row[name] = max(run[name] for run in (row, *runs))
    is_served = "seconds" in (row["verdict"] or {})
    plays = is_served and _measure(partial(_play, copy), folder)["exit_code"] == 0
    return {"name": source.name, "is_served": is_served, "plays": plays, **row}


def _play(copy: Path) -> None:
    """Decode a copy from start to end. An error of a decoder is an error."""
    for kind in ("video", "audio"):
        with av.open(copy) as container:
            assert sum(1 for _ in container.decode(**{kind: 0}))


def _measure(program: Callable[[], None], folder: Path, *arguments: object) -> dict[str, Any]:
    output = folder / "output"
    process = os.fork()
    if not process:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
        sys.argv[1:] = [*map(str, arguments), str(WALL_CLOCK_SECONDS)]
        try:
            program()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(process, 0)
    exit_code = os.waitstatus_to_exitcode(status)
    _, *verdicts = (output.read_text(errors="replace").splitlines() if output.exists() else ()) or [
        ""
    ]
    return {
        "exit_code": exit_code,
        "verdict": json.loads(verdicts[0]) if verdicts and exit_code == 0 else None,
        "memory_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    for path in sys.argv[2:]:
        print(json.dumps(run_reader(Path(path), Path(sys.argv[1]))), flush=True)
