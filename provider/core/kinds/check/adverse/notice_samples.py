"""The notices of an adverse action: their names, their samples, and the form of a text.

A text names values in braces. A sample is for sandbox accounts only.
"""

import re
from collections.abc import Mapping

from provider.core.kinds.check.tables.adverse_action import (
    ADVERSE_WITHDRAWN,
    FINAL_ADVERSE,
    NOTICES,
    PRE_ADVERSE,
)
from provider.core.text_cleaning import clean_line
from provider.errors import Invalid
from provider.texts import Text as ShownText
from provider.texts import gettext, gettext_noop, use_language
from provider.texts import lazy_gettext as _

MAX_NOTICE_LENGTH = 20_000  # characters
SAMPLE_VERSION = "sample"
NOTICE_LABELS: Mapping[str, ShownText] = {
    PRE_ADVERSE: _("Notice before a decision"),
    FINAL_ADVERSE: _("Notice of the decision"),
    ADVERSE_WITHDRAWN: _("Notice that nothing follows"),
}
# `last_day` is known to the first notice only: `list_parameters`.
PARAMETERS = ("candidate", "company", "job", "package", "completed_on", "last_day")
_PARAMETER = re.compile(r"\{([^{}\n]*)\}")
SAMPLES: Mapping[str, str] = {
    PRE_ADVERSE: gettext_noop(
        "Dear {candidate},\n\n"
        "{company} ordered the background check “{package}” about you. It was completed on "
        "{completed_on}. Something in its report may lead {company} to decide against you. "
        "Nothing is decided yet.\n\n"
        "Please read the report and your rights. If something is wrong or incomplete, or if you "
        "want to explain something, tell {company} by {last_day}. {company} decides after that "
        "day only.\n\n"
        "{company}"
    ),
    FINAL_ADVERSE: gettext_noop(
        "Dear {candidate},\n\n"
        "{company} has decided against you, in whole or in part because of the background check "
        "“{package}”, which was completed on {completed_on}. Whoever carried out the check did "
        "not make this decision, and cannot give the reasons for it.\n\n"
        "You may ask for another free copy of the report, and you may still dispute what is wrong "
        "or incomplete in it. Your rights are listed below.\n\n"
        "{company}"
    ),
    ADVERSE_WITHDRAWN: gettext_noop(
        "Dear {candidate},\n\n"
        "{company} wrote to you that the background check “{package}” might lead to a decision "
        "against you. That letter no longer counts: {company} takes no such decision because of "
        "this report.\n\n"
        "{company}"
    ),
}


def translate_sample(purpose: str, language: str) -> str:
    with use_language(language):
        return gettext(SAMPLES[purpose])


def list_parameters(purpose: str) -> tuple[str, ...]:
    """Return the names that the text of a notice may have in braces."""
    return tuple(name for name in PARAMETERS if name != "last_day" or purpose == PRE_ADVERSE)


def clean_text(purpose: str, text: str) -> str:
    """Return a text as it is stored. Raises Invalid for the first thing that is wrong with it."""
    if purpose not in NOTICES:
        raise Invalid("There is no such notice")
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise Invalid("The text is empty: write what the candidate should read")
    if len(text) > MAX_NOTICE_LENGTH:
        raise Invalid(
            "The text has %(length)d characters: shorten it to %(maximum)d",
            length=len(text),
            maximum=MAX_NOTICE_LENGTH,
        )
    names = list_parameters(purpose)
    known = ", ".join(f"{{{name}}}" for name in names)
    for name in _PARAMETER.findall(text):
        if name not in names:
            raise Invalid(
                "“%(name)s” is not known here: a notice can name %(known)s",
                name="{" + name + "}",
                known=known,
            )
    if re.search("[{}]", _PARAMETER.sub("", text)):
        raise Invalid(
            "A brace of the text has no partner: write names as one of %(known)s", known=known
        )
    return text


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with the values of its parameters. A value is never read as a parameter."""
    return _PARAMETER.sub(lambda match: clean_line(values.get(match[1], "")), text)


def split_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, which an empty line separates."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
