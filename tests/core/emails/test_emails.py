"""Letters: what they say, what cannot be smuggled into them, how a mail server gets them."""

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
from provider.core.orders import Candidate, Order
from provider.core.products import Product
from provider.delivery import smtp
from provider.services import Services
from tests import factories
from tests.smtp_server import SMTP_PASSWORD, SMTP_USER, SmtpServer, authenticate, create_certificate

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
URL = "https://tests.example.com/c/J3x-token"


def order(**columns: object) -> Order:
    """An order that no database knows: a letter needs only what it says."""
    person = {key: columns.pop(key) for key in ("email", "first_name") if key in columns}
    company = columns.pop("company", "Groove Tech")
    standing = {
        "kind": "check",
        "account": Account(name=company, timezone="Europe/Athens", branding={}),
        "product": Product(name="Criminal Pro"),
        "candidate": Candidate(**{"email": "lakita@example.com", "first_name": "Lakita"} | person),
        "job_title": "Operations Manager",
        "expires_at": AT + timedelta(days=7),
    }
    return Order(**standing | columns)


def write(about: Order) -> bytes:
    return emails.render_email(
        "invitation", about, url=URL, sender="provider@example.com", message_id="m1", now=AT
    )


def read(rendered: bytes) -> EmailMessage:
    return message_from_bytes(rendered, policy=policy.SMTPUTF8)


def bodies(letter: EmailMessage) -> list[str]:
    """The text and the HTML of a letter."""
    parts = [letter.get_body((kind,)) for kind in ("plain", "html")]
    assert all(parts)
    return [part.get_content() for part in parts if part]


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    with SmtpServer() as smtp_server:
        yield smtp_server


def send(rendered: bytes, url: str, folder: Path = Path("/nowhere")) -> smtp.SendResult:
    return smtp.send_email(rendered, url=url, folder=folder, name="m1")


def test_an_invitation_says_what_for_which_job_until_when_and_where() -> None:
    letter = read(write(order()))

    assert letter["Subject"] == "Groove Tech: your background check for Operations Manager"
    for body in bodies(letter):
        assert "Hello Lakita" in body
        assert "asks for your consent to a background check" in body
        assert "Operations Manager" in body
        assert "Criminal Pro" in body
        assert "30 November 2026, 11:00 Athens time" in body
        assert "decline" in body
        assert "ask the person at" in body
        assert URL in body


def test_an_invitation_has_the_headers_that_a_machines_letter_needs() -> None:
    letter = read(write(order()))

    assert letter["To"] == "lakita@example.com"
    assert letter["From"] == "Groove Tech <provider@example.com>"
    assert letter["Message-ID"] == "<m1@example.com>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(letter["Date"]) == AT
    assert letter.get_content_type() == "multipart/alternative"


def test_a_letter_without_a_name_or_a_job_still_reads_well() -> None:
    letter = read(write(order(first_name="", job_title="")))

    assert letter["Subject"] == "Groove Tech: your background check"
    for body in bodies(letter):
        assert "Hello\n" in body.replace("Hello,", "Hello\n").replace("Hello<", "Hello\n")
        assert "for the job" not in body


def test_a_test_says_how_long_it_takes(services: Services) -> None:
    account, _ = factories.create_account(services)
    placed = factories.place_order(
        services, account, factories.create_test(services, time_limit=20)
    )
    with services.db.reading() as session:
        letter = read(write(Order.find(session, placed)))

    assert letter["Subject"] == "Groove Tech: your test for Operations Manager"
    assert all("20 minutes" in body for body in bodies(letter))


def test_an_interview_says_how_long_it_takes(services: Services) -> None:
    account, _ = factories.create_account(services)
    placed = factories.place_order(
        services, account, factories.create_interview(services), "interview"
    )
    with services.db.reading() as session:
        letter = read(write(Order.find(session, placed)))

    assert all("2 minutes" in body for body in bodies(letter))


@pytest.mark.parametrize(
    "name", ["Λακίτα", "Łukasz", "ラキタ", "لاكيتا", "Лакита", "🙂 Lakita", "O'Neil"]
)
def test_a_name_in_any_script_arrives(smtp_server: SmtpServer, name: str) -> None:
    assert send(write(order(first_name=name, company=name)), smtp_server.url)[0] == "delivered"

    (letter,) = smtp_server.emails
    assert letter["From"].addresses[0].display_name == name
    text, html = bodies(letter)
    assert f"Hello {name}" in text
    assert f"Hello {name.replace(chr(39), '&#39;')}" in html


def test_markup_in_a_name_is_text_in_the_letter() -> None:
    text, html = bodies(read(write(order(first_name="<b>L</b>", job_title="<script>x</script>"))))

    assert "<script>" not in html
    assert "&lt;b&gt;L&lt;/b&gt;" in html
    assert "<b>L</b>" in text


INJECTION = "Boss\r\nBcc: everyone@example.com\r\n\r\n<script>"


def test_a_line_break_in_a_title_adds_no_header() -> None:
    rendered = write(order(job_title=INJECTION, first_name=INJECTION, company=INJECTION))

    letter = read(rendered)
    assert letter["Bcc"] is None
    assert "Boss Bcc: everyone@example.com <script>" in letter["Subject"]


any_text = st.one_of(
    st.text(max_size=500),
    st.text(alphabet='aé日 ,;:"<>@()\\\r\n\x00\u2028\x85', max_size=500),
)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(company=any_text, title=any_text, name=any_text)
def test_no_name_or_title_changes_who_gets_a_letter_or_what_headers_it_has(
    company: str, title: str, name: str
) -> None:
    rendered = write(order(company=company, job_title=title, first_name=name))

    letter = read(rendered)
    assert [address.addr_spec for address in letter["To"].addresses] == ["lakita@example.com"]
    assert [address.addr_spec for address in letter["From"].addresses] == ["provider@example.com"]
    assert sorted(letter.keys()) == sorted(
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
    assert len(bodies(letter)) == 2


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.from_regex(r"[^@\s\x00-\x1f\x7f]{1,60}@[^@\s\x00-\x1f\x7f]{1,60}", fullmatch=True))
def test_no_address_is_too_odd_to_get_a_word_about_it(email: str) -> None:
    word, _, said = send(write(order(email=email)), "smtp://127.0.0.1:1")

    assert (word, bool(said)) in (("retry", True), ("rejected", True))


def test_odd_but_real_addresses_get_their_letters(smtp_server: SmtpServer) -> None:
    written = ("a..b@docomo.example", '"plain"@example.com', "o'neil+jobs=2@example.com")
    assert [send(write(order(email=email)), smtp_server.url)[0] for email in written] == [
        "delivered"
    ] * 3

    reached = [envelope.rcpt_tos for envelope in smtp_server.envelopes]
    assert reached == [[written[0]], ["plain@example.com"], [written[2]]]


def test_an_address_that_reads_as_something_else_gets_nothing(smtp_server: SmtpServer) -> None:
    for email in ("=?utf-8?q?boss?=@example.com", "a@b.example,c", "a(b)@example.com", "a@[b]"):
        word, _, said = send(write(order(email=email)), smtp_server.url)
        assert word == "rejected"
        assert "not one that a letter can go to" in said
    assert smtp_server.envelopes == []


def test_without_a_mail_server_a_letter_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    rendered = write(order())

    assert (
        smtp.send_email(rendered, url=None, folder=tmp_path / "mail", name="m1")[0] == "delivered"
    )

    (kept,) = (tmp_path / "mail").iterdir()
    assert kept.name == "m1.eml"
    assert kept.read_bytes() == rendered
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_both_parts_arrive_as_they_were_written(smtp_server: SmtpServer) -> None:
    rendered = write(order())

    assert send(rendered, smtp_server.url) == ("delivered", 250, "The mail server took it")

    (envelope,) = smtp_server.envelopes
    assert envelope.rcpt_tos == ["lakita@example.com"]
    assert envelope.mail_from == "provider@example.com"
    assert envelope.original_content == rendered


def test_a_busy_server_is_tried_again(smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_replies.append("450 4.2.1 Come back later")
    rendered = write(order())

    assert send(rendered, smtp_server.url)[:2] == ("retry", 450)
    assert send(rendered, smtp_server.url)[:2] == ("delivered", 250)
    assert len(smtp_server.envelopes) == 1


def test_an_address_that_does_not_exist_is_not_tried_again(smtp_server: SmtpServer) -> None:
    smtp_server.rcpt_replies.append("550 5.1.1 No such user here")

    word, code, said = send(write(order()), smtp_server.url)

    assert (word, code) == ("rejected", 550)
    assert "No such user here" in said


def test_a_letter_that_is_refused_for_what_it_says_is_not_tried_again(
    smtp_server: SmtpServer,
) -> None:
    smtp_server.data_replies.append("554 5.7.1 Looks like spam")

    assert send(write(order()), smtp_server.url)[:2] == ("rejected", 554)


def test_a_server_without_starttls_gets_nothing_where_it_is_asked_for(
    smtp_server: SmtpServer,
) -> None:
    word, code, said = send(write(order()), smtp_server.url.replace("smtp:", "smtp+tls:"))

    assert (word, code) == ("retry", None)
    assert "STARTTLS" in said
    assert smtp_server.envelopes == []


def test_a_server_that_is_not_there_is_tried_again() -> None:
    word, code, said = send(write(order()), "smtp://someone:hushhush@127.0.0.1:1")

    assert (word, code) == ("retry", None)
    assert "no connection to the mail server at 127.0.0.1" in said
    assert "hushhush" not in said


@pytest.mark.parametrize(
    "url", ["smtp://127.0.0.1:99999", "smtp://127.0.0.1:mail", "smtp://" + "a" * 99]
)
def test_an_address_of_a_server_that_cannot_be_is_tried_again(url: str) -> None:
    assert send(write(order()), url)[0] == "retry"


@pytest.mark.machine_time
def test_a_user_signs_in_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = create_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    credentials = f"{quote(SMTP_USER, safe='')}:{quote(SMTP_PASSWORD, safe='')}"
    options = {"tls_context": context, "require_starttls": True, "authenticator": authenticate}
    with SmtpServer(**options, auth_required=True) as smtp_server:
        url = f"smtp+tls://{credentials}@127.0.0.1:{smtp_server.port}"
        assert send(write(order()), url)[0] == "delivered"
        assert send(write(order()), smtp_server.url)[0] == "retry"
        assert len(smtp_server.envelopes) == 1


@pytest.mark.machine_time
def test_tls_from_the_first_byte_works_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, authority = create_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with SmtpServer(ssl_context=context) as smtp_server:
        assert send(write(order()), f"smtps://127.0.0.1:{smtp_server.port}")[0] == "delivered"


@pytest.mark.machine_time
def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    context, _ = create_certificate(tmp_path)
    with SmtpServer(tls_context=context) as smtp_server:
        word, code, said = send(write(order()), f"smtp+tls://127.0.0.1:{smtp_server.port}")

    assert (word, code) == ("retry", None)
    assert "no trusted connection" in said


def test_a_wrong_password_is_told_without_the_password() -> None:
    with SmtpServer(authenticator=authenticate, auth_require_tls=False) as smtp_server:
        url = f"smtp://{quote(SMTP_USER)}:wrong%21@127.0.0.1:{smtp_server.port}"
        word, code, said = send(write(order()), url)

    assert (word, code) == ("retry", 535)
    assert said == "The mail server refuses the user or the password in PROVIDER_MAIL_URL"


def test_an_echoed_password_is_masked() -> None:
    said = smtp._result_from_response(
        450, "hello hush%21 and hush!", urlsplit("smtp://u:hush%21@h")
    )[2]

    assert "hush" not in said


def test_an_address_in_another_script_goes_to_a_server_that_can(smtp_server: SmtpServer) -> None:
    assert send(write(order(email="λακίτα@example.com")), smtp_server.url)[0] == "delivered"
    assert smtp_server.envelopes[0].rcpt_tos == ["λακίτα@example.com"]


def test_an_address_in_another_script_is_not_sent_to_a_server_that_cannot() -> None:
    with SmtpServer(enable_SMTPUTF8=False) as old:
        word, _, said = send(write(order(email="λακίτα@example.com")), old.url)

    assert word == "rejected"
    assert "cannot carry an address in this script" in said


def test_a_domain_in_another_script_goes_anywhere(smtp_server: SmtpServer) -> None:
    assert send(write(order(email="lakita@bücher.example")), smtp_server.url)[0] == "delivered"
    assert smtp_server.envelopes[0].rcpt_tos == ["lakita@xn--bcher-kva.example"]
