"""Requests a second and processor time per request, in rounds that take turns."""

import json
from collections.abc import Callable, Iterator, Sequence
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
    beside: Callable[[], float] | None = None  # the processor time of the database's own server
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)  # microseconds of processor per request
    theirs: list[float] = field(default_factory=list)  # the same of the database's server

    def run(self, loader: Loader, seconds: float, first: int) -> None:
        """Run one round."""
        before, theirs = self.server.cpu(), self.beside() if self.beside else 0.0
        load = loader.drive(self.server.port, self.requests, seconds=seconds, first=first)
        self.rates.append(load.rate)
        self.costs.append((self.server.cpu() - before) / len(load.waits) * 1e6)
        if self.beside:
            self.theirs.append((self.beside() - theirs) / len(load.waits) * 1e6)

    def over(self, other: "Runner") -> float:
        """Return the median over the rounds of how many times the other's rate this one has."""
        return median(a / b for a, b in zip(self.rates, other.rates, strict=True))

    @property
    def said(self) -> str:
        """The medians in words."""
        said = f"{median(self.rates):,.0f}/s at {median(self.costs):,.0f} µs of CPU"
        return f"{said} and {median(self.theirs):,.0f} of the database's" if self.theirs else said


Runners = dict[str, Runner]


@dataclass(frozen=True)
class Raced:
    """What came of the four endpoints, each with its servers side by side."""

    listed: Runners
    polled: Runners
    told: Runners
    placed: Runners


class Rates:
    """The servers side by side: `bare` and `usual` where wanted, the others each on a house."""

    def __init__(
        self,
        loader: Loader,
        houses: dict[str, Ground],
        *,
        bare: bool = False,
        usual: Path | None = None,
        beside: dict[str, Callable[[], float]] | None = None,
    ) -> None:
        self._loader, self._houses, self._beside = loader, houses, beside or {}
        self._servers = {name: servers.ours(house.env) for name, house in houses.items()}
        if bare:
            self._servers["bare"] = servers.bare()
        if usual:
            self._servers["usual"] = servers.usual(usual)
        self._numbers = count(0, 1_000_000)

    def __enter__(self) -> "Rates":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.__exit__()

    def measure(self, rounds: int, seconds: float) -> Raced:
        """Race them, one endpoint after the other."""
        waiting, finished = self._orders("waiting"), self._orders("finished", finished=True)
        # So that nobody is measured cold.
        self._race(self._each(lambda _, token: [get("/tests", token)]), 1, 0.5)
        return Raced(
            self._race(self._each(lambda _, token: [get("/tests", token)]), rounds, seconds),
            self._race(self._polls(waiting), rounds, seconds),
            self._race(self._polls(finished), rounds, seconds),
            self._race(self._each(self._wishes), rounds, seconds),
        )

    def _orders(self, path: str, *, finished: bool = False) -> dict[str, list[str]]:
        return {
            name: house.orders(POLLED, path, finished=finished)
            for name, house in self._houses.items()
        }

    def _each(self, requests: Callable[[str, str], Sequence[bytes]]) -> dict[str, Sequence[bytes]]:
        tokens = {name: house.token for name, house in self._houses.items()}
        tokens |= {"bare": "", "usual": USUAL_TOKEN}
        return {name: requests(name, tokens[name]) for name in self._servers}

    def _polls(self, orders: dict[str, list[str]]) -> dict[str, Sequence[bytes]]:
        polls: dict[str, Sequence[bytes]] = {
            name: [get(f"/assessments/{order}", house.token) for order in orders[name]]
            for name, house in self._houses.items()
        }
        if "bare" in self._servers:
            polls["bare"] = [get(f"/assessments/{n:022}") for n in range(POLLED)]
        return polls

    def _wishes(self, name: str, token: str) -> list[bytes]:
        house = self._houses.get(name)
        tests = house.tests if house else _tests(self._servers[name].port)
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

    def _race(self, requests: dict[str, Sequence[bytes]], rounds: int, seconds: float) -> Runners:
        runners = {
            name: Runner(self._servers[name], them, self._beside.get(name))
            for name, them in requests.items()
        }
        for _ in range(rounds):
            for runner in runners.values():
                runner.run(self._loader, seconds, next(self._numbers))
        return runners


def figures(raced: Raced) -> Iterator[Figure]:
    """Return the rows of ours beside a bare Flask, and the usual way where it raced."""
    yield row("`GET /tests`, 20 tests ÷ bare Flask", raced.listed, 0.6)
    yield row("`GET /assessments/:id`, pending ÷ bare Flask", raced.polled, 0.4)
    yield row("the same, completed ÷ bare Flask", raced.told, None)
    yield row("`POST /assessments`, durable ÷ bare Flask POST", raced.placed, 0.12)
    if "usual" in raced.placed:
        yield row("the same ÷ FastAPI, the usual way", raced.placed, 2, "usual")


def row(
    name: str, runners: Runners, goal: float | None, rival: str = "bare", of: str = "ours"
) -> Figure:
    """Return how many times the rival's rate ours has."""
    ours, other = runners[of], runners[rival]
    cost = median(ours.costs) / median(other.costs)
    beside = f"{ours.said}; {rival} {other.said} ({cost:.2f} of its CPU)"
    return Figure(name, ours.over(other), goal, beside=beside)


def _tests(port: int) -> list[str]:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/tests", headers={"Authorization": f"Bearer {USUAL_TOKEN}"})
    tests = [test["id"] for test in json.load(connection.getresponse())["tests"]]
    connection.close()
    return tests
