"""Workable's list of stages: which stage a candidate's `stage` and a rule's `stage` mean.

Either may be a name or a slug. A slug is no function of the name: “Tech Test (2)” is `tech-test-2`.
"""

from collections.abc import Sequence
from typing import Any

from provider.ats.api import ApiRequest, ApiResponse, Connection
from provider.ats.workable.rest.address import api_base

# The slug, the name and the kind of each stage, as the state of a round stores them.
StageList = Sequence[Sequence[str]]


def stages_request(connection: Connection) -> ApiRequest:
    return ApiRequest("GET", f"{api_base(connection.settings)}/stages")


def read_stages(response: ApiResponse) -> StageList:
    """Return the stages; none where the token may not list them."""
    rows: Sequence[Any] = response.json()["stages"] if response.is_success else ()
    return [[str(row.get(name) or "") for name in ("slug", "name", "kind")] for row in rows]


def stage_facts(stages: StageList, text: str) -> tuple[str, ...]:
    """Return what a rule may call a candidate's stage: its slug, its name, and its kind.

    The kind is left out where a stage is called like it: a rule then means that stage.
    """
    names = {_fold(name) for stage in stages for name in stage[:2]}
    present = [stage for stage in stages if _fold(text) in map(_fold, stage[:2])]
    if not present:  # a stage of the job alone
        return (text, _guess_slug(text), text.replace("-", " "))
    kinds = [kind for _, _, kind in present if _fold(kind) not in names]
    return (text, *(name for stage in present for name in stage[:2]), *kinds)


def find_slugs(stages: StageList, text: str) -> list[str]:
    """Return the slugs of the stages that a rule means."""
    wanted = _fold(text)
    slugs = [stage[0] for stage in stages if wanted in map(_fold, stage[:2])]
    slugs = slugs or [slug for slug, _, kind in stages if _fold(kind) == wanted]
    return slugs or [_guess_slug(text)]


def _guess_slug(text: str) -> str:
    return "-".join(text.casefold().split())


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
