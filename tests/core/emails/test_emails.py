"""E-mails: their text, resistance to header injection, and delivery by SMTP."""

import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from provider.core import emails
from provider.core.accounts import Account
from provider.core.formats import format_datetime
from provider.core.kinds import KINDS
from provider.core.orders import Candidate, Order
from provider.core.products import Product, ProductVersion
from provider.delivery import smtp
from provider.delivery.smtp_replies import Stage, Verdict
from provider.services import Services
from tests import factories, interview_factories
from tests.factories import ManualClock
from tests.smtp_server import SMTP_PASSWORD, SMTP_USER, SmtpServer, authenticate, create_certificate

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
URL = "https://tests.example.com/c/J3x-token"


def build_order(**columns: object) -> Order:
    """Return an order that is not in a database."""
    candidate = {key: columns.pop(key) for key in ("email", "first_name") if key in columns}
    company = columns.pop("company", "Groove Tech")
    defaults = {
        "kind": "check",
        "account": Account(name=company, timezone="Europe/Athens", branding={}),
        "product": Product(name="Criminal Pro"),
        "version": ProductVersion(content={}),
        "language": "",
        "candidate": Candidate(
            **{"email": "lakita@example.com", "first_name": "Lakita"} | candidate
        ),
        "job_title": "Operations Manager",
        "expires_at": NOW + timedelta(days=7),
    }
    return Order(**defaults | columns)


def render(order: Order, template: str = "invitation") -> bytes:
    return emails.render_email(
        template, order, url=URL, sender="provider@example.com", message_id="m1", now=NOW
    )


def parse(rendered: bytes) -> EmailMessage:
    return message_from_bytes(rendered, policy=policy.SMTPUTF8)


def bodies(email: EmailMessage) -> list[str]:
    """Return the text and the HTML of an e-mail."""
    parts = [email.get_body((subtype,)) for subtype in ("plain", "html")]
    assert all(parts)
    return [part.get_content() for part in parts if part]


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    with SmtpServer() as smtp_server:
        yield smtp_server


def send(rendered: bytes, url: str, folder: Path = Path("/nowhere")) -> smtp.SendResult:
    return smtp.send_email(rendered, url=url, folder=folder, name="m1")


def test_invitation_names_product_job_deadline_and_url() -> None:
    email = parse(render(build_order()))

    assert email["Subject"] == "Groove Tech: your background check for Operations Manager"
    for body in bodies(email):
        assert "Hello Lakita" in body
        assert "asks for your consent to a background check" in body
        assert "Operations Manager" in body
        assert "Criminal Pro" in body
        assert "30 November 2026, 11:00 Athens time" in body
        assert "decline" in body
        assert "ask the person at" in body
        assert URL in body


@pytest.mark.parametrize("job_title", ["Operations Manager", ""])
def test_extension_names_the_new_deadline_and_the_link(job_title: str) -> None:
    rendered = emails.render_email(
        "extension",
        build_order(job_title=job_title),
        url=URL,
        sender="provider@example.com",
        message_id="m1",
        now=NOW,
    )
    email = parse(rendered)
    assert email["Subject"] == "Groove Tech: more time for your background check"
    for body in bodies(email):
        text = " ".join(body.replace("<strong>", "").replace("</strong>", "").split())
        assert "Groove Tech has given you more time" in text
        assert "is open until 30 November 2026, 11:00 Athens time." in text
        assert ("for the job Operations Manager" in text) == bool(job_title)
        assert URL in text


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize(
    ("template", "subject", "words"),
    [
        ("reminder", "a reminder of your", "is waiting for you"),
        ("completion", "is complete", "What happens next?"),
        ("decline", "you have declined the", "Have you changed your mind"),
        ("expiry", "is over", "Please ask the person at"),
    ],
)
def test_emails_to_candidates_say_what_follows(
    kind: str, template: str, subject: str, words: str
) -> None:
    email = parse(render(build_order(kind=kind), template))

    assert subject in email["Subject"]
    assert email["Subject"].startswith("Groove Tech: ")
    for body in (" ".join(body.split()) for body in bodies(email)):
        assert "Hello Lakita" in body
        assert words in body
        assert "Operations Manager" in body
        assert "Criminal Pro" in body
        assert URL in body


def test_reminder_has_the_link_and_deadline_of_the_invitation() -> None:
    invitation, reminder = (
        bodies(parse(render(build_order(), template))) for template in ("invitation", "reminder")
    )
    for invited, reminded in zip(invitation, reminder, strict=True):
        assert reminded.count(URL) == invited.count(URL)
        assert "30 November 2026, 11:00 Athens time" in reminded
        assert "decline" in reminded


def test_receipt_of_an_interview_has_its_time_and_reference(
    services: Services, clock: ManualClock
) -> None:
    submitted_at = clock.now()
    interview, _ = interview_factories.submitted_interview(services)
    clock.advance(timedelta(hours=3))  # the mail server did not answer
    with services.db.reading() as session:
        order = Order.find(session, interview)
        email, zone = parse(render(order, "completion")), order.timezone
    for body in bodies(email):
        assert format_datetime(submitted_at, zone) in body
        assert interview in body


def test_completion_names_no_score(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, factories.create_test(services))
    factories.finish_test(services, order_id)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.result
        assert order.result.score == 100
        email = parse(render(order, "completion"))
    text, html = bodies(email)
    assert "Thank you: your test has arrived." in text
    assert "Thank you: your test has arrived." in html
    assert "100" not in text


def test_invitation_has_the_colour_of_the_account() -> None:
    account = Account(name="Groove Tech", timezone="Europe/Athens", branding={"colour": "#1a3b5c"})
    _, html = bodies(parse(render(build_order(account=account))))
    assert "background: #1a3b5c" in html
    assert "#1a3b5c" not in bodies(parse(render(build_order())))[1]


def test_invitation_ends_with_the_addresses_of_the_account() -> None:
    order = build_order()
    assert "Help:" not in "".join(bodies(parse(render(order))))
    order.account.branding = {
        "support_address": "help@groove.example",
        "privacy_address": "https://groove.example/privacy?a=1&b=2",
        "logo": "0123.png",
    }
    text, html = bodies(parse(render(order)))
    assert text.splitlines()[-4:] == [
        "not read. The link is yours alone, so please do not pass it on.",
        "",
        "Help:     help@groove.example",
        "Privacy:  https://groove.example/privacy?a=1&b=2",
    ]
    assert 'Help: <a class="plain" href="mailto:help@groove.example"' in html
    assert 'href="https://groove.example/privacy?a=1&amp;b=2"' in html
    assert "<img" not in html


def test_invitation_has_the_headers_of_an_automatic_email() -> None:
    email = parse(render(build_order()))

    assert email["To"] == "lakita@example.com"
    assert email["From"] == "Groove Tech <provider@example.com>"
    assert email["Message-ID"] == "<m1@example.com>"
    assert email["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(email["Date"]) == NOW
    assert email.get_content_type() == "multipart/alternative"


def test_invitation_is_in_the_language_of_the_order() -> None:
    email = parse(render(build_order(language="de")))
    text, html = bodies(email)
    assert email["Subject"] == "Groove Tech: Ihr Background-Check für die Stelle Operations Manager"
    assert "Guten Tag Lakita," in text
    assert "30. November 2026, 11:00 Uhr (Zeit in Athen)" in text
    assert '<html lang="de" dir="ltr">' in html


def test_invitation_in_arabic_runs_from_right_to_left() -> None:
    text, html = bodies(parse(render(build_order(language="ar"))))
    assert '<html lang="ar" dir="rtl">' in html
    assert 'align="left"' not in html
    assert "مرحبًا Lakita،" in text


def test_invitation_is_in_the_language_of_the_product() -> None:
    version = ProductVersion(content={"language": "fr-CA"}, digest="french")
    assert "Bonjour Lakita," in bodies(parse(render(build_order(version=version))))[0]
    order = build_order(version=version, language="es")
    assert "Hola, Lakita:" in bodies(parse(render(order)))[0]
    other = build_order(version=ProductVersion(content={"language": "he"}, digest="hebrew"))
    assert "Hello Lakita," in bodies(parse(render(other)))[0]


def test_invitation_without_name_and_job() -> None:
    email = parse(render(build_order(first_name="", job_title="")))

    assert email["Subject"] == "Groove Tech: your background check"
    for body in bodies(email):
        assert "Hello\n" in body.replace("Hello,", "Hello\n").replace("Hello<", "Hello\n")
        assert "for the job" not in body


def test_invitation_to_test_names_the_duration(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(
        services, account_id, factories.create_test(services, time_limit=20)
    )
    with services.db.reading() as session:
        email = parse(render(Order.find(session, order_id)))

    assert email["Subject"] == "Groove Tech: your test for Operations Manager"
    assert all("20 minutes" in body for body in bodies(email))


def test_invitation_to_interview_names_the_duration(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    with services.db.reading() as session:
        email = parse(render(Order.find(session, order_id)))

    assert all("2 minutes" in body for body in bodies(email))


@pytest.mark.parametrize(
    "name", ["Λακίτα", "Łukasz", "ラキタ", "لاكيتا", "Лакита", "🙂 Lakita", "O'Neil"]
)
def test_invitation_name_in_any_script_is_delivered(smtp_server: SmtpServer, name: str) -> None:
    assert (
        send(render(build_order(first_name=name, company=name)), smtp_server.url)[0] == "delivered"
    )

    (email,) = smtp_server.emails
    assert email["From"].addresses[0].display_name == name
    text, html = bodies(email)
    assert f"Hello {name}" in text
    assert f"Hello {name.replace(chr(39), '&#39;')}" in html


def test_invitation_markup_in_a_name_is_escaped() -> None:
    text, html = bodies(
        parse(render(build_order(first_name="<b>L</b>", job_title="<script>x</script>")))
    )

    assert "<script>" not in html
    assert "&lt;b&gt;L&lt;/b&gt;" in html
    assert "<b>L</b>" in text


@pytest.mark.parametrize("email", ["lakita@example.com", "λακίτα@example.com"])
@pytest.mark.parametrize(
    "title",
    [
        "Koch",
        "مدير العمليات في شركة كبيرة " * 15,
        "שלום עולם, מנהל " * 20,
        "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿" * 20,
        "日本語のとても長い件名" * 40,
        "क्षेत्रीय प्रबंधक " * 25,
        "a" * 500,
        "word " * 80 + "é",
        "x  y   z " * 10,
        'a,b;c:d <x@y> "q" (c)',
        "a literal =?utf-8?q?x?= word",
    ],
)
def test_invitation_subject_arrives_as_it_was_written(title: str, email: str) -> None:
    rendered = render(build_order(job_title=title.strip(), email=email))

    subject = message_from_bytes(rendered, policy=policy.default)["Subject"]
    assert subject == f"Groove Tech: your background check for {title.strip()}"
    header, _, _ = rendered.partition(b"\r\nTo:")
    assert all(len(line) <= 78 for line in header.split(b"\r\n"))


INJECTION = "Boss\r\nBcc: everyone@example.com\r\n\r\n<script>"


def test_invitation_line_break_adds_no_header() -> None:
    rendered = render(build_order(job_title=INJECTION, first_name=INJECTION, company=INJECTION))

    email = parse(rendered)
    assert email["Bcc"] is None
    assert "Boss Bcc: everyone@example.com <script>" in email["Subject"]


any_text = st.one_of(
    st.text(max_size=500),
    st.text(alphabet='aé日 ,;:"<>@()\\\r\n\x00\u2028\x85', max_size=500),
)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(company=any_text, title=any_text, name=any_text)
def test_invitation_any_text_changes_no_recipient_or_header(
    company: str, title: str, name: str
) -> None:
    rendered = render(build_order(company=company, job_title=title, first_name=name))

    email = parse(rendered)
    assert [address.addr_spec for address in email["To"].addresses] == ["lakita@example.com"]
    assert [address.addr_spec for address in email["From"].addresses] == ["provider@example.com"]
    assert sorted(email.keys()) == sorted(
        [
            "To",
            "From",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
        ]
    )
    assert all(len(line) <= 998 for line in rendered.split(b"\r\n"))
    assert len(bodies(email)) == 2


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.from_regex(r"[^@\s\x00-\x1f\x7f]{1,60}@[^@\s\x00-\x1f\x7f]{1,60}", fullmatch=True))
def test_send_email_any_address_returns_an_outcome(email: str) -> None:
    outcome, _, message = send(render(build_order(email=email)), "smtp://127.0.0.1:1")

    assert outcome in (Verdict.NO_ANSWER, Verdict.ADDRESS_REFUSED)
    assert message


def test_send_email_unusual_addresses_are_delivered(smtp_server: SmtpServer) -> None:
    addresses = ("a..b@docomo.example", '"plain"@example.com', "o'neil+jobs=2@example.com")
    for address in addresses:
        assert send(render(build_order(email=address)), smtp_server.url)[0] == "delivered"

    recipients = [envelope.rcpt_tos for envelope in smtp_server.envelopes]
    assert recipients == [[addresses[0]], ["plain@example.com"], [addresses[2]]]


def test_send_email_ambiguous_address_is_rejected(smtp_server: SmtpServer) -> None:
    for email in ("=?utf-8?q?boss?=@example.com", "a@b.example,c", "a(b)@example.com", "a@[b]"):
        outcome, _, message = send(render(build_order(email=email)), smtp_server.url)
        assert outcome == Verdict.ADDRESS_REFUSED
        assert "e-mail address is not valid" in message
    assert smtp_server.envelopes == []


def test_send_email_without_server_writes_a_private_file(tmp_path: Path) -> None:
    rendered = render(build_order())

    result = smtp.send_email(rendered, url=None, folder=tmp_path / "mail", name="m1")

    assert result[0] == "delivered"
    (path,) = (tmp_path / "mail").iterdir()
    assert path.name == "m1.eml"
    assert path.read_bytes() == rendered
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_send_email_delivers_the_rendered_bytes(smtp_server: SmtpServer) -> None:
    rendered = render(build_order())

    assert send(rendered, smtp_server.url) == (
        "delivered",
        250,
        "The mail server accepted the e-mail",
    )

    (envelope,) = smtp_server.envelopes
    assert envelope.rcpt_tos == ["lakita@example.com"]
    assert envelope.mail_from == "provider@example.com"
    assert envelope.original_content == rendered


def test_send_email_busy_server_is_retried(smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_replies.append("450 4.2.1 Come back later")
    rendered = render(build_order())

    assert send(rendered, smtp_server.url)[:2] == (Verdict.ADDRESS_BUSY, 450)
    assert send(rendered, smtp_server.url)[:2] == ("delivered", 250)
    assert len(smtp_server.envelopes) == 1


def test_send_email_unknown_recipient_is_rejected(smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_replies.append("550 5.1.1 No such user here")

    outcome, code, message = send(render(build_order()), smtp_server.url)

    assert (outcome, code) == (Verdict.ADDRESS_REFUSED, 550)
    assert "No such user here" in message


def test_send_email_refused_content_is_trouble(
    smtp_server: SmtpServer,
) -> None:
    smtp_server.data_replies.append("554 5.7.1 Looks like spam")

    assert send(render(build_order()), smtp_server.url)[:2] == (Verdict.SERVER_TROUBLE, 554)


def test_send_email_server_without_starttls_is_retried(
    smtp_server: SmtpServer,
) -> None:
    url = smtp_server.url.replace("smtp:", "smtp+tls:")
    outcome, code, message = send(render(build_order()), url)

    assert (outcome, code) == (Verdict.NO_ANSWER, None)
    assert "STARTTLS" in message
    assert smtp_server.envelopes == []


def test_send_email_unreachable_server_is_retried() -> None:
    outcome, code, message = send(render(build_order()), "smtp://someone:hushhush@127.0.0.1:1")

    assert (outcome, code) == (Verdict.NO_ANSWER, None)
    assert "no connection to the mail server at 127.0.0.1" in message
    assert "hushhush" not in message


@pytest.mark.parametrize(
    "url", ["smtp://127.0.0.1:99999", "smtp://127.0.0.1:mail", "smtp://" + "a" * 99]
)
def test_send_email_invalid_server_url_is_retried(url: str) -> None:
    assert send(render(build_order()), url)[0] == Verdict.NO_ANSWER


@pytest.mark.machine_time
def test_send_email_authenticates_over_starttls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, authority = create_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    credentials = f"{quote(SMTP_USER, safe='')}:{quote(SMTP_PASSWORD, safe='')}"
    options = {"tls_context": context, "require_starttls": True, "authenticator": authenticate}
    with SmtpServer(**options, auth_required=True) as smtp_server:
        url = f"smtp+tls://{credentials}@127.0.0.1:{smtp_server.port}"
        assert send(render(build_order()), url)[0] == "delivered"
        assert send(render(build_order()), smtp_server.url)[0] == Verdict.SERVER_TROUBLE
        assert len(smtp_server.envelopes) == 1


@pytest.mark.machine_time
def test_send_email_over_implicit_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = create_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with SmtpServer(ssl_context=context) as smtp_server:
        assert (
            send(render(build_order()), f"smtps://127.0.0.1:{smtp_server.port}")[0] == "delivered"
        )


@pytest.mark.machine_time
def test_send_email_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    context, _ = create_certificate(tmp_path)
    with SmtpServer(tls_context=context) as smtp_server:
        url = f"smtp+tls://127.0.0.1:{smtp_server.port}"
        outcome, code, message = send(render(build_order()), url)

    assert (outcome, code) == (Verdict.NO_ANSWER, None)
    assert "no trusted connection" in message


def test_send_email_wrong_password_is_not_in_the_message() -> None:
    with SmtpServer(authenticator=authenticate, auth_require_tls=False) as smtp_server:
        url = f"smtp://{quote(SMTP_USER)}:wrong%21@127.0.0.1:{smtp_server.port}"
        outcome, code, message = send(render(build_order()), url)

    assert (outcome, code) == (Verdict.SERVER_TROUBLE, 535)
    assert message.startswith(
        "The mail server answers 535 5.7.8 Authentication credentials invalid"
    )
    assert "wrong" not in message


@pytest.mark.parametrize(
    ("stage", "code", "recipient", "hidden"),
    [
        (Stage.CONTENT, 450, "", "hush"),
        # The reason of a pause is logged, and must not name a candidate.
        (Stage.RECIPIENT, 554, "anna@example.com", "anna"),
    ],
)
def test_result_from_reply_hides_secrets_and_recipients(
    stage: Stage, code: int, recipient: str, hidden: str
) -> None:
    reply = "hello hush%21 and hush! <anna@example.com>: Relay access denied"
    result = smtp._result_from_reply(stage, code, reply, urlsplit("smtp://u:hush%21@h"), recipient)

    assert hidden not in result.text


def test_send_email_international_address_with_smtputf8(smtp_server: SmtpServer) -> None:
    assert send(render(build_order(email="λακίτα@example.com")), smtp_server.url)[0] == "delivered"
    assert smtp_server.envelopes[0].rcpt_tos == ["λακίτα@example.com"]


def test_send_email_international_address_without_smtputf8() -> None:
    with SmtpServer(enable_SMTPUTF8=False) as smtp_server:
        outcome, _, message = send(render(build_order(email="λακίτα@example.com")), smtp_server.url)

    assert outcome == Verdict.ADDRESS_REFUSED
    assert "does not support addresses with non-ASCII" in message


def test_send_email_international_domain_is_sent_as_punycode(smtp_server: SmtpServer) -> None:
    assert (
        send(render(build_order(email="lakita@bücher.example")), smtp_server.url)[0] == "delivered"
    )
    assert smtp_server.envelopes[0].rcpt_tos == ["lakita@xn--bcher-kva.example"]


def test_send_email_domain_with_sharp_s_keeps_it(smtp_server: SmtpServer) -> None:
    for address in ("anna@straße.example", "info@σας.example"):
        assert send(render(build_order(email=address)), smtp_server.url)[0] == "delivered"

    recipients = [envelope.rcpt_tos for envelope in smtp_server.envelopes]
    # IDNA 2003 would give strasse.example, and another Greek domain.
    assert recipients == [["anna@xn--strae-oqa.example"], ["info@xn--mxa8ab.example"]]
