"""A sample e-mail to a candidate, from a product document and no order."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.emails import EMAIL_SUBJECTS, collect_parts, render_email
from provider.core.emails.own_text import EmailText
from provider.core.emails.staff_email import SAMPLE_TOPIC
from provider.core.kinds import KINDS
from provider.core.kinds.base import EmailParts
from provider.core.orders import Candidate, Order
from provider.core.orders.accommodation import Decision, Terms
from provider.core.products import ProductVersion
from provider.core.products.documents import Document, content_digest
from provider.errors import Invalid
from provider.storage import secrets
from provider.storage.secrets import SecretBox

SAMPLE_DECISION = Decision(True, Terms(percent=25, text="You can write to us at any time."))
SAMPLE_NAME, SAMPLE_JOB = "Alex", "Operations Manager"


def sample_account() -> Account:
    """Return an account that no database has."""
    return Account(name="Example company", timezone="UTC", branding={}, options={})


def require_template(template: str, kind: str) -> None:
    """Raise Invalid, with the names that exist, for a template that a kind does not have."""
    names = [*EMAIL_SUBJECTS, *KINDS[kind].email_subjects]
    if template not in names:
        raise Invalid(f"There is no e-mail “{template}” of this kind: there are {', '.join(names)}")


def enqueue_sample(
    session: Session,
    account: Account,
    *,
    template: str,
    language: str,
    kind: str,
    email: str,
    now: datetime,
) -> None:
    """Append a message with a sample for a member of the staff."""
    outbox.append(
        session,
        queue=str(outbox.QueueName(account.id, outbox.EMAIL)),
        ordering_key=secrets.generate_public_id(),
        sequence=0,
        topic=SAMPLE_TOPIC,
        payload={"template": template, "language": language, "kind": kind, "email": email},
        now=now,
    )


def render_sample(
    template: str,
    document: Document,
    account: Account,
    secret_box: SecretBox,
    *,
    email: str,
    url: str,
    sender: str,
    message_id: str,
    now: datetime,
    language: str = "",
    own_text: EmailText | None = None,
    parts: EmailParts | None = None,
) -> bytes:
    """Render an e-mail as if the product of a document had been ordered now for `email`.

    Without a language, it has that of the document. `parts` replaces what the kind adds.
    """
    order = create_sample_order(document, account, secret_box, email, now, language)
    return render_email(
        template,
        order,
        url=url,
        sender=sender,
        message_id=message_id,
        now=now,
        kind_context=order.kind_context(secret_box),
        decision=SAMPLE_DECISION,
        own_text=own_text,
        parts=parts or collect_parts(order, template, secret_box),
    )


def create_sample_order(
    document: Document,
    account: Account,
    secret_box: SecretBox,
    email: str,
    now: datetime,
    language: str,
) -> Order:
    """Return an order that no database has, of the product of a document."""
    kind = KINDS[document.kind]
    order: Order = kind.order_class(
        kind=document.kind,
        public_id="sample",
        account=account,
        product=kind.product_class(kind=document.kind, key=document.key, name=document.name),
        version=ProductVersion(content=document.content, digest=content_digest(document.content)),
        candidate=Candidate(email=email, first_name=SAMPLE_NAME),
        job_title=SAMPLE_JOB,
        expires_at=now + timedelta(days=7),
        extra_time_seconds=0,
        pause_limit_seconds=0,
        language=language,
    )
    order.fill_sample(secret_box, now)
    return order
