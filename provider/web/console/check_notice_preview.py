"""The preview of a notice as the candidate gets it: the e-mail as text, and the PDF."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any, Self

from werkzeug.wrappers import Response

from provider.core.accounts import Account
from provider.core.emails.sample import SAMPLE_JOB, create_sample_order, render_sample
from provider.core.formats import format_date
from provider.core.kinds.base import EmailParts
from provider.core.kinds.check.adverse.notice_content import compose_content, email_variables
from provider.core.kinds.check.adverse.notice_pdf import render_notice_pdf
from provider.core.kinds.check.adverse.notice_samples import translate_sample
from provider.core.kinds.check.adverse.notice_text import SAMPLE_VERSION, ChosenText
from provider.core.kinds.check.packages.content import LegalText
from provider.core.kinds.check.packages.legal_text_record import text_digest
from provider.core.kinds.check.packages.legal_text_slots import RIGHTS
from provider.core.kinds.check.packages.package import Package
from provider.core.kinds.check.tables.adverse_action import ADVERSE_WITHDRAWN
from provider.core.products import ProductVersion
from provider.core.products.documents import Document
from provider.core.products.samples import sample_document
from provider.services import current_services
from provider.texts import use_language
from provider.web.pdf_response import pdf_response

RECIPIENT, CANDIDATE = "alex@example.com", "Alex Example"
EXAMPLE_WAIT = timedelta(days=7)


@dataclass(frozen=True)
class NoticePreview:
    """A notice with example values, and the product that its check would have."""

    account: Account
    document: Document
    purpose: str
    language: str
    content: dict[str, Any]

    @classmethod
    def create(
        cls, account: Account, package: Package | None, purpose: str, text: str, language: str
    ) -> Self:
        """Return the preview of a text; one that equals the sample is marked as such."""
        document, now = _find_document(package), current_services().now()
        with use_language(language):
            values = {
                "candidate": CANDIDATE,
                "company": account.display_name,
                "job": SAMPLE_JOB,
                "package": document.name,
                "completed_on": format_date(now, account.timezone),
                "last_day": format_date(now + EXAMPLE_WAIT, account.timezone),
            }
            is_sample = text == translate_sample(purpose, language)
            chosen = ChosenText(text, SAMPLE_VERSION if is_sample else "", text_digest(text))
            rights = () if purpose == ADVERSE_WITHDRAWN else _find_rights(document)
            content = compose_content(purpose, chosen, values, rights, language)
        return cls(account, document, purpose, language, content)


def render_email(preview: NoticePreview) -> tuple[str, str]:
    """Return the subject and the text part of the e-mail."""
    services = current_services()
    message = message_from_bytes(
        render_sample(
            preview.purpose,
            preview.document,
            preview.account,
            services.secret_box,
            email=RECIPIENT,
            url=services.urls.invitation("sample"),
            sender=services.settings.mail_from,
            message_id="preview",
            now=services.now(),
            language=preview.language,
            parts=EmailParts(email_variables(preview.content)),
        ),
        policy=policy.SMTPUTF8,
    )
    body = message.get_body(("plain",))
    assert body is not None
    return str(message["Subject"]), str(body.get_content()).replace("\r\n", "\n").strip()


def render_pdf(preview: NoticePreview) -> Response:
    services = current_services()
    with use_language(preview.language):
        order = create_sample_order(
            preview.document,
            preview.account,
            services.secret_box,
            RECIPIENT,
            services.now(),
            preview.language,
        )
        pdf = render_notice_pdf(order, preview.content, services.now())
    return pdf_response(pdf, "inline; filename=notice-preview.pdf")


def find_version(package: Package) -> ProductVersion | None:
    """Return the version of new orders, or else the newest."""
    current = (row for row in package.versions if row.id == package.current_version_id)
    return next(current, package.versions[-1] if package.versions else None)


def _find_document(package: Package | None) -> Document:
    """Return the package as a document; the sample of a package where a text is for all."""
    version = find_version(package) if package else None
    if package is None or version is None:
        return sample_document("check")
    return Document(package.kind, package.key, package.name, version.content)


def _find_rights(document: Document) -> Sequence[LegalText]:
    """Return the texts about rights that a candidate of the first country gets."""
    content = Package.parse(document.content)
    countries = [code for text in content.legal_texts for code in text.countries]
    texts = content.legal_texts_for(countries[0] if countries else "")
    return [text for text in texts if text.purpose == RIGHTS]
