"""Errors for people and ATSs: each message says what to do in one sentence."""

from typing import Any

from provider.texts import LazyText, lazy_gettext


class ProviderError(Exception):
    """The base of the errors that a caller can understand.

    `message` is the id of a text: one English sentence, with `%(name)s` for each of `params`.
    `str(error)` is the English sentence, for logs, the command line and an ATS.
    """

    def __init__(self, message: str = "", /, **params: Any) -> None:
        self.text: LazyText = lazy_gettext(message, **params)
        super().__init__(self.text.english)

    def translated(self) -> str:
        """Return the sentence in the language of the present request."""
        return str(self.text)


class Invalid(ProviderError):
    """A field, a file or a command's argument is wrong."""


class DocumentError(Invalid):
    """A product document has a problem; `path` says where in the document."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class NotFound(ProviderError):
    """There is no such thing, or the caller may not know of it."""


class Conflict(ProviderError):
    """The request contradicts the present state."""


class Gone(ProviderError):
    """The thing existed and is over: an expired link, a closed order."""


class Unauthorized(ProviderError):
    """The caller is not signed in, or its token is wrong."""


class Unavailable(ProviderError):
    """The server cannot work at present; the message names the command to run, or says to retry.

    A response with status 503 tells the client to retry after `retry_after_seconds`.
    """

    def __init__(
        self, message: str = "", /, *, retry_after_seconds: int = 10, **params: Any
    ) -> None:
        super().__init__(message, **params)
        self.retry_after_seconds = retry_after_seconds

    def retry_headers(self) -> dict[str, str]:
        """Return the HTTP headers of the response."""
        return {"Retry-After": str(self.retry_after_seconds)}
