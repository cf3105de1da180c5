"""What the e-mails with the notices of an adverse action have: the text, and the PDF."""

from provider.core.kinds.base import EmailParts
from provider.core.kinds.check.adverse_action import NOTICES
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.notice_text import NOTICE_LABELS, SAMPLES, fill, split_paragraphs
from provider.storage.secrets import SecretBox
from provider.texts import gettext

FILE_NAME = "notice.pdf"


def email_parts(check: Check, template: str, secret_box: SecretBox) -> EmailParts:
    """Return the text of the newest notice of this purpose, with its PDF.

    A sample of an e-mail has the sample's text, and no PDF.
    """
    if template not in NOTICES:
        return EmailParts()
    notice = check.find_notice(template)
    if notice is None:
        values = {"candidate": check.candidate.name, "company": check.account.display_name}
        text = fill(gettext(SAMPLES[template]), values | {"package": check.product.name})
        title = str(NOTICE_LABELS[template])
        return EmailParts(
            {
                "notice_title": title,
                "notice_paragraphs": split_paragraphs(text),
                "notice_sample": True,
            }
        )
    # Late: every command would wait for the import of the PDF's compiler.
    from provider.core.kinds.check.notice_pdf import render_notice_pdf

    content = check.decrypt_notice(secret_box, notice)
    return EmailParts(
        {
            "notice_title": content["title"],
            "notice_paragraphs": split_paragraphs(content["text"]),
            "notice_sample": content["sample"],
        },
        {FILE_NAME: render_notice_pdf(check, content, notice.sent_at)},
    )
