"""Runs the endurance scenarios (`make soak`): each prints one verdict with its figures.

    python -m tests.endurance [scenario …] [--short] [--postgresql] [--seed N]

Without a name, all scenarios run. The seed is printed: it makes a run's random choices repeatable.
"""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.endurance.backups import backups
from tests.endurance.crash import crash
from tests.endurance.damaged_recordings import read_damaged_recordings
from tests.endurance.duplicate_orders import duplicate_orders
from tests.endurance.durable import durable
from tests.endurance.faults import faults
from tests.endurance.hostile import hostile
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
    "damaged_recordings": read_damaged_recordings,
    "durable": durable,
    "crash": crash,
    "restart": restart,
    "simulation": simulation,
    "isolation": isolation,
    "outage": outage,
    "duplicate_orders": duplicate_orders,
    "stalled_worker": stalled_worker,
    "faults": faults,
    "hostile": hostile,
    "multi_node": multi_node,
    "instance_copy": instance_copy,
    "backups": backups,
    "powerloss": powerloss,
    "disk": disk,
}


def main() -> int:
    """Run the chosen scenarios; return 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance")
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="run the short forms, as the tests do")
    parser.add_argument("--postgresql", action="store_true", help="use PostgreSQL where both work")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(
            f"no such scenario: {', '.join(sorted(unknown))}; choose from {', '.join(SCENARIOS)}"
        )
    silence_logs()
    print(f"seed {options.seed}", flush=True)
    passed = [_run_scenario(name, options) for name in options.scenarios or SCENARIOS]
    return 0 if all(passed) else 1


def _run_scenario(name: str, options: argparse.Namespace) -> bool:
    print(f"{name} …", flush=True)
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="provider-endurance-") as folder:
        run = Run(
            Path(folder), short=options.short, seed=options.seed, postgresql=options.postgresql
        )
        try:
            verdict = SCENARIOS[name](run)
        except Exception as error:  # the other scenarios must still run
            verdict = ScenarioVerdict("aborted", [f"{type(error).__name__}: {error}"])
    verdict.figures += f" ({time.monotonic() - started_at:.0f} s)"
    verdict.print_summary(name)
    return verdict.passed


if __name__ == "__main__":
    sys.exit(main())
