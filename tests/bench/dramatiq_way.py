"""Deliveries by Dramatiq's own guide: an actor, which tries again by itself.

`python -m tests.bench.dramatiq_way COUNT URL` queues a backlog. It lives in an environment of its
own and uses nothing of ours.
"""

import os
import sys

import dramatiq
import urllib3
from dramatiq.brokers.redis import RedisBroker

BODY = os.environ.get("USUAL_BODY", "{}")
TOKEN = "usual-token"

dramatiq.set_broker(RedisBroker(url=os.environ["USUAL_REDIS"]))
# One client for the process: kept alive, a connection for every thread.
http = urllib3.PoolManager(maxsize=64, block=False, retries=False)


class DeliveryRejected(Exception):
    pass


@dramatiq.actor(max_retries=10, min_backoff=5_000)
def deliver(url: str, body: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    answer = http.request(
        "PUT", url, body=body.encode(), headers=headers, timeout=10, redirect=False
    )
    if not 200 <= answer.status < 300:
        raise DeliveryRejected(answer.status)


if __name__ == "__main__":
    count, base = int(sys.argv[1]), sys.argv[2]
    for number in range(count):
        deliver.send(f"{base}/assessments/{number}", BODY)
