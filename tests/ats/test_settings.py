"""Typed settings of an ATS: each kind reads a text, or says what a value should be."""

import pytest

from provider.ats import ADAPTERS
from provider.ats.settings import Address, Choice, Duration, Number, Setting, Table, Text, YesNo
from provider.errors import Invalid

SWITCH = YesNo("switch", "a switch")
CHOICE = Choice("choice", "a choice", "a", choices=("a", "b"))
NUMBER = Number("number", "a number", 2, minimum=1, maximum=10)
OPTIONAL_NUMBER = Number("number", "a number", minimum=1, maximum=10)
DURATION = Duration("duration", "a time", 300)
TEXT = Text("text", "a text")
ADDRESS = Address("address", "an address")
REQUIRED_ADDRESS = Address("address", "an address", "https://api.example.com")
TABLE = Table("table", "a table")
NAMED_TABLE = Table("table", "a table", names=("started", "ended"))


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        (SWITCH, "Yes", True),
        (SWITCH, "off", False),
        (CHOICE, "b", "b"),
        (NUMBER, "2.5", 2.5),
        (NUMBER, "10", 10),
        (OPTIONAL_NUMBER, "none", None),
        (DURATION, "90s", 90),
        (DURATION, "2d", 172_800),
        (TEXT, "Ana Li", "Ana Li"),
        (TEXT, "none", None),
        (ADDRESS, "https://api.example.com/v2/", "https://api.example.com/v2"),
        (ADDRESS, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (ADDRESS, "none", None),
        (TABLE, "Basic=p1, Enhanced = p2", {"Basic": "p1", "Enhanced": "p2"}),
        (TABLE, "none", {}),
        (NAMED_TABLE, "ended=Done", {"ended": "Done"}),
    ],
)
def test_setting_reads_a_text(setting: Setting, text: str, value: object) -> None:
    assert setting.parse(text) == value
    assert setting.parse(setting.format(value)) == value


@pytest.mark.parametrize(
    ("setting", "text", "message"),
    [
        (SWITCH, "maybe", "switch should be yes or no, not “maybe”"),
        (CHOICE, "c", "choice should be one of a, b, not “c”"),
        (NUMBER, "0.5", "number should be a number from 1 to 10, not “0.5”"),
        (NUMBER, "nan", "number should be a number from 1 to 10, not “nan”"),
        (NUMBER, "none", "number should be a number from 1 to 10, not “none”"),
        (DURATION, "1s", "duration should be a time like 90s, 5m, 24h or 7d, at least 10s"),
        (DURATION, "soon", "duration should be a time like 90s"),
        (TEXT, "a\nb", "text should be one line of at most 500 characters"),
        (TEXT, "x" * 501, "text should be one line of at most 500 characters"),
        (ADDRESS, "http://api.example.com", "address should be an address like https://"),
        (ADDRESS, "https://user@api.example.com", "address should be an address like https://"),
        (ADDRESS, "https://api.example.com/?a=1", "address should be an address like https://"),
        (ADDRESS, "https://[", "address should be an address like https://"),
        (REQUIRED_ADDRESS, "none", "address should be an address like https://"),
        (NAMED_TABLE, "end=x", "table has no name “end”: there are started, ended"),
        (TABLE, "Basic", "table should look like NAME=VALUE, NAME=VALUE, or none"),
        (TABLE, "Basic=p1,,", "table should look like NAME=VALUE, NAME=VALUE, or none"),
    ],
)
def test_setting_refuses_a_wrong_text(setting: Setting, text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message.replace("(", "\\(")):
        setting.parse(text)


def test_settings_of_an_adapter_have_unique_names() -> None:
    for adapter in ADAPTERS.values():
        names = [setting.name for setting in adapter.settings]
        assert len(names) == len(set(names))
