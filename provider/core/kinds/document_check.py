"""All problems of a document at once, for an author who edits it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from provider.core.kinds.base import Kind
from provider.core.products.documents import DocumentProblem, flatten_messages


@dataclass(frozen=True)
class CheckedContent:
    """A document's problems, the errors first; `loaded` is None with errors."""

    problems: tuple[DocumentProblem, ...]
    loaded: Any = None

    @property
    def errors(self) -> list[DocumentProblem]:
        return [problem for problem in self.problems if problem.is_error]

    @property
    def warnings(self) -> list[DocumentProblem]:
        return [problem for problem in self.problems if not problem.is_error]


def check_content(kind: Kind, content: Mapping[str, Any]) -> CheckedContent:
    """Return every error of a document, and the warnings.

    With errors, the warnings are those of the parts that can be read without the rest.
    """
    try:
        loaded = kind.schema.load(content)
    except ValidationError as error:
        pairs = dict.fromkeys(flatten_messages(error.messages))
        errors = [DocumentProblem(path, text) for path, text in pairs]
        found = dict.fromkeys((*errors, *kind.find_draft_problems(content)))
        return CheckedContent(tuple(sorted(found, key=lambda problem: not problem.is_error)))
    warnings = (
        DocumentProblem(warning.path, warning.problem, is_error=False)
        for warning in kind.find_warnings(loaded)
    )
    return CheckedContent(tuple(warnings), loaded)
