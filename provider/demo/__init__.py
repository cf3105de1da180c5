"""The demo: a server of its own, and an ATS that orders and gets the results.

The demo uses public interfaces only: commands, the contract over HTTP, e-mails and web pages.
"""

import json
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from provider.demo import greenhouse, jobtrain, pageup, scenario
from provider.demo.ats import DemoAts
from provider.demo.console_output import ConsoleOutput
from provider.demo.receiver import HOST
from provider.demo.saved_demo import SavedDemo
from provider.demo.server import DemoServer
from provider.demo.staff import StaffBrowser
from provider.demo.workable_rule import STAGE, DemoWorkableApi

ACCOUNT_NAME = "Groove Tech"
RULES_ACCOUNT_NAME = "Groove Tech Rotterdam"
STAFF_EMAIL = "sam@groove-tech.test"


def run(folder: Path, *, auto: bool, ats: str = "workable") -> int:
    """Play the demo of an ATS in a folder that is emptied first; return the exit code 0."""
    # In the pages of the ATS a visitor needs their addresses only.
    output = ConsoleOutput(shows_commands=auto or ats != "workable")

    def play() -> None:
        with DemoServer(folder, output) as server:
            saved = SavedDemo(ats, server.ats_port, STAFF_EMAIL, secrets.token_urlsafe(12))
            _prepare(server, saved)
            DEMOS[ats](server, output, saved, auto=auto)

    return _run_until_interrupted(folder, output, play)


def show(folder: Path) -> int:
    """Open the folder of an earlier demo at the same addresses, until Ctrl-C; return 0."""
    saved = SavedDemo.read(folder)
    output = ConsoleOutput(shows_commands=False)

    def open_again() -> None:
        with DemoServer(folder, output, saved.ats_port) as server:
            server.run_command("init")  # a later version of the program may need it
            _remove_rules(server)
            if saved.ats == "workable":
                _show_ats(server, output, saved)
            else:
                server.start()
                output.print_console(server.url, saved.staff_email, saved.staff_password)
                output.print_waiting()
                server.wait_until_interrupted()

    return _run_until_interrupted(folder, output, open_again)


def _play_workable(
    server: DemoServer, output: ConsoleOutput, saved: SavedDemo, *, auto: bool
) -> None:
    callback_token = secrets.token_urlsafe(24)
    account = server.create_account(ACCOUNT_NAME, "workable", HOST, callback_token)
    saved = replace(saved, token=account["token"], callback_token=callback_token)
    saved.write(server.folder)
    if auto:
        _play_everything(server, output, saved)
    else:
        _show_ats(server, output, saved)


def _play_everything(server: DemoServer, output: ConsoleOutput, saved: SavedDemo) -> None:
    """Play recruiters, candidates and staff: orders in the pages of the ATS, and by a rule."""
    with DemoWorkableApi() as workable:
        kind = workable.connect(server, RULES_ACCOUNT_NAME)
        # The server reads the move while the other orders are played.
        output.print_heading(f"A recruiter moves {workable.candidate} into the stage {STAGE}")
        workable.move(STAGE)
        with _start_ats(server, saved) as ats:
            staff = StaffBrowser(server.url, STAFF_EMAIL, saved.staff_password)
            scenario.run_automatically(ats, server, output, staff)
            workable.play_rule(server, output, RULES_ACCOUNT_NAME, kind)


def _show_ats(server: DemoServer, output: ConsoleOutput, saved: SavedDemo) -> None:
    with _start_ats(server, saved) as ats:
        output.print_addresses(ats.url)
        output.print_console(server.url, saved.staff_email, saved.staff_password)
        output.print_first_steps()
        output.print_waiting()
        server.wait_until_interrupted()


@contextmanager
def _start_ats(server: DemoServer, saved: SavedDemo) -> Iterator[DemoAts]:
    """Start the server and the ATS with its pages."""
    with DemoAts(server.folder, server.ats_listener, saved.callback_token) as ats:
        server.start()
        ats.connect(server.url, saved.token)
        yield ats


def _play_greenhouse(
    server: DemoServer, output: ConsoleOutput, saved: SavedDemo, *, auto: bool
) -> None:
    with greenhouse.DemoGreenhouse() as ats:
        account = server.create_account(ACCOUNT_NAME, "greenhouse", ats.host)
        saved.write(server.folder)
        server.start()
        ats.connect(account["urls"], account["token"])
        orders = greenhouse.send_tests(ats, server, output)
        if auto:
            greenhouse.run_automatically(ats, output, orders)
        else:
            end = "What Greenhouse reads about a complete test appears here."
            output.print_instructions(orders, server.url, STAFF_EMAIL, saved.staff_password, end)
            greenhouse.show_patches(ats, server, output)


def _play_pageup(
    server: DemoServer, output: ConsoleOutput, saved: SavedDemo, *, auto: bool
) -> None:
    with pageup.DemoPageUp() as ats:
        kind = ats.connect(server, ACCOUNT_NAME)
        saved.write(server.folder)
        # The rule concerns tags that are given from now on.
        pageup.tag_candidate(ats, output)
        server.start()
        order = ats.wait_for_order(server, output, ACCOUNT_NAME, kind)
        if auto:
            pageup.run_automatically(ats, server, output, order)
        else:
            end = "Every request to PageUp appears here, the tag with the result among them."
            output.print_instructions([order], server.url, STAFF_EMAIL, saved.staff_password, end)
            ats.show_requests(server, output)


def _play_jobtrain(
    server: DemoServer, output: ConsoleOutput, saved: SavedDemo, *, auto: bool
) -> None:
    with jobtrain.DemoJobtrain() as ats:
        kind = ats.connect(server, ACCOUNT_NAME)
        saved.write(server.folder)
        output.print_heading(f"{ats.candidate} awaits an Enhanced check in Jobtrain")
        server.start()
        order = ats.wait_for_order(server, output, ACCOUNT_NAME, kind)
        if auto:
            staff = StaffBrowser(server.url, STAFF_EMAIL, saved.staff_password)
            jobtrain.run_automatically(ats, server, output, order, staff)
        else:
            end = "Complete the check there after the consent. Every request appears here."
            output.print_instructions([order], server.url, STAFF_EMAIL, saved.staff_password, end)
            ats.show_requests(server, output)


DEMOS = {
    "workable": _play_workable,
    "greenhouse": _play_greenhouse,
    "pageup": _play_pageup,
    "jobtrain": _play_jobtrain,
}


def _prepare(server: DemoServer, saved: SavedDemo) -> None:
    """Create the database, the samples and a staff member."""
    staff = ["staff", "create", saved.staff_email, "--role", "admin", "--password-stdin"]
    server.run_command("init")
    server.run_command("seed")
    server.run_command(*staff, stdin=saved.staff_password)


def _remove_rules(server: DemoServer) -> None:
    """Remove the rules, or the server would ask an API that is not played again."""
    accounts = json.loads(server.run_command("account", "list", "--json"))
    for name in [account["name"] for account in accounts]:
        for rule in json.loads(server.run_command("rule", "list", name, "--json")):
            server.run_command("rule", "remove", name, str(rule["rule"]))


def _run_until_interrupted(folder: Path, output: ConsoleOutput, play: Callable[[], None]) -> int:
    """Run a demo to its end or to Ctrl-C, and print how to open its folder again."""
    with _interrupt_on_signals():
        output.print_start()
        with suppress(KeyboardInterrupt):
            play()
        if SavedDemo.exists(folder):
            output.print_end(folder)
    return 0


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
