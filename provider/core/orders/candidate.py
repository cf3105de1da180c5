"""Candidates, and the digest of their e-mail address by which a person is found."""

import unicodedata
from functools import cache
from zoneinfo import available_timezones

from sqlalchemy import ColumnElement, String
from sqlalchemy.orm import Mapped, mapped_column

from provider.core.email_address import encode_domain
from provider.storage.database import Base
from provider.storage.encrypted import KeyedDigest
from provider.storage.secrets import SecretBox

_DIGEST_PURPOSE = "candidate e-mail"


class Candidate(Base):
    """The candidate of one order. `email_digest` finds the other orders of the same person."""

    __tablename__ = "candidates"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_digest: Mapped[bytes] = mapped_column(KeyedDigest, index=True)
    first_name: Mapped[str] = mapped_column(String(200), default="")
    last_name: Mapped[str] = mapped_column(String(200), default="")
    phone: Mapped[str] = mapped_column(String(100), default="")
    # The IANA name that the candidate's browser stated; None until then.
    timezone: Mapped[str | None] = mapped_column(String(50))

    @property
    def name(self) -> str:
        """First and last name, or the e-mail address of a candidate without a name."""
        return f"{self.first_name} {self.last_name}".strip() or self.email


def parse_time_zone(name: str) -> str | None:
    """Return the IANA name of a time zone as it is; None for an unknown one."""
    return name if name in _known_time_zones() else None


@cache
def _known_time_zones() -> set[str]:
    return available_timezones()  # reads many files


def normalise_email(email: str) -> str:
    """Return the form of an address that all spellings of it share.

    Spaces around it, case, Unicode composition and the form of an international domain do not
    matter. Dots and `+tags` do: only the mail server knows whether they name the same mailbox.
    """
    text = unicodedata.normalize("NFC", email.strip())
    folded = unicodedata.normalize("NFC", text.casefold())
    local_part, at, _ = folded.rpartition("@")
    try:
        # Not of the folded domain: folding makes ß to ss, which is another domain.
        return local_part + at + encode_domain(text.rpartition("@")[2])
    except ValueError:  # not a domain name; such an address is stored, but never delivered
        return folded


def compute_email_digest(secret_box: SecretBox, email: str) -> bytes:
    """Return the keyed digest to store. Without the key nobody can test guessed addresses."""
    return secret_box.blind_index(normalise_email(email), _DIGEST_PURPOSE)


def has_email(secret_box: SecretBox, email: str) -> ColumnElement[bool]:
    """Return the condition that a candidate has this address, under any of the secret keys."""
    return Candidate.email_digest.in_(list_email_digests(secret_box, email))


def list_email_digests(secret_box: SecretBox, email: str) -> list[bytes]:
    """Return the digests that candidates with this address may have, one for each secret key."""
    return secret_box.blind_indexes(normalise_email(email), _DIGEST_PURPOSE)
