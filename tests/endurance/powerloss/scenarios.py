"""Two scenarios about disks: a power loss, and a disk that fails or is full.

All disk writes of a real server are recorded and replayed up to many points, where the power is
lost. The server's own code then opens the remaining files; every acknowledgement must hold. While a
disk fails or is full, no acknowledgement may be false; afterwards the server must recover.
Control runs must find losses: with `synchronous=NORMAL`, and on a disk that ignores syncs. Only the
long form has the run with `synchronous=NORMAL`, because a second server takes seconds to start.
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
    """How much is recorded, and at how many points the power is lost."""

    orders: int
    points: int
    loss_points: int  # in the control runs
    file_count: int
    free_bytes: tuple[int, ...]  # that a full disk still has
    read_failure_intervals: tuple[int, ...]  # every n-th read fails
    min_database_syncs: int  # that the recording must contain
    synchronous_modes: tuple[str, ...]  # of SQLite, each with a server of its own


@dataclass(frozen=True)
class Fault:
    """How a disk fails, and whether it then blocks every write."""

    name: str
    apply: Callable[[RecordedDisk], None]
    blocks_all_writes: bool = False


LONG_PLAN = Plan(
    1_600,
    1_000,
    300,
    60,
    (0, 1_000, 5_000, 20_000, 70_000, 150_000, 400_000),
    (50, 9, 4),
    10,
    ("FULL", "NORMAL"),
)
SHORT_PLAN = Plan(10, 12, 12, 5, (0, 70_000), (6,), 1, ("FULL",))


def powerloss(run: Run) -> ScenarioVerdict:
    """Acknowledged orders, statuses and files survive a power loss at any point."""
    plan, verdict = SHORT_PLAN if run.short else LONG_PLAN, ScenarioVerdict("")
    try:
        figures = [
            *(_check_orders(run, plan, mode, verdict) for mode in plan.synchronous_modes),
            _check_files(run, plan, "working", verdict),
            _check_files(run, plan, "ignored", verdict),
        ]
    except ShimUnavailable as error:
        return ScenarioVerdict("not run", [str(error)])
    verdict.figures = "; ".join(figures)
    return verdict


def disk(run: Run) -> ScenarioVerdict:
    """While a disk fails or is full no acknowledgement is false; afterwards the server recovers."""
    plan, verdict = SHORT_PLAN if run.short else LONG_PLAN, ScenarioVerdict("")
    try:
        recorded_disk = RecordedDisk(run.create_folder("disk"))
    except ShimUnavailable as error:
        return ScenarioVerdict("not run", [str(error)])
    order_plan = OrderPlan(run.rng("orders"))
    with recorded_server(recorded_disk) as server:
        server.place_orders(order_plan.add_orders(plan.orders // 2))
        faults = _create_faults(plan)
        counters = [_run_fault(run, server, order_plan, fault, plan, verdict) for fault in faults]
        undelivered = server.wait_for_deliveries(order_plan.orders)
        verdict.problems += [f"never delivered: {item}" for item in undelivered]
    losses, replay = _check_losses(run, recorded_disk, plan.points, "disk")
    verdict.problems += losses.lost + losses.unreadable
    verdict.require(replay.failed_syncs > 0, "no sync failed")
    status_codes = sum(counters, Counter[int]())
    responses = ", ".join(f"{count} × {code}" for code, count in sorted(status_codes.items()))
    verdict.figures = (
        f"{len(order_plan.orders)} orders, {len(faults)} faults, {replay.failed_syncs} syncs "
        f"failed, responses during faults: {responses}; all orders succeeded afterwards; {losses}"
    )
    return verdict


def _create_faults(plan: Plan) -> list[Fault]:
    return [
        Fault("failing syncs", RecordedDisk.fail_syncs, blocks_all_writes=True),
        *(
            Fault(
                f"{free_bytes:,} free bytes",
                partial(RecordedDisk.limit_free_space, free_bytes=free_bytes),
                not free_bytes,
            )
            for free_bytes in plan.free_bytes
        ),
        *(
            Fault(
                f"every {interval}th read failing",
                partial(RecordedDisk.fail_reads, interval=interval),
            )
            for interval in plan.read_failure_intervals
        ),
    ]


def _check_orders(run: Run, plan: Plan, synchronous: str, verdict: ScenarioVerdict) -> str:
    """Record a working server and lose power at many points: FULL loses nothing, NORMAL must."""
    recorded_disk = RecordedDisk(run.create_folder(synchronous))
    order_plan = OrderPlan(run.rng("orders"))
    with recorded_server(recorded_disk, synchronous) as server:
        server.place_orders(order_plan.add_orders(plan.orders))
        verdict.require(
            not order_plan.unacknowledged,
            f"{len(order_plan.unacknowledged)} requests failed: {server.log_text[-500:]}",
        )
    points = plan.points if synchronous == "FULL" else plan.loss_points
    losses, replay = _check_losses(run, recorded_disk, points, synchronous)
    verdict.problems += [
        f"{synchronous}: {problem}" for problem in _find_unlogged_files(replay, recorded_disk.root)
    ]
    verdict.problems += [f"{synchronous}: {problem}" for problem in losses.unreadable]
    if synchronous == "FULL":
        verdict.problems += [f"lost: {item}" for item in losses.lost]
        verdict.require(
            replay.syncs[DATABASE_PATH] >= plan.min_database_syncs,
            f"{replay.syncs[DATABASE_PATH]} syncs of the database",
        )
    else:
        verdict.require(bool(losses.lost), f"the control run with {synchronous} lost nothing")
    return f"{synchronous}: {losses}, {replay.syncs[DATABASE_PATH]} syncs of the database"


def _check_files(run: Run, plan: Plan, syncs: str, verdict: ScenarioVerdict) -> str:
    """Record how files are stored, on a disk that syncs and on one that ignores syncs."""
    recorded_disk = RecordedDisk(run.create_folder(syncs))
    if syncs == "ignored":
        recorded_disk.ignore_syncs()
    command = [
        sys.executable,
        "-m",
        "tests.endurance.powerloss.file_writer",
        str(recorded_disk.root),
        str(plan.file_count),
    ]
    subprocess.run(command, env=shim_environment(recorded_disk), check=True)
    replay = DiskReplay(recorded_disk.log, recorded_disk.root, run.seed)
    points = plan.points if syncs == "working" else plan.loss_points
    losses = verification.check_after_power_loss(
        replay, points, run.rng(syncs), verification.find_lost_files
    )
    verdict.problems += [
        f"files: {problem}" for problem in _find_unlogged_files(replay, recorded_disk.root)
    ]
    if syncs == "working":
        verdict.problems += [f"lost: {item}" for item in losses.lost]
    else:
        verdict.require(bool(losses.lost), "the control run with ignored syncs lost nothing")
    return f"files with {syncs} syncs: {losses}"


def _check_losses(
    run: Run, recorded_disk: RecordedDisk, points: int, name: str
) -> tuple[LossReport, DiskReplay]:
    replay = DiskReplay(recorded_disk.log, recorded_disk.root, run.seed)
    verifier = verification.OrderVerifier(run.create_folder(f"{name}-remaining"))
    run.print_progress(f"{name}: {len(replay.entries):,} entries recorded")
    rng = run.rng(f"{name} points")
    losses = verification.check_after_power_loss(replay, points, rng, verifier)
    run.print_progress(f"{name}: {losses}")
    return losses, replay


def _find_unlogged_files(replay: DiskReplay, root: Path) -> list[str]:
    """Return the files that differ between the disk and the whole log, replayed."""
    replay.replay_until(len(replay.entries))
    on_disk = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm") and path.name != ACKNOWLEDGEMENT_FILE
    }
    replayed = {
        name: data for name, data in replay.visible_files().items() if name != ACKNOWLEDGEMENT_FILE
    }
    different = {
        name for name in on_disk.keys() | replayed.keys() if on_disk.get(name) != replayed.get(name)
    }
    return [f"the log does not contain all of {name}" for name in sorted(different)]


def _run_fault(
    run: Run,
    server: RecordedServer,
    order_plan: OrderPlan,
    fault: Fault,
    plan: Plan,
    verdict: ScenarioVerdict,
) -> Counter[int]:
    """Place orders while the disk fails, then repair the disk; count the status codes."""
    existing = [order for order in order_plan.orders if not order.should_decline][:3]
    for order in existing:
        order.should_decline = True  # so that existing orders change during the fault too
    new = order_plan.add_orders(plan.orders // 8 + 3)
    orders = [*existing, *new]
    fault.apply(server.disk)
    server.place_orders(orders)
    status_codes = Counter(
        response.status_code for order in orders for response in order.error_responses
    )
    acknowledged = [order for order in new if order.order_id]
    status_codes[201] = len(acknowledged)
    verdict.problems += [f"{fault.name}: {problem}" for problem in _unexpected_responses(orders)]
    if fault.blocks_all_writes:
        acknowledged += [order for order in existing if order.is_declined]
        verdict.problems += [
            f"{fault.name}: {order.number} was acknowledged" for order in acknowledged
        ]
    verdict.require(status_codes[503] > 0, f"{fault.name}: no request failed")
    server.disk.repair()
    server.place_orders(orders)
    verdict.problems += [
        f"after {fault.name}: {order.number} failed" for order in order_plan.unacknowledged
    ]
    verdict.require(server.is_running, f"{fault.name}: the server died")
    run.print_progress(f"{fault.name}: {dict(status_codes)}")
    return status_codes


def _unexpected_responses(orders: list[PlannedOrder]) -> list[str]:
    """Return responses that a server with a failing disk must not give."""
    responses = [response for order in orders for response in order.error_responses]
    return [
        f"{response.status_code} from {response.request.path_url}"
        for response in responses
        if response.status_code != 503 or not _has_error_shape(response)
    ]


def _has_error_shape(response: requests.Response) -> bool:
    """Return True for an HTML page to candidates, or the contract's JSON to an ATS."""
    if response.request.path_url.startswith("/c/"):
        return "</html>" in response.text
    body = response.json()
    return set(body) == {"status", "message"} and body["status"] == response.status_code
