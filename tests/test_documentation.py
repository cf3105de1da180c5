"""The documents agree with the program: settings, commands, addresses, metrics and links."""

import re
from dataclasses import replace
from pathlib import Path

import click
import pytest
from flask import Flask

from provider.app import ContractFlask, create_app
from provider.ats import ADAPTERS
from provider.cli import main
from provider.config import SETTINGS, describe_settings
from provider.core import labels
from provider.core.emails import EMAIL_SUBJECTS
from provider.core.kinds import KINDS
from provider.core.orders import PROGRESS_STATES, STATUSES, Order
from provider.core.urls import UrlBuilder
from provider.delivery.channels import CHANNELS
from provider.services import Services

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
DEPLOYMENT = (ROOT / "docs" / "deployment.md").read_text("utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text("utf-8")
MAX_README_LINES = 150

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))


def commands(group: click.Group, prefix: str = "provider") -> list[str]:
    """Return every command with its groups, like `provider order list`."""
    paths = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        path = f"{prefix} {name}"
        paths += commands(command, path) if isinstance(command, click.Group) else [path]
    return paths


# Settings


@pytest.mark.parametrize("setting", SETTINGS)
def test_setting_has_row_in_deployment_guide(setting: str) -> None:
    assert f"| `{setting}` |" in DEPLOYMENT


@each_document
def test_document_names_only_known_settings(document: Path) -> None:
    names = re.findall(r"PROVIDER_[A-Z_]*[A-Z]", document.read_text("utf-8"))
    assert set(names) <= set(SETTINGS)


def test_describe_settings_lists_every_setting(tmp_path: Path) -> None:
    described = describe_settings({"PROVIDER_INSTANCE": str(tmp_path)})
    assert [name for name, _, _ in described] == list(SETTINGS)


# Commands


@pytest.mark.parametrize("command", commands(main))
def test_command_has_row_in_deployment_guide(command: str) -> None:
    assert f"| `{command}" in DEPLOYMENT


@each_document
def test_document_names_only_known_commands(document: Path) -> None:
    known = commands(main)
    for words in re.findall(r"`provider ([a-z][^`]*)`", document.read_text("utf-8")):
        assert any(f"provider {words}".startswith(command) for command in known), words


# Addresses


def test_deployment_guide_has_every_address(app: ContractFlask) -> None:
    """Compares the first part of each address: `/c/`, `/console/`, `/tests` and so on."""
    rules = [*app.url_map.iter_rules(), *app.pages.url_map.iter_rules()]
    addresses = {f"/{rule.rule.split('/')[1]}" for rule in rules}
    addresses -= {"/", "/static", "/bootstrap"}
    table = DEPLOYMENT[DEPLOYMENT.index("## URLs") :]
    assert sorted(address for address in addresses if address not in table) == []


def test_public_links_are_served(pages_app: Flask) -> None:
    links = UrlBuilder("http://provider.test")
    adapter = pages_app.url_map.bind("provider.test")
    for link in (links.invitation("t"), links.report("t"), links.pdf("t"), links.shared("t")):
        endpoint, values = adapter.match(link.removeprefix("http://provider.test"))
        assert endpoint
        assert "t" in values.values()
    assert adapter.match(links.console().removeprefix("http://provider.test"))


# Metrics


def test_metrics_guide_has_every_metric(services: Services) -> None:
    settings = replace(services.settings, metrics_token="m3tr1cs-m3tr1cs-0")
    client = create_app(replace(services, settings=settings)).test_client()
    response = client.get("/metrics", headers={"Authorization": "Bearer m3tr1cs-m3tr1cs-0"})
    names = re.findall(r"^# TYPE (\S+) ", response.text, re.MULTILINE)
    assert {"provider_database_up", "provider_requests_total"} <= set(names)
    assert sorted(name for name in names if f"| `{name}` |" not in METRICS) == []


def test_metrics_guide_names_every_topic_channel_and_ats() -> None:
    rows = dict(re.findall(r"^\| `(channel|topic|ats)` \| (.*) \|$", METRICS, re.MULTILINE))
    writers = {
        writer.name
        for adapter in ADAPTERS.values()
        if adapter.api
        for writer in adapter.api.writers
    }
    emails = {*EMAIL_SUBJECTS, *(name for kind in KINDS.values() for name in kind.email_subjects)}
    topics = writers | emails | {"status", "remux"}
    assert "used_tag" in topics
    assert "consent" in topics
    assert sorted(topic for topic in topics if f"`{topic}`" not in rows["topic"]) == []
    assert [name for name in CHANNELS if f"`{name}`" not in rows["channel"]] == []
    assert [name for name in ADAPTERS if f"`{name}`" not in rows["ats"]] == []


# Files


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path.name != "CHANGELOG.md"],
    ids=lambda path: str(path.name),
)
def test_relative_links_of_document_lead_to_files(document: Path) -> None:
    text = document.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [
        link
        for link in links
        if not link.startswith("#") and not (document.parent / link.partition("#")[0]).exists()
    ]
    assert missing == []


def test_contributing_names_only_files_that_exist() -> None:
    section = CONTRIBUTING.partition("## Where to change it")[2].partition("\n## ")[0]
    examples = {
        "KIND": "assessment",
        "LANGUAGE": "de",
        "NAME": "workable",
        "TYPE": "likert",
    }
    paths = re.findall(r"`(provider/[^`]+)`", section)
    for placeholder, example in examples.items():
        paths = [path.replace(placeholder, example) for path in paths]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for constant, path in re.findall(r"`([A-Z_]+)` in `(provider/[^`]+)`", section):
        assert constant in (ROOT / path).read_text("utf-8"), constant


def test_readme_layout_has_every_module_of_the_package() -> None:
    layout = README[README.index("## Layout") : README.index("## Where the rest is")]
    entries = {path.stem for path in (ROOT / "provider").iterdir() if not path.name.startswith("_")}
    assert sorted(entry for entry in entries if entry not in layout) == []


def test_readme_pictures_exist() -> None:
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


def test_make_targets_are_explained() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^([a-z.]+):", makefile, re.MULTILINE)
    for target in ["demo", "test", "check", "format", "bench", "soak", "screenshots"]:
        assert target in targets
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE), target


def test_changelog_names_the_version() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "([^"]+)"', project, re.MULTILINE)
    assert version
    assert version[1] in (ROOT / "CHANGELOG.md").read_text("utf-8")


# Registries


def test_every_order_class_is_a_kinds() -> None:
    assert set(Order.__mapper__.polymorphic_map) == set(KINDS)


def test_every_status_and_progress_has_a_label() -> None:
    assert set(STATUSES) <= set(labels.STATUS_LABELS)
    assert set(PROGRESS_STATES) <= set(labels.PROGRESS_LABELS)


def test_adapters_are_registered_by_their_names() -> None:
    assert {name: adapter.name for name, adapter in ADAPTERS.items()} == {
        name: name for name in ADAPTERS
    }
