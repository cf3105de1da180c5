"""`make audit`: look up known weaknesses of the installed packages with pip-audit.

A package that pip-audit skips counts as not audited. Needs the network.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# requirements.lock has every package of requirements-server.lock, too.
LOCK_FILES = ("requirements.lock", "requirements-bench.lock")
PIP_AUDIT = Path(".venv-audit/bin/pip-audit")
OPTIONS = ("--disable-pip", "--require-hashes", "--format=json", "--progress-spinner=off")


def report(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return lines about packages, and the exit code: 1 weaknesses, 2 packages not audited."""
    skipped = [package for package in packages if "skip_reason" in package]
    weak = [package for package in packages if package.get("vulns")]
    lines = [f"{len(packages) - len(skipped)} audited, {len(skipped)} not audited"]
    lines += [f"  not audited: {package['name']} ({package['skip_reason']})" for package in skipped]
    for package in weak:
        ids = ", ".join(weakness["id"] for weakness in package["vulns"])
        lines.append(f"  weak: {package['name']} {package['version']}: {ids}")
    return lines, 1 if weak else 2 if skipped or not packages else 0


def main() -> int:
    codes = [_audit(lock_file) for lock_file in LOCK_FILES]
    return 1 if 1 in codes else max(codes)


def _audit(lock_file: str) -> int:
    process = subprocess.run([PIP_AUDIT, *OPTIONS, "-r", lock_file], capture_output=True, text=True)
    try:
        packages = json.loads(process.stdout)["dependencies"]
    except ValueError:
        reason = (process.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"{lock_file}: nothing was audited. Is the network there? pip-audit says: {reason}")
        return 2
    lines, code = report(packages)
    print(f"{lock_file}:", *lines, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
