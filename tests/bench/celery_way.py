"""Deliveries as Celery's guide recommends: a task with late acknowledgement and automatic retries.

`python -m tests.bench.celery_way COUNT URL` queues a backlog. The module lives in an environment
of its own and uses none of our code.
"""

import os
import sys

import urllib3
from celery import Celery

BODY = os.environ.get("USUAL_BODY", "{}")
TOKEN = "usual-token"

app = Celery("deliveries", broker=os.environ["USUAL_REDIS"])
app.conf.task_acks_late = True  # at-least-once delivery, as ours
app.conf.task_ignore_result = True
# One client for the process, with a persistent connection for each thread.
http = urllib3.PoolManager(maxsize=64, block=False, retries=False)


class DeliveryRejected(Exception):
    pass


@app.task(
    name="deliver",
    autoretry_for=(DeliveryRejected, urllib3.exceptions.HTTPError),
    retry_backoff=5,
    max_retries=10,
)
def deliver(url: str, body: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    response = http.request(
        "PUT", url, body=body.encode(), headers=headers, timeout=10, redirect=False
    )
    if not 200 <= response.status < 300:
        raise DeliveryRejected(response.status)


if __name__ == "__main__":
    count, base_url = int(sys.argv[1]), sys.argv[2]
    with app.producer_pool.acquire() as producer:
        for number in range(count):
            deliver.apply_async((f"{base_url}/assessments/{number}", BODY), producer=producer)
