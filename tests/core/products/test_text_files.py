"""Texts in files of their own: what a document gets from them, and wrong files."""

from pathlib import Path

import pytest

from provider.core.products.documents import Document, parse_documents
from provider.core.products.files import read_beside
from provider.core.products.text_files import include_text_files, write_text_file
from provider.errors import Invalid

DOCUMENT = "kind: check\nkey: a\nname: A\ntexts:\n- file: {name}\n  version: '2'\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "legal").mkdir()
    return tmp_path


def include(folder: Path, name: str = "legal/a.md") -> Document:
    (document,) = parse_documents(DOCUMENT.format(name=name), "a.yaml")
    return include_text_files(document, read_beside(folder))


def test_file_gives_its_header_and_its_text(folder: Path) -> None:
    content = (
        "---\r\nkey: rights\r\nversion: '1'\r\nsample: true\r\n---\r\n\r\n# A\r\n\r\n---\r\nB\r\n"
    )
    (folder / "legal" / "a.md").write_bytes(content.encode())
    assert include(folder).content["texts"] == [
        {"key": "rights", "version": "2", "sample": True, "text": "# A\n\n---\nB"}
    ]


def test_written_file_is_read_again(folder: Path) -> None:
    header, text = {"key": "a", "title": "يوم: 1", "countries": ["NO"]}, "---\na: b\n---"
    (folder / "a.md").write_text(write_text_file(header, text), "utf-8")
    expected = header | {"text": text, "version": "2"}
    assert include(folder, "a.md").content["texts"] == [expected]


def test_document_without_files_stays_as_it_is(folder: Path) -> None:
    (document,) = parse_documents("kind: check\nkey: a\nname: A\nfile: [1]\n", "a.yaml")
    assert include_text_files(document, read_beside(folder)) is document


@pytest.mark.parametrize("name", ["../a.md", "/etc/a.md", "a.txt", "legal/../a.md", "a/b/c.md"])
def test_name_of_another_place_is_not_read(folder: Path, name: str) -> None:
    (folder / "a.md").write_text("---\nkey: a\n---\nA", "utf-8")
    assert include(folder, name).content["texts"][0]["file"] == name


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: put it beside the document"),
        (b"\xff", "is not UTF-8 text"),
        (b"A text", "should begin with a header between two lines of ---"),
        (b"---\n- a\n---\nA", "should begin with a header between two lines of ---"),
        (b"x" * 1_000_001, "is too large: a text has at most 1 MB"),
    ],
)
def test_wrong_file_is_refused(folder: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (folder / "legal" / "a.md").write_bytes(content)
    with pytest.raises(Invalid) as caught:
        include(folder)
    assert str(caught.value).startswith(f"a.yaml line 5, texts[0].file: legal/a.md {problem}")


def test_wrong_header_is_refused_with_its_line(folder: Path) -> None:
    (folder / "legal" / "a.md").write_text("---\nkey: a: b\n---\nA", "utf-8")
    with pytest.raises(Invalid, match=r"legal/a\.md line 2"):
        include(folder)
