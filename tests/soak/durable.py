"""Acknowledged means durable: what was answered with a 2xx is there after a kill at any moment."""

import threading
import time
from dataclasses import dataclass, field

from tests import cast
from tests.soak.proof import Run, Verdict
from tests.soak.server import Instance
from tests.soak.web import BROKEN, Machine, Page

CLIENTS = 8
BUSY = (500, 503)  # said by a server that dies; it acknowledges nothing


@dataclass(frozen=True)
class Plan:
    """How often the server is killed, and after how many answers, at least and at most."""

    kills: int
    answers: tuple[int, int]


LONG, SHORT = Plan(60, (1, 400)), Plan(1, (10, 60))


@dataclass
class Clients:
    """ATSs that order until the server dies, and keep what they were told."""

    ats: Machine
    wish: dict[str, str]
    kept: dict[str, str] = field(default_factory=dict)  # callback address to id
    breath: float = 0.0  # seconds between two orders of each
    refused: list[str] = field(default_factory=list)
    round: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def order_until_death(self, answers: int) -> list[threading.Thread]:
        """Let all clients order; return them once so many orders were acknowledged."""
        self.round += 1
        known = len(self.kept)
        threads = [threading.Thread(target=self._order, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: len(self.kept) >= known + answers, 60)
        return threads

    def place(self, callback: str) -> Page:
        """Place an order; the same again is the same order."""
        candidate = {"email": "lakita@provider.test", "first_name": callback[-10:]}
        wish = self.wish | {"callback_url": callback, "candidate": candidate}
        return self.ats.post("/assessments", wish)

    def gone(self) -> list[str]:
        """Ask for all that was acknowledged: return what is not there, or is another order now."""
        return [address for address, known in self.kept.items() if not self._stands(address, known)]

    def _order(self, client: int) -> None:
        number = 0
        while True:
            number += 1
            address = f"https://groove-tech.workable.com/{self.round}/{client}/{number}"
            try:
                page = self.place(address)
            except BROKEN:
                return
            with self._changed:
                if page.code == 201:
                    self.kept[address] = page.json["assessment_id"]
                elif page.code not in BUSY:
                    self.refused.append(f"{address}: {page.code} {page.text[:200]}")
                self._changed.notify_all()
            time.sleep(self.breath)

    def _stands(self, address: str, known: str) -> bool:
        again = self.place(address)
        same = again.code == 201 and again.json["assessment_id"] == known
        return same and self.ats.get(f"/assessments/{known}").code == 200


def durable(run: Run) -> Verdict:
    """Every order that was acknowledged is there after the kill, under the same id."""
    plan, luck = SHORT if run.short else LONG, run.luck("kills")
    instance = Instance(run.part("durable"))
    with instance.house() as house:
        _, token = cast.account(house)
        clients = Clients(Machine(instance.port, token), {"test_id": cast.test(house)})
    gone: list[str] = []
    latest: dict[str, str] = {}
    for number in range(plan.kills):
        with instance.start() as server:
            server.wait()
            gone += _checked(clients, latest)
            before = set(clients.kept)
            threads = clients.order_until_death(luck.randint(*plan.answers))
            time.sleep(luck.uniform(0, 0.01))  # not only right after an answer
            server.kill()
            for thread in threads:
                thread.join()
        latest = {key: value for key, value in clients.kept.items() if key not in before}
        if number % 10 == 9:
            run.say(f"{number + 1} kills, {len(clients.kept):,} orders acknowledged")
    with instance.start() as server:
        server.wait()
        gone += clients.gone()
    verdict = Verdict(
        f"{len(clients.kept):,} orders acknowledged, {plan.kills} kills, {len(gone)} lost"
    )
    verdict.problems += [f"lost: {each}" for each in gone] + clients.refused
    verdict.claim(len(clients.kept) > plan.kills, "hardly anything was acknowledged")
    return verdict


def _checked(clients: Clients, latest: dict[str, str]) -> list[str]:
    """Ask right after the start for what was acknowledged right before the death."""
    return Clients(clients.ats, clients.wish, latest).gone()
