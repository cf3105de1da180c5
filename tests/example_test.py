"""A test with the example of each type of item, as a product."""

from typing import Any

from provider.core.kinds.assessment.items import ITEM_KINDS
from provider.services import Services
from tests import factories


def example_sections() -> list[dict[str, Any]]:
    """Return the sections: the items that have a score, then those that have none."""
    kinds = ITEM_KINDS.values()
    unscored = [kind for kind in kinds if kind.schema.load(kind.example).scoring_problem]
    scored = [kind for kind in kinds if kind not in unscored]
    return [
        {
            "key": f"part-{weight}",
            "title": title,
            "weight": weight,
            "items": [dict(kind.example) for kind in part],
        }
        for title, weight, part in (("Scored", 1, scored), ("Not scored", 0, unscored))
    ]


def example_numbers() -> dict[str, int]:
    """Return the number of the question of each type."""
    items = [item for section in example_sections() for item in section["items"]]
    return {item["kind"]: number for number, item in enumerate(items, start=1)}


def create_example_test(services: Services) -> str:
    """Return the id of a test with every type of item."""
    return factories.create_test(services, "Examples", "examples", sections=example_sections())
