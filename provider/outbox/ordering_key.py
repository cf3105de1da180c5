"""Ordering keys: `SUBJECT`, or `SUBJECT/WRITER` for a second writer about the same subject."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, SQLColumnExpression, and_


@dataclass(frozen=True)
class OrderingKey:
    """The parts of an ordering key; the tables store the key as one string.

    The messages of a queue with the same key are delivered in order. The subject is the public id
    of the order that the messages are about.
    """

    subject: str
    writer: str = ""

    @classmethod
    def parse(cls, key: str) -> "OrderingKey":
        subject, _, writer = key.partition("/")
        return cls(subject, writer)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.subject, self.writer)))


def is_about(
    key: SQLColumnExpression[str], subject: str | SQLColumnExpression[str]
) -> ColumnElement[bool]:
    """Return the condition that a key has this subject, whoever the writer is.

    The condition is a range of the index on the keys. `0` is the character after `/`. Do not join
    many ranges with OR: SQLite would read the whole table. Take the subject from a column instead.
    """
    end = f"{subject}0" if isinstance(subject, str) else subject.concat("0")
    return and_(key >= subject, key < end)
