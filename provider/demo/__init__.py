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

from provider.demo import play
from provider.demo.ats import Ats
from provider.demo.screen import Screen
from provider.demo.staff import Staff
from provider.demo.stage import Stage

ACCOUNT = "Groove Tech"
STAFF = "sam@groove-tech.test"


def run(folder: Path, *, auto: bool) -> int:
    """Play the demo in a folder that is emptied first; return 0, or raise what went wrong."""
    screen = Screen()
    with ExitStack() as ending:
        ending.enter_context(_interruptible())
        try:
            with _set(folder, screen) as (stage, ats, password):
                placed = play.order_all(ats, stage, screen, twice=auto)
                if auto:
                    staff = Staff(stage.url, STAFF, password)
                    play.automatically(ats, stage, screen, placed, staff)
                else:
                    screen.your_turn(placed, stage.url, STAFF, password)
                    play.watch(ats, stage, screen)
        except KeyboardInterrupt:
            screen.end(folder)
    return 0


@contextmanager
def _set(folder: Path, screen: Screen) -> Iterator[tuple[Stage, Ats, str]]:
    password = secrets.token_urlsafe(12)
    with Stage(folder, screen) as stage, Ats() as ats:
        stage.command("init")
        stage.command("seed")
        token = stage.account(ACCOUNT, ats.host, ats.callback_token)
        stage.command(
            "staff", "create", STAFF, "--role", "admin", "--password-stdin", stdin=password
        )
        stage.serve()
        ats.connect(stage.url, token)
        yield stage, ats, password


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let every polite end do what Ctrl-C does, so that no process is left behind."""
    # SIGINT too: whoever is started in the background is told to ignore it, and would never end.
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, _interrupt) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
