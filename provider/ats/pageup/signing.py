"""PageUp's signatures: `Authorization: APIAuth KEY:SIGNATURE`, as the Ruby gem api_auth makes them.

The signature is an HMAC over the method, the content type, the digest of the body, the path with
its query exactly as sent, and the date. Four settings choose among the gem's versions.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from provider.ats.api import ApiRequest

DATE_HEADERS = {"x-hmac-date": "X-HMAC-DATE", "date": "Date"}
SCHEMES = {"sha1": "APIAuth", "sha256": "APIAuth-HMAC-SHA256"}
HASH_HEADERS = {"md5": "Content-MD5", "sha256": "X-Authorization-Content-SHA256"}


@dataclass(frozen=True)
class SignatureForm:
    """The choices among the versions of the gem."""

    canonical: str = "with_method"  # or without
    content_hash: str = "md5"  # sha256, none
    date_header: str = "x-hmac-date"  # or date
    digest: str = "sha1"  # or sha256

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "SignatureForm":
        names = ("canonical", "content_hash", "date_header", "digest")
        return cls(**{name: settings[name] for name in names})


def sign(
    request: ApiRequest, key: str, secret: str, form: SignatureForm, now: datetime
) -> ApiRequest:
    """Return the request with its date, the digest of its body, and the signature."""
    date = format_datetime(now, usegmt=True)
    headers = {DATE_HEADERS[form.date_header]: date}
    content_hash = ""
    if request.body is not None and form.content_hash != "none":
        content_hash = _body_digest(request.body, form.content_hash)
        headers[HASH_HEADERS[form.content_hash]] = content_hash
    content_type = request.headers.get("Content-Type", "")
    fields = [content_type, content_hash, request.target, date]
    if form.canonical == "with_method":
        fields.insert(0, request.method.upper())
    digest = hmac.digest(secret.encode(), ",".join(fields).encode(), form.digest)
    signature = b64encode(digest).decode()
    headers["Authorization"] = f"{SCHEMES[form.digest]} {key}:{signature}"
    return request.with_headers(headers)


def _body_digest(body: bytes, name: str) -> str:
    # MD5 is the vendor's choice; the signature protects the request.
    return b64encode(hashlib.new(name, body, usedforsecurity=False).digest()).decode()
