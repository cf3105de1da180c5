"""What happens in the demo: the ATS orders, somebody takes the test, the ATS hears of it."""

import queue
from collections.abc import Sequence
from dataclasses import replace

import requests

from provider.demo.ats import Ats, Placed, Put
from provider.demo.candidate import KNOWS, Candidate
from provider.demo.screen import Screen
from provider.demo.staff import Staff
from provider.demo.stage import Stage
from provider.errors import ProviderError

JOB = "Operations Manager"
TEST = "Numerical Reasoning"
PATIENCE = 20.0  # seconds that a callback may take
CAST = {
    "assessment": ("Lakita", "Marrero"),
    "interview": ("Mei", "Lindqvist"),
    "check": ("Yusuf", "Demir"),
}
SECOND = ("Tomas", "Ibarra")


def order_all(ats: Ats, stage: Stage, screen: Screen, *, twice: bool) -> list[Placed]:
    """Order one of each kind, `twice` a second test, and wait until the letters are there."""
    screen.chapter("The ATS orders")
    wishes = [*CAST.items(), *([("assessment", SECOND)] if twice else [])]
    placed = [_order(ats, screen, kind, *name) for kind, name in wishes]
    return [replace(order, link=stage.invitation(order.email)) for order in placed]


def watch(ats: Ats, stage: Stage, screen: Screen) -> None:
    """Show every callback as it lands, until somebody presses Ctrl-C."""
    while True:
        stage.require_alive()
        try:
            put = ats.puts.get(timeout=1)
        except queue.Empty:
            continue
        screen.landed(ats.orders[put.path], put)


def automatically(
    ats: Ats, stage: Stage, screen: Screen, placed: Sequence[Placed], staff: Staff
) -> None:
    """Play the candidates and the staff too; ProviderError unless the ATS hears all of it."""
    lakita, mei, yusuf, tomas = placed
    hear = Ear(ats, screen)
    screen.chapter(f"{lakita.candidate} takes the test, in a browser without scripts")
    Candidate(lakita.link).take(KNOWS)
    _check_report(ats, lakita, hear(lakita, "completed"))
    screen.chapter(f"{mei.candidate} gives the interview, and the staff rate it")
    Candidate(mei.link).record()
    staff.rate(mei.id, 4, "A convincing conversation.")
    _check_report(ats, mei, hear(mei, "completed"))
    screen.chapter(f"{yusuf.candidate} consents, and the staff enter what they found")
    Candidate(yusuf.link).consent(yusuf.candidate)
    hear(yusuf, "consented")
    staff.enter(yusuf.id, consider="education")
    _check_report(ats, yusuf, hear(yusuf, "completed"))
    Candidate(tomas.link).decline("I pressed the wrong button.")
    hear(tomas, "rejected")
    stage.command("order", "reopen", tomas.id, "--reason", "He asked for it")
    hear(tomas, "pending")
    Candidate(tomas.link).take({})
    _check_report(ats, tomas, hear(tomas, "completed"))
    hear.require_silence()
    screen.chapter("All arrived, in order, and polling answers the same")


class Ear:
    """Waits for callbacks and holds each against what it should say and what polling answers."""

    def __init__(self, ats: Ats, screen: Screen, patience: float = PATIENCE) -> None:
        self._ats, self._screen, self._patience = ats, screen, patience
        self._last: dict[str, int] = {}

    def __call__(self, order: Placed, status: str) -> Put:
        """Return the next callback, shown; ProviderError when it is not the expected one."""
        try:
            put = self._ats.puts.get(timeout=self._patience)
        except queue.Empty:
            raise ProviderError(
                f"No callback said “{status}” of {order.candidate}'s {order.kind} "
                f"within {self._patience:g} seconds"
            ) from None
        self._screen.landed(self._ats.orders[put.path], put)
        self._check(order, status, put)
        return put

    def require_silence(self) -> None:
        """Raise unless nothing came but what was waited for."""
        if self._ats.refused:
            raise ProviderError("A callback came without the account's token")
        if not self._ats.puts.empty():
            raise ProviderError(f"A callback too many: {self._ats.puts.get().body}")

    def _check(self, order: Placed, status: str, put: Put) -> None:
        whose = f"{order.candidate}'s {order.kind}"
        if put.path != order.path or put.body.get("status") != status:
            raise ProviderError(f"Expected “{status}” of {whose}; came {put.body}")
        if put.sequence <= self._last.get(put.path, 0):
            raise ProviderError(f"Callbacks of {whose} came out of order")
        self._last[put.path] = put.sequence
        if (polled := self._ats.poll(order)) != put.body:
            raise ProviderError(f"Polling {whose} answers otherwise than the PUT: {polled}")


def _order(ats: Ats, screen: Screen, kind: str, first: str, last: str) -> Placed:
    products = ats.products(kind)
    if not products:
        raise ProviderError(f"The server lists nothing to order as {kind}")
    product = next((each for each in products if each["name"] == TEST), products[0])
    names = ", ".join(each["name"] for each in products)
    screen.say(f"{kind}: it may pick {names}")
    placed = ats.order(kind, product, first, last, JOB)
    screen.say(f"  and orders {product['name']} for {placed.candidate}: {placed.id}")
    return placed


def _check_report(ats: Ats, order: Placed, put: Put) -> None:
    if not put.body[order.kind].keys() & {"score", "overall_status"}:
        raise ProviderError(f"{order.candidate}'s result says nothing: {put.body}")
    pdf = put.body["attachments"][0]["url"]
    for url, start in (
        (put.body["results_url"], b"<!doctype html"),
        (ats.shared_link(order), b"<!doctype html"),
        (pdf, b"%PDF-"),
    ):
        answer = requests.get(url, timeout=PATIENCE)
        if not answer.ok or not answer.content.lower().startswith(start.lower()):
            raise ProviderError(f"{order.candidate}'s report does not open: {answer.status_code}")
