"""`provider email …`: previews, a test of the mail server, and e-mails that came back."""

import sys
from email import message_from_bytes, policy
from uuid import uuid4

import click
from sqlalchemy.exc import OperationalError

from provider.cli.common import fail, open_services, printable_text
from provider.core.accounts import Account
from provider.core.email_address import split_address
from provider.core.emails.delivery_report import MAX_REPORT_BYTES, parse_report
from provider.core.emails.own_text import EmailText
from provider.core.emails.returned_email import record_returned_email
from provider.core.emails.sample import render_sample, require_template, sample_account
from provider.core.kinds import KINDS
from provider.core.products.samples import sample_document
from provider.delivery.channels.email import deliver_email
from provider.delivery.smtp_replies import Verdict
from provider.errors import Invalid, Unavailable
from provider.services import Services
from provider.texts import DEFAULT_LANGUAGE, find_language, list_languages

EX_TEMPFAIL = 75  # of sysexits.h: a mail server tries the pipe again later
PREVIEW_RECIPIENT = "alex@example.com"


@click.group()
def email() -> None:
    """E-mails: previews, a test of the mail server, and e-mails that came back."""


@email.command()
@click.argument("template", metavar="TEMPLATE")
@click.option("--kind", required=True, type=click.Choice(list(KINDS)))
@click.option("--account", "account_name", metavar="NAME", help="With this account's texts.")
@click.option("--language", type=click.Choice(list_languages()), help="Instead of the product's.")
@click.option("--html", "as_html", is_flag=True, help="Print the HTML part.")
def preview(
    template: str, kind: str, account_name: str | None, language: str | None, as_html: bool
) -> None:
    """Print a sample of an e-mail, for instance `invitation` or `reminder`."""
    require_template(template, kind)
    with open_services() as services:
        raw_email = _render(services, template, kind, account_name, language, PREVIEW_RECIPIENT)
    message = message_from_bytes(raw_email, policy=policy.SMTPUTF8)
    body = message.get_body(("html",) if as_html else ("plain",))
    assert body is not None
    text = body.get_content().replace("\r\n", "\n").strip()
    if not as_html:
        headers = (f"{name}: {message[name]}" for name in ("From", "To", "Subject"))
        click.echo("\n".join([*map(printable_text, headers), ""]))
    click.echo("\n".join(map(printable_text, text.split("\n"))))


@email.command()
@click.argument("address", metavar="ADDRESS")
@click.option("--template", default="invitation", show_default=True, metavar="TEMPLATE")
@click.option(
    "--kind", default=next(iter(KINDS)), show_default=True, type=click.Choice(list(KINDS))
)
@click.option("--account", "account_name", metavar="NAME", help="With this account's texts.")
@click.option("--language", type=click.Choice(list_languages()), help="Instead of the product's.")
def test(
    address: str, template: str, kind: str, account_name: str | None, language: str | None
) -> None:
    """Send one sample to ADDRESS through the mail server, and print the server's answer."""
    require_template(template, kind)
    if not split_address(address):
        raise Invalid(f"“{address}” is not an e-mail address")
    with open_services() as services:
        raw_email = _render(services, template, kind, account_name, language, address)
        name = f"test-{uuid4().hex}"
        result = deliver_email(services.settings, raw_email, name)
    if result.verdict != Verdict.DELIVERED:
        fail(result.text)
    click.echo(printable_text(result.text))


@email.command()
def bounce() -> None:
    """Record an e-mail that came back: read it from stdin, as a mail server's pipe gives it."""
    raw_email = sys.stdin.buffer.read(MAX_REPORT_BYTES + 1)
    if len(raw_email) > MAX_REPORT_BYTES:
        raise Invalid("This e-mail is too long for a delivery report")
    report = parse_report(raw_email)
    if not report.is_permanent:
        click.echo("Ignored: the mail server still tries to deliver the e-mail")
        return
    try:
        with open_services() as services, services.db.writing() as session:
            order, is_new = record_returned_email(session, report, services.now())
            public_id = order.public_id
    except (Unavailable, OperationalError) as error:
        fail(f"The database does not answer: {error}", EX_TEMPFAIL)
    if is_new:
        click.echo(f"Recorded on order {public_id}: {printable_text(report.reason)}")
    else:
        click.echo(f"This was recorded on order {public_id} before")


def _render(
    services: Services,
    template: str,
    kind: str,
    account_name: str | None,
    language: str | None,
    address: str,
) -> bytes:
    document = sample_document(kind)
    with services.db.reading() as session:
        account = Account.get_by_name(session, account_name) if account_name else sample_account()
        language = language or find_language(str(document.content.get("language") or ""))
        text = EmailText.find(session, account.id, template, language or DEFAULT_LANGUAGE)
        return render_sample(
            template,
            document,
            account,
            services.secret_box,
            email=address,
            url=services.urls.invitation("sample"),
            sender=services.settings.mail_from,
            message_id=f"test-{uuid4().hex}",
            now=services.now(),
            language=language,
            own_text=text,
        )
