from datetime import UTC, datetime, timedelta

import pytest

from provider.courier.hands import Hands, Paces

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_route_that_nobody_knows_gets_a_quarter_of_the_hands() -> None:
    assert Hands(16).free("new") == 4


def test_a_route_that_answers_gets_more_but_never_all() -> None:
    hands = Hands(16)
    for _ in range(100):
        hands.take("good")
        hands.give_back("good", answered=True)
    assert hands.free("good") == 10
    hands.take("good", 10)
    assert hands.free("good") == 0
    assert hands.free("other") == 4


def test_a_route_that_fails_gets_fewer_until_one_is_left() -> None:
    hands = Hands(16)
    for expected in (2, 1, 1):
        hands.take("bad")
        hands.give_back("bad", answered=False)
        assert hands.free("bad") == expected


def test_what_never_went_says_nothing_of_its_route() -> None:
    hands = Hands(16)
    hands.take("new", 2)
    hands.give_back("new")
    hands.give_back("new")
    assert (hands.free("new"), hands.busy) == (4, 0)


def test_no_more_is_in_hand_than_there_are_hands() -> None:
    hands = Hands(4)
    for route in ("a", "b", "c", "d"):
        hands.take(route, hands.free(route))
    assert hands.busy == 4
    assert hands.free("e") == 0


def test_recordings_are_cut_two_at_a_time_however_well_it_goes() -> None:
    hands = Hands(96)
    hands.take("media", 2)
    hands.give_back("media", answered=True)
    assert hands.free("media") == 1


@pytest.mark.parametrize("rate", [0.2, 1, 5, 100, 1000])
def test_a_pace_is_kept_over_any_stretch_of_time(rate: float) -> None:
    paces, at, sent = Paces(), AT, []
    step = timedelta(milliseconds=7)
    while at < AT + timedelta(seconds=max(3, 20 / rate)):
        count = paces.allowed("1/callback/x", rate, at)
        if count:
            paces.took("1/callback/x", rate, count, at)
            sent += [at] * count
        at += step
    lasted = (at - AT).total_seconds()
    assert len(sent) == pytest.approx(rate * lasted, rel=0.06, abs=1.5)
    for window in (1, 2):  # seconds
        most = max(
            sum(begin <= one < begin + window * SECOND for one in sent) for begin in sent[::5]
        )
        assert most <= 1.05 * rate * window + 1


def test_who_waits_is_told_when_the_next_may_go() -> None:
    paces = Paces()
    assert paces.allowed("lane", 2, AT) == 1
    following = paces.took("lane", 2, 1, AT)
    assert following == AT + timedelta(seconds=0.5)
    assert paces.allowed("lane", 2, following - timedelta(milliseconds=1)) == 0
    assert paces.allowed("lane", 2, following) == 1


def test_what_was_not_used_is_not_saved_up() -> None:
    paces = Paces()
    paces.took("lane", 2, 1, AT)
    assert paces.allowed("lane", 2, AT + timedelta(hours=1)) == 1
