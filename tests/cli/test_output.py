"""The output of commands: nothing in it may control a terminal."""

import json

import click
import pytest
from click.testing import CliRunner

from provider.cli import common

HOSTILE = [
    "\x1b[2J",
    "\x9b31m",
    "\x07\x08\x7f",
    "line\nbreak\r\t",
    "\u202egnp.exe",
    "\u2066a\u2069",
    "\u200f\u2028\u2029\ufeff",
    "\U000e0041",
    "\udc80",
]


def printed(command: click.Command) -> str:
    result = CliRunner().invoke(command)
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.mark.parametrize("text", HOSTILE)
def test_print_json_escapes_what_controls_a_terminal(text: str) -> None:
    value = {text: [text, "Żółw 漢字 🙂"]}
    output = printed(click.command()(lambda: common.print_json(value)))
    assert json.loads(output) == value
    assert all(char.isprintable() or char == "\n" for char in output)
    assert "Żółw 漢字 🙂" in output


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("text", HOSTILE)
def test_print_records_prints_no_control_characters(
    monkeypatch: pytest.MonkeyPatch, text: str, is_terminal: bool
) -> None:
    monkeypatch.setattr(common, "is_terminal", lambda: is_terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    records = [{"name": f"A{text}B", "hosts": [text]}]
    columns = {"Name": "name", "Hosts": "hosts"}
    output = printed(click.command()(lambda: common.print_records(records, columns, as_json=False)))
    assert all(char.isprintable() or char == "\n" for char in output)
    output = printed(click.command()(lambda: common.print_record(records[0], as_json=False)))
    assert all(char.isprintable() or char == "\n" for char in output)
