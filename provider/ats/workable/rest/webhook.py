"""Workable's webhooks: candidates who are created or moved, and the subscriptions to them."""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from provider.ats.api import (
    ApiRequest,
    ApiResponse,
    Connection,
    Event,
    LookupSteps,
    Subscriptions,
    SubscriptionSteps,
    UnreadableAnswer,
    Webhook,
)
from provider.ats.workable.rest.address import api_base
from provider.ats.workable.rest.source import read_candidate
from provider.ats.workable.rest.stages import read_stages, stages_request

RENEWAL_TIME = timedelta(days=30)  # before the end of a subscription, which lives for a year
EVENT_NAMES = ("candidate_moved", "candidate_created")


class CandidateEvents(Webhook):
    """Signed by the account's token, or by the secret of the OAuth application."""

    event_names = EVENT_NAMES

    def signing_keys(self, connection: Connection) -> Sequence[str]:
        is_oauth = connection.settings["auth"] == "oauth"
        own = connection.secret("oauth_client_secret" if is_oauth else "api_token")
        return (connection.secret("webhook_secret") or own,)

    def is_signed(self, body: bytes, headers: Mapping[str, str], key: str) -> bool:
        expected = hmac.digest(key.encode(), body, "sha256").hex()
        sent = headers.get("x-workable-signature", "").strip().lower()
        return hmac.compare_digest(sent.encode(), expected.encode())

    def read(
        self, body: bytes, headers: Mapping[str, str], connection: Connection
    ) -> Sequence[Event]:
        """Return the event. One of another type or of another account is ignored."""
        document = json.loads(body)
        if document["event_type"] not in EVENT_NAMES:
            return ()
        data = document["data"]
        subdomain = (data.get("account") or {}).get("subdomain")
        if subdomain not in (None, connection.settings["subdomain"]):
            return ()
        return (Event(str(document["id"]), str(data["id"])),)

    def lookup(self, record_key: str, connection: Connection) -> LookupSteps:
        """Read the candidate, and the list of stages."""
        url = f"{api_base(connection.settings)}/candidates/{quote(record_key, safe='')}"
        response = yield ApiRequest("GET", url)
        if response.status_code == 404:
            return None
        if not response.is_success:
            raise UnreadableAnswer(f"Workable refuses the candidate: {response.status_code}")
        stages = yield stages_request(connection)
        return read_candidate(response.json()["candidate"], read_stages(stages))


class WorkableSubscriptions(Subscriptions):
    """One subscription for each address; a target can be registered once only."""

    def is_wanted(self, settings: Mapping[str, Any]) -> bool:
        return bool(settings["webhooks"])

    def keep(
        self, connection: Connection, addresses: Mapping[str, str], now: datetime
    ) -> SubscriptionSteps:
        """Create what is missing, and replace what ends soon."""
        url = f"{api_base(connection.settings)}/subscriptions"
        response = yield ApiRequest("GET", url)
        present = {} if response.status_code == 404 else _read_subscriptions(response)
        created = []
        for event, target in addresses.items():
            subscription = present.get(target)
            if subscription and _is_lasting(subscription, now):
                continue
            if subscription:
                yield ApiRequest("DELETE", f"{url}/{subscription['id']}")
            arguments = {
                "account_id": connection.settings["subdomain"],
                "job_shortcode": "",
                "stage_slug": "",
            }
            document = {"target": target, "event": event, "args": arguments}
            response = yield ApiRequest.with_json("POST", url, document)
            if not response.is_success and response.status_code != 409:
                raise UnreadableAnswer(
                    f"Workable refuses the subscription to {event} with {response.status_code}"
                )
            created.append(event)
        return created


def _read_subscriptions(response: ApiResponse) -> dict[str, Mapping[str, Any]]:
    if not response.is_success:
        raise UnreadableAnswer(f"Workable refuses the subscriptions with {response.status_code}")
    document = response.json()
    rows = document if isinstance(document, list) else document["subscriptions"]
    return {row["target"]: row for row in rows}


def _is_lasting(subscription: Mapping[str, Any], now: datetime) -> bool:
    text = subscription.get("valid_until")
    return not text or datetime.fromisoformat(text) > now + RENEWAL_TIME
