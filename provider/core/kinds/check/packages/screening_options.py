"""The options of screenings, such as the workforce of a DBS check, and what may be combined.

A type of a screening names its options in SCREENING_TYPES. Other types have no such option.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marshmallow import ValidationError

from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.texts import LazyText
from provider.texts import lazy_gettext as _


@dataclass(frozen=True)
class ScreeningOption:
    """A choice of the author of a package.

    Without a `default` the author has to choose. `needs` says, by choice, which choices of other
    options it needs: {"children": {"workforce": ("child", "child_and_adult")}}.
    """

    label: LazyText
    choices: Mapping[str, LazyText]
    default: str = ""
    needs: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


# The rules of the Disclosure and Barring Service: a list belongs to its workforce.
SCREENING_OPTIONS: Mapping[str, ScreeningOption] = {
    "workforce": ScreeningOption(
        _("Workforce"),
        {
            "child": _("Work with children"),
            "adult": _("Work with adults"),
            "child_and_adult": _("Work with children and adults"),
            "other": _("Other work"),
        },
    ),
    "barred_lists": ScreeningOption(
        _("Barred lists"),
        {
            "none": _("No list"),
            "children": _("The list of people who may not work with children"),
            "adults": _("The list of people who may not work with adults"),
            "both": _("Both lists, of work with children and with adults"),
        },
        default="none",
        needs={
            "children": {"workforce": ("child", "child_and_adult")},
            "adults": {"workforce": ("adult", "child_and_adult")},
            "both": {"workforce": ("child_and_adult",)},
        },
    ),
}


def complete_options(type_name: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the options of a screening, with the defaults of those that are left out.

    Raises ValidationError for an option that the type lacks, for one that is missing, and for
    choices that exclude each other.
    """
    names = SCREENING_TYPES[type_name].options
    for name in given:
        if name not in names:
            raise ValidationError({name: [f"is only for {_types_with(name)}: leave it empty"]})
    options = {name: given.get(name) or SCREENING_OPTIONS[name].default for name in names}
    for name, value in options.items():
        if not value:
            choices = ", ".join(SCREENING_OPTIONS[name].choices)
            label = SCREENING_TYPES[type_name].label
            raise ValidationError({name: [f"should be provided for a {label}: {choices}"]})
        for needed, values in SCREENING_OPTIONS[name].needs.get(value, {}).items():
            if options.get(needed) not in values:
                problem = f"is {value}, which needs the {needed} {' or '.join(values)}"
                raise ValidationError({name: [problem]})
    return options


def _types_with(option: str) -> str:
    return ", ".join(
        f"a {entry.label}" for entry in SCREENING_TYPES.values() if option in entry.options
    )
