"""The demo: a server of its own, and an ATS that orders and gets the results.

The demo uses public interfaces only: commands, the contract over HTTP, e-mails and web pages.
"""

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from provider.demo import greenhouse, jobtrain, pageup, scenario, workable_rule
from provider.demo.ats import DemoAts
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.demo.staff import StaffBrowser

ACCOUNT_NAME = "Groove Tech"
STAFF_EMAIL = "sam@groove-tech.test"


def run(folder: Path, *, auto: bool, ats: str = "workable") -> int:
    """Play the demo of an ATS in a folder that is emptied first; return the exit code 0."""
    output = ConsoleOutput()
    with ExitStack() as stack:
        stack.enter_context(_interrupt_on_signals())
        try:
            with DemoServer(folder, output) as server:
                DEMOS[ats](server, output, auto=auto)
        except KeyboardInterrupt:
            output.print_end(folder)
    return 0


def _play_workable(server: DemoServer, output: ConsoleOutput, *, auto: bool) -> None:
    with DemoAts() as ats:
        password = _prepare(server)
        account = server.create_account(ACCOUNT_NAME, "workable", ats.host, ats.callback_token)
        server.start()
        ats.connect(server.url, account["token"])
        orders = scenario.place_orders(ats, server, output, second_test=auto)
        if auto:
            staff = StaffBrowser(server.url, STAFF_EMAIL, password)
            scenario.run_automatically(ats, server, output, orders, staff)
            workable_rule.play_rule(server, output, f"{ACCOUNT_NAME} rules")
        else:
            output.print_instructions(orders, server.url, STAFF_EMAIL, password)
            scenario.show_callbacks(ats, server, output)


def _play_greenhouse(server: DemoServer, output: ConsoleOutput, *, auto: bool) -> None:
    with greenhouse.DemoGreenhouse() as ats:
        password = _prepare(server)
        account = server.create_account(ACCOUNT_NAME, "greenhouse", ats.host)
        server.start()
        ats.connect(account["urls"], account["token"])
        orders = greenhouse.send_tests(ats, server, output)
        if auto:
            greenhouse.run_automatically(ats, output, orders)
        else:
            end = "What Greenhouse reads about a complete test appears here."
            output.print_instructions(orders, server.url, STAFF_EMAIL, password, end)
            greenhouse.show_patches(ats, server, output)


def _play_pageup(server: DemoServer, output: ConsoleOutput, *, auto: bool) -> None:
    with pageup.DemoPageUp() as ats:
        password = _prepare(server)
        kind = ats.connect(server, ACCOUNT_NAME)
        # The rule concerns tags that are given from now on.
        pageup.tag_candidate(ats, output)
        server.start()
        order = ats.wait_for_order(server, output, ACCOUNT_NAME, kind)
        if auto:
            pageup.run_automatically(ats, server, output, order)
        else:
            end = "Every request to PageUp appears here, the tag with the result among them."
            output.print_instructions([order], server.url, STAFF_EMAIL, password, end)
            ats.show_requests(server, output)


def _play_jobtrain(server: DemoServer, output: ConsoleOutput, *, auto: bool) -> None:
    with jobtrain.DemoJobtrain() as ats:
        password = _prepare(server)
        kind = ats.connect(server, ACCOUNT_NAME)
        output.print_heading(f"{ats.candidate} awaits an Enhanced check in Jobtrain")
        server.start()
        order = ats.wait_for_order(server, output, ACCOUNT_NAME, kind)
        if auto:
            staff = StaffBrowser(server.url, STAFF_EMAIL, password)
            jobtrain.run_automatically(ats, server, output, order, staff)
        else:
            end = "Complete the check there after the consent. Every request appears here."
            output.print_instructions([order], server.url, STAFF_EMAIL, password, end)
            ats.show_requests(server, output)


DEMOS = {
    "workable": _play_workable,
    "greenhouse": _play_greenhouse,
    "pageup": _play_pageup,
    "jobtrain": _play_jobtrain,
}


def _prepare(server: DemoServer) -> str:
    """Create the database, the samples and a staff member; return the password."""
    password = secrets.token_urlsafe(12)
    server.run_command("init")
    server.run_command("seed")
    server.run_command(
        "staff", "create", STAFF_EMAIL, "--role", "admin", "--password-stdin", stdin=password
    )
    return password


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP too, so that the server is always stopped."""
    # SIGINT too: a shell starts background jobs with SIGINT ignored.
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, _raise_keyboard_interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _raise_keyboard_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
