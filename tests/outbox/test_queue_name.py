"""The names of lanes, and what a hold can lie on to stop one."""

import pytest

from provider.outbox import CALLBACK, EMAIL, MEDIA, QueueName


@pytest.mark.parametrize(
    ("name", "lane", "route"),
    [
        ("7/callback/a.test:8443", QueueName(7, CALLBACK, "a.test:8443"), "a.test:8443"),
        ("7/email", QueueName(7, EMAIL), "email"),
        ("7/media", QueueName(7, MEDIA), "media"),
    ],
)
def test_a_lane_is_its_name_and_goes_by_its_host_or_else_its_sink(
    name: str, lane: QueueName, route: str
) -> None:
    assert (QueueName.parse(name), str(lane), lane.destination) == (lane, name, route)
    sink = f"account/7/{lane.channel}"
    assert lane.pause_scopes == (f"destination/{route}", sink, f"queue/{name}")
