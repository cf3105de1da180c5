"""Runs gixy, Lighthouse and wapiti, and fails if one finds more than its goal allows.

gixy reads the nginx file. wapiti looks for weaknesses of medium level or above. Lighthouse measures
the candidate's pages. A scanner that cannot be installed is named at the end; one
that fails is a problem.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.scan.scanners import SCANNERS, Scanner
from tests.scan.server import ScannedServer, scanned_server


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, scanned_server(Path(folder)) as server:
        problems, not_run = run_scanners(SCANNERS, server, Path(folder))
    print(f"Not run: {', '.join(not_run) or 'none'}")
    print("\n".join(["Problems:", *problems] if problems else ["No problems"]))
    return 1 if problems else 0


def run_scanners(
    scanners: Iterable[Scanner], server: ScannedServer, work: Path
) -> tuple[list[str], list[str]]:
    """Return the problems, and the names of the scanners that cannot be installed."""
    problems, not_run = [], []
    for scanner in scanners:
        print(f"== {scanner.name}", flush=True)
        if not _is_installed(scanner):
            not_run.append(scanner.name)
            continue
        try:
            problems += scanner.scan(server, work)
        except (OSError, subprocess.CalledProcessError) as error:
            problems.append(f"{scanner.name}: it did not come to its end: {error}")
    return problems, not_run


def _is_installed(scanner: Scanner) -> bool:
    try:
        return scanner.install()
    except (OSError, subprocess.CalledProcessError) as error:
        print(error)
        return False


if __name__ == "__main__":
    sys.exit(main())
