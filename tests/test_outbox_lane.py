"""The names of lanes, and what a hold can lie on to stop one."""

import pytest

from provider.outbox import CALLBACK, MAIL, MEDIA, Lane


@pytest.mark.parametrize(
    ("name", "lane", "route"),
    [
        ("7/callback/a.test:8443", Lane(7, CALLBACK, "a.test:8443"), "a.test:8443"),
        ("7/mail", Lane(7, MAIL), "mail"),
        ("7/media", Lane(7, MEDIA), "media"),
    ],
)
def test_a_lane_is_its_name_and_goes_by_its_host_or_else_its_sink(
    name: str, lane: Lane, route: str
) -> None:
    assert (Lane.read(name), str(lane), lane.route) == (lane, name, route)
    sink = f"account/7/{lane.sink}"
    assert lane.subjects == (f"route/{route}", sink, f"lane/{name}")
