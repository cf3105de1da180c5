"""Structured logs: one line an event, no token and no candidate's data in it.

Structlog is loaded where something is logged: a command logs nothing, and needs not wait for it.
"""

import io
import logging
import re
import sys
from contextlib import suppress
from functools import partial
from typing import Any, TextIO, cast

from sqlalchemy.orm import Session

# Every token of ours is 32 random bytes, which are 43 such characters (see `vault.token`), alone or
# after a terminal's colour, which ends in a letter.
TOKEN_PATTERN = re.compile(
    r"(\x1b\[[0-9;]*m|(?<![A-Za-z0-9_-]))(?:prv_)?[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"
)


def configure(*, json: bool | None = None) -> None:
    """Log to stderr, the libraries' warnings too: readable on a terminal, JSON lines elsewhere."""
    import structlog

    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _renderers(as_json=not sys.stderr.isatty() if json is None else json)
    structlog.configure(
        processors=[*before, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(
            file=cast(TextIO, _ErrorIgnoringStream(sys.stderr))
        ),
        cache_logger_on_first_use=True,
    )
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=[meta, *rendering])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _ErrorIgnoringStream(io.TextIOBase):
    """A log that fails in silence: a full disk or a broken pipe must not stop what is logged."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write what can be written."""
        with suppress(OSError):
            self._file.write(line)
        return len(line)

    def flush(self) -> None:
        """Let it reach its end, if it can."""
        with suppress(OSError):
            self._file.flush()


def log_after_commit(session: Session, event_name: str, **fields: Any) -> None:
    """Log a line when what the session writes is committed, and never if it is not.

    A command keeps no log: what it does it prints.
    """
    structlog = sys.modules.get("structlog")
    if structlog and structlog.is_configured():
        say = partial(structlog.get_logger().info, event_name, **fields)
        session.info.setdefault("kept", []).append(say)


def hide_tokens(_logger: object, _method: str, line: str) -> str:
    """Blot out what looks like a token: the last net, for nobody means to log one."""
    return TOKEN_PATTERN.sub(r"\1[hidden]", line)


def _renderers(*, as_json: bool) -> list[Any]:
    import structlog

    if as_json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            hide_tokens,
        ]
    # Plain tracebacks: the pretty ones show the variables, and with them people's data.
    return [
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        hide_tokens,
    ]
