"""Detects that a colleague changed what a form shows, after the form was opened.

Each form carries a digest of the content that it showed (`seen`). A save compares it with the
content that stands, so a form that is out of date never replaces a colleague's change silently.
"""

from hashlib import sha256


def content_digest(*values: object) -> str:
    """Return a digest of the values as a form shows them; None counts as an empty field."""
    # A browser sends line breaks as CRLF, and drops one at the beginning of a text area.
    texts = ["" if value is None else str(value).replace("\r\n", "\n").strip() for value in values]
    return sha256(repr(texts).encode()).hexdigest()[:16]
