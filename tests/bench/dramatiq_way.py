"""Deliveries as Dramatiq's guide recommends: an actor with automatic retries.

`python -m tests.bench.dramatiq_way COUNT URL` queues a backlog. The module lives in an environment
of its own and uses none of our code.
"""

import os
import sys

import dramatiq
import urllib3
from dramatiq.brokers.redis import RedisBroker

BODY = os.environ.get("USUAL_BODY", "{}")
TOKEN = "usual-token"

dramatiq.set_broker(RedisBroker(url=os.environ["USUAL_REDIS"]))
# One client for the process, with a persistent connection for each thread.
http = urllib3.PoolManager(maxsize=64, block=False, retries=False)


class DeliveryRejected(Exception):
    pass


@dramatiq.actor(max_retries=10, min_backoff=5_000)
def deliver(url: str, body: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    response = http.request(
        "PUT", url, body=body.encode(), headers=headers, timeout=10, redirect=False
    )
    if not 200 <= response.status < 300:
        raise DeliveryRejected(response.status)


if __name__ == "__main__":
    count, base_url = int(sys.argv[1]), sys.argv[2]
    for number in range(count):
        deliver.send(f"{base_url}/assessments/{number}", BODY)
