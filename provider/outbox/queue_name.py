"""Where messages go: `ACCOUNT/SINK`, and for callbacks `ACCOUNT/callback/HOST`."""

from dataclasses import dataclass

CALLBACK, EMAIL, MEDIA = "callback", "email", "media"


@dataclass(frozen=True)
class QueueName:
    """A lane taken apart; its name is what the tables hold."""

    account_id: int
    channel: str
    host: str = ""

    @classmethod
    def parse(cls, name: str) -> "QueueName":
        """Take a lane's name apart."""
        account, sink, host = (*name.split("/"), "")[:3]
        return cls(int(account), sink, host)

    def __str__(self) -> str:
        """Return the name."""
        return "/".join(filter(None, (str(self.account_id), self.channel, self.host)))

    @property
    def destination(self) -> str:
        """What its messages share with other accounts': the host, or else the sink."""
        return self.host or self.channel

    @property
    def pause_scopes(self) -> tuple[str, str, str]:
        """What a hold can lie on to stop this lane: its route, its account's sink, itself."""
        return (
            f"destination/{self.destination}",
            f"account/{self.account_id}/{self.channel}",
            f"queue/{self}",
        )
