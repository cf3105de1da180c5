"""`make soak`: the long proofs, each judged by one verdict with its figures.

    python -m tests.endurance [proof …] [--short] [--postgresql] [--seed N]

Without a name all are run. The seed is printed: the same one throws the same dice again.
"""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.endurance.backups import backups
from tests.endurance.crash import crash
from tests.endurance.duplicate_orders import duplicate_orders
from tests.endurance.durable import durable
from tests.endurance.faults import faults
from tests.endurance.instance_copy import instance_copy
from tests.endurance.isolation import isolation
from tests.endurance.kill import kill
from tests.endurance.multi_node import multi_node
from tests.endurance.outage import outage
from tests.endurance.powerloss.scenarios import disk, powerloss
from tests.endurance.restart import restart
from tests.endurance.scenario import Run, Scenario, ScenarioVerdict, silence_logs
from tests.endurance.simulation import simulation
from tests.endurance.stalled_worker import stalled_worker

SCENARIOS: dict[str, Scenario] = {
    "kill": kill,
    "durable": durable,
    "crash": crash,
    "restart": restart,
    "simulation": simulation,
    "isolation": isolation,
    "outage": outage,
    "fifty": duplicate_orders,
    "frozen": stalled_worker,
    "faults": faults,
    "many": multi_node,
    "moved": instance_copy,
    "backups": backups,
    "powerloss": powerloss,
    "disk": disk,
}


def main() -> int:
    """Run what was asked for; 1 when a proof fails."""
    options = argparse.ArgumentParser(prog="python -m tests.endurance")
    options.add_argument("proofs", nargs="*", metavar="proof", help=", ".join(SCENARIOS))
    options.add_argument("--short", action="store_true", help="the forms that the tests run")
    options.add_argument("--postgresql", action="store_true", help="those that run on either")
    options.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    chosen = options.parse_args()
    if unknown := set(chosen.proofs) - set(SCENARIOS):
        options.error(
            f"no such proof: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}"
        )
    silence_logs()
    print(f"seed {chosen.seed}", flush=True)
    passed = [_run_scenario(name, chosen) for name in chosen.proofs or SCENARIOS]
    return 0 if all(passed) else 1


def _run_scenario(name: str, options: argparse.Namespace) -> bool:
    print(f"{name} …", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="provider-soak-") as folder:
        told = {name: getattr(options, name) for name in ("short", "seed", "postgresql")}
        run = Run(Path(folder), **told)
        try:
            verdict = SCENARIOS[name](run)
        except Exception as error:  # the others are proved all the same
            verdict = ScenarioVerdict("it broke off", [f"{type(error).__name__}: {error}"])
    verdict.figures += f" ({time.monotonic() - began:.0f} s)"
    verdict.print_summary(name)
    return verdict.passed


if __name__ == "__main__":
    sys.exit(main())
