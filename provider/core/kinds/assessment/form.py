"""The form of a test: the items that one candidate gets, down to the order of their options.

A form is drawn when an attempt begins, and stored as JSON:

    {"sections": [[["ITEM KEY", ["OPTION KEY", …]], …], …]}

It has a list of items for each section of the version, in order. A later program with other rules
of drawing or mixing therefore shows and scores the same questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from random import Random, SystemRandom
from typing import Any

from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.sections import SHUFFLED, Section

StoredForm = Mapping[str, Any]
DrawnItems = Mapping[str, tuple[int, tuple[str, ...]]]  # place and order of options, by item key
_SEED_BITS = 128


def draw_form(content: TestContent, random: Random | None = None) -> dict[str, Any]:
    """Return a new form as JSON. `random` is unpredictable, if it is not given."""
    random = random or SystemRandom()
    seed = str(random.getrandbits(_SEED_BITS))
    return {
        "sections": [
            [
                [item.key, list(item.draw_order(seed, content.shuffle))]
                for item in _draw_items(section, random)
            ]
            for section in content.sections
        ]
    }


def apply_form(content: TestContent, form: StoredForm) -> TestContent:
    """Return the test as the candidate with this form gets it.

    The content may be of a version that corrects that of the form, with items in other sections.
    """
    drawn = {
        key: (place, tuple(order))
        for place, (key, order) in enumerate(chain.from_iterable(form["sections"]))
    }
    sections = (_apply_to_section(section, drawn) for section in content.sections)
    return replace(content, sections=tuple(section for section in sections if section.items))


def _draw_items(section: Section, random: Random) -> Sequence[Any]:
    items = list(section.bank)
    if section.draw:
        drawn = random.sample(range(len(items)), section.draw.count)
        items = [items[index] for index in sorted(drawn)]
    if section.order == SHUFFLED:
        random.shuffle(items)
    return items


def _apply_to_section(section: Section, drawn: DrawnItems) -> Section:
    items = [item for item in section.items if item.key in drawn]
    items.sort(key=lambda item: drawn[item.key][0])
    return replace(
        section,
        draw=None,
        items=tuple(replace(item, shown_order=drawn[item.key][1]) for item in items),
    )
