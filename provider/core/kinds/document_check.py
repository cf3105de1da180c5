"""All problems of a document at once, for an author who edits it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from provider.core.kinds.base import Kind
from provider.core.products.documents import flatten_messages


@dataclass(frozen=True)
class Problem:
    """A problem at `path` of a document. An error prevents publishing, a warning does not."""

    path: str
    text: str
    is_error: bool = True


@dataclass(frozen=True)
class CheckedContent:
    """A document's problems, the errors first; `loaded` is None with errors."""

    problems: tuple[Problem, ...]
    loaded: Any = None

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.is_error]

    @property
    def warnings(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.is_error]


def check_content(kind: Kind, content: Mapping[str, Any]) -> CheckedContent:
    """Return every error of a document. Without errors, the kind's warnings follow."""
    try:
        loaded = kind.schema.load(content)
    except ValidationError as error:
        pairs = dict.fromkeys(flatten_messages(error.messages))
        return CheckedContent(tuple(Problem(path, text) for path, text in pairs))
    warnings = (
        Problem(warning.path, warning.problem, is_error=False)
        for warning in kind.find_warnings(loaded)
    )
    return CheckedContent(tuple(warnings), loaded)
