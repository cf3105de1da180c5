"""The demo: a server of its own, and an ATS that orders from it and hears back.

Everything goes through the doors that everybody has: commands, the contract over HTTP, letters,
the candidate's pages. Nothing here touches the database or the code behind the doors.
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
    """Play the demo in a folder that is emptied first; return 0, or raise what went wrong."""
    screen = ConsoleOutput()
    with ExitStack() as ending:
        ending.enter_context(_interrupt_on_signals())
        try:
            with _demo_environment(folder, screen) as (stage, ats, password):
                placed = scenario.place_orders(ats, stage, screen, second_test=auto)
                if auto:
                    staff = StaffBrowser(stage.url, STAFF_EMAIL, password)
                    scenario.run_automatically(ats, stage, screen, placed, staff)
                else:
                    screen.print_instructions(placed, stage.url, STAFF_EMAIL, password)
                    scenario.show_callbacks(ats, stage, screen)
        except KeyboardInterrupt:
            screen.print_end(folder)
    return 0


@contextmanager
def _demo_environment(
    folder: Path, output: ConsoleOutput
) -> Iterator[tuple[DemoServer, DemoAts, str]]:
    password = secrets.token_urlsafe(12)
    with DemoServer(folder, output) as stage, DemoAts() as ats:
        stage.run_command("init")
        stage.run_command("seed")
        token = stage.create_account(ACCOUNT_NAME, ats.host, ats.callback_token)
        stage.run_command(
            "staff", "create", STAFF_EMAIL, "--role", "admin", "--password-stdin", stdin=password
        )
        stage.start()
        ats.connect(stage.url, token)
        yield stage, ats, password


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """Let every polite end do what Ctrl-C does, so that no process is left behind."""
    # SIGINT too: whoever is started in the background is told to ignore it, and would never end.
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, _raise_keyboard_interrupt) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _raise_keyboard_interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
