"""Runs the reader of recordings on many files, each in a process of its own, and measures them.

The decoders are loaded once: each file costs a fork, not the start of an interpreter. Arguments:
the folder for copies, then the files. Standard output: one line of JSON for each file.
"""

import json
import os
import sys
from pathlib import Path

from provider.core.kinds.interview import recording_reader

WALL_CLOCK_SECONDS = 30


def run_reader(source: Path, folder: Path) -> dict[str, object]:
    output = folder / "output"
    process = os.fork()
    if not process:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stdout.fileno())
        paths = [str(path) for path in (source, folder / "copy", folder / "poster.jpg")]
        sys.argv[1:] = [*paths, str(WALL_CLOCK_SECONDS)]
        recording_reader.main()
        os._exit(0)
    _, status, usage = os.wait4(process, 0)
    _, *verdicts = output.read_text().splitlines()
    return {
        "name": source.name,
        "exit_code": os.waitstatus_to_exitcode(status),
        "verdict": json.loads(verdicts[0]) if verdicts else None,
        "memory_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    for path in sys.argv[2:]:
        print(json.dumps(run_reader(Path(path), Path(sys.argv[1]))), flush=True)
