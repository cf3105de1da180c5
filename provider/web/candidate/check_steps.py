"""The steps of a candidate from the invitation to the consent of a check, in their order.

A further step is one function in STEPS, which yields its pages.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import url_for
from sqlalchemy.orm import object_session

from provider.core.kinds.check import Check
from provider.core.kinds.check.documents import missing_slots, open_slots
from provider.core.kinds.check.packages.detail_groups import list_groups
from provider.core.kinds.check.shown_texts import list_step_texts
from provider.services import current_services
from provider.texts import Text
from provider.texts import lazy_gettext as _
from provider.web.candidate.session import CandidateRequest

CheckRequest = CandidateRequest[Check]


@dataclass(frozen=True)
class StepPage:
    """One page of a step. The pages after a page that is `first` must wait until it is done."""

    endpoint: str
    title: Text
    values: Mapping[str, str] = field(default_factory=dict)
    first: bool = False
    is_done: bool = True

    def url(self, public_id: str) -> str:
        values: dict[str, Any] = {"public_id": public_id, **self.values}
        return url_for(self.endpoint, **values)


def asks_for_country(check: Check) -> bool:
    """Return whether the texts of the package depend on where the candidate lives."""
    return any(text.countries for text in check.content.legal_texts)


def _country_pages(check: Check) -> Iterator[StepPage]:
    if asks_for_country(check):
        yield StepPage(
            "candidate.check.country_form",
            _("Where you live"),
            first=True,
            is_done=bool(check.country),
        )


def _text_pages(check: Check) -> Iterator[StepPage]:
    for number, text in enumerate(list_step_texts(check.content, check.country)):
        is_done = check.is_text_confirmed(text)
        if number == 0:
            yield StepPage(
                "candidate.check.disclosure", _("Disclosure"), first=True, is_done=is_done
            )
        else:
            yield StepPage(
                "candidate.check.legal_text",
                text.title,
                {"purpose": text.purpose, "key": text.key},
                first=True,
                is_done=is_done,
            )


def _detail_pages(check: Check) -> Iterator[StepPage]:
    services = current_services()
    problems = check.find_detail_problems(services.secret_box, services.now())
    incomplete = {problem.detail for problem in problems}
    for name, group in list_groups(check.content):
        yield StepPage(
            "candidate.check.details.form",
            group.title,
            {"group": name},
            is_done=not incomplete & set(group.names),
        )


def _document_pages(check: Check) -> Iterator[StepPage]:
    if open_slots(check):
        session = object_session(check)
        assert session is not None, "the check was read in a session"
        yield StepPage(
            "candidate.documents.page",
            _("Your documents"),
            is_done=not missing_slots(session, check),
        )


def _review_pages(_check: Check) -> Iterator[StepPage]:
    yield StepPage("candidate.check.review", _("Check and sign"), is_done=False)


STEPS: tuple[Callable[[Check], Iterator[StepPage]], ...] = (
    _country_pages,
    _text_pages,
    _detail_pages,
    _document_pages,
    _review_pages,
)


def list_pages(check: Check) -> list[StepPage]:
    return [page for step in STEPS for page in step(check)]


def entry_url(check: Check) -> str:
    """Return the address of the first page that is not done."""
    page = next(page for page in list_pages(check) if not page.is_done)
    return page.url(check.public_id)


def find_detour(check: Check, endpoint: str, **values: str) -> str | None:
    """Return the address of a page that must be done before this one; None if there is none."""
    for page in list_pages(check):
        if (page.endpoint, dict(page.values)) == (endpoint, values):
            return None
        if page.first and not page.is_done:
            return page.url(check.public_id)
    return None


def next_url(check: Check, endpoint: str, **values: str) -> str:
    """Return the address of the page after this one."""
    pages = list_pages(check)
    index = _find_index(pages, endpoint, values)
    return pages[min(index + 1, len(pages) - 1)].url(check.public_id)


def step_context(check: Check, endpoint: str, **values: str) -> dict[str, object]:
    """Return the template variables that say where a page stands among the steps."""
    pages = list_pages(check)
    index = _find_index(pages, endpoint, values)
    return {
        "step_number": index + 1,
        "step_count": len(pages),
        "previous_url": pages[index - 1].url(check.public_id) if index else "",
    }


def _find_index(pages: list[StepPage], endpoint: str, values: Mapping[str, str]) -> int:
    keys = [(page.endpoint, dict(page.values)) for page in pages]
    return keys.index((endpoint, dict(values)))
