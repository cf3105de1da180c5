"""Extracts the texts of the sources into `messages.pot` and the catalogues of the languages."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from provider import errors
from provider.texts import CATALOGUES_FOLDER, DEFAULT_LANGUAGE, list_languages
from provider.texts.typst import find_typst_texts

ROOT = Path(__file__).parents[2]
POT_PATH = CATALOGUES_FOLDER / "messages.pot"
MessageId: TypeAlias = str | tuple[str, ...]
Keywords: TypeAlias = Mapping[str, Any]

MARKERS: Keywords = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "lazy_gettext": None,
    "ngettext": (1, 2),
}
# An author of product documents sees a DocumentError, not a candidate.
ERROR_CLASSES = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.ProviderError)
} - {"DocumentError"}
# The modules whose errors a candidate or a recruiter may see.
MODULES_WITH_TRANSLATED_ERRORS = (
    "core/orders",
    "core/kinds",
    "core/report.py",
    "web/candidate",
    "web/report",
)
TEMPLATE_OPTIONS = {
    "trimmed": "true",
    "newstyle_gettext": "true",
    "silent": "false",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
}


def list_sources() -> Iterator[Path]:
    """Yield every file of the package that may have texts."""
    for path in sorted((ROOT / "provider").rglob("*.*")):
        is_email = path.parent.name in ("emails", "templates") and path.suffix == ".txt"
        if path.suffix in (".py", ".html", ".typ") or is_email:
            yield path


def has_translated_errors(path: Path) -> bool:
    name = path.relative_to(ROOT / "provider").as_posix()
    return name.startswith(MODULES_WITH_TRANSLATED_ERRORS)


def extract_catalogue() -> Catalog:
    # The date is fixed, so that a second extraction changes nothing.
    catalogue = Catalog(
        project="provider",
        copyright_holder="the authors of provider",
        header_comment="# The texts of provider. `make texts` writes this file.",
        creation_date=datetime(2026, 1, 1, tzinfo=UTC),
        fuzzy=False,
    )
    for path in list_sources():
        for message in extract_messages(path):
            catalogue.add(message, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    return catalogue


def extract_messages(path: Path) -> Iterator[MessageId]:
    """Yield the ids in a source; a text with plural forms has two."""
    method, options = _extraction_method(path)
    keywords = dict(MARKERS)
    if path.suffix == ".py" and has_translated_errors(path):
        keywords |= dict.fromkeys(ERROR_CLASSES) | {"UploadRejected": (2,)}
    for _, message, _, _ in extract_from_file(method, path, keywords, options=options):
        yield message


def message_ids(catalogue: Catalog) -> set[MessageId]:
    return {
        message.id if isinstance(message.id, str) else tuple(message.id)
        for message in catalogue
        if message.id
    }


def read_catalogue(language: str = "") -> Catalog:
    """Read the catalogue of a language, or the template."""
    path = _catalogue_path(language) if language else POT_PATH
    with path.open("rb") as file:
        return read_po(file, locale=language.replace("-", "_") or None)


def translated_languages() -> tuple[str, ...]:
    return tuple(language for language in list_languages() if language != DEFAULT_LANGUAGE)


def write_catalogues() -> None:
    """Write the template, and add its new texts to every language, without a translation."""
    template = extract_catalogue()
    _write(template, POT_PATH)
    for language in translated_languages():
        catalogue = read_catalogue(language)
        catalogue.update(template, no_fuzzy_matching=True)
        _write(catalogue, _catalogue_path(language))


def _catalogue_path(language: str) -> Path:
    return CATALOGUES_FOLDER / f"{language}.po"


def _write(catalogue: Catalog, path: Path) -> None:
    buffer = BytesIO()
    write_po(
        buffer,
        catalogue,
        sort_by_file=True,
        include_lineno=False,
        no_location=path != POT_PATH,
        ignore_obsolete=True,
        width=100,
    )
    # The version of Babel and the time of writing are no differences.
    headers = rb'"(Generated-By|PO-Revision-Date|Last-Translator|Language-Team): [^"]*"\n'
    path.write_bytes(re.sub(headers, b"", buffer.getvalue()))


def _extraction_method(path: Path) -> tuple[str | Callable[..., Any], dict[str, str]]:
    if path.suffix == ".py":
        return "python", {}
    if path.suffix == ".typ":
        return _extract_typst, {}
    return "jinja2", TEMPLATE_OPTIONS


def _extract_typst(file: Any, *_: Any, **__: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    for line, message in find_typst_texts(file.read().decode()):
        yield line, "gettext", message, []
