"""No template that a candidate or a recruiter sees has text that bypasses gettext."""

from pathlib import Path

import pytest
from jinja2 import Environment

from provider.core.kinds import KINDS
from provider.texts.templates import translate_templates
from tests.texts.bare_text import find_bare_texts

PACKAGE = Path(__file__).parents[2] / "provider"
PAGES = PACKAGE / "web" / "templates"
SHARED_PAGES = (
    "base.html",
    "brand_header.html",
    "candidate.html",
    "contacts.html",
    "error.html",
    "home.html",
    "macros.html",
    "report_base.html",
)


@pytest.fixture(scope="module")
def environment() -> Environment:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    translate_templates(environment)
    return environment


def list_templates() -> list[Path]:
    """Return the pages of candidates, referees and recruiters, and the e-mails of every kind."""
    folders = [PAGES / name for name in ("candidate", "referee", "report")]
    folders += [PACKAGE / "core" / "emails" / "templates"]
    folders += [kind.emails_folder for kind in KINDS.values()]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.*"))]
    return [PAGES / name for name in SHARED_PAGES] + paths


@pytest.mark.parametrize("path", list_templates(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_template_has_no_bare_text(environment: Environment, path: Path) -> None:
    assert find_bare_texts(environment, path.read_text("utf-8")) == []


def test_all_templates_but_those_of_staff_are_checked() -> None:
    staff = {"console.html", "docs.html"}
    unchecked = set(PAGES.rglob("*.*")) - set(list_templates())
    assert {path.relative_to(PAGES).parts[0] for path in unchecked} - staff == {"console"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ("<p>{{ _('Hello') }} {{ name }}</p>", []),
        ("{% trans %}Hello{% endtrans %}, – 12 %", []),
        ("{{ 'Saved' if saved else 'Not saved' }}", ["SavedNot saved"]),
        ("{{ 'Take ' ~ number }}", ["Take"]),
        ("{% if a %}One{% elif b %}Two{% else %}Three{% endif %}", ["OneTwoThree"]),
        ("{% macro m() %}Hello{% endmacro %}", ["Hello"]),
        ("{% for a in b %}{% block c %}Hello{% endblock %}{% endfor %}", ["Hello"]),
        ('<img class="wide{{ \' big\' if a }}" src="a.png" alt="A dog">', ["A dog"]),
        ("<input placeholder=\"{{ _('Name') }}\"{% if a %} checked{% endif %}>", []),
        ("<style>p { margin: 0 }</style><script>let a</script>", []),
    ],
)
def test_find_bare_texts_finds_text_outside_gettext(
    environment: Environment, source: str, expected: list[str]
) -> None:
    assert find_bare_texts(environment, source) == expected
