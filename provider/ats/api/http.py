"""Requests to an ATS's API and its answers, as adapters see them: without any I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

JSON_TYPE = "application/json"


class UnreadableAnswer(Exception):
    """An answer does not have the form that the ATS documents; the message is one sentence."""


class SourceStopped(UnreadableAnswer):
    """An answer after which the source may be asked no more until people have acted."""


@dataclass(frozen=True)
class ApiRequest:
    """One request; the adapter adds the credentials when it is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @classmethod
    def with_json(
        cls, method: str, url: str, document: Any, content_type: str = JSON_TYPE
    ) -> "ApiRequest":
        body = json.dumps(document, ensure_ascii=False).encode()
        return cls(method, url, {"Content-Type": content_type}, body)

    def with_headers(self, headers: Mapping[str, str]) -> "ApiRequest":
        return replace(self, headers={**self.headers, **headers})

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def target(self) -> str:
        """The path and the query as they are sent."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@dataclass(frozen=True)
class ApiResponse:
    """An answer: status code, headers and the whole body."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    def header(self, name: str) -> str:
        """Return a header's value; empty without one. The case of names does not matter."""
        wanted = name.lower()
        return next(
            (value.strip() for key, value in self.headers.items() if key.lower() == wanted), ""
        )

    def json(self) -> Any:
        """Return the decoded body; UnreadableAnswer if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise UnreadableAnswer("The ATS's answer is not JSON") from None
