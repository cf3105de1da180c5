"""The registry of the kinds' pages. Each kind has an entry in KINDS and an entry here."""

from dataclasses import dataclass

from flask import Blueprint

from provider.web import check_referee
from provider.web.candidate import assessment, check, check_documents, check_status, interview
from provider.web.candidate import check_questions as questions
from provider.web.console import (
    assessment_rescoring,
    assessment_trial,
    assessments,
    check_additions,
    check_adverse,
    check_consent,
    check_decisions,
    check_legal_texts,
    check_outside,
    check_questions,
    check_queue,
    check_records,
    check_screening,
    checks,
    interview_captions,
    interview_completion,
    interview_reviews,
    interview_trial,
    interviews,
)
from provider.web.report import interview_media

for section in (interview_reviews, interview_completion, interview_captions):
    interviews.routes.register_blueprint(section.routes)
for section in (
    check_additions,
    check_adverse,
    check_consent,
    check_decisions,
    check_outside,
    check_questions,
    check_records,
    check_screening,
):
    checks.routes.register_blueprint(section.routes)


@dataclass(frozen=True)
class KindPages:
    """The blueprints of one kind; those that are None have no pages of the kind's own.

    `candidate` and `candidate_parts` are nested in `/c`, and `console` in `/console`, behind their
    authentication. So are `products`, the authors' pages of the kind's products, `queue`, the list
    of the staff's work, and `trial`, which lets authors try a draft; `console/KIND/trial_link.html`
    links to it. `report` checks the link of the report itself, and `others` the links of others,
    such as referees. The templates are in
    `candidate/KIND/`, `console/KIND/` and `report/KIND/`.
    """

    candidate: Blueprint
    candidate_parts: tuple[Blueprint, ...] = ()
    console: Blueprint | None = None
    report: Blueprint | None = None
    products: Blueprint | None = None
    trial: Blueprint | None = None
    queue: Blueprint | None = None
    others: Blueprint | None = None


KIND_PAGES: dict[str, KindPages] = {
    "assessment": KindPages(
        candidate=assessment.routes,
        console=assessments.routes,
        products=assessment_rescoring.routes,
        trial=assessment_trial.routes,
    ),
    "interview": KindPages(
        candidate=interview.routes,
        console=interviews.routes,
        report=interview_media.routes,
        trial=interview_trial.routes,
    ),
    "check": KindPages(
        candidate=check.routes,
        candidate_parts=(check_documents.routes, check_status.routes, questions.routes),
        console=checks.routes,
        products=check_legal_texts.routes,
        queue=check_queue.routes,
        others=check_referee.routes,
    ),
}
