"""Requests per second and CPU time per request; the servers take turns in rounds."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median

from tests.bench import servers
from tests.bench.instance import BenchmarkInstance
from tests.bench.load import COUNTER_PLACEHOLDER, LoadGenerator, get_request, post_request
from tests.bench.servers import ServerProcess
from tests.bench.table import Figure

RIVAL_TOKEN = "usual-token"
POLLED_ORDERS = 100
CALLBACK_URL = "https://groove-tech.workable.com/assessments"
_race_numbers = count()


@dataclass
class Runner:
    """One server at one endpoint, with the results of each round."""

    server: ServerProcess
    requests: Sequence[bytes]
    database_cpu: Callable[[], float] | None = None  # returns the database server's CPU seconds
    rates: list[float] = field(default_factory=list)  # requests per second
    cpu_microseconds: list[float] = field(default_factory=list)  # per request
    database_cpu_microseconds: list[float] = field(default_factory=list)  # per request

    def run(self, loader: LoadGenerator, seconds: float, first_number: int) -> None:
        cpu_before = self.server.cpu_seconds()
        database_cpu_before = self.database_cpu() if self.database_cpu else 0.0
        load = loader.run(
            self.server.port, self.requests, seconds=seconds, first_number=first_number
        )
        self.rates.append(load.requests_per_second)
        self.cpu_microseconds.append(
            (self.server.cpu_seconds() - cpu_before) / len(load.latencies) * 1e6
        )
        if self.database_cpu:
            self.database_cpu_microseconds.append(
                (self.database_cpu() - database_cpu_before) / len(load.latencies) * 1e6
            )

    def median_ratio(self, other: "Runner") -> float:
        """Return the median over the rounds of our rate divided by the other's."""
        return median(a / b for a, b in zip(self.rates, other.rates, strict=True))

    @property
    def summary(self) -> str:
        """The medians as text."""
        text = f"{median(self.rates):,.0f}/s at {median(self.cpu_microseconds):,.0f} µs of CPU"
        return (
            f"{text} and {median(self.database_cpu_microseconds):,.0f} of the database's"
            if self.database_cpu_microseconds
            else text
        )


Runners = dict[str, Runner]


@dataclass(frozen=True)
class RaceResult:
    """The four endpoints, each with its servers side by side."""

    list_tests: Runners
    poll_pending: Runners
    poll_completed: Runners
    place_order: Runners


class RateRace:
    """Servers side by side: ours, and if wanted `bare` Flask and the `usual` FastAPI."""

    def __init__(
        self,
        loader: LoadGenerator,
        instances: dict[str, BenchmarkInstance],
        *,
        with_flask: bool = False,
        rival_folder: Path | None = None,
        database_cpu: dict[str, Callable[[], float]] | None = None,
    ) -> None:
        self._loader, self._instances, self._database_cpu = loader, instances, database_cpu or {}
        self._servers = {
            name: servers.start_provider(instance.env) for name, instance in instances.items()
        }
        if with_flask:
            self._servers["bare"] = servers.start_flask()
        if rival_folder:
            self._servers["usual"] = servers.start_fastapi(rival_folder)
        self._numbers = count(0, 1_000_000)
        # Of the orders' keys: two races on one instance would place the same orders again.
        self._name = f"race{next(_race_numbers)}"

    def __enter__(self) -> "RateRace":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.__exit__()

    def measure(self, rounds: int, seconds: float) -> RaceResult:
        """Measure one endpoint after the other."""
        pending_orders, completed_orders = (
            self._place_orders(f"{self._name}/waiting"),
            self._place_orders(f"{self._name}/finished", finished=True),
        )
        # Warm up every server.
        self._race(
            self._requests_by_server(lambda _, token: [get_request("/tests", token)]), 1, 0.5
        )
        return RaceResult(
            self._race(
                self._requests_by_server(lambda _, token: [get_request("/tests", token)]),
                rounds,
                seconds,
            ),
            self._race(self._poll_requests(pending_orders), rounds, seconds),
            self._race(self._poll_requests(completed_orders), rounds, seconds),
            self._race(self._requests_by_server(self._order_requests), rounds, seconds),
        )

    def _place_orders(self, path: str, *, finished: bool = False) -> dict[str, list[str]]:
        return {
            name: instance.place_orders(POLLED_ORDERS, path, finished=finished)
            for name, instance in self._instances.items()
        }

    def _requests_by_server(
        self, requests: Callable[[str, str], Sequence[bytes]]
    ) -> dict[str, Sequence[bytes]]:
        tokens = {name: instance.token for name, instance in self._instances.items()}
        tokens |= {"bare": "", "usual": RIVAL_TOKEN}
        return {name: requests(name, tokens[name]) for name in self._servers}

    def _poll_requests(self, orders: dict[str, list[str]]) -> dict[str, Sequence[bytes]]:
        polls: dict[str, Sequence[bytes]] = {
            name: [get_request(f"/assessments/{order}", instance.token) for order in orders[name]]
            for name, instance in self._instances.items()
        }
        if "bare" in self._servers:
            polls["bare"] = [get_request(f"/assessments/{n:022}") for n in range(POLLED_ORDERS)]
        return polls

    def _order_requests(self, name: str, token: str) -> list[bytes]:
        instance = self._instances.get(name)
        tests = instance.tests if instance else _list_test_ids(self._servers[name].port)
        body = {
            "test_id": tests[0],
            "job_title": "Operations Manager",
            "callback_url": f"{CALLBACK_URL}/{self._name}/{COUNTER_PLACEHOLDER.decode()}",
            "candidate": {
                "first_name": "Lakita",
                "last_name": "Marrero",
                "phone": "(785)991-6256",
                "email": "lakita_marrero@gmail.com",
            },
        }
        return [post_request("/assessments", json.dumps(body).encode(), token)]

    def _race(self, requests: dict[str, Sequence[bytes]], rounds: int, seconds: float) -> Runners:
        runners = {
            name: Runner(self._servers[name], server_requests, self._database_cpu.get(name))
            for name, server_requests in requests.items()
        }
        for _ in range(rounds):
            for runner in runners.values():
                runner.run(self._loader, seconds, next(self._numbers))
        return runners


def comparison_figures(result: RaceResult) -> Iterator[Figure]:
    """Return our rates against a bare Flask, and against FastAPI where it ran."""
    yield comparison_figure("`GET /tests`, 20 tests ÷ bare Flask", result.list_tests, 0.6)
    yield comparison_figure(
        "`GET /assessments/:id`, pending ÷ bare Flask", result.poll_pending, 0.35
    )
    yield comparison_figure("the same, completed ÷ bare Flask", result.poll_completed, None)
    yield comparison_figure(
        "`POST /assessments`, durable ÷ bare Flask POST", result.place_order, 0.12
    )
    if "usual" in result.place_order:
        yield comparison_figure("the same ÷ FastAPI, the usual way", result.place_order, 3, "usual")


def comparison_figure(
    name: str, runners: Runners, goal: float | None, rival: str = "bare", subject: str = "ours"
) -> Figure:
    """Return our rate divided by the rival's."""
    ours, other = runners[subject], runners[rival]
    cpu_ratio = median(ours.cpu_microseconds) / median(other.cpu_microseconds)
    note = f"{ours.summary}; {rival} {other.summary} ({cpu_ratio:.2f} of its CPU)"
    return Figure(name, ours.median_ratio(other), goal, note=note)


def _list_test_ids(port: int) -> list[str]:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/tests", headers={"Authorization": f"Bearer {RIVAL_TOKEN}"})
    tests = [test["id"] for test in json.load(connection.getresponse())["tests"]]
    connection.close()
    return tests
