"""Warnings on a test's document: it can be imported, and candidates may not see what was meant."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.cut_scores import ScaleGrades
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.scale_scoring import BoundScale
from provider.core.kinds.assessment.scales import EXCLUDE, SUM
from provider.core.kinds.assessment.scoring import score
from provider.core.kinds.grade_warnings import find_grade_warnings
from provider.core.products.documents import DocumentWarning
from provider.core.products.markdown_warnings import find_markdown_warnings


def find_warnings(content: TestContent) -> Iterator[DocumentWarning]:
    texts = [("description", content.description), ("instructions", content.instructions)]
    for index, section in enumerate(content.sections):
        texts.append((f"sections[{index}].instructions", section.instructions))
    yield from find_markdown_warnings(texts)
    # An import refuses grades on a scale that nobody can reach.
    is_on_sections = not any(scale.weight for scale in content.scales)
    if content.grades and not isinstance(content.grades, ScaleGrades) and is_on_sections:
        lowest, highest = _score_range(content)
        yield from find_grade_warnings(content.grades, content.summaries, lowest, highest)
    for section_index, section in enumerate(content.sections):
        for item_index, item in enumerate(section.items):
            yield from item_warnings(f"sections[{section_index}].items[{item_index}]", item)
    for index, scale in enumerate(content.bound_scales):
        yield from _scale_warnings(f"scales[{index}]", scale)


def _scale_warnings(path: str, scale: BoundScale) -> Iterator[DocumentWarning]:
    if scale.missing_rule == EXCLUDE and scale.scale.method == SUM:
        problem = "makes the sum lower with each missing answer; the rule mean prorates it"
        yield DocumentWarning(f"{path}.missing.rule", problem)


def _score_range(content: TestContent) -> tuple[Decimal, Decimal]:
    """Return the percentages of the worst and of the best answers."""
    answers = [(item, list(item.trial_answers())) for item in content.items]
    worst = {item.key: min(values, key=item.score, default=None) for item, values in answers}
    best = {item.key: max(values, key=item.score, default=None) for item, values in answers}
    marks = {item.key: Fraction(1) for item in content.items if item.needs_marking}
    scores = score(content, worst).percent, score(content, best, marks).percent
    return scores[0] or Decimal(0), Decimal(100) if scores[1] is None else scores[1]


def item_warnings(path: str, item: Item) -> Iterator[DocumentWarning]:
    texts = [(f"{path}.{inner_path}", text) for inner_path, text in item.markdown_texts()]
    yield from find_markdown_warnings(texts, plain_entry="item", has_headings=False)
    for inner_path, problem in item.text_warnings():
        yield DocumentWarning(f"{path}.{inner_path}", problem)
