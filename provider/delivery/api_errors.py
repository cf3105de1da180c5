"""Why a request to an ATS's API has no answer that its caller could read."""

from datetime import timedelta


class CallFailed(Exception):
    """The request may be sent again later; the message is one sentence for the staff."""

    def __init__(self, text: str, status_code: int | None = None) -> None:
        super().__init__(text)
        self.status_code = status_code


class CallDelayed(CallFailed):
    """No request may be sent for `wait`: the budget is spent, or a token is being renewed."""

    def __init__(self, wait: timedelta, status_code: int | None = None) -> None:
        super().__init__("The ATS's limit of requests is reached", status_code)
        self.wait = wait


class CredentialsRefused(CallFailed):
    """The ATS refuses the account's credentials: people must act."""
