"""Greenhouse's webhook: an application has changed its stage."""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from provider.ats.api import (
    ApiRequest,
    Connection,
    Event,
    LookupSteps,
    UnreadableAnswer,
    Webhook,
)
from provider.ats.greenhouse.harvest.source import build_record, is_closed


class StageChanges(Webhook):
    """Events `candidate_stage_change`. Others are ignored, and `ping` only tries the address.

    The header is `Signature: sha256 HEX`, with a space. It covers the raw bytes.
    """

    event_names = ("candidate_stage_change",)

    def signing_keys(self, connection: Connection) -> Sequence[str]:
        return (connection.secret("webhook_secret"),)

    def is_signed(self, body: bytes, headers: Mapping[str, str], key: str) -> bool:
        expected = f"sha256 {hmac.digest(key.encode(), body, 'sha256').hex()}"
        return hmac.compare_digest(headers.get("signature", "").encode(), expected.encode())

    def read(
        self, body: bytes, headers: Mapping[str, str], connection: Connection
    ) -> Sequence[Event]:
        document = json.loads(body)
        if document["action"] != "candidate_stage_change":
            return ()
        event_id = headers.get("greenhouse-event-id", "")
        if not event_id:
            raise UnreadableAnswer("The event has no Greenhouse-Event-ID")
        application_id = str(document["payload"]["application"]["id"])
        if not (application_id.isascii() and application_id.isdigit()):
            raise UnreadableAnswer("The id of the application is no number")
        return (Event(event_id, application_id),)

    def lookup(self, record_key: str, connection: Connection) -> LookupSteps:
        """Read the application, the entry into its present stage, and the candidate."""
        base = connection.settings["api_base"]
        application = yield from _read_one(f"{base}/applications?ids={record_key}")
        if application is None or not application.get("candidate_id"):
            return None
        query = f"application_ids={record_key}&current=true&per_page=500"
        entry = yield from _read_one(f"{base}/application_stages?{query}")
        if entry is None:  # a prospect has no stage
            return None
        candidate = yield from _read_one(f"{base}/candidates?ids={application['candidate_id']}")
        if candidate is None:
            return None
        row = {
            "application": application["id"],
            "stage": str(entry["job_interview_stage_id"]),
            "entry": str(entry["id"]),
            "entered_at": entry["entered_at"],
            "job": application.get("job_id"),
            "candidate": application["candidate_id"],
            "is_closed": is_closed(application),
        }
        return build_record(row, candidate)


def _read_one(url: str) -> Any:
    """Return the first record of a list, None where there is none."""
    response = yield ApiRequest("GET", url)
    if response.status_code == 404:
        return None
    if not response.is_success:
        raise UnreadableAnswer(f"Greenhouse refuses to show the record: {response.status_code}")
    rows = response.json()
    return rows[0] if rows else None
