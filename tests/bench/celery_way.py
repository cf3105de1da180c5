"""Deliveries by Celery's own guide: a task that is acknowledged late and tries again by itself.

`python -m tests.bench.celery_way COUNT URL` queues a backlog. It lives in an environment of its own
and uses nothing of ours.
"""

import os
import sys

import urllib3
from celery import Celery

BODY = os.environ.get("USUAL_BODY", "{}")
TOKEN = "usual-token"

app = Celery("deliveries", broker=os.environ["USUAL_REDIS"])
app.conf.task_acks_late = True  # at least once, as ours
app.conf.task_ignore_result = True
# One client for the process: kept alive, a connection for every thread.
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
    answer = http.request(
        "PUT", url, body=body.encode(), headers=headers, timeout=10, redirect=False
    )
    if not 200 <= answer.status < 300:
        raise DeliveryRejected(answer.status)


if __name__ == "__main__":
    count, base = int(sys.argv[1]), sys.argv[2]
    with app.producer_pool.acquire() as producer:
        for number in range(count):
            deliver.apply_async((f"{base}/assessments/{number}", BODY), producer=producer)
