"""The records of the demo's ATS: jobs, candidates, orders and callbacks."""

import json
import threading
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from provider.demo.ats.contract import PlacedOrder
from provider.errors import NotFound

FILE_NAME = "ats.json"


@dataclass(frozen=True)
class Candidate:
    """A candidate for one job."""

    id: str
    first_name: str
    last_name: str

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def email(self) -> str:
        return f"{self.first_name}.{self.last_name}@candidate.test".lower()


@dataclass(frozen=True)
class Job:
    """An open job with its candidates."""

    id: str
    title: str
    place: str
    candidates: tuple[Candidate, ...]


def _job(title: str, place: str, *names: str) -> Job:
    candidates = (Candidate(_slug(name), *name.split()) for name in names)
    return Job(_slug(title), title, place, tuple(candidates))


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


JOBS = (
    _job(
        "Operations Manager",
        "Athens",
        "Lakita Marrero",
        "Mei Lindqvist",
        "Yusuf Demir",
        "Tomas Ibarra",
    ),
    _job("Financial Analyst", "Rotterdam", "Priya Raman", "Jonas Weber"),
    _job("Care Assistant", "Leeds", "Amara Okafor", "Elena Rossi", "Samuel Brandt"),
)


@dataclass(frozen=True)
class ReceivedCallback:
    """A callback that the receiver accepted; `sequence` is X-Provider-Sequence."""

    path: str
    sequence: int
    body: dict[str, Any]
    received_at: datetime | None = field(default=None, compare=False)

    @property
    def status(self) -> str:
        return str(self.body.get("status"))


class AtsRecords:
    """The orders and callbacks, in memory and in a file of the demo's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._orders: dict[str, PlacedOrder] = {}  # by the path of the callback URL
        self._callbacks: list[ReceivedCallback] = []
        if self._path.exists():
            self._load(json.loads(self._path.read_text("utf-8")))

    def add_order(self, order: PlacedOrder) -> None:
        with self._lock:
            self._orders[order.path] = order
            self._save()

    def add_callback(self, callback: ReceivedCallback) -> None:
        with self._lock:
            self._callbacks.append(callback)
            self._save()

    def find_order(self, path: str) -> PlacedOrder:
        """Return the order with a callback URL of this path; NotFound without one."""
        with self._lock:
            if path not in self._orders:
                raise NotFound("This order does not exist: open the candidate's page")
            return self._orders[path]

    def list_orders(self, candidate: Candidate) -> list[PlacedOrder]:
        """Return a candidate's orders; the newest is first."""
        with self._lock:
            orders = [order for order in self._orders.values() if order.email == candidate.email]
        return orders[::-1]

    def list_callbacks(self, order: PlacedOrder) -> list[ReceivedCallback]:
        """Return the callbacks of an order as the ATS sorts them: by their sequence."""
        with self._lock:
            callbacks = [callback for callback in self._callbacks if callback.path == order.path]
        return sorted(callbacks, key=lambda callback: callback.sequence)

    def _save(self) -> None:
        document = {
            "orders": [asdict(order) for order in self._orders.values()],
            "callbacks": [asdict(callback) for callback in self._callbacks],
        }
        temporary_path = self._path.with_suffix(".new")
        temporary_path.write_text(json.dumps(document, default=datetime.isoformat), "utf-8")
        temporary_path.replace(self._path)

    def _load(self, document: dict[str, list[dict[str, Any]]]) -> None:
        orders = (PlacedOrder(**_with_time(item, "placed_at")) for item in document["orders"])
        self._orders = {order.path: order for order in orders}
        self._callbacks = [
            ReceivedCallback(**_with_time(item, "received_at")) for item in document["callbacks"]
        ]


def find_candidate(candidate_id: str) -> tuple[Job, Candidate]:
    """Return a candidate with the job; NotFound for an unknown id."""
    for job in JOBS:
        for candidate in job.candidates:
            if candidate.id == candidate_id:
                return job, candidate
    raise NotFound("This candidate does not exist: choose one of a job")


def find_job(job_id: str) -> Job:
    """Return a job; NotFound for an unknown id."""
    job = next((job for job in JOBS if job.id == job_id), None)
    if job is None:
        raise NotFound("This job does not exist: choose one of the list")
    return job


def _with_time(item: dict[str, Any], key: str) -> dict[str, Any]:
    return item | {key: datetime.fromisoformat(item[key])} if item[key] else item
