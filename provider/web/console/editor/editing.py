"""What the editor's pages share: the draft of a product, its parts and its problems."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from marshmallow import Schema, fields
from sqlalchemy.orm import Session

from provider.core.audit import Action
from provider.core.kinds import KINDS
from provider.core.kinds.document_check import CheckedContent, check_content
from provider.core.products import Product
from provider.core.products.compare import REMOVED, Change
from provider.core.products.documents import DocumentProblem
from provider.core.products.draft import (
    Content,
    Draft,
    change_draft,
    find_draft,
    node_digest,
    working_content,
)
from provider.core.products.draft_edits import (
    ROOT,
    Path,
    find_node,
    format_path,
    parse_document_path,
)
from provider.core.products.draft_files import list_files
from provider.core.products.files import FileSlot, StoredProductFile
from provider.errors import NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act
from provider.web.console.editor import texts
from provider.web.console.editor.files import file_address, poster_address
from provider.web.console.editor.forms import page_lists
from provider.web.console.editor.widgets import inner_schema

# An author who saved so long ago is named as somebody who may still be at work.
PRESENCE = timedelta(minutes=10)
MAX_SHOWN_NAME_LENGTH = 60  # characters of the name of a file


@dataclass(frozen=True)
class Editing:
    """A product with the content that authors edit. `draft` is None before the first save."""

    product: Product
    content: dict[str, Any]
    draft: Draft | None
    files: Mapping[str, StoredProductFile] = field(default_factory=dict)

    @classmethod
    def open(cls, session: Session, product_id: str) -> "Editing":
        """Raises NotFound."""
        product = Product.find(session, product_id)
        files = list_files(session, product)
        return cls(product, working_content(session, product), find_draft(session, product), files)

    @property
    def schema(self) -> Schema:
        return KINDS[self.product.kind].schema

    @property
    def name(self) -> str:
        name = self.content.get("name")
        return name if isinstance(name, str) and name.strip() else self.product.name

    @property
    def digest(self) -> str:
        """The digest of the whole draft."""
        return node_digest(self.content)

    def file_url(self, name: str) -> str:
        """Return the address of a picture or a sound of the draft."""
        return file_address(self.product, name)

    def poster_url(self, name: str) -> str:
        """Return the address of the poster of a video of the draft."""
        return poster_address(self.product, name)

    @property
    def slots(self) -> list[FileSlot]:
        """The places of the content that name files."""
        return list(KINDS[self.product.kind].find_file_slots(self.content))

    @property
    def named_files(self) -> tuple[StoredProductFile, ...]:
        """The files that the content names, as far as they are stored."""
        names = dict.fromkeys(slot.value for slot in self.slots)
        return tuple(self.files[name] for name in names if name in self.files)

    @property
    def language(self) -> str:
        language = self.content.get("language")
        return language if isinstance(language, str) else ""

    @property
    def colleague(self) -> str:
        """The colleague who saved a moment ago; empty without one."""
        draft = self.draft
        if draft is None or draft.editor == current_staff().email:
            return ""
        return draft.editor if current_services().now() - draft.updated_at < PRESENCE else ""

    @property
    def newer_version(self) -> int:
        """The number of a version that was made after the draft began; 0 without one."""
        newest = self.product.versions[-1].number if self.product.versions else 0
        return newest if self.draft and newest > self.draft.base_number else 0

    def check(self) -> CheckedContent:
        checked = check_content(KINDS[self.product.kind], self.content)
        missing = [
            DocumentProblem(
                slot.path, f"the file {_shorten(slot.value)} is not stored here; choose it again"
            )
            for slot in self.slots
            if slot.value not in self.files
        ]
        return CheckedContent((*checked.errors, *missing, *checked.warnings), checked.loaded)

    def describe(self, path: Path, node: Any) -> str:
        """Say what an entry gives candidates; empty for most."""
        if len(path) < 2 or not isinstance(node, dict):
            return ""
        return KINDS[self.product.kind].describe_entry(str(path[-2]), node)

    def entry(self, path: Path) -> "Entry":
        """Return the part of the draft with a page of its own. Raises NotFound."""
        return Entry.find(self.schema, self.content, path)


@dataclass(frozen=True)
class Entry:
    """A part of a document with a page: the document itself, a section, an item …

    `schema` is None for an item of an unknown kind.
    """

    path: Path
    node: dict[str, Any]
    schema: Schema | None

    @classmethod
    def find(cls, schema: Schema, content: Content, path: Path) -> "Entry":
        """Raises NotFound for a path that leads to no entry."""
        node = find_node(content, path)
        found: Schema | None = schema
        for depth in range(0, len(path), 2):
            name = path[depth]
            lists = dict(page_lists(found, is_root=depth == 0)) if found else {}
            if name not in lists or depth + 1 == len(path):
                raise NotFound("This part of the draft has no page")
            found = inner_schema(lists[str(name)].inner, find_node(content, path[: depth + 2]))
        if not isinstance(node, dict):
            raise NotFound("This part of the draft has no page")
        return cls(path, node, found)

    @classmethod
    def locate(cls, schema: Schema, content: Content, path: Path, seen: str) -> "Entry":
        """Return the entry that a page showed with the digest `seen`.

        A colleague may have moved it within its list. Without a single match it is the entry that
        is at `path` now. Raises NotFound.
        """
        if not path:
            return cls.find(schema, content, path)
        count = len(find_node(content, path[:-1]))
        siblings = [cls.find(schema, content, (*path[:-1], index)) for index in range(count)]
        if path[-1] in range(count) and siblings[int(path[-1])].digest == seen:
            return siblings[int(path[-1])]
        matching = [entry for entry in siblings if entry.digest == seen]
        return matching[0] if len(matching) == 1 else cls.find(schema, content, path)

    @property
    def is_root(self) -> bool:
        return not self.path

    @property
    def list_name(self) -> str:
        return str(self.path[-2]) if self.path else ""

    @property
    def noun(self) -> str:
        return texts.entry_noun(self.list_name) if self.path else ""

    @property
    def path_text(self) -> str:
        return format_path(self.path)

    @property
    def title(self) -> str:
        return texts.entry_title(self.node)

    @property
    def digest(self) -> str:
        """The digest of what the entry's own page shows: not of the entries in its lists."""
        lists = page_lists(self.schema, is_root=self.is_root) if self.schema else []
        names = {name for name, _ in lists}
        return node_digest({name: value for name, value in self.node.items() if name not in names})

    def errors(self, problems: Mapping[str, str]) -> dict[str, str]:
        """Return the problems within the entry's own page, by their path in its form."""
        prefix = "" if self.is_root else f"{self.path_text}."
        lists = page_lists(self.schema, is_root=self.is_root) if self.schema else []
        inner = tuple(f"{prefix}{name}." for name, _ in lists)
        return {
            path.removeprefix(prefix).removeprefix(ROOT): text
            for path, text in problems.items()
            if path.startswith(prefix) and not path.startswith(inner)
        }


def _shorten(name: str) -> str:
    """Return the name of a file; a document may have the file itself in its place."""
    return name if len(name) <= MAX_SHOWN_NAME_LENGTH else f"{name[:MAX_SHOWN_NAME_LENGTH]}…"


def save_draft(
    session: Session, product: Product, change: Callable[[Content], dict[str, Any]]
) -> dict[str, Any]:
    """Store a change of the draft. The audit log names each author of a draft once in a row."""
    before = find_draft(session, product)
    last_editor, number = (before.editor, before.number) if before else ("", 0)
    editor, now = current_staff().email, current_services().now()
    content = change_draft(session, product, change, editor, now)
    draft = find_draft(session, product)
    if draft is not None and draft.number > number and last_editor != editor:
        fields = {"kind": product.kind, "key": product.key}
        record_act(session, Action.PRODUCT_EDITED, f"product:{product.public_id}", after=fields)
    name = content.get("name")
    # Lists name a product by its newest version, and a new one by its draft.
    if not product.versions and isinstance(name, str) and 0 < len(name.strip()) <= 120:
        product.name = name.strip()
    return content


def form_errors(problems: list[DocumentProblem]) -> dict[str, str]:
    """Return the texts of problems by their path as a form writes it, the first of each path."""
    result: dict[str, str] = {}
    for problem in problems:
        path = format_path(parse_document_path(problem.path))
        result.setdefault(path, texts.sentence(problem.text))
    return result


@dataclass(frozen=True)
class PlacedText:
    """A problem or a change with its place in words, and the path of the page that shows it."""

    place: str
    entry_path: str
    anchor: str
    item: Any


def place(editing: Editing, path: Path, item: Any, content: Content | None = None) -> PlacedText:
    """Say where a path is: “Section Numbers › Question What is 2 + 2? › Points”."""
    content = editing.content if content is None else content
    steps: list[str] = []
    entry_path: Path = ()
    found: Schema | None = editing.schema
    depth = 0
    while found and depth + 1 < len(path):
        lists = dict(page_lists(found, is_root=depth == 0))
        name, index = path[depth], path[depth + 1]
        if name not in lists or not isinstance(index, int):
            break
        try:
            node = find_node(content, path[: depth + 2])
        except NotFound:
            break
        noun = texts.entry_noun(str(name))
        steps.append(f"{noun.capitalize()} {index + 1}, {texts.entry_title(node)}")
        found, depth = inner_schema(lists[str(name)].inner, node), depth + 2
        entry_path = path[:depth]
    steps += _field_steps(found, path[depth:])
    anchor = "field-" + "-".join(map(str, path[depth:])) if path[depth:] else ""
    return PlacedText(
        " › ".join(steps) or "The whole document", format_path(entry_path), anchor, item
    )


def _field_steps(schema: Schema | None, path: Path) -> list[str]:
    steps = []
    for step in path:
        field = schema.fields.get(str(step)) if schema and isinstance(step, str) else None
        if isinstance(step, int):
            steps.append(str(step + 1))
        else:
            steps.append(texts.field_label(schema, step))
        if isinstance(field, fields.List):
            field = field.inner
        if field is not None:
            schema = inner_schema(field, {})
    return steps


def place_problems(editing: Editing, problems: list[DocumentProblem]) -> list[PlacedText]:
    return [
        place(editing, parse_document_path(problem.path), texts.sentence(problem.text))
        for problem in problems
    ]


def place_changes(
    editing: Editing, changes: list[Change], before: Content, after: Content
) -> list[PlacedText]:
    """Return changes with their places, in the document that has each of them."""
    return [
        place(editing, change.path, change, before if change.action == REMOVED else after)
        for change in changes
    ]
