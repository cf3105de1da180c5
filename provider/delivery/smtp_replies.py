"""The subject of a mail server's reply: this address, or the server and how we use it.

A code of three digits does not tell: 550 means an unknown user, a refused relay or a daily limit.
The enhanced status code and the stage of the session tell more, and the words are the last resort.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of an attempt, for an e-mail and for the e-mails behind it."""

    DELIVERED = "delivered"
    ADDRESS_REFUSED = "address_refused"  # this e-mail fails
    ADDRESS_BUSY = "address_busy"  # this e-mail is tried again
    SERVER_TROUBLE = "server_trouble"  # tried again; all e-mails wait for a probe
    NO_ANSWER = "no_answer"  # tried again; several in a row pause all e-mails


class Stage(StrEnum):
    """The command of a session that the server answered."""

    SESSION = "session"  # connection, greeting, TLS, sign-in
    SENDER = "sender"  # MAIL FROM
    RECIPIENT = "recipient"  # RCPT TO
    CONTENT = "content"  # DATA


@dataclass(frozen=True)
class Rule:
    """A row of RULES. Empty patterns match everything; patterns of codes match them whole."""

    verdict: Verdict
    source: str
    stages: frozenset[Stage] = frozenset(Stage)
    code: str = ""
    enhanced_code: str = ""
    text: str = ""

    def matches(self, stage: Stage, code: int, enhanced_code: str, text: str) -> bool:
        return (
            stage in self.stages
            and (not self.code or bool(re.fullmatch(self.code, str(code))))
            and (not self.enhanced_code or bool(re.fullmatch(self.enhanced_code, enhanced_code)))
            and bool(re.search(self.text, text, re.IGNORECASE))
        )


_ENHANCED_CODE = re.compile(r"([45]\.\d{1,3}\.\d{1,3})\b")
_NONE = r"|[45]\.0\.0"  # no enhanced code, or one that says nothing
_BEFORE_RECIPIENT = frozenset({Stage.SESSION, Stage.SENDER})
# Words about the sender, its rights and its limits.
_ABOUT_US = (
    r"relay|sender|quota|limit|\brate\b|too many|authenti|\bauth\b|spam|block|black|listed|spf|dkim"
    r"|policy|reputation|try again|denied|not permitted"
)
# Words about the recipient.
_ABOUT_RECIPIENT = (
    r"user|mailbox|recipient|address|no such|unknown|does not exist|doesn't exist|not found"
    r"|no longer|disabled|inactive|invalid"
)
_GREYLISTING = r"gr[ae]y-?list"

# The first row that matches decides. RFC 3463 and 5248 define enhanced codes, RFC 5321 the others.
# fmt: off
RULES = (
    Rule(Verdict.SERVER_TROUBLE, "RFC 5321, 3.8: the service closes", code="421"),
    Rule(Verdict.SERVER_TROUBLE, "RFC 5321, 4.3.2: session and sender", stages=_BEFORE_RECIPIENT),
    Rule(
        Verdict.SERVER_TROUBLE,
        "RFC 3463, X.1.7, X.1.8: the sender's address",
        enhanced_code=r"[45]\.1\.[78]",
    ),
    Rule(
        Verdict.SERVER_TROUBLE,
        "Exim, Domino: the sender is refused",
        enhanced_code=r"[45]\.1\.0",
        text=r"\bsender\b",
    ),
    Rule(
        Verdict.ADDRESS_REFUSED,
        "RFC 3463, 5.1.X: the recipient's address",
        enhanced_code=r"5\.1\.\d+",
    ),
    Rule(
        Verdict.ADDRESS_BUSY, "RFC 3463, 4.1.X: the recipient's address", enhanced_code=r"4\.1\.\d+"
    ),
    Rule(Verdict.ADDRESS_BUSY, "RFC 3463, X.2.2: the mailbox is full", enhanced_code=r"[45]\.2\.2"),
    Rule(Verdict.ADDRESS_REFUSED, "RFC 3463, 5.2.X: the mailbox", enhanced_code=r"5\.2\.\d+"),
    Rule(Verdict.ADDRESS_BUSY, "RFC 3463, 4.2.X: the mailbox", enhanced_code=r"4\.2\.\d+"),
    Rule(
        Verdict.ADDRESS_REFUSED,
        "RFC 6531, 5.6.7: an address in another script",
        enhanced_code=r"5\.6\.7",
    ),
    Rule(
        Verdict.ADDRESS_REFUSED,
        "Exchange Online: an unknown user",
        enhanced_code=r"5\.4\.1",
        text="recipient address rejected",
    ),
    Rule(
        Verdict.ADDRESS_REFUSED,
        "RFC 3463, 5.4.4: a domain that is not found",
        enhanced_code=r"5\.4\.4",
        text="host|domain",
    ),
    Rule(Verdict.ADDRESS_BUSY, "RFC 6647: greylisting", code="4..", text=_GREYLISTING),
    Rule(
        Verdict.SERVER_TROUBLE,
        "RFC 3463: system, routing, protocol, content, policy",
        enhanced_code=r"[45]\.[3-7]\.\d+",
    ),
    Rule(Verdict.ADDRESS_REFUSED, "RFC 7504: a domain without mail", code="556"),
    Rule(
        Verdict.ADDRESS_BUSY,
        "RFC 5321, 552: the mailbox is full",
        code="552",
        enhanced_code=_NONE,
        text="mailbox|user|recipient",
    ),
    Rule(Verdict.SERVER_TROUBLE, "words about the sender", enhanced_code=_NONE, text=_ABOUT_US),
    Rule(Verdict.ADDRESS_REFUSED, "RFC 5321: user not local, name not allowed", code="551|553"),
    Rule(
        Verdict.ADDRESS_REFUSED,
        "RFC 5321, 550: words about the recipient",
        code="550",
        enhanced_code=_NONE,
        text=_ABOUT_RECIPIENT,
    ),
    Rule(Verdict.ADDRESS_BUSY, "RFC 5321, 450: the mailbox is busy", code="450"),
    Rule(Verdict.SERVER_TROUBLE, "everything else"),
)
# fmt: on


def classify_reply(stage: Stage, code: int, text: str) -> Verdict:
    """Return what a refusal is about; `text` is the reply without its three digits."""
    match = _ENHANCED_CODE.match(text)
    enhanced_code = match[1] if match else ""
    # RFC 2034: the classes of both codes agree. Otherwise the enhanced one says nothing.
    enhanced_code = enhanced_code if enhanced_code[:1] == str(code)[:1] else ""
    return next(rule.verdict for rule in RULES if rule.matches(stage, code, enhanced_code, text))
