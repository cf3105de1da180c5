"""`python -m tests.soak.powerloss [--short]`: the proofs about disks by themselves."""

import secrets
import sys
import tempfile
from pathlib import Path

from tests.soak.powerloss.prove import disk, powerloss
from tests.soak.proof import Run

if __name__ == "__main__":
    seed = secrets.randbelow(1_000_000)
    print(f"seed {seed}", flush=True)
    passed = []
    for proof in (powerloss, disk):
        with tempfile.TemporaryDirectory(prefix="provider-soak-") as folder:
            verdict = proof(Run(Path(folder), short="--short" in sys.argv, seed=seed))
        verdict.show(proof.__name__)
        passed.append(verdict.passed)
    sys.exit(not all(passed))
