"""A server is stopped while statuses wait; the next server delivers all of them."""

from tests import factories
from tests.endurance import actors
from tests.endurance.expected_statuses import count_undelivered, load_expected_statuses
from tests.endurance.receiver import CallbackReceiver
from tests.endurance.scenario import Run, ScenarioVerdict
from tests.endurance.server import Instance
from tests.endurance.verdict import check_deliveries

SCRIPT = ("decline", "reopen")
LONG_ORDER_COUNT, SHORT_ORDER_COUNT = 1000, 10
MIN_REFUSED_ATTEMPTS = 5  # before the stop; then the host is paused
FINISH_TIMEOUT_SECONDS = 300.0


def restart(run: Run) -> ScenarioVerdict:
    """Stop a server while all statuses wait, and upgrade: the next server delivers all."""
    orders = SHORT_ORDER_COUNT if run.short else LONG_ORDER_COUNT
    instance = Instance(run.create_folder("restart"))
    with CallbackReceiver(run.rng("receiver")) as receiver:
        receiver.is_refusing = True
        _queue_orders(instance, receiver.url, orders)
        with instance.start_server() as server:
            refused = receiver.wait_until(
                lambda receiver: len(receiver.callbacks) >= MIN_REFUSED_ATTEMPTS,
                FINISH_TIMEOUT_SECONDS,
            )
            exit_codes = [server.stop()]
        run.print_progress(
            f"stopped after {len(receiver.callbacks)} attempts, all {orders:,} orders wait"
        )
        with instance.open_services() as services:
            waiting = count_undelivered(services)
        instance.run_command("init")
        receiver.is_refusing = False
        with instance.start_server() as server:
            arrived = receiver.wait_until(
                lambda receiver: receiver.accepted_count >= orders * len(SCRIPT),
                FINISH_TIMEOUT_SECONDS,
            )
            exit_codes.append(server.stop())
    with instance.open_services() as services:
        expected, undelivered = load_expected_statuses(services), count_undelivered(services)
    deliveries = check_deliveries(expected, receiver.callbacks)
    verdict = ScenarioVerdict(f"{orders:,} orders waited, {deliveries.figures}")
    verdict.add_problems_of(deliveries)
    verdict.require(
        len(expected) == orders * len(SCRIPT), f"only {len(expected)} statuses were written"
    )
    verdict.require(refused and waiting >= len(expected), f"only {waiting} messages waited")
    verdict.require(arrived and not undelivered, f"{undelivered} messages are not delivered")
    verdict.require(exit_codes == [0, 0], f"the servers ended with {exit_codes}")
    return verdict


def _queue_orders(instance: Instance, receiver_url: str, orders: int) -> None:
    with instance.open_services() as services:
        account_id, _ = factories.create_account(services)
        test = factories.create_test(services)
        for number in range(orders):
            url = f"{receiver_url}/callbacks/{number}"
            order = factories.place_order(services, account_id, test, callback_url=url)
            with services.db.writing() as session:
                for act in (act for step in SCRIPT for act in actors.STEPS[step]):
                    act(services, session, order, services.now())
