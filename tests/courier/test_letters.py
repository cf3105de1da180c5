"""Letters in the outbox: whose they are, that they are written once, what their tries keep."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from provider.config import Settings
from provider.courier import Courier
from provider.house import House
from provider.outbox import Message, story
from tests import cast
from tests.cast import HandClock
from tests.post_office import PostOffice
from tests.test_mail import bodies
from tests.test_mail import office as office


@pytest.fixture
def house(settings: Settings, clock: HandClock, office: PostOffice) -> Iterator[House]:
    """A house whose letters go to the mail server."""
    house = House.build(replace(settings, mail_url=office.url), clock)
    yield house
    house.db.close()


@pytest.fixture
def courier(house: House) -> Iterator[Courier]:
    courier = Courier(house)
    yield courier
    courier.stop()


def letter_of(house: House, order: str) -> Message:
    """The message of an order's invitation, with its tries."""
    with house.db.reading() as session:
        (message,) = (each for each in story(session, order) if each.topic == "invitation")
        assert message.tries is not None
        return message


def test_each_order_becomes_its_own_letter_at_the_mail_server_once(
    house: House, courier: Courier, office: PostOffice
) -> None:
    account, _ = cast.account(house, timezone="Europe/Athens")
    test = cast.test(house)
    asked = [f"https://groove-tech.workable.com/assessments/{each}" for each in range(3)]
    placed = [cast.order(house, account, test, callback_url=each) for each in asked]

    courier.drain(f"{account}/mail")
    courier.drain(f"{account}/mail")

    assert len(office.letters) == len(placed)
    for order in placed:
        message = letter_of(house, order)
        assert message.state == "delivered"
        (letter,) = (
            each for each in office.letters if message.public_id in str(each["Message-ID"])
        )
        assert letter["To"] == "lakita_marrero@gmail.com"
        assert all(cast.invitation(house, order) in body for body in bodies(letter))


def test_a_letter_is_written_once_however_often_it_is_tried(
    house: House, clock: HandClock, courier: Courier, office: PostOffice
) -> None:
    account, _ = cast.account(house)
    order = cast.order(house, account, cast.test(house))
    written = clock.now()
    office.rcpt.append("450 4.2.1 Come back later")

    courier.drain(f"{account}/mail")
    kept = letter_of(house, order).rendered
    clock.pass_(timedelta(minutes=1))
    courier.drain(f"{account}/mail")

    (envelope,) = office.envelopes
    assert kept is not None
    assert envelope.original_content == kept
    assert parsedate_to_datetime(office.letters[0]["Date"]) == written


def test_each_try_keeps_what_the_mail_server_said(
    house: House, clock: HandClock, courier: Courier, office: PostOffice
) -> None:
    account, _ = cast.account(house)
    order = cast.order(house, account, cast.test(house))
    office.rcpt.append("450 4.2.1 Come back later")

    courier.drain(f"{account}/mail")
    clock.pass_(timedelta(minutes=1))
    courier.drain(f"{account}/mail")

    busy, took = letter_of(house, order).tries
    assert (busy.outcome, busy.code, busy.answer) == ("again", 450, "")
    assert "Come back later" in busy.error
    assert (took.outcome, took.code, took.error) == ("done", 250, "")
    assert took.answer == "The mail server took it"


def test_a_letter_that_is_refused_for_good_waits_for_a_person(
    house: House, courier: Courier, office: PostOffice
) -> None:
    account, _ = cast.account(house)
    order = cast.order(house, account, cast.test(house))
    office.rcpt.append("550 5.1.1 No such user here")

    courier.drain(f"{account}/mail")

    message = letter_of(house, order)
    (refused,) = message.tries
    assert (message.state, refused.code) == ("parked", 550)
    assert "No such user here" in refused.error


def test_without_a_mail_server_letters_lie_in_the_instance_folder(
    settings: Settings, clock: HandClock
) -> None:
    house = House.build(settings, clock)
    courier = Courier(house)
    account, _ = cast.account(house)
    order = cast.order(house, account, cast.test(house))

    courier.drain(f"{account}/mail")

    message = letter_of(house, order)
    (kept,) = (settings.instance / "mail").iterdir()
    assert kept.name == f"{message.public_id}.eml"
    assert kept.read_bytes() == message.rendered
    courier.stop()
    house.db.close()
