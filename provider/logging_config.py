"""Structured logs: one line for each event, without tokens and candidates' data.

Structlog is imported only by servers and workers: commands log nothing, and the import is slow.
"""

import io
import logging
import re
import sys
from contextlib import suppress
from functools import partial
from typing import Any, TextIO, cast

from sqlalchemy.orm import Session

# A token is 32 random bytes, which are 43 of these characters (see `secrets.generate_token`). On a
# terminal it may follow a colour's escape sequence, which ends in a letter.
TOKEN_PATTERN = re.compile(
    r"(\x1b\[[0-9;]*m|(?<![A-Za-z0-9_-]))(?:prv_)?[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
)
LONG_WORD_PATTERN = re.compile("[A-Za-z0-9_-]{43}")


def configure(*, json: bool | None = None) -> None:
    """Log to stderr, with libraries' warnings: text on a terminal, JSON lines elsewhere."""
    import structlog

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers = _renderers(as_json=not sys.stderr.isatty() if json is None else json)
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(
            file=cast(TextIO, _ErrorIgnoringStream(sys.stderr))
        ),
        cache_logger_on_first_use=True,
    )
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[meta, *renderers])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _ErrorIgnoringStream(io.TextIOBase):
    """A stream that ignores OSError: a full disk or a broken pipe must not stop the program."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        with suppress(OSError):
            self._file.write(line)
        return len(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def log_after_commit(session: Session, event_name: str, **fields: Any) -> None:
    """Log an event after the session's commit; a rollback logs nothing. Commands log nothing."""
    structlog = sys.modules.get("structlog")
    if structlog and structlog.is_configured():
        write_line = partial(structlog.get_logger().info, event_name, **fields)
        session.info.setdefault("after_commit", []).append(write_line)


def hide_tokens(_logger: object, _method: str, line: str) -> str:
    """Replace whatever looks like a token, in case a token is logged by mistake."""
    if not LONG_WORD_PATTERN.search(line):  # most lines; looking for a token takes thrice as long
        return line
    return TOKEN_PATTERN.sub(r"\1[hidden]", line)


def _renderers(*, as_json: bool) -> list[Any]:
    import structlog

    if as_json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            hide_tokens,
        ]
    # The default tracebacks show local variables, which may be personal data.
    return [
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        hide_tokens,
    ]
