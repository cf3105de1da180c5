"""What can go wrong, said once and clearly: every message tells the reader what to do."""


class ProviderError(Exception):
    """Something the caller can understand and mend; `str(error)` is one plain sentence."""


class Invalid(ProviderError):
    """The input is wrong: a field, a file, a command's argument."""


class DocumentError(Invalid):
    """A document's content that cannot be taken; `path` says where in it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class NotFound(ProviderError):
    """There is no such thing, or the asker may not know of it."""


class Conflict(ProviderError):
    """What is asked for contradicts what already stands."""


class Gone(ProviderError):
    """It existed and is over: an expired link, a closed order."""


class Unauthorized(ProviderError):
    """The asker is not who they would need to be."""


class Unavailable(ProviderError):
    """The server cannot work yet; the message names the command that mends it."""
