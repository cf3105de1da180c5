"""The first page of the queue of screenings, by every filter, with many checks."""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from time import process_time

from sqlalchemy import func, select

from provider.app import create_app
from provider.core import staff
from provider.core.accounts import Account
from provider.core.kinds.check.tables.screening_task import TASK_LABELS, ScreeningTask
from provider.core.products import Product
from tests import factories
from tests.bench.fill_checks import OTHER_ACCOUNTS, PACKAGES, CheckNumbers, insert_checks
from tests.bench.growth import timed_request
from tests.bench.instance import BenchmarkInstance
from tests.bench.million import MAX_QUEUE_P95_MS, SCREENINGS_PATH
from tests.bench.table import Figure

OPEN_PERCENTS = (10, 90)  # of the checks
ME = "colleague-1@provider.test"
LISTED_REQUESTS = 3  # the slowest ones, in a figure's note
EVERYBODY, ONE_ACCOUNT, FIVE_ACCOUNTS, MOST_ACCOUNTS = "", "1 account", "5 accounts", "25 accounts"
QUERIES: dict[str, tuple[str, ...]] = {
    EVERYBODY: (
        "",
        *(f"type={name}" for name in ("identity", "sanctions", "credit")),
        *(f"state={state.replace(' ', '+')}" for state in TASK_LABELS),
        *("whose=mine", "whose=free", "due=overdue"),
        *("account={main}", "account={inactive}"),
        "before={far_task}",
        "after={far_task}",
        # These find something.
        "type=identity&account={main}",
        "type=licence&whose=free&due=overdue",
        "state=done&whose=mine",
        "state=done&account={main}&type=identity",
        "state=done&account={inactive}",
        "state=withdrawn&type=licence",
        # These find nothing, though each of their filters finds much.
        "type=sanctions&account={main}",
        "type=sanctions&account={main}&due=overdue",
        "type=sanctions&state=to+do&whose=free&account={main}",
        "state=in+progress&whose=free",
        "state=to+do&whose=mine",
        "state=done&whose=free",
        "state=done&type=sanctions&account={main}",
        "state=done&type=credit",
    ),
    ONE_ACCOUNT: ("", "state=done", "type=sanctions", "state=to+do&whose=mine"),
    FIVE_ACCOUNTS: ("", "state=done", "state=in+progress&whose=free"),
    MOST_ACCOUNTS: ("", "state=done", "state=in+progress&whose=free"),
}


@dataclass
class QueueRequest:
    """One page, and its seconds and CPU milliseconds."""

    name: str
    action: Callable[[], float]
    cpu_seconds: Callable[[], float]
    latencies: list[float] = field(default_factory=list)
    cpu_ms: float = 0

    def run(self, rounds: int) -> None:
        self.action()  # compiles statements and fills caches
        started_at = self.cpu_seconds()
        self.latencies = sorted(self.action() * 1e3 for _ in range(rounds))
        self.cpu_ms = (self.cpu_seconds() - started_at) * 1e3 / rounds

    @property
    def p95(self) -> float:
        """The 95th percentile of the latencies, in ms."""
        return self.latencies[min(len(self.latencies) - 1, len(self.latencies) * 95 // 100)]


@dataclass
class CheckInstance:
    """An instance whose orders are all checks."""

    instance: BenchmarkInstance
    accounts: list[int]  # besides the main one

    @classmethod
    def create(
        cls, folder: Path, url: str | None, checks: int, open_percent: int
    ) -> "CheckInstance":
        """Create the database, and fill it."""
        instance = BenchmarkInstance.create(folder, url)
        services = instance.services
        accounts = [
            factories.create_account(services, f"Tech {number:02}")[0]
            for number in range(OTHER_ACCOUNTS)
        ]
        products = [_create_package(instance, types) for types in PACKAGES]
        with services.db.reading() as session:
            first = session.scalars(select(Product).where(Product.public_id == products[0])).one()
            numbers = CheckNumbers(
                account=instance.account,
                inactive_account=instance.inactive_account,
                others=accounts[0],
                packages=first.id,
                versions=first.versions[0].id,
                open_percent=open_percent,
                last=checks,
            )
        with instance.fast_transaction() as connection:
            insert_checks(connection, numbers)
        return cls(instance, accounts)

    def requests(self, database_cpu: Callable[[], float] | None) -> list[QueueRequest]:
        """Return the pages to measure."""
        app = create_app(self.instance.services)
        values = self._url_values()
        main = self.instance.account
        limits = {
            EVERYBODY: None,
            ONE_ACCOUNT: [main],
            FIVE_ACCOUNTS: [main, *self.accounts[:4]],
            MOST_ACCOUNTS: [main, *self.accounts[:24]],
        }

        def cpu_seconds() -> float:
            return process_time() + (database_cpu() if database_cpu else 0)

        def request(query: str, cookie: str) -> Callable[[], float]:
            path, headers = f"{SCREENINGS_PATH}?{query.format_map(values)}", {"Cookie": cookie}
            return lambda: timed_request(app, path, headers=headers)

        requests = []
        for limit, queries in QUERIES.items():
            email = f"{limit.replace(' ', '-')}@provider.test" if limit else ME
            cookie = f"staff={self._sign_in(email, limits[limit])}"
            for query in queries:
                name = f"?{query}" + (f" (limited to {limit})" if limit else "")
                requests.append(QueueRequest(name, request(query, cookie), cpu_seconds))
        return requests

    def count_tasks(self) -> tuple[int, int]:
        """Return the number of all screenings and of the open ones."""
        columns = func.count(), func.count().filter(ScreeningTask.done_at.is_(None))
        with self.instance.services.db.reading() as session:
            row = session.execute(select(*columns).select_from(ScreeningTask)).one()
        return row[0], row[1]

    def _sign_in(self, email: str, accounts: list[int] | None) -> str:
        services = self.instance.services
        factories.create_staff(services, email)
        with services.db.writing() as session:
            if accounts:
                person = session.scalars(
                    select(staff.Staff).where(staff.Staff.email == email)
                ).one()
                staff.limit_accounts(session, person, accounts)
            return staff.complete_sign_in(session, email, "127.0.0.1", services.now())

    def _url_values(self) -> dict[str, str]:
        is_open = ScreeningTask.done_at.is_(None)
        with self.instance.services.db.reading() as session:
            count = session.scalar(select(func.count()).where(is_open)) or 0
            query = select(ScreeningTask.public_id).where(is_open)
            query = query.order_by(ScreeningTask.due_on, ScreeningTask.id)
            return {
                "main": session.get_one(Account, self.instance.account).public_id,
                "inactive": session.get_one(Account, self.instance.inactive_account).public_id,
                "far_task": session.scalars(query.offset(count // 2).limit(1)).one(),
            }


def measure_queue(
    check_instance: CheckInstance,
    name: str,
    rounds: int,
    database_cpu: Callable[[], float] | None,
    report: Callable[[str], None],
) -> Iterator[Figure]:
    """Measure each page, report it, and return the slowest ones."""
    task_count, open_count = check_instance.count_tasks()
    requests = check_instance.requests(database_cpu)
    gc.collect()
    gc.freeze()  # as a server does, or a full collection falls into one of the pages
    for request in requests:
        request.run(rounds)
        report(f"| {name} | `{request.name}` | {request.cpu_ms:.1f} ms | {request.p95:.1f} ms |")
    note = f"{open_count:,} of {task_count:,} screenings are open; of {len(requests)} pages: "
    values = {
        "CPU": {request.name: request.cpu_ms for request in requests},
        "p95": {request.name: request.p95 for request in requests},
    }
    for label, by_name in values.items():
        ranked = sorted(by_name.items(), key=itemgetter(1), reverse=True)
        slowest = "; ".join(f"{ms:.3g} ms {page}" for page, ms in ranked[:LISTED_REQUESTS])
        yield Figure(
            f"{name}, the queue of screenings: the slowest first page's {label}",
            ranked[0][1],
            MAX_QUEUE_P95_MS,
            "ms",
            is_upper_limit=True,
            note=note + slowest,
        )


def _create_package(instance: BenchmarkInstance, types: Sequence[str]) -> str:
    screenings = [{"key": name, "type": name, "name": name.capitalize()} for name in types]
    content = factories.PACKAGE_CONTENT | {"screenings": screenings}
    name = " and ".join(types)
    return factories.create_product(
        instance.services, "check", content, "-".join(types).replace("_", "-"), name.capitalize()
    )
