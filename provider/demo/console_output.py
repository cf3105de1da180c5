"""The text that the demo prints in the terminal."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from provider.demo.ats import PlacedOrder, ReceivedCallback

STATUS_TEXTS = {
    "pending": "waiting for the candidate",
    "consented": "the candidate has consented",
    "completed": "completed",
    "rejected": "the candidate has declined",
    "declined": "the candidate has declined",
    "expired": "expired",
}
CANDIDATE_TASKS = {
    "assessment": "take the test",
    "interview": "record the interview",
    "check": "consent to the check, or decline",
}


class ConsoleOutput:
    """Lines on a terminal; a link is never wrapped, so that it can be clicked and copied."""

    def __init__(self, *, shows_commands: bool = True) -> None:
        self._console = Console(highlight=False)
        self._shows_commands = shows_commands

    def print_command(self, arguments: Sequence[str]) -> None:
        if self._shows_commands:
            self._print_line(f"$ provider {shlex.join(arguments)}", "dim")

    def print_heading(self, title: str) -> None:
        self._console.print()
        self._console.rule(Text(title, "bold"), align="left")

    def print_text(self, text: str, style: str = "") -> None:
        self._print_line(text, style)

    def print_instructions(
        self,
        orders: Sequence[PlacedOrder],
        url: str,
        email: str,
        password: str,
        end: str = "Every callback to the ATS appears here.",
    ) -> None:
        """Print the invitations, the console's address, e-mail and password, and `end`."""
        self.print_heading("Your turn")
        for order in orders:
            self._print_line(f"As {order.candidate}, {CANDIDATE_TASKS[order.kind]}:", "bold")
            self._print_line(f"    {order.link}\n", "cyan")
        self._print_line("As a staff member, follow the orders in the console:", "bold")
        self._print_line(f"    {url}/console/", "cyan")
        self._print_line(f"    e-mail    {email}\n    password  {password}\n")
        self._print_line(f"{end} Press Ctrl-C to end the demo.", "bold")

    def print_start(self) -> None:
        if not self._shows_commands:
            self._print_line("Starting a server and a small ATS …")

    def print_addresses(self, ats_url: str) -> None:
        """Print where the ATS and the candidates' inbox are."""
        self.print_heading("The demo is open")
        self._print_line(f"The ATS      {ats_url}/", "cyan")
        self._print_line(f"The inbox    {ats_url}/inbox", "cyan")

    def print_console(self, url: str, email: str, password: str) -> None:
        """Print where the console is, and how to sign in."""
        self._print_line(f"The console  {url}/console/", "cyan")
        self._print_line(f"             e-mail {email}, password {password}")

    def print_first_steps(self) -> None:
        self._print_line(
            "\nChoose a candidate in the ATS and order a test. The invitation arrives in the "
            "inbox: open it, take the test, and the result appears in the ATS."
        )

    def print_waiting(self) -> None:
        self._print_line("Press Ctrl-C to end the demo.", "bold")

    def print_callback(self, order: PlacedOrder, callback: ReceivedCallback) -> None:
        status = str(callback.body.get("status"))
        self.print_heading(
            f"Callback for {order.candidate}'s {order.kind}: {STATUS_TEXTS.get(status, status)}"
        )
        self._print_json(callback.body)
        if url := callback.body.get("results_url"):
            self._print_line(f"Report: {url}", "cyan")

    def print_status(self, order: PlacedOrder, status: dict[str, Any]) -> None:
        """Print what Greenhouse reads about a test."""
        self.print_heading(f"test_status of {order.candidate}'s {order.kind}")
        self._print_json(status)
        if url := status["partner_profile_url"]:
            self._print_line(f"Report: {url}", "cyan")

    def print_end(self, folder: Path) -> None:
        """Print the command that opens the folder of this demo again."""
        self._print_line(
            "\nThe demo has ended. This command opens it again, at the same addresses:"
        )
        self._print_line(f"    {shlex.join([_program(), 'demo', '--show', str(folder)])}", "cyan")

    def _print_line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _print_json(self, value: Any) -> None:
        self._console.print(JSON.from_data(value, ensure_ascii=False), soft_wrap=True)


def _program() -> str:
    """Return `provider` as the demo itself was started, or its name in a module's run."""
    program = Path(sys.argv[0])
    return str(program) if program.name == "provider" else "provider"
