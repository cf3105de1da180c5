"""The figures as a table, printed and saved, with the machine that they were measured on."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from provider.storage.sqlite import sqlite_library
from tests.bench.servers import ROOT
from tests.postgres_server import _program_path

FIGURES_FILE = Path(__file__).with_name("figures.md")


@dataclass(frozen=True)
class Figure:
    """One row: the measured value, its goal (a lower or an upper limit) and a note."""

    name: str
    value: float
    goal: float | None
    unit: str = ""  # of the value and the goal; a ratio has none
    is_upper_limit: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """ok, **missed**, or "" without a goal."""
        if self.goal is None:
            return ""
        is_met = self.value <= self.goal if self.is_upper_limit else self.value >= self.goal
        return "ok" if is_met else "**missed**"

    @property
    def cells(self) -> list[str]:
        """The cells of the table's row."""
        unit = self.unit or ("×" if self.is_upper_limit else "")
        space = " " if unit and unit != "×" else ""
        goal = (
            ""
            if self.goal is None
            else f"{'≤' if self.is_upper_limit else '≥'} {self.goal:g}{space}{unit}"
        )
        return [self.name, goal, f"{self.value:.3g}{space}{unit}", self.verdict, self.note]

    @property
    def line(self) -> str:
        """The row as one line of text."""
        return ", ".join(cell for cell in self.cells if cell)


def markdown_table(figures: Sequence[Figure]) -> str:
    rows = [["", "goal", "measured", "", "details"], *(figure.cells for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def save_figures(figures: Sequence[Figure]) -> None:
    """Save the table with the date, the machine and the commit."""
    FIGURES_FILE.write_text(f"{describe_machine()}\n\n{markdown_table(figures)}\n", "utf-8")


def describe_machine() -> str:
    """Return when and on which machine the figures were measured."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y} at commit {_commit()}: "
        f"{cpu[0] if cpu else platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}, "
        f"SQLite {sqlite_library()[0].sqlite_version}, {_postgres_version()}, "
        f"waitress {version('waitress')}, Flask {version('flask')}, "
        f"SQLAlchemy {version('sqlalchemy')}."
    )


def _postgres_version() -> str:
    result = subprocess.run(
        [_program_path("postgres"), "--version"], capture_output=True, check=True
    )
    return result.stdout.decode().replace("postgres (PostgreSQL)", "PostgreSQL").strip()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    return (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "?"
    )
