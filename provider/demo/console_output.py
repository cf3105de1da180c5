"""What the demo shows in the terminal."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from provider.demo.ats import PlacedOrder, ReceivedCallback

STATUS_TEXTS = {
    "pending": "waits for the candidate",
    "consented": "the candidate has consented",
    "completed": "completed",
    "rejected": "the candidate has declined",
    "declined": "the candidate has declined",
    "expired": "expired",
}
CANDIDATE_TASKS = {
    "assessment": "take the test",
    "interview": "give the interview",
    "check": "decide on the check",
}


class ConsoleOutput:
    """Lines on a terminal; whole links, so that they can be clicked and copied."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def print_command(self, arguments: Sequence[str]) -> None:
        """Show a command as somebody would type it."""
        self._print_line(f"$ provider {shlex.join(arguments)}", "dim")

    def print_heading(self, title: str) -> None:
        """Begin a part of the story."""
        self._console.print()
        self._console.rule(Text(title, "bold"), align="left")

    def print_text(self, text: str, style: str = "") -> None:
        """Tell something."""
        self._print_line(text, style)

    def print_instructions(
        self, orders: Sequence[PlacedOrder], url: str, email: str, password: str
    ) -> None:
        """Say what there is to do now."""
        self.print_heading("Your turn")
        for order in orders:
            self._print_line(f"As {order.candidate}, {CANDIDATE_TASKS[order.kind]}:", "bold")
            self._print_line(f"    {order.link}\n", "cyan")
        self._print_line("As the staff, watch it in the console:", "bold")
        self._print_line(f"    {url}/console/", "cyan")
        self._print_line(f"    e-mail    {email}\n    password  {password}\n")
        self._print_line("What reaches the ATS appears here. Ctrl-C ends the demo.", "bold")

    def print_callback(self, order: PlacedOrder, callback: ReceivedCallback) -> None:
        """Show a callback."""
        status = str(callback.body.get("status"))
        self.print_heading(
            f"PUT for {order.candidate}'s {order.kind}: {STATUS_TEXTS.get(status, status)}"
        )
        self._print_json(callback.body)
        if url := callback.body.get("results_url"):
            self._print_line(f"The report: {url}", "cyan")

    def print_end(self, folder: Path) -> None:
        """Say goodbye."""
        self._print_line(f"\nThe demo has ended. What it kept is in {folder}")

    def _print_line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _print_json(self, value: Any) -> None:
        self._console.print(JSON.from_data(value, ensure_ascii=False), soft_wrap=True)
