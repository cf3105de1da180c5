"""A package that asks for things, and a check of it: placed, consented to, found out."""

from typing import Any

from provider.house import House
from provider.kinds.check import Check
from tests import cast

CONTENT: dict[str, Any] = {
    "schema": 1,
    "description": "A look at your identity and your last jobs.",
    "sections": [{"key": "rights", "title": "Your rights", "text": "You can say no."}],
    "screenings": [
        {
            "key": "identity",
            "name": "Identity",
            "description": "Compares a register with what you say.",
            "asks": ["full_name", "date_of_birth"],
        },
        {"key": "jobs", "name": "Employment history", "asks": ["full_name", "employers"]},
        {"key": "record", "name": "Criminal record"},
    ],
    "disclosure": {"key": "jobs", "version": "3", "text": "# Terms\n\nWe may **ask** around."},
}
FILLED = {
    "full_name": "Lakita Jane Marrero-Quux",
    "date_of_birth": "1990-02-28",
    "employers": "Zyxwv Bakery, Athens, baker, 2015 to 2019\r\nXylofon Ltd, Patras, clerk, 2019 on",
}
KEPT = FILLED | {"employers": FILLED["employers"].replace("\r\n", "\n")}
NAME = "Lakita J. Marrero"
NOTE = "A conviktion in 2017\nfor selling quassia"
OUTCOMES = {"identity": "clear", "jobs": "consider", "record": "clear"}
# What no byte that leaves may hold: of the particulars and of the notes.
SECRETS = ("Quux", "1990-02-28", "Zyxwv", "Xylofon", "conviktion", "quassia")


def package(house: House, key: str = "screened", name: str = "Full screening", **more: Any) -> str:
    return cast.product(house, "check", CONTENT | more, key, name)


def placed(house: House, product_id: str | None = None, **wish: Any) -> str:
    """Return the public id of a check that waits for its candidate."""
    account_id, _ = cast.account(house, timezone="Europe/Athens")
    return cast.order(house, account_id, product_id or package(house), "check", **wish)


def consent(house: House, public_id: str, name: str = NAME, **filled: str) -> None:
    with house.db.writing() as session:
        Check.find(session, public_id).consent(
            session, house.vault, name, FILLED | filled,
            address="192.0.2.7", agent="A browser/1.0", at=house.now(),
        )  # fmt: skip


def find_out(house: House, public_id: str, outcomes: dict[str, str] = OUTCOMES) -> None:
    with house.db.writing() as session:
        check = Check.find(session, public_id)
        for key, status in outcomes.items():
            note = NOTE if status == "consider" else ""
            check.find_out(
                session, house.vault, key, status, note, "sam@provider.test", house.now()
            )


def conclude(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        check = Check.find(session, public_id)
        check.conclude(session, house.vault, "sam@provider.test", house.now())


def done(house: House, **wish: Any) -> str:
    """Return the public id of a completed check."""
    public_id = placed(house, **wish)
    consent(house, public_id)
    find_out(house, public_id)
    conclude(house, public_id)
    return public_id
