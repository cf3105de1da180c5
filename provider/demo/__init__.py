"""The demo: a server of its own, and an ATS that places orders and receives callbacks.

The demo uses public interfaces only: commands, the contract over HTTP, e-mails and web pages.
"""

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from provider.demo import scenario
from provider.demo.ats import DemoAts
from provider.demo.console_output import ConsoleOutput
from provider.demo.server import DemoServer
from provider.demo.staff import StaffBrowser

ACCOUNT_NAME = "Groove Tech"
STAFF_EMAIL = "sam@groove-tech.test"


def run(folder: Path, *, auto: bool) -> int:
    """Play the demo in a folder that is emptied first; return the exit code 0."""
    output = ConsoleOutput()
    with ExitStack() as stack:
        stack.enter_context(_interrupt_on_signals())
        try:
            with _demo_environment(folder, output) as (server, ats, password):
                orders = scenario.place_orders(ats, server, output, second_test=auto)
                if auto:
                    staff = StaffBrowser(server.url, STAFF_EMAIL, password)
                    scenario.run_automatically(ats, server, output, orders, staff)
                else:
                    output.print_instructions(orders, server.url, STAFF_EMAIL, password)
                    scenario.show_callbacks(ats, server, output)
        except KeyboardInterrupt:
            output.print_end(folder)
    return 0


@contextmanager
def _demo_environment(
    folder: Path, output: ConsoleOutput
) -> Iterator[tuple[DemoServer, DemoAts, str]]:
    password = secrets.token_urlsafe(12)
    with DemoServer(folder, output) as server, DemoAts() as ats:
        server.run_command("init")
        server.run_command("seed")
        token = server.create_account(ACCOUNT_NAME, ats.host, ats.callback_token)
        server.run_command(
            "staff", "create", STAFF_EMAIL, "--role", "admin", "--password-stdin", stdin=password
        )
        server.start()
        ats.connect(server.url, token)
        yield server, ats, password


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
