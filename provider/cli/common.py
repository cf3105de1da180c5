"""Shared by all commands: errors in one line, tables, JSON, and the services."""

import json
import os
import pwd
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from provider.clock import Clock
from provider.core.formats import format_duration
from provider.errors import ProviderError, Unavailable

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from provider.core.audit import Action, Fields
    from provider.services import Services

Record = Mapping[str, Any]
INSTANCE = "instance"  # the subject of entries about the whole instance
PRIVATE_UMASK = 0o077  # what a command writes is for its own user alone
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class ErrorReportingGroup(click.Group):
    """A group that prints a command's error in one line, without a traceback."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run, then exit: 0 success, 1 the command failed, 2 wrong usage, 130 interrupted."""
        extra["standalone_mode"] = False
        previous_umask = os.umask(PRIVATE_UMASK)
        try:
            code = super().main(args, prog_name, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            fail(error.format_message() + _usage_hint(error), 2)
        except click.Abort:
            fail("Interrupted", 130)
        except (click.ClickException, ProviderError, OSError) as error:
            fail(_error_message(error))
        except _database_error_class() as error:
            fail(f"The database reports an error: {getattr(error, 'orig', None) or error}")
        finally:
            os.umask(previous_umask)  # for a program that calls a command as a function
        sys.exit(code if isinstance(code, int) else 0)


class LazyGroup(ErrorReportingGroup):
    """A group that imports a command when it runs, so that `--help` imports no SQLAlchemy."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy_commands: dict[str, tuple[str, str]] = {}

    def add_lazy_commands(self, module: str, **help_lines: str) -> None:
        """Register functions of a module as commands, each with its help line.

        A command's name has a dash where its function has an underscore.
        """
        self._lazy_commands |= {
            name.replace("_", "-"): (module, line) for name, line in help_lines.items()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy_commands:
            return None
        module = import_module(self._lazy_commands[cmd_name][0])
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the registered help lines; click would import every command."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self._lazy_commands[name][1]) for name in self.list_commands(ctx)]
            )


def fail(message: str, code: int = 1) -> NoReturn:
    """Print an error in one line on stderr, and exit."""
    click.echo(f"Error: {printable_text(' '.join(message.split()))}", err=True)
    sys.exit(code)


@contextmanager
def open_services(*, is_server: bool = False) -> Iterator["Services"]:
    """Yield the services of the settings; Unavailable if the database has another version.

    Only the server uses a connection pooler where PROVIDER_DATABASE_DIRECT_URL names a way past it.
    The clock is the click context's object, or else the machine's clock.
    """
    # Late: neither the help nor a usage error needs these imports.
    from provider import config
    from provider.ats.callbacks import STATUS_SUBSCRIBERS
    from provider.maintenance import schema_version
    from provider.services import Services

    settings = config.load_settings()
    services = Services.build(
        settings if is_server else settings.with_direct_database(),
        click.get_current_context().find_object(Clock),
        status_subscribers=STATUS_SUBSCRIBERS,
    )
    try:
        schema_version.require_current(services.db)
        yield services
    finally:
        services.db.close()


def command_actor() -> str:
    """Return the actor of a command in the audit log: `command:` and the name of the OS user.

    Behind sudo it is the person's own name, or every command would come from the same user.
    """
    try:
        user = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no name
        user = str(os.getuid())
    return f"command:{printable_text(user)[:100]}"


def record_command(
    session: "Session",
    now: datetime,
    action: "Action",
    subject: str,
    before: "Fields | None" = None,
    after: "Fields | None" = None,
) -> None:
    """Write an act of this command to the audit log, in the transaction of the act."""
    from provider.core import audit  # late: the help needs no SQLAlchemy

    audit.record(session, command_actor(), action, subject, now=now, before=before, after=after)


def print_records(records: Sequence[Record], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print records: JSON, a table on a terminal, plain columns in a pipe."""
    if as_json:
        print_json(list(records))
        return
    rows = [[format_cell(record[name]) for name in columns.values()] for record in records]
    if is_terminal():
        _print_table(columns, rows)
    else:
        _print_columns([list(columns), *rows])


def _print_table(columns: Mapping[str, str], rows: Sequence[Sequence[str]]) -> None:
    # Late: rich is slow to import, and most output goes to a pipe.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console().print(table)


def print_record(record: Record, *, as_json: bool) -> None:
    """Print one record: JSON, or one line per field."""
    if as_json:
        print_json(record)
        return
    _print_columns([[name.replace("_", " "), format_cell(value)] for name, value in record.items()])


def print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_json_default)
    click.echo("".join(map(_escape_json_character, text)))


def is_terminal() -> bool:
    """Return whether stdout is a terminal; a test replaces this function."""
    return sys.stdout.isatty()


def format_cell(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, timedelta):
        return format_duration(value.total_seconds())
    if isinstance(value, list | tuple):
        return ", ".join(format_cell(item) for item in value)
    return printable_text(str(value))


def printable_text(text: str) -> str:
    """Replace control characters, marks of direction and others that are not printed.

    A name from outside could hold a terminal's escape codes.
    """
    return "".join(char if char.isprintable() else " " for char in text)


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip())


def _escape_json_character(char: str) -> str:
    """Escape what controls a terminal: C1 codes, marks of direction, lone surrogates."""
    if char.isprintable() or char == "\n":  # a newline of a string is escaped already
        return char
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


def _json_default(value: Any) -> Any:
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _database_error_class() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError  # late: only an error needs it

    return SQLAlchemyError


def _usage_hint(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "provider"
    return f" (see `{path} --help`)"


def _error_message(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    driver_error = getattr(error.__cause__, "orig", None)
    if isinstance(error, Unavailable) and driver_error:
        return f"{error} ({driver_error})"
    return str(error)
