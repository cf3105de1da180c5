"""Why a request to an ATS's API has no answer that its caller could read."""

from datetime import timedelta
from math import ceil

TOO_MANY_REQUESTS = 429


class CallFailed(Exception):
    """The request may be sent again later; the message is one sentence for the staff."""

    def __init__(self, text: str, status_code: int | None = None) -> None:
        super().__init__(text)
        self.status_code = status_code


class CallDelayed(CallFailed):
    """No request may be sent for `wait`: the budget is spent, or a token is being renewed.

    `is_answer` says that the ATS itself has asked for the wait. Either way the request was not
    carried out, so that both have the code 429.
    """

    def __init__(self, wait: timedelta, *, is_answer: bool = False) -> None:
        super().__init__("The ATS's limit of requests is reached", TOO_MANY_REQUESTS)
        self.wait = wait
        self.is_answer = is_answer

    @property
    def advice(self) -> str:
        """The message, and when people may try again."""
        return f"{self}: try again in {ceil(self.wait.total_seconds())} seconds"


class WrongHost(CallFailed):
    """The request's address leads to a host that may not get the account's credentials."""


class CredentialsRefused(CallFailed):
    """The ATS refuses the account's credentials: people must act."""
