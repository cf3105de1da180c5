"""The parts that a kind must bring. Each function returns the names of the missing ones."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from flask import Flask

from provider.core import labels
from provider.core.emails import EMAIL_SUBJECTS
from provider.core.kinds.base import Kind
from provider.core.orders import (
    CLOSE_ATTEMPTS,
    PROGRESS_STATES,
    STATUSES,
    Evidence,
    Order,
    TimedOrder,
)
from provider.storage.database import Base, UtcDateTime
from provider.web.kinds import KindPages

ROOT = Path(__file__).parents[1]
REPORT_SECTIONS = ("first-sections", "last-sections")


def missing_core_parts(kind: Kind) -> list[str]:
    return [
        *_missing_names(kind),
        *_missing_emails(kind),
        *_unclassified_columns(kind),
        *_missing_scheduled_work(kind),
        *_missing_result_view(kind),
        *_missing_progress_table(kind),
    ]


def _missing_progress_table(kind: Kind) -> Iterator[str]:
    if not getattr(kind.order_class, "progress_table", None):
        yield f"progress_table of {kind.order_class.__name__}"


def missing_pages(kind: Kind, pages: KindPages | None, app: Flask) -> list[str]:
    if pages is None:
        return ["an entry in KIND_PAGES"]
    templates = [f"candidate/{kind.name}/about.html", f"candidate/{kind.name}/privacy.html"]
    templates.append(f"console/{kind.name}/preview.html")
    if issubclass(kind.order_class, TimedOrder):
        templates.append(f"candidate/{kind.name}/started.html")
    if pages.console:
        templates.append(f"console/{kind.name}/tasks.html")
    if _has_own_evidence(kind):
        templates.append(f"report/{kind.name}/report.html")
    known_templates = set(app.jinja_env.list_templates())
    endpoints = {rule.endpoint.rpartition(".")[0] for rule in app.url_map.iter_rules()}
    nested = [("candidate.", pages.candidate), ("console.", pages.console)]
    nested += [("console.", pages.products), ("", pages.report)]
    return [
        *(f"template {name}" for name in templates if name not in known_templates),
        *(
            f"views of the blueprint {parent}{blueprint.name}"
            for parent, blueprint in nested
            if blueprint and f"{parent}{blueprint.name}" not in endpoints
        ),
        *_missing_event_labels(_event_types(_files_of_blueprints(pages))),
    ]


def missing_surroundings(kind: Kind, factories: Mapping[str, object]) -> list[str]:
    """Name what is missing beside the program: documents, samples, factories of the tests."""
    guide = (ROOT / "docs" / "product-documents.md").read_text("utf-8")
    samples = [path for path in (files("provider") / "samples").iterdir() if path.is_file()]
    missing = []
    if not re.search(rf"^## .*`kind: {kind.name}`$", guide, re.MULTILINE):
        missing.append("a section of docs/product-documents.md")
    if not any(f"kind: {kind.name}\n" in path.read_text("utf-8") for path in samples):
        missing.append("a document in provider/samples")
    if kind.name not in factories:
        missing.append("an entry in tests/kind_factories.py")
    return missing


def _missing_names(kind: Kind) -> Iterator[str]:
    for model in (kind.product_class, kind.order_class):
        if model.__mapper__.polymorphic_identity != kind.name:
            yield f"the polymorphic identity {kind.name} of {model.__name__}"
    yield from (f"text {name}" for name, text in vars(kind.texts).items() if not text)
    stored_values = {
        "kind": (kind.name,),
        "product": (kind.name,),
        "status": STATUSES,
        "progress": PROGRESS_STATES,
    }
    for family, values in stored_values.items():
        yield from (
            f"label {family} {value}" for value in values if value not in labels.LABELS[family]
        )
    yield from _missing_event_labels(_event_types(kind.folder.glob("*.py")))


def _missing_event_labels(event_types: set[str]) -> list[str]:
    return [
        f"label event {name}" for name in sorted(event_types) if name not in labels.LABELS["event"]
    ]


def _missing_emails(kind: Kind) -> Iterator[str]:
    topics = _string_arguments(kind.folder.glob("*.py"), {"enqueue_email": (1, "template")})
    yield from (
        f"subject of the e-mail {topic}"
        for topic in sorted(topics - set(EMAIL_SUBJECTS) - set(kind.email_subjects))
    )
    for template in kind.email_subjects:
        for extension in ("txt", "html"):
            if not (kind.emails_folder / f"{template}.{extension}").is_file():
                yield f"body emails/{template}.{extension}"


def _unclassified_columns(kind: Kind) -> Iterator[str]:
    """Yield each column of the kind's tables that is in none or in both of the two lists."""
    classified = [str(column) for column in (*kind.personal_columns, *kind.other_columns)]
    package = kind.order_class.__module__.rpartition(".")[0]
    for mapper in Base.registry.mappers:
        table = mapper.local_table
        is_own = mapper.class_.__module__.startswith(f"{package}.")
        # A table that several kinds share: each classifies all of it.
        is_used = any(name.startswith(f"{mapper.class_.__name__}.") for name in classified)
        if not (is_own or is_used) or not any(
            key.target_fullname == "orders.id" for key in table.foreign_keys
        ):
            continue
        for column in table.columns:
            if column.primary_key or column.foreign_keys or isinstance(column.type, UtcDateTime):
                continue
            name = f"{mapper.class_.__name__}.{column.key}"
            if classified.count(name) != 1:
                yield f"{name} in personal_columns or other_columns"


def _missing_scheduled_work(kind: Kind) -> Iterator[str]:
    if issubclass(kind.order_class, TimedOrder):
        if CLOSE_ATTEMPTS not in kind.scheduled_works:
            yield "CLOSE_ATTEMPTS in scheduled_works"
        if kind.order_class.close_at_deadline is TimedOrder.close_at_deadline:
            yield "close_at_deadline of the order class"


def _missing_result_view(kind: Kind) -> Iterator[str]:
    if kind.order_class.evidence is Order.evidence:
        yield "evidence of the order class"
    if not _has_own_evidence(kind):
        return
    source = kind.report_part.read_text("utf-8") if kind.report_part.is_file() else ""
    yield from (
        f"{name} in report.typ" for name in REPORT_SECTIONS if f"#let {name} =" not in source
    )


def _has_own_evidence(kind: Kind) -> bool:
    return kind.order_class.evidence.__annotations__["return"] not in (Evidence, "Evidence")


def _event_types(paths: Iterator[Path]) -> set[str]:
    return _string_arguments(
        paths,
        {
            "record_event": (1, "event_type"),
            "append": (None, "topic"),
            "enqueue_email": (1, "template"),
        },
    )


def _files_of_blueprints(pages: KindPages) -> Iterator[Path]:
    blueprints = [pages.candidate, *pages.candidate_parts, pages.console, pages.report]
    for blueprint in filter(None, [*blueprints, pages.products]):
        nested = [section for section, _ in blueprint._blueprints]
        for section in (blueprint, *nested):
            yield Path(str(importlib.import_module(section.import_name).__file__))


def _string_arguments(
    paths: Iterator[Path], functions: dict[str, tuple[int | None, str]]
) -> set[str]:
    """Return the constants in one argument of calls: function → (position, keyword)."""
    constants = set()
    for path in paths:
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            if call.func.attr not in functions:
                continue
            position, keyword = functions[call.func.attr]
            arguments = [item.value for item in call.keywords if item.arg == keyword]
            if position is not None:
                arguments += call.args[position : position + 1]
            constants |= {
                argument.value
                for argument in arguments
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            }
    return constants
