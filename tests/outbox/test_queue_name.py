"""Names of queues and the scopes whose pause stops a queue."""

import pytest

from provider.outbox import CALLBACK, EMAIL, MEDIA, QueueName


@pytest.mark.parametrize(
    ("name", "queue_name", "destination"),
    [
        ("7/callback/a.test:8443", QueueName(7, CALLBACK, "a.test:8443"), "a.test:8443"),
        ("7/email", QueueName(7, EMAIL), "email"),
        ("7/media", QueueName(7, MEDIA), "media"),
    ],
)
def test_queue_name_is_parsed_and_lists_its_pause_scopes(
    name: str, queue_name: QueueName, destination: str
) -> None:
    assert (QueueName.parse(name), str(queue_name)) == (queue_name, name)
    assert queue_name.destination == destination
    account_scope = f"account/7/{queue_name.channel}"
    assert queue_name.pause_scopes == (f"destination/{destination}", account_scope, f"queue/{name}")
