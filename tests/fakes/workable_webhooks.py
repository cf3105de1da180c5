"""Workable's webhooks: the endpoints of subscriptions, and the signed events that it sends."""

import hmac
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.factories import ManualClock
from tests.fakes.vendor import Reply
from tests.fakes.workable_oauth import Call, Credential, Refusal
from tests.fakes.workable_records import Record, WorkableRecords, body_of, query_of, shown_time

EVENT_TYPES = ("candidate_created", "candidate_moved")
FIRST_SUBSCRIPTION_ID = 42
SUBSCRIPTION_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Subscription:
    """A webhook; an empty job or stage means any. The credential decides the signature's key."""

    id: int
    subdomain: str
    credential: Credential
    target: str
    event: str
    job_shortcode: str
    stage_slug: str
    created_at: datetime
    valid_until: datetime


@dataclass
class Delivery:
    """An event for one subscription, with the body and the answer of each try.

    An answer is a status code, or None if there was no answer.
    """

    subscription: Subscription
    event_id: str
    event_type: str
    candidate_id: str
    fired_at: datetime
    subdomain: str  # in the payload
    bodies: list[bytes] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)


def sign(key: str, body: bytes) -> str:
    """Return the header `X-Workable-Signature` of an event's body."""
    return hmac.new(key.encode(), body, "sha256").hexdigest()


class WorkableWebhooks(WorkableRecords):
    """Events are sent by the thread that calls the method, never while a request is answered."""

    partner_webhook_secret: str | None = None  # None: the partner token signs
    signing_key: str | None = None  # signs instead of the right key: a forged or previous key
    wraps_subscriptions = True  # False: the list is a bare array
    holds_events = False  # events wait for `send_held`

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.subscriptions: dict[int, Subscription] = {}
        self.deliveries: list[Delivery] = []
        self._next_subscription_id = FIRST_SUBSCRIPTION_ID

    def create(self, candidate_id: str | None = None, **values: Any) -> str:
        """Add a candidate, send `candidate_created` and return the candidate's id."""
        candidate_id = self.add(candidate_id, **values)
        self.fire("candidate_created", candidate_id)
        return candidate_id

    def move(self, candidate_id: str, stage: str) -> list[Delivery]:
        """Move a candidate to the stage with this slug, and send `candidate_moved`."""
        self.set_stage(candidate_id, stage)
        return self.fire("candidate_moved", candidate_id)

    def disqualify(self, candidate_id: str, reason: str | None = None) -> list[Delivery]:
        """Disqualify a candidate; Workable sends `candidate_moved` for this too."""
        self.set_disqualified(candidate_id, reason)
        return self.fire("candidate_moved", candidate_id)

    def storm(self, candidate_id: str, copies: int) -> list[Delivery]:
        """Send each event of a candidate `copies` times more, the newest event first."""
        events = [event for event in self.deliveries if event.candidate_id == candidate_id]
        if not events:
            raise ValueError(f"no event of the candidate {candidate_id} happened")
        for delivery in reversed(events):
            for _ in range(copies):
                self.send(delivery)
        return events

    def replay(self) -> list[Delivery]:
        """Send the events again that were sent and never got exactly 200."""
        failed = [event for event in self.deliveries if event.answers and 200 not in event.answers]
        for delivery in failed:
            self.send(delivery)
        return failed

    def send_held(self, *, newest_first: bool = False) -> list[Delivery]:
        """Send the events that were never sent: of the API's own moves, or with `holds_events`."""
        held = [event for event in self.deliveries if not event.answers]
        for delivery in reversed(held) if newest_first else held:
            self.send(delivery)
        return held

    def fire(
        self, event_type: str, candidate_id: str, *, subdomain: str | None = None
    ) -> list[Delivery]:
        """Let an event happen; `subdomain` puts another account into the payload.

        An event type that is not known goes to every subscription of the account.
        """
        with self._lock:
            events = self.queue_event(event_type, candidate_id, subdomain)
        for delivery in () if self.holds_events else events:
            self.send(delivery)
        return events

    def queue_event(
        self, event_type: str, candidate_id: str, subdomain: str | None = None
    ) -> list[Delivery]:
        """Note an event for each subscription that wants it, and send nothing."""
        record = self.existing(candidate_id)
        account = self.subdomain_of(record)
        event_id, now = secrets.token_hex(4), self.clock.now()
        events = [
            Delivery(subscription, event_id, event_type, candidate_id, now, subdomain or account)
            for subscription in self._of_account(account)
            if self._is_active(subscription)
            and (event_type == subscription.event or event_type not in EVENT_TYPES)
            and subscription.job_shortcode in ("", record["job"])
            and subscription.stage_slug in ("", record["stage"])
        ]
        self.deliveries += events
        return events

    def send(self, delivery: Delivery) -> None:
        """Send an event with the candidate's present state.

        Nothing is sent for a deleted candidate, or after the end of the subscription.
        """
        with self._lock:
            record = self.candidate(delivery.candidate_id)
            if record is None or not self._is_active(delivery.subscription):
                return
            data = self.shown(record) | {"image_url": None, "uploader_id": None}
            data["account"]["subdomain"] = delivery.subdomain
            key = self._key(delivery.subscription.credential)
        event = {"id": delivery.event_id, "event_type": delivery.event_type}
        event |= {"fired_at": shown_time(delivery.fired_at), "resource_type": "candidate"}
        body = json.dumps(event | {"data": data}).encode()
        headers = {"Content-Type": "application/json", "X-Workable-Signature": sign(key, body)}
        code: int | None = None
        with suppress(requests.RequestException), requests.Session() as session:
            session.trust_env = False
            arguments: Record = {"headers": headers, "timeout": 10, "allow_redirects": False}
            code = session.post(delivery.subscription.target, body, **arguments).status_code
        with self._lock:
            delivery.bodies.append(body)
            delivery.answers.append(code)

    def list_subscriptions(self, call: Call) -> Reply:
        query_of(call)
        rows = [_shown_subscription(row) for row in self._of_account(call.subdomain)]
        if not rows:
            raise Refusal(404)
        return Reply(200, {"subscriptions": rows} if self.wraps_subscriptions else rows)

    def subscribe(self, call: Call) -> Reply:
        try:
            body = body_of(call, "target", "event", "args")
        except Refusal:
            raise Refusal(400) from None
        anything = {"account_id": call.subdomain, "job_shortcode": "", "stage_slug": ""}
        arguments = body.get("args", anything)
        is_right = isinstance(arguments, dict) and arguments.keys() == anything.keys()
        if not is_right or not all(isinstance(text, str) for text in arguments.values()):
            raise Refusal(400)
        shortcode, slug = arguments["job_shortcode"], arguments["stage_slug"]
        target, event = body.get("target"), body.get("event")
        is_url = isinstance(target, str) and urlsplit(target).scheme in ("http", "https")
        is_job = not shortcode or self.jobs.get(shortcode, {}).get("subdomain") == call.subdomain
        is_stage = not slug or slug in self.slugs(call.subdomain, shortcode)
        is_account = arguments["account_id"] == call.subdomain
        if not (is_url and is_job and is_stage and is_account and event in EVENT_TYPES):
            raise Refusal(400)
        if target in [subscription.target for subscription in self.subscriptions.values()]:
            raise Refusal(409)
        number, now = self._next_subscription_id, self.clock.now()
        self._next_subscription_id += 1
        self.subscriptions[number] = Subscription(
            id=number,
            subdomain=call.subdomain,
            credential=call.credential,
            target=str(target),
            event=str(event),
            job_shortcode=shortcode,
            stage_slug=slug,
            created_at=now,
            valid_until=now + SUBSCRIPTION_LIFETIME,
        )
        return Reply(201, {"id": number})

    def unsubscribe(self, call: Call, number: str) -> Reply:
        query_of(call)
        subscription = self.subscriptions.get(int(number)) if number.isdecimal() else None
        if subscription is None or subscription.subdomain != call.subdomain:
            raise Refusal(404)
        del self.subscriptions[subscription.id]
        return Reply(200, {})

    def _of_account(self, subdomain: str) -> list[Subscription]:
        return [row for row in self.subscriptions.values() if row.subdomain == subdomain]

    def _is_active(self, subscription: Subscription) -> bool:
        is_there = subscription.id in self.subscriptions
        return is_there and self.clock.now() < subscription.valid_until

    def _key(self, credential: Credential) -> str:
        if self.signing_key is not None:
            return self.signing_key
        if credential.kind == "oauth":
            return self.client_secret
        is_partner = credential.kind == "partner"
        return (self.partner_webhook_secret if is_partner else None) or credential.token


def _shown_subscription(subscription: Subscription) -> Record:
    return {
        "id": subscription.id,
        "target": subscription.target,
        "valid_until": shown_time(subscription.valid_until).replace("Z", ".000Z"),
        "created_at": shown_time(subscription.created_at).replace("Z", ".000Z"),
        "stage_slug": subscription.stage_slug or None,
        "job_shortcode": subscription.job_shortcode or None,
    }
