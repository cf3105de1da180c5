"""Every call of the contract and every page of the console, on a house with many orders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, cycle

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.app import create_app
from provider.core.accounts import Account
from provider.core.orders import Order
from provider.outbox import Message
from tests.bench.ground import BenchmarkInstance
from tests.bench.growth import TimedAction, order_body, sign_in, timed_request
from tests.bench.table import Figure

MAX_P95_MS = 150  # ms
LISTED_REQUESTS = 3  # of the slowest
# Each endpoint as people and machines ask it; what stands in braces is another one each time.
CALLS: dict[str, tuple[str, ...]] = {
    "list_tests": ("/tests",),
    "list_interview_templates": ("/interview-templates",),
    "list_packages": ("/packages",),
    "get_assessment": ("/assessments/{assessment}",),
    "get_interview": ("/interviews/{interview}",),
    "get_check": ("/checks/{check}",),
    "share_assessment": ("/assessments/{done_assessment}/shared-link",),
    "share_interview": ("/interviews/{done_interview}/shared-link",),
    "share_check": ("/checks/{done_check}/shared-link",),
}
ORDER_CALLS = {
    "create_assessment": ("assessment", "/assessments", "test_id"),
    "create_interview": ("interview", "/interviews", "interview_template_id"),
    "create_check": ("check", "/checks", "package_id"),
}
ORDERS_PATH, DELIVERIES_PATH, EMAILS_PATH = (
    "/console/orders/",
    "/console/deliveries/",
    "/console/letters/",
)
PAGES: dict[str, tuple[str, ...]] = {
    "signing_in.sign_in": ("/console/sign-in",),
    "orders.listing": (
        ORDERS_PATH,
        *(f"{ORDERS_PATH}?before={{far_order}}", f"{ORDERS_PATH}?after={{far_order}}"),
        *(f"{ORDERS_PATH}?kind={kind}" for kind in ("assessment", "interview", "check")),
        *(
            f"{ORDERS_PATH}?status={status}"
            for status in ("pending", "consented", "completed", "expired", "cancelled")
        ),
        f"{ORDERS_PATH}?waits=staff",
        *(f"{ORDERS_PATH}?account={{account}}", f"{ORDERS_PATH}?account={{gone}}"),
        *(f"{ORDERS_PATH}?product={{product}}", f"{ORDERS_PATH}?product={{old_product}}"),
        f"{ORDERS_PATH}?email={{email}}",
        *(f"{ORDERS_PATH}?account={{{who}}}&status=pending" for who in ("account", "gone")),
        f"{ORDERS_PATH}?account={{account}}&status=cancelled",
        f"{ORDERS_PATH}?account={{gone}}&kind=assessment",
        f"{ORDERS_PATH}?kind=interview&status=completed&before={{far_order}}",
        f"{ORDERS_PATH}?kind=check&status=cancelled",
        f"{ORDERS_PATH}?product={{old_product}}&account={{account}}&status=completed",
    ),
    "orders.story": (f"{ORDERS_PATH}{{assessment}}", f"{ORDERS_PATH}{{done_check}}"),
    "acts.ask": (
        f"{ORDERS_PATH}{{pending_assessment}}/cancel",
        f"{ORDERS_PATH}{{done_assessment}}/reopen",
    ),
    "interviews.page": (f"{ORDERS_PATH}{{interview}}/interview",),
    "interviews.ask": (f"{ORDERS_PATH}{{pending_interview}}/interview/complete",),
    "checks.one": ("/console/checks/{check}/",),
    "checks.confirm": ("/console/checks/{pending_check}/complete",),
    "deliveries.listing": (
        *(
            f"{DELIVERIES_PATH}?state={state}"
            for state in ("parked", "waiting", "delivered", "superseded", "any")
        ),
        *(
            f"{DELIVERIES_PATH}?state=any&before={{far_message}}",
            f"{DELIVERIES_PATH}?state=any&after={{far_message}}",
        ),
        *(f"{DELIVERIES_PATH}?state=any&sink={sink}" for sink in ("callback", "mail", "media")),
        *(f"{DELIVERIES_PATH}?state=waiting&sink={sink}" for sink in ("callback", "mail", "media")),
        *(
            f"{DELIVERIES_PATH}?state=delivered&sink={sink}"
            for sink in ("callback", "mail", "media")
        ),
        *(f"{DELIVERIES_PATH}?state=any&account={who}" for who in ("{account}", "{gone}")),
        *(f"{DELIVERIES_PATH}?state=parked&account={who}" for who in ("{account}", "{gone}")),
        f"{DELIVERIES_PATH}?state=any&sink=media&account={{gone}}",
    ),
    "deliveries.one": (f"{DELIVERIES_PATH}{{delivered}}", f"{DELIVERIES_PATH}{{parked}}"),
    "deliveries.ask_all": (
        f"{DELIVERIES_PATH}again",
        f"{DELIVERIES_PATH}again?sink=mail&account={{account}}",
    ),
    "letters.listing": (
        EMAILS_PATH,
        *(
            f"{EMAILS_PATH}?state={state}"
            for state in ("parked", "waiting", "delivered", "superseded")
        ),
        f"{EMAILS_PATH}?before={{far_message}}",
    ),
    "products.listing": ("/console/products/", "/console/products/?kind=check&state=published"),
    "products.one": ("/console/products/{product}",),
    "publishing.ask": ("/console/products/{product}/archive",),
    "accounts.listing": ("/console/accounts/",),
    "accounts.one": ("/console/accounts/{account}", "/console/accounts/{gone}"),
}
# A way on without a page, and the bytes of recordings, which no order here has.
EXCLUDED_ENDPOINTS = {"home", "interviews.file", "interviews.original"}


@dataclass
class MeasuredRequest:
    """One call or page, and how long it took on each database, in ms."""

    name: str
    actions: Sequence[TimedAction]
    latencies: list[list[float]] = field(default_factory=list)

    def run(self, rounds: int) -> None:
        """Ask so often, the databases taking turns."""
        self.latencies = [[] for _ in self.actions]
        for _ in range(rounds):
            for act, waits in zip(self.actions, self.latencies, strict=True):
                waits.append(act() * 1e3)

    def p95(self, database: int) -> float:
        """Return the time that one in twenty takes longer than."""
        waits = sorted(self.latencies[database])
        return waits[min(len(waits) - 1, len(waits) * 95 // 100)]


def measure_large_instance(
    instances: dict[str, BenchmarkInstance], size: str, rounds: int
) -> Iterator[Figure]:
    """Return the slowest call and the slowest page on each database."""
    visitors = [RequestFactory(ground) for ground in instances.values()]
    said = {"contract's calls": RequestFactory.calls, "console's pages": RequestFactory.pages}
    for what, listed in said.items():
        each = [listed(visitor) for visitor in visitors]
        asked = [MeasuredRequest(name, [acts[name] for acts in each]) for name in each[0]]
        for one in asked:
            one.run(rounds)
        for number, database in enumerate(instances):
            name = f"{size} orders on {database}, the {what}: the slowest one's p95"
            yield _slowest_figure(name, asked, number)


def _slowest_figure(name: str, requests: list[MeasuredRequest], database_index: int) -> Figure:
    ranked = sorted(((one.p95(database_index), one.name) for one in requests), reverse=True)
    first = "; ".join(f"{took:.3g} ms {page}" for took, page in ranked[:LISTED_REQUESTS])
    beside = f"of {len(requests)}: {first}"
    return Figure(name, ranked[0][0], MAX_P95_MS, "ms", is_upper_limit=True, note=beside)


class RequestFactory:
    """Asks a house for everything, another order and another message each time."""

    def __init__(self, instance: BenchmarkInstance) -> None:
        self._instance = instance
        self._app = create_app(instance.services)
        _require_all_measured(self._app)
        self._staff_headers = {"Cookie": f"staff={sign_in(instance)}"}
        self._auth_headers = {"Authorization": f"Bearer {instance.token}"}
        self._numbers = iter(range(10**9))
        self._url_values = _CyclingValues(
            {name: cycle(found) for name, found in _load_url_values(instance).items()}
        )

    def calls(self) -> dict[str, TimedAction]:
        """Return the contract's calls by name."""
        asked = {path: self._get(path, self._auth_headers) for path in chain(*CALLS.values())}
        return asked | {f"POST {path}": self._post(kind) for kind, path, _ in ORDER_CALLS.values()}

    def pages(self) -> dict[str, TimedAction]:
        """Return the console's pages by address."""
        return {path: self._get(path, self._staff_headers) for path in chain(*PAGES.values())}

    def _get(self, path: str, headers: dict[str, str]) -> TimedAction:
        return lambda: timed_request(self._app, path.format_map(self._url_values), headers=headers)

    def _post(self, kind: str) -> TimedAction:
        ((path, named),) = [(path, named) for of, path, named in ORDER_CALLS.values() if of == kind]
        product = self._instance.products[kind]

        def act() -> float:
            wished = order_body(next(self._numbers), f"{kind}s") | {named: product}
            return timed_request(
                self._app, path, method="POST", headers=self._auth_headers, json=wished
            )

        return act


class _CyclingValues(dict[str, Iterator[str]]):
    """What stands in braces, another one at each asking."""

    def __getitem__(self, name: str) -> str:  # type: ignore[override]
        return next(super().__getitem__(name))


def _require_all_measured(app: Flask) -> None:
    """Raise RuntimeError where there is a call or a page that nobody asks for."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.methods]
    told: dict[str, set[str]] = {"workable": set(CALLS) | set(ORDER_CALLS), "console": set(PAGES)}
    told["console"] |= EXCLUDED_ENDPOINTS
    there: dict[str, set[str]] = {name: set() for name in told}
    for rule in rules:
        of, _, name = rule.endpoint.partition(".")
        if of == "workable" or (of == "console" and "GET" in (rule.methods or ())):
            there[of].add(name)
    if there != told:
        odd = {name: there[name] ^ told[name] for name in told}
        raise RuntimeError(f"not all of these are measured, or not there any more: {odd}")


def _load_url_values(instance: BenchmarkInstance) -> dict[str, list[str]]:
    """Return what can be asked for, by its name in the addresses."""
    found = {"product": [instance.tests[0]], "old_product": [instance.tests[-1]]}
    found["email"] = [f"c{number}@example.com" for number in range(1, 50)]
    for kind in instance.products:
        pending, done = (
            instance.sample_orders(status, kind) for status in ("pending", "completed")
        )
        both = [order for pair in zip(pending, done, strict=False) for order in pair]
        found |= {f"pending_{kind}": pending, f"done_{kind}": done, kind: both}
    with instance.services.db.reading() as session:
        found |= {
            "far_order": _ids_from_middle(session, Order),
            "far_message": _ids_from_middle(session, Message),
        }
        for state in ("delivered", "parked"):
            sent = select(Message.public_id).where(Message.state == state).limit(50)
            found[state] = list(session.scalars(sent))
        for name in ("account", "gone"):
            found[name] = [session.get_one(Account, getattr(instance, name)).public_id]
    return found


def _ids_from_middle(session: Session, model: type[Order] | type[Message]) -> list[str]:
    """Return rows from the middle of a table."""
    last = session.scalar(select(func.max(model.id))) or 0
    return list(session.scalars(select(model.public_id).where(model.id >= last // 2).limit(5)))
