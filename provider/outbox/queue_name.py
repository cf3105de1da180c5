"""Names of queues: `ACCOUNT/CHANNEL`, and for channels with hosts `ACCOUNT/CHANNEL/HOST`."""

from dataclasses import dataclass
from functools import lru_cache

CALLBACK, EMAIL, MEDIA, WRITER = "callback", "email", "media", "writer"
SPEECH = "speech"
CONNECTOR = "connector"


@dataclass(frozen=True)
class QueueName:
    """The parts of a queue's name; the tables store the name as one string."""

    account_id: int
    channel: str
    host: str = ""

    @staticmethod
    @lru_cache(maxsize=10_000)
    def parse(name: str) -> "QueueName":
        account, channel, host = (*name.split("/"), "")[:3]
        return QueueName(int(account), channel, host)

    def __str__(self) -> str:
        return "/".join(filter(None, (str(self.account_id), self.channel, self.host)))

    @property
    def destination(self) -> str:
        """The host, or the channel where there is none; accounts share a destination."""
        return self.host or self.channel

    @property
    def pause_scopes(self) -> tuple[str, str, str]:
        """Scopes whose pause stops this queue: its destination, its account's channel, itself."""
        return (
            f"destination/{self.destination}",
            f"account/{self.account_id}/{self.channel}",
            f"queue/{self}",
        )
