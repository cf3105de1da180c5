"""`provider legal-text`: the text that a consent's digest names."""

import hashlib
from pathlib import Path

from provider.services import Services
from tests import check_factories
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run

RIGHTS = {
    "key": "us-rights",
    "version": "1",
    "purpose": "rights",
    "title": "Your rights",
    "text": "# Rights\n\nYou may ask.",
}


def test_legal_text_is_printed_as_a_file_or_json(services: Services, run: Run) -> None:
    check_factories.create_package(services, legal_texts=[RIGHTS])
    digest = hashlib.sha256(RIGHTS["text"].encode()).hexdigest()
    assert run("legal-text", digest).stdout == (
        "---\nkey: us-rights\nversion: '1'\npurpose: rights\ntitle: Your rights\nsample: false\n"
        "---\n# Rights\n\nYou may ask.\n"
    )
    (record,) = parse_json(run("legal-text", digest, "--json"))
    assert record == RIGHTS | {"sample": False, "created_at": record["created_at"]}


def test_legal_text_with_an_unknown_digest_is_an_error(services: Services, run: Run) -> None:
    message = error_message(run("legal-text", "0" * 64, code=1))
    assert "There is no legal text with this digest" in message


def test_printed_text_is_imported_again(services: Services, run: Run, tmp_path: Path) -> None:
    terms = check_factories.PACKAGE_CONTENT["disclosure"]["text"]
    check_factories.create_package(services, legal_texts=[RIGHTS])
    digest = hashlib.sha256(RIGHTS["text"].encode()).hexdigest()
    (tmp_path / "rights.md").write_text(run("legal-text", digest).stdout, "utf-8")
    package = f"""\
kind: check
key: copied
name: Copied
screenings: [{{key: identity, name: Identity}}]
disclosure:
  key: jobs
  version: '3'
  text: "{terms.replace(chr(10), chr(92) + "n")}"
legal_texts:
- file: rights.md
"""
    (tmp_path / "copied.yaml").write_text(package, "utf-8")
    run("product", "import", str(tmp_path / "copied.yaml"))
    assert len(parse_json(run("legal-text", digest, "--json"))) == 1
    assert "You may ask." in run("product", "export", "copied").stdout
