"""The groups of details: each is one page of the candidate."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from provider.core.kinds.check.packages.content import PackageContent
from provider.texts import LazyText, Text
from provider.texts import lazy_gettext as _


@dataclass(frozen=True)
class DetailGroup:
    """A page of details; `names` are names of DETAIL_FIELDS."""

    title: LazyText
    names: tuple[str, ...]


DETAIL_GROUPS: Mapping[str, DetailGroup] = {
    "names": DetailGroup(_("Your names"), ("full_name", "former_names")),
    "birth": DetailGroup(_("Your date of birth"), ("date_of_birth",)),
    "addresses": DetailGroup(_("Where you live"), ("address", "former_addresses")),
    "numbers": DetailGroup(
        _("Numbers and licences"), ("national_id", "driving_licence", "professional_licence")
    ),
    "education": DetailGroup(_("Your education"), ("education",)),
    "employers": DetailGroup(_("Where you have worked"), ("employers",)),
    "referees": DetailGroup(_("Who can say something about your work"), ("referees",)),
}


def list_groups(content: PackageContent) -> list[tuple[str, DetailGroup]]:
    """Return (name, group) of the pages that a package needs, with the details it needs."""
    return select_groups(content.requested_details)


def select_groups(details: Collection[str]) -> list[tuple[str, DetailGroup]]:
    """Return (name, group) of the pages of some details, with these details only."""
    groups = (
        (name, DetailGroup(group.title, tuple(_filter(group.names, details))))
        for name, group in DETAIL_GROUPS.items()
    )
    return [(name, group) for name, group in groups if group.names]


def find_group(content: PackageContent, name: str) -> DetailGroup | None:
    return dict(list_groups(content)).get(name)


def group_of(content: PackageContent, detail: str) -> str:
    """Return the name of the group that has a detail."""
    return next(name for name, group in list_groups(content) if detail in group.names)


def list_reasons(content: PackageContent, names: Iterable[str]) -> list[tuple[str, Text]]:
    """Return (screening, sentence) of each screening that needs one of the details."""
    asked = set(names)
    return [
        (screening.name, screening.reason_text)
        for screening in content.screenings
        if asked & set(screening.asks)
    ]


def _filter(names: Iterable[str], details: Collection[str]) -> list[str]:
    return [name for name in names if name in details]
