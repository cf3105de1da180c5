"""What the demo shows in the terminal."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.json import JSON
from rich.text import Text

from provider.demo.ats import Placed, Put

WORDS = {
    "pending": "waits for the candidate",
    "consented": "the candidate has consented",
    "completed": "completed",
    "rejected": "the candidate has declined",
    "declined": "the candidate has declined",
    "expired": "expired",
}
ASKS = {
    "assessment": "take the test",
    "interview": "give the interview",
    "check": "decide on the check",
}


class Screen:
    """Lines on a terminal; whole links, so that they can be clicked and copied."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def command(self, words: Sequence[str]) -> None:
        """Show a command as somebody would type it."""
        self._line(f"$ provider {shlex.join(words)}", "dim")

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._console.print()
        self._console.rule(Text(title, "bold"), align="left")

    def say(self, text: str, style: str = "") -> None:
        """Tell something."""
        self._line(text, style)

    def your_turn(self, placed: Sequence[Placed], url: str, email: str, password: str) -> None:
        """Say what there is to do now."""
        self.chapter("Your turn")
        for order in placed:
            self._line(f"As {order.candidate}, {ASKS[order.kind]}:", "bold")
            self._line(f"    {order.link}\n", "cyan")
        self._line("As the staff, watch it in the console:", "bold")
        self._line(f"    {url}/console/", "cyan")
        self._line(f"    e-mail    {email}\n    password  {password}\n")
        self._line("What reaches the ATS appears here. Ctrl-C ends the demo.", "bold")

    def landed(self, order: Placed, put: Put) -> None:
        """Show a callback."""
        status = str(put.body.get("status"))
        self.chapter(f"PUT for {order.candidate}'s {order.kind}: {WORDS.get(status, status)}")
        self._json(put.body)
        if url := put.body.get("results_url"):
            self._line(f"The report: {url}", "cyan")

    def end(self, folder: Path) -> None:
        """Say goodbye."""
        self._line(f"\nThe demo has ended. What it kept is in {folder}")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _json(self, value: Any) -> None:
        self._console.print(JSON.from_data(value, ensure_ascii=False), soft_wrap=True)
