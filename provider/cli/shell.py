"""What all commands share: one line for an error, tables, JSON, the open house."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from provider import config, schema
from provider.errors import ProviderError
from provider.house import House
from provider.words import duration

Record = Mapping[str, Any]
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Commands(click.Group):
    """A group whose commands end in one clear line where something goes wrong, never in a trace."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run; exit with 0, 1 (it cannot be done) or 2 (it was called wrongly)."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, prog_name, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            fail(error.format_message() + _advice(error), 2)
        except click.Abort:
            fail("Interrupted", 130)
        except (click.ClickException, ProviderError, SQLAlchemyError, OSError) as error:
            fail(_sentence(error))
        sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong in one line on stderr, and end."""
    click.echo(f"Error: {clean(' '.join(message.split()))}", err=True)
    sys.exit(code)


@contextmanager
def opened() -> Iterator[House]:
    """Open the house of the settings, on a database of this version."""
    house = House.build(config.read())
    try:
        schema.require_current(house.db)
        yield house
    finally:
        house.db.close()


def listing(records: Sequence[Record], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print records: JSON, a table on a terminal, plain columns in a pipe."""
    if as_json:
        put_json(list(records))
        return
    rows = [[cell(record[name]) for name in columns.values()] for record in records]
    if not on_terminal():
        _plain([list(columns), *rows])
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console().print(table)


def details(record: Record, *, as_json: bool) -> None:
    """Print one record: JSON, or a line for each field."""
    if as_json:
        put_json(record)
        return
    _plain([[name.replace("_", " "), cell(value)] for name, value in record.items()])


def put_json(value: Any) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plainer))


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def cell(value: Any) -> str:
    """Return a value as a person reads it in a terminal."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, timedelta):
        return duration(value.total_seconds())
    if isinstance(value, list | tuple):
        return ", ".join(cell(each) for each in value)
    return clean(str(value))


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: names come from candidates and from an ATS."""
    return "".join(char if char.isprintable() else " " for char in text)


def _plain(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _plainer(value: Any) -> Any:
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    raise TypeError(f"{type(value).__name__} has no JSON")


def _advice(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "provider"
    return f" (see `{path} --help`)"


def _sentence(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, SQLAlchemyError):
        return f"The database does not do it: {getattr(error, 'orig', None) or error}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
