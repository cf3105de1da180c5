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

from tests.endurance.powerloss import verification
from tests.endurance.powerloss.driver import (
    OrderPlan,
    PlannedOrder,
    RecordedServer,
    recorded_server,
)
from tests.endurance.powerloss.replay import ACKNOWLEDGEMENT_FILE, DiskReplay
from tests.endurance.powerloss.shim import RecordedDisk, ShimUnavailable, shim_environment
from tests.endurance.powerloss.verification import LossReport
from tests.endurance.scenario import Run, ScenarioVerdict

DATABASE_PATH = "instance/provider.db"


@dataclass(frozen=True)
class Plan:
    """How much is recorded, and at how many places the power goes."""

    orders: int
    points: int
    loss_points: int  # places at which the power goes where it must show
    file_count: int
    free_bytes: tuple[int, ...]  # bytes that a full disk still has
    read_failure_intervals: tuple[int, ...]  # of so many one fails
    min_database_syncs: int  # syncs of the database itself that must be among what is replayed


@dataclass(frozen=True)
class Fault:
    """How a disk fails, and whether nothing at all can be kept meanwhile."""

    name: str
    apply: Callable[[RecordedDisk], None]
    blocks_all_writes: bool = False


LONG_PLAN = Plan(
    1_600, 1_000, 300, 60, (0, 1_000, 5_000, 20_000, 70_000, 150_000, 400_000), (50, 9, 4), 10
)
SHORT_PLAN = Plan(14, 20, 12, 5, (0, 70_000), (6,), 1)


def powerloss(run: Run) -> ScenarioVerdict:
    """Orders, statuses and files that were acknowledged are there after a power loss anywhere."""
    plan, verdict = SHORT_PLAN if run.short else LONG_PLAN, ScenarioVerdict("")
    try:
        told = [
            _check_orders(run, plan, "FULL", verdict),
            _check_orders(run, plan, "NORMAL", verdict),
            _check_files(run, plan, "honest", verdict),
            _check_files(run, plan, "lying", verdict),
        ]
    except ShimUnavailable as missing:
        return ScenarioVerdict("not proved", [str(missing)])
    verdict.figures = "; ".join(told)
    return verdict


def disk(run: Run) -> ScenarioVerdict:
    """While a disk fails or is full no acknowledgement is false; then all goes on by itself."""
    plan, verdict = SHORT_PLAN if run.short else LONG_PLAN, ScenarioVerdict("")
    try:
        ground = RecordedDisk(run.create_folder("disk"))
    except ShimUnavailable as missing:
        return ScenarioVerdict("not proved", [str(missing)])
    wishes = OrderPlan(run.rng("wishes"))
    with recorded_server(ground) as server:
        server.place_orders(wishes.add_orders(plan.orders // 2))
        faults = _create_faults(plan)
        said = [_run_fault(run, server, wishes, fault, plan, verdict) for fault in faults]
        late = server.wait_for_deliveries(wishes.orders)
        verdict.problems += [f"never delivered: {each}" for each in late]
    found, tape = _check_losses(run, ground, plan.points, "disk")
    verdict.problems += found.lost + found.unreadable
    verdict.require(tape.failed_syncs > 0, "no sync failed")
    answers = sum(said, Counter[int]())
    told = ", ".join(f"{count} × {code}" for code, count in sorted(answers.items()))
    verdict.figures = (
        f"{len(wishes.orders)} orders, {len(faults)} faults, {tape.failed_syncs} syncs "
        f"failed, answered meanwhile: {told}; all done at the first try after each; {found}"
    )
    return verdict


def _create_faults(plan: Plan) -> list[Fault]:
    return [
        Fault("syncs that fail", RecordedDisk.fail_syncs, blocks_all_writes=True),
        *(
            Fault(
                f"{room:,} bytes of room",
                partial(RecordedDisk.limit_free_space, free_bytes=room),
                not room,
            )
            for room in plan.free_bytes
        ),
        *(
            Fault(f"one of {each} reads failing", partial(RecordedDisk.fail_reads, interval=each))
            for each in plan.read_failure_intervals
        ),
    ]


def _check_orders(run: Run, plan: Plan, synchronous: str, verdict: ScenarioVerdict) -> str:
    """Record a server at work, lose power at many places; FULL must keep all, NORMAL must not."""
    ground = RecordedDisk(run.create_folder(synchronous))
    wishes = OrderPlan(run.rng("wishes"))
    with recorded_server(ground, synchronous) as server:
        server.place_orders(wishes.add_orders(plan.orders))
        verdict.require(
            not wishes.unacknowledged,
            f"{len(wishes.unacknowledged)} requests failed: {server.log_text[-500:]}",
        )
    points = plan.points if synchronous == "FULL" else plan.loss_points
    found, tape = _check_losses(run, ground, points, synchronous)
    verdict.problems += [
        f"{synchronous}: {each}" for each in _find_unlogged_files(tape, ground.root)
    ]
    verdict.problems += [f"{synchronous}: {each}" for each in found.unreadable]
    if synchronous == "FULL":
        verdict.problems += [f"lost: {each}" for each in found.lost]
        verdict.require(
            tape.syncs[DATABASE_PATH] >= plan.min_database_syncs,
            f"{tape.syncs[DATABASE_PATH]} syncs of the database",
        )
    else:
        verdict.require(bool(found.lost), f"it does not bite: {synchronous} loses nothing")
    return f"{synchronous}: {found}, {tape.syncs[DATABASE_PATH]} syncs of the database"


def _check_files(run: Run, plan: Plan, disk_type: str, verdict: ScenarioVerdict) -> str:
    """Record how files are kept, on a disk that syncs, and on one that says that it does."""
    ground = RecordedDisk(run.create_folder(disk_type))
    if disk_type == "lying":
        ground.ignore_syncs()
    command = [
        sys.executable,
        "-m",
        "tests.endurance.powerloss.file_writer",
        str(ground.root),
        str(plan.file_count),
    ]
    subprocess.run(command, env=shim_environment(ground), check=True)
    tape = DiskReplay(ground.log, ground.root, run.seed)
    points = plan.points if disk_type == "honest" else plan.loss_points
    found = verification.check_after_power_loss(
        tape, points, run.rng(disk_type), verification.find_lost_files
    )
    verdict.problems += [f"files: {each}" for each in _find_unlogged_files(tape, ground.root)]
    if disk_type == "honest":
        verdict.problems += [f"lost: {each}" for each in found.lost]
    else:
        verdict.require(bool(found.lost), "it does not bite: a disk that lies loses nothing")
    return f"files on an {disk_type} disk: {found}".replace("an lying", "a lying")


def _check_losses(
    run: Run, recorded_disk: RecordedDisk, points: int, name: str
) -> tuple[LossReport, DiskReplay]:
    tape, orders = (
        DiskReplay(recorded_disk.log, recorded_disk.root, run.seed),
        verification.OrderVerifier(run.create_folder(f"{name} left")),
    )
    run.print_progress(f"{name}: {len(tape.entries):,} entries recorded")
    found = verification.check_after_power_loss(tape, points, run.rng(f"{name} points"), orders)
    run.print_progress(f"{name}: {found}")
    return found, tape


def _find_unlogged_files(replay: DiskReplay, root: Path) -> list[str]:
    """Name the files that the log, played to its end, does not have as the disk has them."""
    replay.replay_until(len(replay.entries))
    there = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm") and path.name != ACKNOWLEDGEMENT_FILE
    }
    played = {
        name: data for name, data in replay.visible_files().items() if name != ACKNOWLEDGEMENT_FILE
    }
    wrong = {name for name in there.keys() | played.keys() if there.get(name) != played.get(name)}
    return [f"the log has not seen all of {name}" for name in sorted(wrong)]


def _run_fault(
    run: Run,
    server: RecordedServer,
    order_plan: OrderPlan,
    fault: Fault,
    plan: Plan,
    verdict: ScenarioVerdict,
) -> Counter[int]:
    """Let the disk fail for a while; return how often which code was answered."""
    known = [wish for wish in order_plan.orders if not wish.should_decline][:3]
    for wish in known:
        wish.should_decline = True  # somebody known already changes their mind on a failing disk
    new = order_plan.add_orders(plan.orders // 8 + 3)
    tried = [*known, *new]
    fault.apply(server.disk)
    server.place_orders(tried)
    meanwhile = Counter(answer.status_code for wish in tried for answer in wish.error_responses)
    kept = [wish for wish in new if wish.order_id]
    meanwhile[201] = len(kept)
    verdict.problems += [f"{fault.name}: {each}" for each in _unexpected_responses(tried)]
    if fault.blocks_all_writes:
        kept += [wish for wish in known if wish.is_declined]
        verdict.problems += [f"{fault.name}: {each.number} was acknowledged" for each in kept]
    verdict.require(meanwhile[503] > 0, f"{fault.name}: nobody noticed")
    server.disk.repair()
    server.place_orders(tried)
    verdict.problems += [
        f"after {fault.name}: {wish.number} failed" for wish in order_plan.unacknowledged
    ]
    verdict.require(server.is_running, f"{fault.name}: the server died")
    run.print_progress(f"{fault.name}: {dict(meanwhile)}")
    return meanwhile


def _unexpected_responses(orders: list[PlannedOrder]) -> list[str]:
    """Name answers that are none of a server's whose disk fails."""
    refused = [answer for wish in orders for answer in wish.error_responses]
    return [
        f"{answer.status_code} from {answer.request.path_url}"
        for answer in refused
        if answer.status_code != 503 or not _has_error_shape(answer)
    ]


def _has_error_shape(response: requests.Response) -> bool:
    """Whether an error has its shape: the contract's for machines, a page for people."""
    if response.request.path_url.startswith("/c/"):
        return "</html>" in response.text
    said = response.json()
    return set(said) == {"status", "message"} and said["status"] == response.status_code
