"""A trial of a draft: its author walks through an interview's pages, without an order.

Nothing is recorded, and nothing is stored.
"""

from types import SimpleNamespace
from typing import NamedTuple

from flask import Blueprint, render_template
from werkzeug.wrappers import Response

from provider.core.kinds import KINDS
from provider.core.kinds.interview import Interview, content
from provider.core.kinds.interview.content import InterviewContent, Message
from provider.core.kinds.interview.questions import Question
from provider.core.products.draft import working_content
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.console.editor.editing import Editing

routes = Blueprint("interview_trial", __name__, url_prefix="/products/<product_id>/walk")


class Step(NamedTuple):
    """One page of the interview. `question` is None for a page with a message."""

    title: str
    message: Message | None
    question: Question | None


@routes.get("/<int:number>")
@requires(Permission.EDIT_PRODUCTS)
def step(product_id: str, number: int) -> Response | str:
    """Show one page of the interview as candidates see it; the first one is 1."""
    with current_services().db.reading() as session:
        editing = Editing.open(session, product_id)
        if KINDS[editing.product.kind].order_class is not Interview:
            raise Invalid("Only an interview template can be tried page by page")
        try:
            interview = content.parse(working_content(session, editing.product))
        except Invalid as error:
            raise Invalid("This draft has errors. Correct them, then try it") from error
        steps = list_steps(interview)
        if not 1 <= number <= len(steps):
            raise NotFound("There is no such page")
        return render_template(
            "console/interview/trial_step.html",
            content=interview,
            step=steps[number - 1],
            number=number,
            total=len(steps),
            product_id=product_id,
            file_url=editing.file_url,
            poster_url=editing.poster_url,
            order=SimpleNamespace(public_id="trial"),
            selected="",
            value=None,
            error="",
        )


def list_steps(interview: InterviewContent) -> list[Step]:
    """Return the pages in the order in which candidates see them."""
    steps = []
    if interview.introduction:
        steps.append(Step("Before the first question", interview.introduction, None))
    if interview.practice:
        steps.append(Step("Practice question", None, interview.practice))
    total = len(interview.questions)
    steps += [
        Step(f"Question {number} of {total}", None, question)
        for number, question in enumerate(interview.questions, 1)
    ]
    if interview.closing:
        steps.append(Step("After the submission", interview.closing, None))
    return steps
