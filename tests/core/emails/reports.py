"""Delivery reports as mail servers write them, about an e-mail with a given Message-ID."""

EXIM = """\
Return-path: <>
From: Mail Delivery System <Mailer-Daemon@mx.example.net>
To: provider@example.com
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=1700000000-eximdsn-1
MIME-Version: 1.0
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1rXyZ0-0001Ab-2C@mx.example.net>

--1700000000-eximdsn-1
Content-type: text/plain; charset=us-ascii

This message was created automatically by mail delivery software.

  lakita@example.org
    host mail.example.org [192.0.2.7]
    SMTP error from remote mail server after RCPT TO:<lakita@example.org>:
    550 5.1.1 <lakita@example.org>: user unknown

--1700000000-eximdsn-1
Content-type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Action: failed
Final-Recipient: rfc822;lakita@example.org
Status: 5.0.0
Remote-MTA: dns; mail.example.org
Diagnostic-Code: smtp; 550 5.1.1 <lakita@example.org>: user unknown

--1700000000-eximdsn-1
Content-type: message/rfc822

Return-path: <provider@example.com>
To: lakita@example.org
From: Groove Tech <provider@example.com>
Message-ID: <MESSAGE_ID@example.com>
Auto-Submitted: auto-generated
Subject: Groove Tech: your test

Hello Lakita

--1700000000-eximdsn-1--
"""

POSTFIX = """\
Return-Path: <>
Date: Mon, 23 Nov 2026 09:05:11 +0000 (UTC)
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: provider@example.com
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4BxYz12345.1700000000/mx.example.net"
Content-Transfer-Encoding: 8bit
Message-Id: <20261123090511.0123456789@mx.example.net>

This is a MIME-encapsulated message.

--4BxYz12345.1700000000/mx.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

--4BxYz12345.1700000000/mx.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
X-Postfix-Queue-ID: 4BxYz12345
X-Postfix-Sender: rfc822; provider@example.com
Arrival-Date: Mon, 23 Nov 2026 09:05:10 +0000 (UTC)

Final-Recipient: rfc822; lakita@nowhere.example
Original-Recipient: rfc822;lakita@nowhere.example
Action: failed
Status: 5.1.2
Diagnostic-Code: X-Postfix; Host or domain name not found. Name service error
    for name=nowhere.example type=A: Host not found

--4BxYz12345.1700000000/mx.example.net
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 8bit

Return-Path: <provider@example.com>
Subject: Groove Tech: your test
To: lakita@nowhere.example
Message-ID:
 <MESSAGE_ID@example.com>

--4BxYz12345.1700000000/mx.example.net--
"""


def full_mailbox(status: str, action: str) -> str:
    """Return a report of Postfix about a mailbox that is full."""
    return (
        POSTFIX.replace("Status: 5.1.2", f"Status: {status}")
        .replace("Action: failed", f"Action: {action}")
        .replace(
            "X-Postfix; Host or domain name not found. Name service error\n"
            "    for name=nowhere.example type=A: Host not found",
            f"smtp; 452 {status} The recipient's inbox is over quota",
        )
    )


# RFC 6533: Postfix writes it about an address in another script.
INTERNATIONAL = (
    POSTFIX.replace("report-type=delivery-status", "report-type=global-delivery-status")
    .replace("message/delivery-status", "message/global-delivery-status")
    .replace("text/rfc822-headers", "message/global-headers")
    .replace("rfc822; lakita@nowhere.example", "utf-8; λακίτα@nowhere.example")
)


def about(report: str, message_id: str) -> bytes:
    """Return the bytes of a report about our e-mail with this id."""
    return report.replace("MESSAGE_ID", message_id).encode()
