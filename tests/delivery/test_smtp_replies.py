"""Replies of real mail servers: what they are about decides what becomes of the e-mail."""

import pytest

from provider.delivery.smtp_replies import Stage, Verdict, classify_reply

REFUSED, BUSY, TROUBLE = Verdict.ADDRESS_REFUSED, Verdict.ADDRESS_BUSY, Verdict.SERVER_TROUBLE


@pytest.mark.parametrize(
    ("stage", "code", "text", "verdict"),
    [
        # About this address.
        ("recipient", 550, "5.1.1 The email account that you tried does not exist", REFUSED),
        ("recipient", 550, "5.1.2 <a@b.c>: Recipient address rejected: Domain not found", REFUSED),
        ("recipient", 550, "5.1.10 RESOLVER.ADR.RecipientNotFound", REFUSED),
        ("recipient", 554, "5.1.1 <a@b.c>: Recipient address rejected: undeliverable", REFUSED),
        ("recipient", 550, "5.2.1 The email account that you tried to reach is disabled", REFUSED),
        ("recipient", 550, "5.4.1 Recipient address rejected: Access denied", REFUSED),
        ("recipient", 553, "5.6.7 Address requires SMTPUTF8", REFUSED),
        ("recipient", 550, "No such user here", REFUSED),
        ("recipient", 550, "Requested action not taken: mailbox unavailable", REFUSED),
        ("recipient", 550, "5.0.0 <a@b.c>... User unknown", REFUSED),
        ("recipient", 551, "User not local; please try <a@c.d>", REFUSED),
        ("recipient", 553, "Requested action not taken: mailbox name not allowed", REFUSED),
        ("recipient", 556, "Domain does not accept mail", REFUSED),
        ("content", 550, "5.1.1 User unknown", REFUSED),
        ("recipient", 450, "4.2.1 The user is receiving mail at a rate that is too high", BUSY),
        ("recipient", 450, "4.1.1 <a@b.c>: unverified address", BUSY),
        ("recipient", 450, "Requested mail action not taken: mailbox unavailable", BUSY),
        ("recipient", 452, "4.2.2 The email account is over quota", BUSY),
        ("recipient", 552, "5.2.2 The email account is over quota", BUSY),
        ("recipient", 552, "Mailbox full", BUSY),
        ("recipient", 451, "4.7.1 Greylisting in action, please come back later", BUSY),
        # About the server, and about us.
        ("sender", 550, "5.4.5 Daily user sending limit exceeded", TROUBLE),
        ("recipient", 550, "5.4.5 Daily sending quota exceeded", TROUBLE),
        ("content", 550, "5.4.5 Daily user sending limit exceeded", TROUBLE),
        ("recipient", 554, "5.7.0 Your message could not be sent. Try again later", TROUBLE),
        ("recipient", 554, "5.7.1 <a@b.c>: Relay access denied", TROUBLE),
        ("recipient", 454, "4.7.1 <a@b.c>: Relay access denied", TROUBLE),
        ("recipient", 550, "5.7.1 Unable to relay for a@b.c", TROUBLE),
        ("recipient", 550, "relay not permitted", TROUBLE),
        ("recipient", 550, "Too many recipients from this user", TROUBLE),
        ("recipient", 550, "User quota for sending exceeded", TROUBLE),
        ("recipient", 550, "Rejected", TROUBLE),
        ("recipient", 550, "5.1.8 Sender address rejected: Domain not found", TROUBLE),
        ("recipient", 550, "5.1.0 Sender rejected", TROUBLE),
        ("recipient", 550, "5.7.26 Unauthenticated email is not accepted: DMARC", TROUBLE),
        ("recipient", 530, "5.7.0 Authentication required", TROUBLE),
        ("sender", 530, "5.7.0 Must issue a STARTTLS command first", TROUBLE),
        ("session", 535, "5.7.8 Username and Password not accepted", TROUBLE),
        ("session", 454, "4.7.0 Temporary authentication failure", TROUBLE),
        ("session", 554, "5.7.1 No SMTP service here", TROUBLE),
        ("recipient", 421, "4.7.0 Too many messages, slow down", TROUBLE),
        ("session", 421, "Service not available", TROUBLE),
        ("recipient", 452, "4.3.1 Insufficient system storage", TROUBLE),
        ("recipient", 452, "Requested action not taken: insufficient system storage", TROUBLE),
        ("content", 451, "4.3.0 Error: queue file write error", TROUBLE),
        ("content", 552, "5.3.4 Message size exceeds fixed limit", TROUBLE),
        ("content", 554, "5.7.1 Looks like spam", TROUBLE),
        ("content", 554, "Transaction failed", TROUBLE),
        # RFC 2034: an enhanced code of another class says nothing.
        ("recipient", 550, "4.1.1 Rejected", TROUBLE),
        ("recipient", 999, "", TROUBLE),
    ],
)  # fmt: skip
def test_classify_reply_separates_address_and_server(
    stage: str, code: int, text: str, verdict: Verdict
) -> None:
    assert classify_reply(Stage(stage), code, text) == verdict
