"""Where messages go: `ACCOUNT/SINK`, and for callbacks `ACCOUNT/callback/HOST`."""

from dataclasses import dataclass

CALLBACK, MAIL, MEDIA = "callback", "mail", "media"


@dataclass(frozen=True)
class Lane:
    """A lane taken apart; its name is what the tables hold."""

    account: int
    sink: str
    host: str = ""

    @classmethod
    def read(cls, name: str) -> "Lane":
        """Take a lane's name apart."""
        account, sink, host = (*name.split("/"), "")[:3]
        return cls(int(account), sink, host)

    def __str__(self) -> str:
        """Return the name."""
        return "/".join(filter(None, (str(self.account), self.sink, self.host)))

    @property
    def route(self) -> str:
        """What its messages share with other accounts': the host, or else the sink."""
        return self.host or self.sink

    @property
    def subjects(self) -> tuple[str, str, str]:
        """What a hold can lie on to stop this lane: its route, its account's sink, itself."""
        return f"route/{self.route}", f"account/{self.account}/{self.sink}", f"lane/{self}"
