from bisect import bisect_left
from datetime import UTC, datetime, timedelta

import pytest

from provider.delivery.limits import ConcurrencyLimiter, Paces

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def sent(hands: ConcurrencyLimiter, route: str, *, answered: bool, seconds: float = 0.1) -> None:
    hands.take(route)
    assert hands.begin(route)
    hands.end(route, answered=answered, seconds=seconds)


def at_once(hands: ConcurrencyLimiter, route: str) -> int:
    """Take all of a route that may be had, and return how many of them may be sent."""
    count = hands.free(route)
    hands.take(route, count)
    return sum(hands.begin(route) for _ in range(count))


def test_a_route_that_nobody_knows_gets_a_twelfth_of_the_hands() -> None:
    assert at_once(ConcurrencyLimiter(48), "new") == 4


def test_a_route_that_answers_gets_more_but_never_all() -> None:
    hands = ConcurrencyLimiter(48)
    for _ in range(100):
        sent(hands, "good", answered=True)
    assert at_once(hands, "good") == 32
    assert hands.free("good") == 0
    assert at_once(hands, "other") == 4


def test_half_as_much_more_is_claimed_than_sent_so_that_no_hand_is_idle() -> None:
    hands = ConcurrencyLimiter(36)
    sent(hands, "good", answered=True)
    assert hands.free("good") == 6
    hands.take("good", 6)
    assert [hands.begin("good") for _ in range(6)] == [True] * 4 + [False] * 2
    hands.end("good", answered=True, seconds=0.1)
    assert hands.begin("good")
    assert hands.free("good") == 2  # one has ended, and the route has grown by one


def test_nothing_is_claimed_ahead_of_a_route_that_has_not_answered() -> None:
    hands = ConcurrencyLimiter(48)
    assert hands.free("new") == 4
    for expected in (2, 1, 1):
        sent(hands, "bad", answered=False)
        assert hands.free("bad") == expected


def test_what_never_went_says_nothing_of_its_route() -> None:
    hands = ConcurrencyLimiter(48)
    hands.take("new", 2)
    hands.give_back("new", 2)
    assert (hands.free("new"), hands.busy) == (4, 0)


def test_where_neither_is_known_a_route_gets_neither_more_nor_fewer() -> None:
    hands = ConcurrencyLimiter(48)
    hands.take("new")
    assert hands.begin("new")
    hands.end("new", answered=None, seconds=0.1)
    assert (hands.busy, at_once(hands, "new")) == (0, 4)


def test_however_many_hang_some_hands_are_left_for_who_answers() -> None:
    hands = ConcurrencyLimiter(48)
    sent(hands, "good", answered=True)
    assert sum(at_once(hands, f"new-{number}") for number in range(20)) == 36
    assert at_once(hands, "good") == 5


def test_routes_that_fail_share_a_quarter_and_leave_the_rest_to_who_is_new() -> None:
    hands = ConcurrencyLimiter(48)
    failing = [f"bad-{number}" for number in range(20)]
    for route in failing:
        sent(hands, route, answered=False)
    assert sum(at_once(hands, route) for route in failing) == 12
    assert sum(at_once(hands, f"new-{number}") for number in range(20)) == 24
    for route in failing[:5]:
        hands.end(route, answered=False, seconds=0.1)
    assert at_once(hands, failing[-1]) == 2
    assert sum(at_once(hands, route) for route in failing[:-1]) == 3


def test_routes_that_are_slow_share_half_and_leave_the_rest_to_others() -> None:
    hands = ConcurrencyLimiter(48)
    slow = [f"slow-{number}" for number in range(3)]
    for route in slow * 40:
        sent(hands, route, answered=True, seconds=0.5)
    sent(hands, "bad", answered=False)
    sent(hands, "good", answered=True)
    assert sum(at_once(hands, route) for route in slow) == 24
    assert hands.free("bad") == 0  # it is of those that share with the slow
    assert sum(at_once(hands, f"new-{number}") for number in range(20)) == 12
    assert at_once(hands, "good") == 5
    for route in slow[:2]:
        hands.end(route, answered=True, seconds=0.5)
    assert hands.free("bad") == 2
    assert hands.free(slow[2]) == 2


def test_what_fails_takes_no_more_than_its_own_part_of_what_it_shares_with_the_slow() -> None:
    hands = ConcurrencyLimiter(48)
    failing = [f"bad-{number}" for number in range(20)]
    for route in failing:
        sent(hands, route, answered=False)
    for _ in range(60):
        sent(hands, "slow", answered=True, seconds=3.0)
    assert sum(at_once(hands, route) for route in failing) == 12
    assert at_once(hands, "slow") == 12


def test_of_a_few_hands_those_that_fail_have_one_together() -> None:
    hands = ConcurrencyLimiter(4)
    failing = ["bad-1", "bad-2"]
    for route in failing:
        sent(hands, route, answered=False)
    assert sum(at_once(hands, route) for route in failing) == 1


def test_nothing_is_claimed_ahead_of_a_route_that_is_slow() -> None:
    hands = ConcurrencyLimiter(48)
    sent(hands, "slow", answered=True, seconds=0.5)
    assert hands.free("slow") == 5


def test_a_route_is_slow_when_its_last_few_answers_were_together() -> None:
    hands = ConcurrencyLimiter(480)
    for _ in range(20):
        sent(hands, "route", answered=True, seconds=0.1)
    assert hands.free("route") == 90
    sent(hands, "route", answered=True, seconds=1.2)
    assert hands.free("route") == 91
    sent(hands, "route", answered=True, seconds=1.2)
    assert hands.free("route") == 62
    sent(hands, "route", answered=True, seconds=0.1)
    assert hands.free("route") == 94


def test_a_route_that_failed_once_is_as_quick_as_before_when_it_answers() -> None:
    hands = ConcurrencyLimiter(48)
    for quick, route in ((0.1, "quick"), (0.9, "slow")):
        sent(hands, route, answered=True, seconds=quick)
        sent(hands, route, answered=False, seconds=10.0)
        sent(hands, route, answered=True, seconds=quick)
    assert (hands.free("quick"), hands.free("slow")) == (4, 3)


def test_a_route_that_is_held_is_taken_for_one_that_fails_until_it_answers() -> None:
    hands = ConcurrencyLimiter(48)
    held = [f"held-{number}" for number in range(20)]
    for route in held:
        hands.doubt(route)
    assert sum(at_once(hands, route) for route in held) == 12
    hands.end("held-0", answered=True, seconds=0.1)
    free = hands.free("held-0")
    hands.doubt("held-0")
    assert hands.free("held-0") == free > 1


def test_a_route_that_answers_at_last_takes_no_part_any_more_of_what_the_others_share() -> None:
    hands = ConcurrencyLimiter(48)
    assert at_once(hands, "back") == 4
    hands.end("back", answered=False, seconds=0.1)
    hands.end("back", answered=True, seconds=0.1)
    assert sum(at_once(hands, f"new-{number}") for number in range(20)) == 36


def test_what_is_in_hand_of_a_route_that_begins_to_fail_counts_as_failing() -> None:
    hands = ConcurrencyLimiter(48)
    for _ in range(20):
        sent(hands, "good", answered=True)
    sent(hands, "bad", answered=False)
    assert hands.free("bad") == 2
    assert at_once(hands, "good") == 24
    hands.end("good", answered=False, seconds=0.1)
    assert hands.free("bad") == 0


def test_no_more_is_in_hand_than_there_are_hands_and_half_as_many() -> None:
    hands = ConcurrencyLimiter(4)
    for route in "abcdefg":
        sent(hands, route, answered=True)
    begun = sum(at_once(hands, route) for route in "abcdefg")
    assert begun == hands.busy == 6
    assert hands.free("f") == 0


def test_recordings_are_cut_two_at_a_time_however_well_it_goes() -> None:
    hands = ConcurrencyLimiter(96)
    for _ in range(5):
        sent(hands, "media", answered=True)
    assert at_once(hands, "media") == 2


def test_a_single_hand_is_never_taken_away() -> None:
    for answered in (True, False):
        hands = ConcurrencyLimiter(1)
        sent(hands, "only", answered=answered)
        assert at_once(hands, "only") == 1


def test_letters_go_eight_at_a_time_whatever_hangs() -> None:
    hands = ConcurrencyLimiter(96)
    assert sum(at_once(hands, f"new-{number}") for number in range(20)) == 72
    assert hands.free("email") == 12
    assert at_once(hands, "email") == 8


def test_the_hand_of_a_recording_is_free_when_it_is_cut() -> None:
    hands = ConcurrencyLimiter(96)
    assert at_once(hands, "media") == 2
    hands.end("media", answered=False, seconds=0.1)
    assert [hands.begin("media"), hands.begin("media")] == [True, False]


def test_a_route_that_fails_while_much_is_in_hand_gets_nothing_more() -> None:
    hands = ConcurrencyLimiter(48)
    assert at_once(hands, "bad") == 4
    hands.end("bad", answered=False, seconds=0.1)
    assert hands.free("bad") == 0
    assert not hands.begin("bad")


def test_a_route_that_failed_long_comes_back_with_its_first_answers() -> None:
    hands = ConcurrencyLimiter(48)
    for _ in range(10):
        sent(hands, "back", answered=False)
    sent(hands, "back", answered=True)
    assert at_once(hands, "back") == 2


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
            bisect_left(sent, begin + window * SECOND) - bisect_left(sent, begin) for begin in sent
        )
        assert most <= 1.05 * rate * window + 1


@pytest.mark.parametrize(
    ("rate", "at_once", "wait"), [(2, 1, 0.5), (30, 2, 1 / 30), (100, 5, 0.01)]
)
def test_who_waits_is_told_when_the_next_may_go(rate: float, at_once: int, wait: float) -> None:
    paces = Paces()
    assert paces.allowed("lane", rate, AT) == at_once
    following = paces.took("lane", rate, at_once, AT)
    assert following - AT == pytest.approx(timedelta(seconds=wait), abs=timedelta(microseconds=2))
    assert paces.allowed("lane", rate, following - timedelta(milliseconds=1)) == 0
    assert paces.allowed("lane", rate, following + timedelta(microseconds=2)) == 1


def test_who_is_ahead_of_the_pace_gets_nothing_until_it_is_level_again() -> None:
    paces = Paces()
    assert paces.took("lane", 2, 5, AT) == AT + 2.5 * SECOND
    assert [paces.allowed("lane", 2, AT + wait * SECOND) for wait in (0, 2.4, 2.5)] == [0, 0, 1]


def test_what_was_not_used_is_not_saved_up() -> None:
    paces = Paces()
    paces.took("lane", 2, 1, AT)
    assert paces.allowed("lane", 2, AT + timedelta(hours=1)) == 1
