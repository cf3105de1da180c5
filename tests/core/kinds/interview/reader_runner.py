"""Runs the programs that read and mend recordings on many files, and measures them.

Each run is a process of its own. The decoders are loaded once: a run costs a fork, not the start of
an interpreter. Arguments: the folder for copies, then the files. Standard output: one line of JSON
for each file.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provider.core.kinds.interview import recording_encoder, recording_reader

WALL_CLOCK_SECONDS = 30


def run_reader(source: Path, folder: Path) -> dict[str, object]:
    """Do what `remux` does with a recording; `served_damage` counts what is wrong in the copy."""
    copy, encoded = folder / "copy", folder / "encoded"
    row = _measure(recording_reader.main, folder, source, copy, folder / "poster.jpg")
    verdict = row["verdict"]
    if verdict and verdict.get("damaged"):
        height = min(verdict["width"], verdict["height"])
        encoding = _measure(recording_encoder.main, folder, copy, encoded, height)
        for name in ("memory_bytes", "cpu_seconds"):
            row[name] = max(row[name], encoding[name])
        copy = encoded
        if encoding["verdict"] is None:
            row["verdict"] = verdict = {"broken": "it cannot be mended"}
    served_damage = None
    if verdict and "seconds" in verdict:
        again = _measure(recording_reader.main, folder, copy, folder / "again", folder / "p.jpg")
        served_damage = (again["verdict"] or {"broken": "stopped"}).get("damaged", "broken")
    return {"name": source.name, "served_damage": served_damage, **row}


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
    _, *verdicts = output.read_text().splitlines() or [""]
    return {
        "exit_code": exit_code,
        "verdict": json.loads(verdicts[0]) if verdicts and exit_code == 0 else None,
        "memory_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    for path in sys.argv[2:]:
        print(json.dumps(run_reader(Path(path), Path(sys.argv[1]))), flush=True)
