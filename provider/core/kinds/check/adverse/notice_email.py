"""The parts of the e-mails with the notices of an adverse action: the text, and the PDF."""

from collections.abc import Mapping
from typing import Any

from provider.core.kinds.base import EmailParts
from provider.core.kinds.check.adverse.notice_content import compose_content, email_variables
from provider.core.kinds.check.adverse.notice_text import sample_text
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.adverse_action import NOTICE_KEY, NOTICES
from provider.storage.secrets import SecretBox
from provider.texts import current_language

FILE_NAME = "notice.pdf"


def email_parts(
    check: Check, template: str, secret_box: SecretBox, payload: Mapping[str, Any]
) -> EmailParts:
    """Return the text of the notice that the payload names, with its PDF.

    A sample of an e-mail has the sample's text, and no PDF.
    """
    if template not in NOTICES:
        return EmailParts()
    notice_id = payload.get(NOTICE_KEY)
    notice = check.get_notice(notice_id) if notice_id else check.find_notice(template)
    if notice is None:
        values = {
            "candidate": check.candidate.name,
            "company": check.account.display_name,
            "package": check.product.name,
        }
        language = current_language()
        chosen = sample_text(template, language)
        return EmailParts(email_variables(compose_content(template, chosen, values, (), language)))
    # Late: every command would wait for the import of the PDF's compiler.
    from provider.core.kinds.check.adverse.notice_pdf import render_notice_pdf

    content = check.decrypt_notice(secret_box, notice)
    return EmailParts(
        email_variables(content),
        {FILE_NAME: render_notice_pdf(check, content, notice.sent_at)},
    )
