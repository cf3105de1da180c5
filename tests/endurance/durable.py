"""Acknowledged means durable: an order answered with 201 survives a kill at any moment."""

import threading
import time
from dataclasses import dataclass, field

from tests import factories
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.web import CONNECTION_ERRORS, AtsClient, HttpResponse

CLIENT_COUNT = 8
UNAVAILABLE_STATUS_CODES = (500, 503)  # of a dying server; they acknowledge nothing


@dataclass(frozen=True)
class Plan:
    """The number of kills, and the least and most orders acknowledged before each."""

    kills: int
    answer_range: tuple[int, int]


LONG_PLAN, SHORT_PLAN = Plan(60, (1, 400)), Plan(1, (10, 30))


@dataclass
class OrderingClients:
    """ATS clients that place orders until the server dies, and remember what was acknowledged."""

    ats: AtsClient
    order_body: dict[str, str]
    acknowledged: dict[str, str] = field(default_factory=dict)  # callback URL to order id
    delay_seconds: float = 0.0  # between two orders of a client
    errors: list[str] = field(default_factory=list)
    round_number: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def order_until_killed(self, min_answers: int) -> list[threading.Thread]:
        """Start all clients; return their threads once `min_answers` orders are acknowledged."""
        self.round_number += 1
        earlier = len(self.acknowledged)
        threads = [
            threading.Thread(target=self._run_client, args=(number,))
            for number in range(CLIENT_COUNT)
        ]
        for thread in threads:
            thread.start()
        with self._changed:
            self._changed.wait_for(lambda: len(self.acknowledged) >= earlier + min_answers, 60)
        return threads

    def place_order(self, callback_url: str) -> HttpResponse:
        """Place an order. A repeat returns the same order."""
        candidate = {"email": "lakita@provider.test", "first_name": callback_url[-10:]}
        body = self.order_body | {"callback_url": callback_url, "candidate": candidate}
        return self.ats.post("/assessments", body)

    def find_lost(self) -> list[str]:
        """Return the callback URLs of acknowledged orders that are missing or have another id."""
        return [
            callback_url
            for callback_url, order_id in self.acknowledged.items()
            if not self._is_stored(callback_url, order_id)
        ]

    def _run_client(self, client_number: int) -> None:
        number = 0
        while True:
            number += 1
            callback_url = (
                f"https://groove-tech.workable.com/{self.round_number}/{client_number}/{number}"
            )
            try:
                response = self.place_order(callback_url)
            except CONNECTION_ERRORS:
                return
            with self._changed:
                if response.status_code == 201:
                    self.acknowledged[callback_url] = response.json["assessment_id"]
                elif response.status_code not in UNAVAILABLE_STATUS_CODES:
                    self.errors.append(
                        f"{callback_url}: {response.status_code} {response.text[:200]}"
                    )
                self._changed.notify_all()
            time.sleep(self.delay_seconds)

    def _is_stored(self, callback_url: str, order_id: str) -> bool:
        response = self.place_order(callback_url)
        has_same_id = response.status_code == 201 and response.json["assessment_id"] == order_id
        return has_same_id and self.ats.get(f"/assessments/{order_id}").status_code == 200


def durable(run: Run) -> ScenarioVerdict:
    """Every acknowledged order exists after the kill, under the same id."""
    plan, rng = SHORT_PLAN if run.short else LONG_PLAN, run.rng("kills")
    instance = Instance(run.create_folder("durable"))
    with instance.open_services() as services:
        _, token = factories.create_account(services)
        clients = OrderingClients(
            AtsClient(instance.port, token), {"test_id": factories.create_test(services)}
        )
    lost: list[str] = []
    latest: dict[str, str] = {}
    for number in range(plan.kills):
        with instance.start_server() as server:
            server.wait_until_ready()
            lost += _check_latest(clients, latest)
            earlier = set(clients.acknowledged)
            threads = clients.order_until_killed(rng.randint(*plan.answer_range))
            time.sleep(rng.uniform(0, 0.01))  # so that kills do not always follow a response
            server.kill()
            for thread in threads:
                thread.join()
        latest = {key: value for key, value in clients.acknowledged.items() if key not in earlier}
        if number % 10 == 9:
            run.print_progress(
                f"{number + 1} kills, {len(clients.acknowledged):,} orders acknowledged"
            )
    with instance.start_server() as server:
        server.wait_until_ready()
        lost += clients.find_lost()
    verdict = ScenarioVerdict(
        f"{len(clients.acknowledged):,} orders acknowledged, {plan.kills} kills, {len(lost)} lost"
    )
    verdict.problems += [f"lost: {callback_url}" for callback_url in lost] + clients.errors
    verdict.require(len(clients.acknowledged) > plan.kills, "too few orders were acknowledged")
    return verdict


def _check_latest(clients: OrderingClients, latest: dict[str, str]) -> list[str]:
    """Return the orders that were acknowledged right before the kill and are lost."""
    return OrderingClients(clients.ats, clients.order_body, latest).find_lost()
