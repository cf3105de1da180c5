"""A restart as a new version while statuses wait: none is stranded."""

from pathlib import Path

from sqlalchemy import inspect

from provider import schema
from provider.db import Base, Database
from tests import cast
from tests.soak import actor
from tests.soak.history import judge
from tests.soak.ledger import unsettled, written
from tests.soak.proof import Run, Verdict
from tests.soak.receiver import Receiver
from tests.soak.server import Instance

BEFORE = "0003"  # the database's version before there was a lane for each host
STATUSES = ("decline", "reopen")
LONG, SHORT = 1000, 30  # orders that wait
TRIES = 5  # that are refused before the stop: then the host is left alone
LAST = 300.0  # seconds


def restart(run: Run) -> Verdict:
    """Stop clean while all wait, go on as the next version on its database: all arrive."""
    orders = SHORT if run.short else LONG
    instance = Instance(run.part("restart"))
    with Receiver(run.luck("receiver")) as receiver:
        receiver.refusing = True
        _queue(instance, receiver.url, orders)
        with instance.start() as server:
            refused = receiver.wait_until(lambda it: len(it.arrived) >= TRIES, LAST)
            codes = [server.stop()]
        run.say(f"stopped after {len(receiver.arrived)} tries, all {orders:,} orders wait")
        with instance.house() as house:
            waiting = unsettled(house)
        _age(instance)
        instance.run("init")
        receiver.refusing = False
        with instance.start() as server:
            arrived = receiver.wait_until(lambda it: it.taken >= orders * len(STATUSES), LAST)
            codes.append(server.stop())
    with instance.house() as house:
        judgement, left = judge(written(house), receiver.arrived), unsettled(house)
    verdict = Verdict(f"{orders:,} orders waited, {judgement.figures}")
    verdict.hold(judgement)
    verdict.claim(judgement.promised == orders * len(STATUSES), "not all was promised")
    verdict.claim(refused and waiting >= judgement.promised, f"only {waiting} waited")
    verdict.claim(arrived and not left, f"{left} messages are not settled as delivered")
    verdict.claim(codes == [0, 0], f"the servers ended with {codes}")
    return verdict


def _queue(instance: Instance, receiver: str, orders: int) -> None:
    with instance.house() as house:
        account_id, _ = cast.account(house)
        test = cast.test(house)
        for number in range(orders):
            url = f"{receiver}/callbacks/{number}"
            order = cast.order(house, account_id, test, callback_url=url)
            with house.db.writing() as session:
                for part in (part for step in STATUSES for part in actor.STEPS[step]):
                    part(house, session, order, house.now())


def _age(instance: Instance) -> None:
    """Put the data into a database as the version before had it."""
    file = instance.folder / "provider.db"
    file.rename(newer := instance.folder / "newer.db")
    old, new = Database(f"sqlite:///{file}"), Database(f"sqlite:///{newer}")
    schema.upgrade(old, BEFORE)
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
