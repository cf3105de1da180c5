"""The own texts of an account: parameters, paragraphs, and the e-mails that have them."""

import pytest
from sqlalchemy.orm import Session

from provider.core.emails import EMAIL_SUBJECTS, find_own_text, render_email
from provider.core.emails.own_text import EmailText
from provider.core.orders import Order
from provider.errors import Invalid
from provider.services import Services
from tests import factories
from tests.core.emails.test_emails import NOW, URL, bodies, build_order, parse

CONTEXT = {
    "name": "Lakita",
    "company": "Groove Tech",
    "job": None,
    "product": "{name}",
    "expires_at_text": "30 November 2026",
}


def make_text(subject: str = "", opening: str = "", language: str = "en") -> EmailText:
    text = EmailText(account_id=1, template="invitation", language=language)
    text.change(subject, opening)
    return text


def test_own_text_fills_in_its_parameters() -> None:
    text = make_text("{company}: {product} ", "Dear {name},\r\n\r\n{job}\n\nuntil {deadline}.")
    assert text.render_subject(CONTEXT) == "Groove Tech: {name}"
    assert text.render_paragraphs(CONTEXT) == ["Dear Lakita,", "until 30 November 2026."]


@pytest.mark.parametrize(
    ("subject", "opening"),
    [("{candidate}", ""), ("", "{name.__class__}"), ("", "{}"), ("x" * 201, ""), ("", "x" * 4001)],
)
def test_own_text_wrong_parameter_or_length_is_refused(subject: str, opening: str) -> None:
    with pytest.raises(Invalid):
        make_text(subject, opening)


@pytest.mark.parametrize("template", EMAIL_SUBJECTS)
def test_own_text_replaces_subject_and_opening_of_every_email(template: str) -> None:
    order = build_order(language="de")
    text = make_text("Willkommen bei {company}", "Erster <b>Absatz</b>.\n\nZweiter.", "de")
    email = parse(
        render_email(
            template,
            order,
            url=URL,
            sender="provider@example.com",
            message_id="m1",
            now=NOW,
            own_text=text,
        )
    )
    plain, html = bodies(email)
    assert email["Subject"] == "Willkommen bei Groove Tech"
    assert "Guten Tag Lakita,\n\nErster <b>Absatz</b>.\n\nZweiter.\n\n" in plain.replace("\r", "")
    assert "Erster &lt;b&gt;Absatz&lt;/b&gt;.</p>" in html
    assert URL in plain


def test_own_text_without_subject_keeps_the_standard_one() -> None:
    order = build_order()
    email = parse(
        render_email(
            "invitation",
            order,
            url=URL,
            sender="provider@example.com",
            message_id="m1",
            now=NOW,
            own_text=make_text("", "Dear {name}, welcome."),
        )
    )
    assert email["Subject"] == "Groove Tech: your background check for Operations Manager"
    assert "Dear Lakita, welcome." in bodies(email)[0]


def add_text(session: Session, order: Order, language: str) -> None:
    text = EmailText(account_id=order.account_id, template="invitation", language=language)
    text.change("", f"Text in {language}")
    session.add(text)


@pytest.mark.both
def test_find_own_text_takes_the_language_of_the_order(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services, language="fr")
    public_id = factories.place_order(services, account_id, product)
    other_id, _ = factories.create_account(services, "Other")
    other = factories.place_order(services, other_id, product)
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        for language in ("fr", "de"):
            add_text(session, order, language)
        session.flush()
        found = find_own_text(session, order, "invitation")
        assert found
        assert found.opening == "Text in fr"
        order.language = "es"
        assert find_own_text(session, order, "invitation") is None
        assert find_own_text(session, Order.find(session, other), "invitation") is None
        assert find_own_text(session, order, "reminder") is None


def test_delivered_invitation_has_the_own_text(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(services, account_id, factories.create_test(services))
    with services.db.writing() as session:
        add_text(session, Order.find(session, public_id), "en")
    factories.deliver_emails(services)
    (path,) = (services.settings.instance / "mail").iterdir()
    assert "Text in en" in bodies(parse(path.read_bytes()))[0]
