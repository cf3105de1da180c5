"""Requests a second and processor time per request, in rounds that take turns."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median

from tests.bench import servers
from tests.bench.ground import Ground
from tests.bench.load import COUNTER, Loader, get, post
from tests.bench.servers import Server
from tests.bench.table import Figure

USUAL_TOKEN = "usual-token"
POLLED = 100  # orders that are asked for in turn


@dataclass
class Runner:
    """One server at one endpoint, and what each round found."""

    server: Server
    requests: Sequence[bytes]
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)  # microseconds of processor per request

    def run(self, loader: Loader, seconds: float, first: int) -> None:
        """Run one round."""
        before = self.server.cpu()
        load = loader.drive(self.server.port, self.requests, seconds=seconds, first=first)
        self.rates.append(load.rate)
        self.costs.append((self.server.cpu() - before) / len(load.waits) * 1e6)

    def over(self, other: "Runner") -> float:
        """Return the median over the rounds of how many times the other's rate this one has."""
        return median(a / b for a, b in zip(self.rates, other.rates, strict=True))

    @property
    def said(self) -> str:
        """The medians in words."""
        return f"{median(self.rates):,.0f}/s at {median(self.costs):,.0f} µs of CPU"


class Rates:
    """The servers side by side; without `usual` the rows against it are left out."""

    def __init__(self, ground: Ground, loader: Loader, folder: Path, *, usual: bool) -> None:
        self._ground, self._loader = ground, loader
        self._servers = {"bare": servers.bare(), "ours": servers.ours(ground.folder)}
        if usual:
            self._servers["usual"] = servers.usual(folder)
        self._numbers = count(0, 1_000_000)

    def __enter__(self) -> "Rates":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.__exit__()

    def measure(self, rounds: int, seconds: float) -> list[Figure]:
        """Return the rows."""
        waiting = self._ground.orders(POLLED, "waiting")
        finished = self._ground.orders(POLLED, "finished", finished=True)
        self._race({"bare": [get("/tests")]}, 1, 0.5)  # so that nobody is measured cold
        listed = self._race(self._each(lambda _, token: [get("/tests", token)]), rounds, seconds)
        polled = self._race(self._polls(waiting), rounds, seconds)
        told = self._race(self._polls(finished), rounds, seconds)
        placed = self._race(self._each(self._wishes), rounds, seconds)
        figures = [
            _row("`GET /tests`, 20 tests ÷ bare Flask", listed, 0.6),
            _row("`GET /assessments/:id`, pending ÷ bare Flask", polled, 0.4),
            _row("the same, completed ÷ bare Flask", told, None),
            _row("`POST /assessments`, durable ÷ bare Flask POST", placed, 0.12),
        ]
        if "usual" in placed:
            figures.append(_row("the same ÷ FastAPI, the usual way", placed, 2, "usual"))
        return figures

    def _each(self, requests: Callable[[str, str], Sequence[bytes]]) -> dict[str, Sequence[bytes]]:
        tokens = {"bare": "", "ours": self._ground.token, "usual": USUAL_TOKEN}
        return {name: requests(name, tokens[name]) for name in self._servers}

    def _polls(self, orders: list[str]) -> dict[str, Sequence[bytes]]:
        paths = [f"/assessments/{order}" for order in orders]
        return {
            "bare": [get(path) for path in paths],
            "ours": [get(path, self._ground.token) for path in paths],
        }

    def _wishes(self, name: str, token: str) -> list[bytes]:
        tests = self._ground.tests if name != "usual" else _tests(self._servers["usual"].port)
        wish = {
            "test_id": tests[0],
            "job_title": "Operations Manager",
            "callback_url": f"https://groove-tech.workable.com/assessments/{COUNTER.decode()}",
            "candidate": {
                "first_name": "Lakita",
                "last_name": "Marrero",
                "phone": "(785)991-6256",
                "email": "lakita_marrero@gmail.com",
            },
        }
        return [post("/assessments", json.dumps(wish).encode(), token)]

    def _race(
        self, requests: dict[str, Sequence[bytes]], rounds: int, seconds: float
    ) -> dict[str, Runner]:
        runners = {name: Runner(self._servers[name], them) for name, them in requests.items()}
        for _ in range(rounds):
            for runner in runners.values():
                runner.run(self._loader, seconds, next(self._numbers))
        return runners


def _row(name: str, runners: dict[str, Runner], goal: float | None, rival: str = "bare") -> Figure:
    ours, other = runners["ours"], runners[rival]
    cost = median(ours.costs) / median(other.costs)
    beside = f"{ours.said}; {rival} {other.said} ({cost:.2f} of its CPU)"
    return Figure(name, ours.over(other), goal, beside=beside)


def _tests(port: int) -> list[str]:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/tests", headers={"Authorization": f"Bearer {USUAL_TOKEN}"})
    tests = [test["id"] for test in json.load(connection.getresponse())["tests"]]
    connection.close()
    return tests
