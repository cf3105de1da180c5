"""Runs `provider` commands one after another in one process, for each start takes a second.

The process reads a command as a line of JSON, and answers with a line of JSON.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import IO

from click.testing import CliRunner

from provider.errors import Unavailable


class CommandProcess:
    """The process that runs the commands of a demo; the first command starts it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: Sequence[str], stdin: str = "") -> str:
        """Run a command and return its output; Unavailable if it fails."""
        commands, results = self._pipes()
        commands.write(json.dumps([arguments, stdin]) + "\n")
        commands.flush()
        line = results.readline()
        if not line:
            raise Unavailable(f"`provider {arguments[0]}` has ended without a result")
        exit_code, output, errors = json.loads(line)
        if exit_code:
            raise Unavailable(f"`provider {arguments[0]}` failed: {errors.strip()}")
        return str(output)

    def close(self) -> None:
        if self._process:
            self._process.communicate()  # the end of its stdin ends the process

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if self._process is None:
            # Its own session: Ctrl-C reaches only the demo, which then ends the process.
            self._process = subprocess.Popen(  # noqa: S603  (our own program)
                [
                    sys.executable,
                    "-P",
                    "-c",
                    f"from {__name__} import serve_commands; serve_commands()",
                ],
                env=self._environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The process has no pipes")
        return self._process.stdin, self._process.stdout


def serve_commands() -> None:
    """Run the commands that come on stdin until it ends."""
    # By name: the demo is below the commands, and uses them only as programs.
    command = import_module("provider.cli").main
    for line in sys.stdin:
        arguments, stdin = json.loads(line)
        result = CliRunner().invoke(command, arguments, input=stdin, prog_name="provider")
        answer = [result.exit_code, result.stdout, result.stderr or repr(result.exception)]
        print(json.dumps(answer), flush=True)
