"""Each kind is complete, and no shared file knows a kind by its name."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from provider.core import labels
from provider.core.kinds import KINDS
from provider.core.kinds.assessment.answers import Answer
from provider.core.orders import PDF, REPORT, Link, Order
from provider.services import Services
from provider.web.kinds import KIND_PAGES
from tests import factories
from tests.kind_factories import KIND_FACTORIES
from tests.kind_parts import missing_core_parts, missing_pages, missing_surroundings

PACKAGE = Path(__file__).parents[1] / "provider"
TEMPLATES = PACKAGE / "web" / "templates"
# Files that name kinds, or import from the folder of one.
ALLOWED_FILES = {
    "core/kinds/__init__.py",  # the registry
    "web/kinds.py",  # the registry of pages
    # Tables: an ATS's words for each kind.
    "ats/greenhouse/listed_kinds.py",
    "ats/workable/examples.py",
    "ats/workable/payload.py",
    "ats/workable/routes.py",
    # Jobtrain's own word for what a candidate awaits there.
    "ats/jobtrain/__init__.py",
    "ats/jobtrain/defaults.py",
    "ats/jobtrain/source.py",
    "delivery/channels/connector.py",  # the check's channel, and its polling
    "delivery/vendor_polling.py",
    "delivery/channels/recording.py",
    "delivery/channels/speech.py",  # the interview's channel
    # The demo plays an ATS from outside, so it knows the contract and no code of a kind.
    "demo/ats/contract.py",
    "demo/ats/pages.py",
    "demo/console_output.py",
    "demo/greenhouse.py",
    "demo/scenario.py",
}

each_kind = pytest.mark.parametrize("name", [*KINDS])


@each_kind
def test_kind_is_complete(name: str, pages_app: Flask) -> None:
    kind = KINDS[name]
    assert missing_core_parts(kind) == []
    assert missing_pages(kind, KIND_PAGES.get(name), pages_app) == []
    assert missing_surroundings(kind, KIND_FACTORIES) == []


def test_every_entry_of_kind_pages_is_a_kind() -> None:
    assert set(KIND_PAGES) == set(KINDS)


@each_kind
def test_kind_has_report_page_and_pdf(name: str, app: Flask, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    product_id = KIND_FACTORIES[name].create_product(services)
    public_id = factories.place_order(services, account_id, product_id, name)
    KIND_FACTORIES[name].complete(services, public_id)
    with services.db.reading() as session:
        tokens = [link_token(services, session, public_id, purpose) for purpose in (REPORT, PDF)]
    client = app.test_client()
    assert "Lakita Marrero" in client.get(f"/r/{tokens[0]}").text
    assert client.get(f"/r/{tokens[1]}/report.pdf").data.startswith(b"%PDF-")


def link_token(services: Services, session: Session, public_id: str, purpose: str) -> str:
    link = Link.find_permanent(session, Order.find(session, public_id), purpose)
    assert link
    return link.get_token(services.secret_box)


# The checks of completeness name what is missing


def test_missing_parts_of_core_are_named(tmp_path: Path) -> None:
    check, test = KINDS["check"], KINDS["assessment"]
    without_texts = replace(check, texts=replace(check.texts, button_label=""))
    assert missing_core_parts(without_texts) == ["text button_label"]
    without_subject = replace(check, email_subjects={})
    assert missing_core_parts(without_subject) == ["subject of the e-mail consent"]
    without_bodies = replace(check, email_subjects={"late": "Late", **check.email_subjects})
    assert missing_core_parts(without_bodies) == ["body emails/late.txt", "body emails/late.html"]
    unclassified = replace(test, personal_columns=())
    assert sorted(missing_core_parts(unclassified)) == [
        "Answer.typed in personal_columns or other_columns",
        "Answer.value in personal_columns or other_columns",
        "AnswerFile.name in personal_columns or other_columns",
        "AnswerUpload.name in personal_columns or other_columns",
        *(
            f"IntegritySignal.{name} in personal_columns or other_columns"
            for name in ("browser", "length", "network_digest", "number", "type")
        ),
    ]
    classified_twice = replace(test, other_columns=(*test.other_columns, Answer.value))
    assert missing_core_parts(classified_twice) == [
        "Answer.value in personal_columns or other_columns"
    ]
    assert missing_core_parts(replace(test, scheduled_works=())) == [
        "CLOSE_ATTEMPTS in scheduled_works"
    ]
    without_report_part = replace(test, folder=tmp_path)
    assert missing_core_parts(without_report_part) == [
        "body emails/second_look.txt",
        "body emails/second_look.html",
        "first-sections in report.typ",
        "last-sections in report.typ",
    ]
    renamed = missing_core_parts(replace(test, name="exam"))
    assert "the polymorphic identity exam of Assessment" in renamed
    assert "label kind exam" in renamed


def test_missing_progress_table_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check = KINDS["check"]
    monkeypatch.setattr(check.order_class, "progress_table", {})
    assert missing_core_parts(check) == ["progress_table of Check"]


def test_missing_event_labels_are_named(monkeypatch: pytest.MonkeyPatch, pages_app: Flask) -> None:
    for event_type in ("outcome entered", "details shown", "remux"):
        monkeypatch.delitem(labels.LABELS["event"], event_type)
    assert missing_core_parts(KINDS["check"]) == ["label event outcome entered"]
    assert missing_core_parts(KINDS["interview"]) == ["label event remux"]
    assert missing_pages(KINDS["check"], KIND_PAGES["check"], pages_app) == [
        "label event details shown"
    ]


def test_missing_pages_and_surroundings_are_named(pages_app: Flask) -> None:
    exam = replace(KINDS["assessment"], name="exam")
    assert missing_pages(exam, None, pages_app) == ["an entry in KIND_PAGES"]
    assert missing_pages(exam, KIND_PAGES["assessment"], pages_app) == [
        "template candidate/exam/about.html",
        "template candidate/exam/privacy.html",
        "template console/exam/preview.html",
        "template candidate/exam/started.html",
        "template console/exam/tasks.html",
        "template report/exam/report.html",
    ]
    assert missing_surroundings(exam, KIND_FACTORIES) == [
        "a section of docs/product-documents.md",
        "a document in provider/samples",
        "an entry in tests/kind_factories.py",
    ]


# Only a kind's own files know its name


def is_own_file(path: Path, kind: str) -> bool:
    """Whether a file is in a folder of the kind, or a module of web that begins with its name."""
    parts = path.relative_to(PACKAGE).parts
    return kind in parts[:-1] or (parts[0] == "web" and parts[-1].startswith(kind))


def names_in_python(source: str, kinds: list[str]) -> Iterator[str]:
    """Yield each constant that is a kind's name, and each import from a kind's folder.

    A comparison of an attribute `kind` with a text or a constant counts too, of whatever name.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and node.value in kinds:
            yield f"line {node.lineno}: {node.value!r}"
        if isinstance(node, ast.Compare) and compares_kind_with_constant(node):
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = getattr(node, "module", None) or ""
            imported = {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
            for kind in kinds:
                folder = f"provider.core.kinds.{kind}"
                if any(f"{name}.".startswith(f"{folder}.") for name in imported):
                    yield f"line {node.lineno}: import from {folder}"


def compares_kind_with_constant(comparison: ast.Compare) -> bool:
    sides = [comparison.left, *comparison.comparators]
    others = [
        side for side in sides if not (isinstance(side, ast.Attribute) and side.attr == "kind")
    ]
    values = [value for side in others for value in getattr(side, "elts", [side])]
    return len(others) < len(sides) and any(map(is_constant, values))


def is_constant(value: ast.expr) -> bool:
    """Whether a value is a literal, or a name in capitals such as `CHECK` or `kinds.CHECK.name`."""
    if isinstance(value, ast.Attribute):
        return value.attr.isupper() or is_constant(value.value)
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Name) and value.id.isupper())


def names_in_template(source: str, kinds: list[str]) -> Iterator[str]:
    """Yield each quoted name of a kind, path of a kind's template and endpoint of a kind."""
    for kind in kinds:
        pattern = rf"[\"']{kind}[\"']|/{kind}/|\b(?:candidate|console)\.{kind}s?\b"
        yield from (match[0] for match in re.finditer(pattern, source))


def python_files() -> list[Path]:
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if "migrations" not in path.parts]
    return [path for path in paths if str(path.relative_to(PACKAGE)) not in ALLOWED_FILES]


def test_shared_python_files_name_no_kind() -> None:
    found_names = {}
    for path in python_files():
        kinds = [kind for kind in KINDS if not is_own_file(path, kind)]
        if names := list(names_in_python(path.read_text("utf-8"), kinds)):
            found_names[str(path.relative_to(PACKAGE))] = names
    assert found_names == {}


def test_shared_templates_name_no_kind() -> None:
    found_names = {}
    folders = (TEMPLATES, PACKAGE / "core" / "emails" / "templates")
    for path in [path for folder in folders for path in sorted(folder.rglob("*.*"))]:
        kinds = [kind for kind in KINDS if not is_own_file(path, kind)]
        if names := list(names_in_template(path.read_text("utf-8"), kinds)):
            found_names[str(path.relative_to(PACKAGE))] = names
    assert found_names == {}


def test_allowed_files_exist_and_name_a_kind() -> None:
    for name in ALLOWED_FILES:
        assert list(names_in_python((PACKAGE / name).read_text("utf-8"), [*KINDS])), name


@pytest.mark.parametrize(
    "source",
    [
        'if order.kind == "check": pass',
        'if order.kind in ("interview", "check"): pass',
        'nouns = {"check": "background check"}',
        "match order.kind:\n    case 'check':\n        pass",
        "from provider.core.kinds.check import Check",
        "from provider.core.kinds import check",
        "import provider.core.kinds.check.models",
    ],
)
def test_names_in_python_finds_a_kind(source: str) -> None:
    assert list(names_in_python(source, ["check"]))


@pytest.mark.parametrize(
    "source",
    [
        'nouns = {"check": "background check"}',
        "from provider.core.kinds.check import Check",
        "rows = [row for row in rows if row.kind == kind]",
    ],
)
def test_names_in_python_ignores_other_kinds(source: str) -> None:
    assert not list(names_in_python(source, ["assessment"]))


@pytest.mark.parametrize(
    "source", ["order.kind == CHECK.name", "order.kind in (kinds.CHECK, kinds.INTERVIEW)"]
)
def test_names_in_python_finds_a_constant(source: str) -> None:
    assert list(names_in_python(source, ["check"]))


@pytest.mark.parametrize(
    "source",
    [
        '{% if order.kind == "check" %}',
        "{% if order.kind != 'check' %}",
        '{% include "candidate/check/consent_copy.html" %}',
        "{{ url_for('console.checks.detail', order_id=order.public_id) }}",
    ],
)
def test_names_in_template_finds_a_kind(source: str) -> None:
    assert list(names_in_template(source, ["check"]))
    assert not list(names_in_template(source, ["assessment"]))
