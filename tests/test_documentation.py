"""The documents and registries are complete: what is written is so, and what is so is written."""

import re
from pathlib import Path

import click
import pytest
from flask import Flask

from provider.ats import ADAPTERS
from provider.cli import main
from provider.config import SETTINGS, describe_settings
from provider.core import labels
from provider.core.kinds import KINDS
from provider.core.orders import PROGRESS_STATES, STATUSES, Order
from provider.core.urls import UrlBuilder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def commands(group: click.Group, before: str = "provider") -> list[str]:
    """Return every command of the program, written out."""
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        path = f"{before} {name}"
        found += commands(command, path) if isinstance(command, click.Group) else [path]
    return found


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_in_the_readme(setting: str) -> None:
    assert f"| `{setting}` |" in README


def test_the_readme_names_no_setting_that_is_not_one() -> None:
    assert set(re.findall(r"PROVIDER_[A-Z_]+", README)) <= set(SETTINGS)


def test_config_explains_every_setting(tmp_path: Path) -> None:
    told = describe_settings({"PROVIDER_INSTANCE": str(tmp_path)})
    assert [name for name, _, _ in told] == list(SETTINGS)


@pytest.mark.parametrize("command", commands(main))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"| `{command}" in README


def test_the_readme_names_no_command_that_is_not_one() -> None:
    known = commands(main)
    for line in re.findall(r"`provider ([a-z][^`]*)`", README):
        assert any(f"provider {line}".startswith(command) for command in known), line


def test_every_address_is_in_the_readme(app: Flask) -> None:
    """By its first part: `/c/`, `/console/`, `/tests` and so on."""
    firsts = {f"/{rule.rule.split('/')[1]}" for rule in app.url_map.iter_rules()}
    firsts -= {"/", "/static", "/bootstrap"}  # the front page and what pages are made of
    table = README[README.index("## URLs") : README.index("## Product documents")]
    assert sorted(first for first in firsts if first not in table) == []


def test_every_public_link_is_served(app: Flask) -> None:
    links = UrlBuilder("http://provider.test")
    adapter = app.url_map.bind("provider.test")
    for link in (links.invitation("t"), links.report("t"), links.pdf("t"), links.shared("t")):
        endpoint, values = adapter.match(link.removeprefix("http://provider.test"))
        assert endpoint
        assert "t" in values.values()
    assert adapter.match(links.console().removeprefix("http://provider.test"))


def test_every_make_target_is_explained(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z.]+):", makefile, re.MULTILINE)
    for promised in ["demo", "test", "check", "format", "bench", "soak", "screenshots"]:
        assert promised in targets
        assert re.search(rf"^{promised}:.*##", makefile, re.MULTILINE), promised


def test_every_room_is_on_the_plan() -> None:
    plan = README[README.index("## The plan of the house") : README.index("### One order")]
    rooms = {path.stem for path in (ROOT / "provider").iterdir() if not path.name.startswith("_")}
    assert sorted(room for room in rooms if room not in plan) == []


def test_every_kind_is_an_order_with_words() -> None:
    assert set(Order.__mapper__.polymorphic_map) == set(KINDS)
    assert set(KINDS) <= set(labels.KIND_LABELS) & set(labels.PRODUCT_LABELS)


def test_every_status_and_progress_has_a_word() -> None:
    assert set(STATUSES) <= set(labels.STATUS_LABELS)
    assert set(PROGRESS_STATES) <= set(labels.PROGRESS_LABELS)


def test_dialects_are_registered_by_their_names() -> None:
    assert {name: dialect.name for name, dialect in ADAPTERS.items()} == {
        name: name for name in ADAPTERS
    }


def test_the_changelog_names_the_version() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "([^"]+)"', project, re.MULTILINE)
    assert version
    assert version[1] in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_picture_of_the_readme_is_there() -> None:
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture
