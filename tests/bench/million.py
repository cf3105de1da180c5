"""Every call of the contract and every page of the console, on a house with many orders."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, cycle

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provider.accounts import Account
from provider.app import create_app
from provider.orders import Order
from provider.outbox import Message
from tests.bench.ground import Ground
from tests.bench.growth import Act, call, sign_in, wish
from tests.bench.table import Figure

LIMIT = 150  # ms
NAMED = 3  # of the slowest
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
ORDERED = {
    "create_assessment": ("assessment", "/assessments", "test_id"),
    "create_interview": ("interview", "/interviews", "interview_template_id"),
    "create_check": ("check", "/checks", "package_id"),
}
ORDERS, SENT, LETTERS = "/console/orders/", "/console/deliveries/", "/console/letters/"
PAGES: dict[str, tuple[str, ...]] = {
    "signing_in.sign_in": ("/console/sign-in",),
    "orders.listing": (
        ORDERS,
        *(f"{ORDERS}?before={{far_order}}", f"{ORDERS}?after={{far_order}}"),
        *(f"{ORDERS}?kind={kind}" for kind in ("assessment", "interview", "check")),
        *(
            f"{ORDERS}?status={status}"
            for status in ("pending", "consented", "completed", "expired", "cancelled")
        ),
        f"{ORDERS}?waits=staff",
        *(f"{ORDERS}?account={{account}}", f"{ORDERS}?account={{gone}}"),
        *(f"{ORDERS}?product={{product}}", f"{ORDERS}?product={{old_product}}"),
        f"{ORDERS}?email={{email}}",
        *(f"{ORDERS}?account={{{who}}}&status=pending" for who in ("account", "gone")),
        f"{ORDERS}?account={{account}}&status=cancelled",
        f"{ORDERS}?account={{gone}}&kind=assessment",
        f"{ORDERS}?kind=interview&status=completed&before={{far_order}}",
        f"{ORDERS}?kind=check&status=cancelled",
        f"{ORDERS}?product={{old_product}}&account={{account}}&status=completed",
    ),
    "orders.story": (f"{ORDERS}{{assessment}}", f"{ORDERS}{{done_check}}"),
    "acts.ask": (f"{ORDERS}{{pending_assessment}}/cancel", f"{ORDERS}{{done_assessment}}/reopen"),
    "interviews.page": (f"{ORDERS}{{interview}}/interview",),
    "interviews.ask": (f"{ORDERS}{{pending_interview}}/interview/complete",),
    "checks.one": ("/console/checks/{check}/",),
    "checks.confirm": ("/console/checks/{pending_check}/complete",),
    "deliveries.listing": (
        *(
            f"{SENT}?state={state}"
            for state in ("parked", "waiting", "delivered", "superseded", "any")
        ),
        *(f"{SENT}?state=any&before={{far_message}}", f"{SENT}?state=any&after={{far_message}}"),
        *(f"{SENT}?state=any&sink={sink}" for sink in ("callback", "mail", "media")),
        *(f"{SENT}?state=waiting&sink={sink}" for sink in ("callback", "mail", "media")),
        *(f"{SENT}?state=delivered&sink={sink}" for sink in ("callback", "mail", "media")),
        *(f"{SENT}?state=any&account={who}" for who in ("{account}", "{gone}")),
        *(f"{SENT}?state=parked&account={who}" for who in ("{account}", "{gone}")),
        f"{SENT}?state=any&sink=media&account={{gone}}",
    ),
    "deliveries.one": (f"{SENT}{{delivered}}", f"{SENT}{{parked}}"),
    "deliveries.ask_all": (f"{SENT}again", f"{SENT}again?sink=mail&account={{account}}"),
    "letters.listing": (
        LETTERS,
        *(f"{LETTERS}?state={state}" for state in ("parked", "waiting", "delivered", "superseded")),
        f"{LETTERS}?before={{far_message}}",
    ),
    "products.listing": ("/console/products/", "/console/products/?kind=check&state=published"),
    "products.one": ("/console/products/{product}",),
    "publishing.ask": ("/console/products/{product}/archive",),
    "accounts.listing": ("/console/accounts/",),
    "accounts.one": ("/console/accounts/{account}", "/console/accounts/{gone}"),
}
# A way on without a page, and the bytes of recordings, which no order here has.
NO_PAGES = {"home", "interviews.file", "interviews.original"}


@dataclass
class Asked:
    """One call or page, and how long it took on each database, in ms."""

    name: str
    acts: Sequence[Act]
    waits: list[list[float]] = field(default_factory=list)

    def run(self, rounds: int) -> None:
        """Ask so often, the databases taking turns."""
        self.waits = [[] for _ in self.acts]
        for _ in range(rounds):
            for act, waits in zip(self.acts, self.waits, strict=True):
                waits.append(act() * 1e3)

    def p95(self, database: int) -> float:
        """Return the time that one in twenty takes longer than."""
        waits = sorted(self.waits[database])
        return waits[min(len(waits) - 1, len(waits) * 95 // 100)]


def million(grounds: dict[str, Ground], size: str, rounds: int) -> Iterator[Figure]:
    """Return the slowest call and the slowest page on each database."""
    visitors = [Visitor(ground) for ground in grounds.values()]
    said = {"contract's calls": Visitor.calls, "console's pages": Visitor.pages}
    for what, listed in said.items():
        each = [listed(visitor) for visitor in visitors]
        asked = [Asked(name, [acts[name] for acts in each]) for name in each[0]]
        for one in asked:
            one.run(rounds)
        for number, database in enumerate(grounds):
            name = f"{size} orders on {database}, the {what}: the slowest one's p95"
            yield _slowest(name, asked, number)


def _slowest(name: str, asked: list[Asked], database: int) -> Figure:
    ranked = sorted(((one.p95(database), one.name) for one in asked), reverse=True)
    first = "; ".join(f"{took:.3g} ms {page}" for took, page in ranked[:NAMED])
    beside = f"of {len(asked)}: {first}"
    return Figure(name, ranked[0][0], LIMIT, "ms", most=True, beside=beside)


class Visitor:
    """Asks a house for everything, another order and another message each time."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._app = create_app(ground.house)
        _leave_none_out(self._app)
        self._staff = {"Cookie": f"staff={sign_in(ground)}"}
        self._bearer = {"Authorization": f"Bearer {ground.token}"}
        self._numbers = iter(range(10**9))
        self._known = _Known({name: cycle(found) for name, found in _things(ground).items()})

    def calls(self) -> dict[str, Act]:
        """Return the contract's calls by name."""
        asked = {path: self._get(path, self._bearer) for path in chain(*CALLS.values())}
        return asked | {f"POST {path}": self._post(kind) for kind, path, _ in ORDERED.values()}

    def pages(self) -> dict[str, Act]:
        """Return the console's pages by address."""
        return {path: self._get(path, self._staff) for path in chain(*PAGES.values())}

    def _get(self, path: str, headers: dict[str, str]) -> Act:
        return lambda: call(self._app, path.format_map(self._known), headers=headers)

    def _post(self, kind: str) -> Act:
        ((path, named),) = [(path, named) for of, path, named in ORDERED.values() if of == kind]
        product = self._ground.products[kind]

        def act() -> float:
            wished = wish(next(self._numbers), f"{kind}s") | {named: product}
            return call(self._app, path, method="POST", headers=self._bearer, json=wished)

        return act


class _Known(dict[str, Iterator[str]]):
    """What stands in braces, another one at each asking."""

    def __getitem__(self, name: str) -> str:  # type: ignore[override]
        return next(super().__getitem__(name))


def _leave_none_out(app: Flask) -> None:
    """Raise RuntimeError where there is a call or a page that nobody asks for."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.methods]
    told: dict[str, set[str]] = {"workable": set(CALLS) | set(ORDERED), "console": set(PAGES)}
    told["console"] |= NO_PAGES
    there: dict[str, set[str]] = {name: set() for name in told}
    for rule in rules:
        of, _, name = rule.endpoint.partition(".")
        if of == "workable" or (of == "console" and "GET" in (rule.methods or ())):
            there[of].add(name)
    if there != told:
        odd = {name: there[name] ^ told[name] for name in told}
        raise RuntimeError(f"not all of these are measured, or not there any more: {odd}")


def _things(ground: Ground) -> dict[str, list[str]]:
    """Return what can be asked for, by its name in the addresses."""
    found = {"product": [ground.tests[0]], "old_product": [ground.tests[-1]]}
    found["email"] = [f"c{number}@example.com" for number in range(1, 50)]
    for kind in ground.products:
        pending, done = (ground.sample(status, kind) for status in ("pending", "completed"))
        both = [order for pair in zip(pending, done, strict=False) for order in pair]
        found |= {f"pending_{kind}": pending, f"done_{kind}": done, kind: both}
    with ground.house.db.reading() as session:
        found |= {"far_order": _far(session, Order), "far_message": _far(session, Message)}
        for state in ("delivered", "parked"):
            sent = select(Message.public_id).where(Message.state == state).limit(50)
            found[state] = list(session.scalars(sent))
        for name in ("account", "gone"):
            found[name] = [session.get_one(Account, getattr(ground, name)).public_id]
    return found


def _far(session: Session, kind: type[Order] | type[Message]) -> list[str]:
    """Return rows from the middle of a table."""
    last = session.scalar(select(func.max(kind.id))) or 0
    return list(session.scalars(select(kind.public_id).where(kind.id >= last // 2).limit(5)))
