"""Two proofs about disks: what is acknowledged outlives a power loss; and while a disk fails, or is
full, nobody lies, and when it is well again so is the server.

For the first everything that a real server does to its disk is recorded, and replayed up to many
places; there the power goes, and what is left is opened by the server's own parts. That the proof
bites is proved too: with `synchronous=NORMAL`, and on a disk whose syncs do nothing, it does find
losses.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from tests.soak.powerloss import judge
from tests.soak.powerloss.driver import Recorded, Wish, Wishes, recorded
from tests.soak.powerloss.judge import Findings
from tests.soak.powerloss.replay import WITNESS, Tape
from tests.soak.powerloss.shim import Disk, Missing, environment
from tests.soak.proof import Run, Verdict

DATABASE = "instance/provider.db"


@dataclass(frozen=True)
class Plan:
    """How much is recorded, and at how many places the power goes."""

    orders: int
    points: int
    bites: int  # places at which the power goes where it must show
    files: int
    rooms: tuple[int, ...]  # bytes that a full disk still has
    reads: tuple[int, ...]  # of so many one fails
    checkpoints: int  # syncs of the database itself that must be among what is replayed


@dataclass(frozen=True)
class Fault:
    """How a disk fails, and whether nothing at all can be kept meanwhile."""

    name: str
    begin: Callable[[Disk], None]
    nothing_kept: bool = False


LONG = Plan(
    1_600, 1_000, 300, 60, (0, 1_000, 5_000, 20_000, 70_000, 150_000, 400_000), (50, 9, 4), 10
)
SHORT = Plan(14, 20, 12, 5, (0, 70_000), (6,), 1)


def powerloss(run: Run) -> Verdict:
    """Orders, statuses and files that were acknowledged are there after a power loss anywhere."""
    plan, verdict = SHORT if run.short else LONG, Verdict("")
    try:
        told = [
            _orders(run, plan, "FULL", verdict),
            _orders(run, plan, "NORMAL", verdict),
            _files(run, plan, "honest", verdict),
            _files(run, plan, "lying", verdict),
        ]
    except Missing as missing:
        return Verdict("not proved", [str(missing)])
    verdict.figures = "; ".join(told)
    return verdict


def disk(run: Run) -> Verdict:
    """While a disk fails or is full no acknowledgement is false; then all goes on by itself."""
    plan, verdict = SHORT if run.short else LONG, Verdict("")
    try:
        ground = Disk(run.part("disk"))
    except Missing as missing:
        return Verdict("not proved", [str(missing)])
    wishes = Wishes(run.luck("wishes"))
    with recorded(ground) as server:
        server.fulfil(wishes.more(plan.orders // 2))
        faults = _faults(plan)
        said = [_failing(run, server, wishes, fault, plan, verdict) for fault in faults]
        late = server.delivers(wishes.all)
        verdict.problems += [f"never delivered: {each}" for each in late]
    found, tape = _judged(run, ground, plan.points, "disk")
    verdict.problems += found.lost + found.broken
    verdict.claim(tape.failed_syncs > 0, "no sync failed")
    answers = sum(said, Counter[int]())
    told = ", ".join(f"{count} × {code}" for code, count in sorted(answers.items()))
    verdict.figures = (
        f"{len(wishes.all)} orders, {len(faults)} faults, {tape.failed_syncs} syncs "
        f"failed, answered meanwhile: {told}; all done at the first try after each; {found}"
    )
    return verdict


def _faults(plan: Plan) -> list[Fault]:
    return [
        Fault("syncs that fail", Disk.syncs_fail, nothing_kept=True),
        *(
            Fault(f"{room:,} bytes of room", partial(Disk.fills_up, room=room), not room)
            for room in plan.rooms
        ),
        *(
            Fault(f"one of {each} reads failing", partial(Disk.reads_fail, one_of=each))
            for each in plan.reads
        ),
    ]


def _orders(run: Run, plan: Plan, synchronous: str, verdict: Verdict) -> str:
    """Record a server at work, lose power at many places; FULL must keep all, NORMAL must not."""
    ground = Disk(run.part(synchronous))
    wishes = Wishes(run.luck("wishes"))
    with recorded(ground, synchronous) as server:
        server.fulfil(wishes.more(plan.orders))
        verdict.claim(
            not wishes.undone, f"{len(wishes.undone)} requests failed: {server.said[-500:]}"
        )
    points = plan.points if synchronous == "FULL" else plan.bites
    found, tape = _judged(run, ground, points, synchronous)
    verdict.problems += [f"{synchronous}: {each}" for each in _unseen(tape, ground.root)]
    verdict.problems += [f"{synchronous}: {each}" for each in found.broken]
    if synchronous == "FULL":
        verdict.problems += [f"lost: {each}" for each in found.lost]
        verdict.claim(
            tape.syncs[DATABASE] >= plan.checkpoints,
            f"{tape.syncs[DATABASE]} syncs of the database",
        )
    else:
        verdict.claim(bool(found.lost), f"it does not bite: {synchronous} loses nothing")
    return f"{synchronous}: {found}, {tape.syncs[DATABASE]} syncs of the database"


def _files(run: Run, plan: Plan, kind: str, verdict: Verdict) -> str:
    """Record how files are kept, on a disk that syncs, and on one that says that it does."""
    ground = Disk(run.part(kind))
    if kind == "lying":
        ground.syncs_lie()
    command = [
        sys.executable,
        "-m",
        "tests.soak.powerloss.keeper",
        str(ground.root),
        str(plan.files),
    ]
    subprocess.run(command, env=environment(ground), check=True)
    tape = Tape(ground.log, ground.root, run.seed)
    points = plan.points if kind == "honest" else plan.bites
    found = judge.judge(tape, points, run.luck(kind), judge.files)
    verdict.problems += [f"files: {each}" for each in _unseen(tape, ground.root)]
    if kind == "honest":
        verdict.problems += [f"lost: {each}" for each in found.lost]
    else:
        verdict.claim(bool(found.lost), "it does not bite: a disk that lies loses nothing")
    return f"files on an {kind} disk: {found}".replace("an lying", "a lying")


def _judged(run: Run, ground: Disk, points: int, name: str) -> tuple[Findings, Tape]:
    tape, orders = Tape(ground.log, ground.root, run.seed), judge.Orders(run.part(f"{name} left"))
    run.say(f"{name}: {len(tape.entries):,} entries recorded")
    found = judge.judge(tape, points, run.luck(f"{name} points"), orders)
    run.say(f"{name}: {found}")
    return found, tape


def _unseen(tape: Tape, root: Path) -> list[str]:
    """Name the files that the log, played to its end, does not have as the disk has them."""
    tape.play(len(tape.entries))
    there = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm") and path.name != WITNESS
    }
    played = {name: data for name, data in tape.as_written().items() if name != WITNESS}
    wrong = {name for name in there.keys() | played.keys() if there.get(name) != played.get(name)}
    return [f"the log has not seen all of {name}" for name in sorted(wrong)]


def _failing(
    run: Run, server: Recorded, wishes: Wishes, fault: Fault, plan: Plan, verdict: Verdict
) -> Counter[int]:
    """Let the disk fail for a while; return how often which code was answered."""
    known = [wish for wish in wishes.all if not wish.declines][:3]
    for wish in known:
        wish.declines = True  # somebody known already changes their mind on a failing disk
    new = wishes.more(plan.orders // 8 + 3)
    tried = [*known, *new]
    fault.begin(server.disk)
    server.fulfil(tried)
    meanwhile = Counter(answer.status_code for wish in tried for answer in wish.refused)
    kept = [wish for wish in new if wish.order]
    meanwhile[201] = len(kept)
    verdict.problems += [f"{fault.name}: {each}" for each in _wrong(tried)]
    if fault.nothing_kept:
        kept += [wish for wish in known if wish.declined]
        verdict.problems += [f"{fault.name}: {each.number} was acknowledged" for each in kept]
    verdict.claim(meanwhile[503] > 0, f"{fault.name}: nobody noticed")
    server.disk.heals()
    server.fulfil(tried)
    verdict.problems += [f"after {fault.name}: {wish.number} failed" for wish in wishes.undone]
    verdict.claim(server.alive, f"{fault.name}: the server died")
    run.say(f"{fault.name}: {dict(meanwhile)}")
    return meanwhile


def _wrong(tried: list[Wish]) -> list[str]:
    """Name answers that are none of a server's whose disk fails."""
    refused = [answer for wish in tried for answer in wish.refused]
    return [
        f"{answer.status_code} from {answer.request.path_url}"
        for answer in refused
        if answer.status_code != 503 or not _said_right(answer)
    ]


def _said_right(answer: requests.Response) -> bool:
    """Whether an error has its shape: the contract's for machines, a page for people."""
    if answer.request.path_url.startswith("/c/"):
        return "</html>" in answer.text
    said = answer.json()
    return set(said) == {"status", "message"} and said["status"] == answer.status_code
