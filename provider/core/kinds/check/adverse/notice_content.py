"""The content of a notice as it is sent: the text with its values, the rights, and the digest."""

from collections.abc import Mapping, Sequence
from typing import Any

from provider.core.kinds.check.adverse.notice_samples import NOTICE_LABELS, fill, split_paragraphs
from provider.core.kinds.check.adverse.notice_text import ChosenText
from provider.core.kinds.check.packages.content import LegalText


def compose_content(
    purpose: str,
    chosen: ChosenText,
    values: Mapping[str, str],
    rights: Sequence[LegalText],
    language: str,
) -> dict[str, Any]:
    """Return the content of a notice; `language` is the present one, of its title."""
    return {
        "title": str(NOTICE_LABELS[purpose]),
        "text": fill(chosen.text, values),
        "rights": [{"title": text.title, "text": text.text} for text in rights],
        "sample": chosen.is_sample or any(text.sample for text in rights),
        "language": language,
        "text_digest": chosen.digest,
    }


def email_variables(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the e-mail with a notice."""
    return {
        "notice_title": content["title"],
        "notice_paragraphs": split_paragraphs(content["text"]),
        "notice_sample": content["sample"],
    }
