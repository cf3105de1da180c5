"""Reading returned e-mails: reports of Exim and Postfix, and e-mails that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.core.emails.delivery_report import describe_bounce, find_status, parse_report
from provider.errors import Invalid
from tests.core.emails.reports import EXIM, INTERNATIONAL, POSTFIX, about, full_mailbox

MESSAGE_ID = "q3Zr8-xW_0aBcDeFgHiJkL"


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (EXIM, "The mailbox does not exist. 550 5.1.1 <lakita@example.org>: user unknown"),
        (
            POSTFIX,
            "The domain of the address does not exist. Host or domain name not found. Name "
            "service error for name=nowhere.example type=A: Host not found",
        ),
        (
            full_mailbox("5.2.2", "failed"),
            "The mailbox is full. 452 5.2.2 The recipient's inbox is over quota",
        ),
        # Postfix has tried for five days: the code is temporary, and the failure is final.
        (
            full_mailbox("4.2.2", "failed"),
            "The mailbox is full. 452 4.2.2 The recipient's inbox is over quota",
        ),
        (
            INTERNATIONAL,
            "The domain of the address does not exist. Host or domain name not found. Name "
            "service error for name=nowhere.example type=A: Host not found",
        ),
    ],
)
def test_report_of_a_permanent_failure_has_its_reason(report: str, reason: str) -> None:
    parsed = parse_report(about(report, MESSAGE_ID))
    assert (parsed.message_id, parsed.is_permanent) == (MESSAGE_ID, True)
    assert parsed.reason == reason


@pytest.mark.parametrize(
    "report",
    [
        full_mailbox("4.2.2", "delayed"),
        full_mailbox("5.2.2", "delayed"),
        full_mailbox("2.0.0", "delivered"),
        full_mailbox("2.0.0", "relayed"),
        full_mailbox("4.2.2", "failed").replace("Action: failed\n", ""),
    ],
)
def test_report_of_a_delay_or_a_success_is_not_permanent(report: str) -> None:
    assert not parse_report(about(report, MESSAGE_ID)).is_permanent


def test_report_without_an_action_is_read_by_its_status() -> None:
    report = POSTFIX.replace("Action: failed\n", "")
    assert parse_report(about(report, MESSAGE_ID)).is_permanent


def test_report_with_windows_line_ends_is_read() -> None:
    raw_email = about(EXIM, MESSAGE_ID).replace(b"\n", b"\r\n")
    assert parse_report(raw_email).message_id == MESSAGE_ID


@pytest.mark.parametrize(
    ("report", "error"),
    [
        ("", "This e-mail is no delivery report"),
        ("Subject: Out of office\n\nI am away", "This e-mail is no delivery report"),
        (
            EXIM.replace("multipart/report", "multipart/mixed"),
            "This e-mail is no delivery report",
        ),
        (
            EXIM.replace("message/delivery-status", "text/plain"),
            "This e-mail is no delivery report",
        ),
        (
            EXIM.replace("Final-Recipient", "X-Recipient"),
            "This delivery report names no recipient",
        ),
        (
            EXIM.replace("MESSAGE_ID@example.com", "another.id@example.com"),
            "This delivery report is not about an e-mail of this program",
        ),
        (
            EXIM.replace("message/rfc822", "text/plain"),
            "This delivery report is not about an e-mail of this program",
        ),
    ],
)
def test_other_emails_are_refused_with_one_line(report: str, error: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_report(about(report, MESSAGE_ID))
    assert str(refusal.value).startswith(error)
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=300), st.integers(0, len(EXIM)))
def test_any_bytes_are_read_or_refused(noise: bytes, position: int) -> None:
    report = about(EXIM, MESSAGE_ID)
    for raw_email in (noise, report[:position] + noise + report[position:]):
        try:
            reason = parse_report(raw_email).reason
        except Invalid:
            continue
        assert reason.isprintable()


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("The mail server answers 550 5.1.1 No such user", "5.1.1"),
        ("The mail server answers 550 No such user at 10.5.1.1", ""),
        ("", ""),
    ],
)
def test_status_is_found_in_a_reply(reply: str, status: str) -> None:
    assert find_status(reply) == status


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.2.1", "The mailbox is disabled."),
        ("5.4.4", "The domain of the address was not found."),
        ("5.7.1", "The mail server of the address refuses the e-mail by its rules."),
        ("5.0.0", "The e-mail could not be delivered."),
        ("", "The e-mail could not be delivered."),
    ],
)
def test_reason_is_in_words(status: str, words: str) -> None:
    assert describe_bounce(status, "") == words
