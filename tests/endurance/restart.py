"""A restart as a new version while statuses wait: none is stranded."""

from pathlib import Path

from sqlalchemy import inspect

from provider.maintenance import schema_version
from provider.storage.database import Base, Database
from tests import factories
from tests.endurance import actors
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import CallbackReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.verdict import check_deliveries

PREVIOUS_REVISION = "0003"  # the database's version before there was a lane for each host
SCRIPT = ("decline", "reopen")
LONG_ORDER_COUNT, SHORT_ORDER_COUNT = 1000, 30  # orders that wait
MIN_REFUSED_ATTEMPTS = 5  # that are refused before the stop: then the host is left alone
FINISH_TIMEOUT_SECONDS = 300.0  # seconds


def restart(run: Run) -> ScenarioVerdict:
    """Stop clean while all wait, go on as the next version on its database: all arrive."""
    orders = SHORT_ORDER_COUNT if run.short else LONG_ORDER_COUNT
    instance = Instance(run.create_folder("restart"))
    with CallbackReceiver(run.rng("receiver")) as receiver:
        receiver.is_refusing = True
        _queue_orders(instance, receiver.url, orders)
        with instance.start_server() as server:
            refused = receiver.wait_until(
                lambda it: len(it.callbacks) >= MIN_REFUSED_ATTEMPTS, FINISH_TIMEOUT_SECONDS
            )
            codes = [server.stop()]
        run.print_progress(
            f"stopped after {len(receiver.callbacks)} tries, all {orders:,} orders wait"
        )
        with instance.open_services() as services:
            waiting = count_undelivered(services)
        _downgrade_database(instance)
        instance.run_command("init")
        receiver.is_refusing = False
        with instance.start_server() as server:
            arrived = receiver.wait_until(
                lambda it: it.accepted_count >= orders * len(SCRIPT), FINISH_TIMEOUT_SECONDS
            )
            codes.append(server.stop())
    with instance.open_services() as services:
        judgement, left = (
            check_deliveries(load_expected_statuses(services), receiver.callbacks),
            count_undelivered(services),
        )
    verdict = ScenarioVerdict(f"{orders:,} orders waited, {judgement.figures}")
    verdict.add_problems_of(judgement)
    verdict.require(judgement.expected == orders * len(SCRIPT), "not all was promised")
    verdict.require(refused and waiting >= judgement.expected, f"only {waiting} waited")
    verdict.require(arrived and not left, f"{left} messages are not settled as delivered")
    verdict.require(codes == [0, 0], f"the servers ended with {codes}")
    return verdict


def _queue_orders(instance: Instance, receiver_url: str, orders: int) -> None:
    with instance.open_services() as services:
        account_id, _ = factories.create_account(services)
        test = factories.create_test(services)
        for number in range(orders):
            url = f"{receiver_url}/callbacks/{number}"
            order = factories.place_order(services, account_id, test, callback_url=url)
            with services.db.writing() as session:
                for part in (part for step in SCRIPT for part in actors.STEPS[step]):
                    part(services, session, order, services.now())


def _downgrade_database(instance: Instance) -> None:
    """Put the data into a database as the version before had it."""
    file = instance.folder / "provider.db"
    file.rename(newer := instance.folder / "newer.db")
    old, new = Database(f"sqlite:///{file}"), Database(f"sqlite:///{newer}")
    schema_version.upgrade(old, PREVIOUS_REVISION)
    with old.engine.begin() as into, new.engine.begin() as source:
        into.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        known = inspect(into)
        for table in known.get_table_names():
            if table in Base.metadata.tables:
                names = [str(column["name"]) for column in known.get_columns(table)]
                rows = source.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table}").all()
                places = ", ".join("?" * len(names))
                if rows:
                    into.exec_driver_sql(
                        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})",
                        [tuple(row) for row in rows],
                    )
        into.exec_driver_sql(
            "UPDATE messages SET lane = substr(lane, 1, instr(lane, '/callback') + 8) "
            "WHERE lane LIKE '%/callback/%'"
        )
    for db in (old, new):
        db.close()
    Path(newer).unlink()
