"""Acknowledged means durable: what was answered with a 2xx is there after a kill at any moment."""

import threading
import time
from dataclasses import dataclass, field

from tests import factories
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.web import CONNECTION_ERRORS, AtsClient, HttpResponse

CLIENT_COUNT = 8
UNAVAILABLE_STATUS_CODES = (500, 503)  # said by a server that dies; it acknowledges nothing


@dataclass(frozen=True)
class Plan:
    """How often the server is killed, and after how many answers, at least and at most."""

    kills: int
    answer_range: tuple[int, int]


LONG_PLAN, SHORT_PLAN = Plan(60, (1, 400)), Plan(1, (10, 60))


@dataclass
class OrderingClients:
    """ATSs that order until the server dies, and keep what they were told."""

    ats: AtsClient
    order_body: dict[str, str]
    acknowledged: dict[str, str] = field(default_factory=dict)  # callback address to id
    delay_seconds: float = 0.0  # seconds between two orders of each
    errors: list[str] = field(default_factory=list)
    round_number: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def order_until_killed(self, min_answers: int) -> list[threading.Thread]:
        """Let all clients order; return them once so many orders were acknowledged."""
        self.round_number += 1
        known = len(self.acknowledged)
        threads = [
            threading.Thread(target=self._run_client, args=(n,)) for n in range(CLIENT_COUNT)
        ]
        for thread in threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: len(self.acknowledged) >= known + min_answers, 60)
        return threads

    def place_order(self, callback_url: str) -> HttpResponse:
        """Place an order; the same again is the same order."""
        candidate = {"email": "lakita@provider.test", "first_name": callback_url[-10:]}
        wish = self.order_body | {"callback_url": callback_url, "candidate": candidate}
        return self.ats.post("/assessments", wish)

    def find_lost(self) -> list[str]:
        """Ask for all that was acknowledged: return what is not there, or is another order now."""
        return [
            address
            for address, known in self.acknowledged.items()
            if not self._is_stored(address, known)
        ]

    def _run_client(self, client_number: int) -> None:
        number = 0
        while True:
            number += 1
            address = (
                f"https://groove-tech.workable.com/{self.round_number}/{client_number}/{number}"
            )
            try:
                page = self.place_order(address)
            except CONNECTION_ERRORS:
                return
            with self._changed:
                if page.status_code == 201:
                    self.acknowledged[address] = page.json["assessment_id"]
                elif page.status_code not in UNAVAILABLE_STATUS_CODES:
                    self.errors.append(f"{address}: {page.status_code} {page.text[:200]}")
                self._changed.notify_all()
            time.sleep(self.delay_seconds)

    def _is_stored(self, callback_url: str, order_id: str) -> bool:
        again = self.place_order(callback_url)
        same = again.status_code == 201 and again.json["assessment_id"] == order_id
        return same and self.ats.get(f"/assessments/{order_id}").status_code == 200


def durable(run: Run) -> ScenarioVerdict:
    """Every order that was acknowledged is there after the kill, under the same id."""
    plan, luck = SHORT_PLAN if run.short else LONG_PLAN, run.rng("kills")
    instance = Instance(run.create_folder("durable"))
    with instance.open_services() as services:
        _, token = factories.create_account(services)
        clients = OrderingClients(
            AtsClient(instance.port, token), {"test_id": factories.create_test(services)}
        )
    gone: list[str] = []
    latest: dict[str, str] = {}
    for number in range(plan.kills):
        with instance.start_server() as server:
            server.wait_until_ready()
            gone += _check_latest(clients, latest)
            before = set(clients.acknowledged)
            threads = clients.order_until_killed(luck.randint(*plan.answer_range))
            time.sleep(luck.uniform(0, 0.01))  # not only right after an answer
            server.kill()
            for thread in threads:
                thread.join()
        latest = {key: value for key, value in clients.acknowledged.items() if key not in before}
        if number % 10 == 9:
            run.print_progress(
                f"{number + 1} kills, {len(clients.acknowledged):,} orders acknowledged"
            )
    with instance.start_server() as server:
        server.wait_until_ready()
        gone += clients.find_lost()
    verdict = ScenarioVerdict(
        f"{len(clients.acknowledged):,} orders acknowledged, {plan.kills} kills, {len(gone)} lost"
    )
    verdict.problems += [f"lost: {each}" for each in gone] + clients.errors
    verdict.require(len(clients.acknowledged) > plan.kills, "hardly anything was acknowledged")
    return verdict


def _check_latest(clients: OrderingClients, latest: dict[str, str]) -> list[str]:
    """Ask right after the start for what was acknowledged right before the death."""
    return OrderingClients(clients.ats, clients.order_body, latest).find_lost()
