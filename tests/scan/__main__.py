"""Runs gixy, wapiti and Lighthouse, and fails if one finds more than its goal allows.

gixy reads the nginx file. wapiti looks for weaknesses of medium level or above. Lighthouse measures
the candidate's pages. A scanner that cannot be installed is named at the end.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.scan.scanners import SCANNERS
from tests.scan.server import scanned_server


def main() -> int:
    problems, not_run = [], []
    with tempfile.TemporaryDirectory() as folder, scanned_server(Path(folder)) as server:
        for scanner in SCANNERS:
            print(f"== {scanner.name}", flush=True)
            try:
                if scanner.install():
                    problems += scanner.scan(server, Path(folder))
                    continue
            except (OSError, subprocess.CalledProcessError) as error:
                print(error)
            not_run.append(scanner.name)
    print(f"Not run: {', '.join(not_run) or 'none'}")
    print("\n".join(["Problems:", *problems] if problems else ["No problems"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
