"""Greenhouse's Harvest API, version 3: rules by job and stage, notes and files."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from provider.ats.api import (
    ApiRequest,
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Choice,
    ChooserSteps,
    Connection,
)
from provider.ats.greenhouse.harvest.source import StageEntries, next_url
from provider.ats.greenhouse.harvest.tokens import HarvestTokens
from provider.ats.greenhouse.harvest.webhook import StageChanges
from provider.ats.greenhouse.harvest.writers import Attachment, Note
from provider.core.connections import Budget

WINDOW = timedelta(seconds=30)  # of Harvest's limit; the number is learnt from its headers
FIRST_LIMIT = 10  # requests in a window, until the first answer
MAX_CHOICE_PAGES = 5
CHECKED_RESOURCES = (
    "jobs",
    "job_interview_stages",
    "application_stages",
    "applications",
    "candidates",
    "notes",
    "attachments",
)


class HarvestApi(AtsApi):
    """Harvest v3. Versions 1 and 2 ended on 31 August 2026."""

    secrets = {  # noqa: RUF012
        "harvest_client_id": "the client id of the Harvest v3 credential",
        "harvest_client_secret": "the client secret of the Harvest v3 credential",
        "webhook_secret": "the secret key of the webhook, if there is one",
    }
    required_settings = ("api_base", "token_url")
    required_secrets = ("harvest_client_id", "harvest_client_secret")
    rule_facts = {  # noqa: RUF012
        "job": "the id of a job",
        "stage": "the id of a stage of a job's interview plan",
    }
    required_facts = ("stage",)
    sources = (StageEntries(),)
    writers = (Note(), Attachment())
    token_flow = HarvestTokens()
    webhook = StageChanges()

    def base_url(self, settings: Mapping[str, Any]) -> str:
        return str(settings["api_base"])

    def sign(self, request: ApiRequest, connection: Connection, now: datetime) -> ApiRequest:
        headers = {"Authorization": f"Bearer {connection.access_token}"}
        return request.with_headers({**headers, "Accept": "application/json"})

    def budget(self, connection: Connection) -> Budget:
        client = connection.client_digest("harvest", connection.secret("harvest_client_id"))
        return Budget(client, FIRST_LIMIT, WINDOW)

    def fact_problem(self, name: str, value: str) -> str:
        """Return a problem of a value that is no id: Harvest refuses a list that names one."""
        if value.isascii() and value.isdigit():
            return ""
        return (
            f"{name} should be a number, {self.rule_facts[name]}, and not “{value}”: the console "
            "lists the numbers with their names"
        )

    def check(self, connection: Connection) -> CheckSteps:
        """Ask for one entry of each list that rules and writers need."""
        lines = []
        for resource in CHECKED_RESOURCES:
            url = f"{connection.settings['api_base']}/{resource}?per_page=1"
            response = yield connection, ApiRequest("GET", url)
            label = resource.replace("_", " ")
            if response.is_success and resource == "jobs" and not response.json():
                # Any other list may be empty in a new Greenhouse.
                text = (
                    "Greenhouse shows an empty list of jobs: perhaps the user of the credential is "
                    "no Site Admin"
                )
                lines.append(CheckLine(False, text))
            elif response.is_success:
                lines.append(CheckLine(True, f"Greenhouse shows {label}"))
            elif response.status_code == 403:
                text = (
                    f"Greenhouse refuses {label}: add the scope harvest:{resource}:list, and let "
                    "a Site Admin be the user of the credential"
                )
                lines.append(CheckLine(False, text))
            else:
                text = f"Greenhouse answers {response.status_code} for {label}"
                lines.append(CheckLine(False, text))
        return CheckReport(lines)

    def choosers(self) -> Mapping[str, Callable[[Connection], ChooserSteps]]:
        """Return the generators that list open jobs and the stages of their plans."""
        return {"job": _choose_job, "stage": _choose_stage}


def _choose_job(connection: Connection) -> ChooserSteps:
    rows = yield from _read_all(f"{connection.settings['api_base']}/jobs?status=open&per_page=500")
    return [Choice(str(row["id"]), str(row.get("name") or row["id"])) for row in rows]


def _choose_stage(connection: Connection) -> ChooserSteps:
    base = connection.settings["api_base"]
    jobs = yield from _choose_job(connection)
    names = {job.value: job.label for job in jobs}
    rows = yield from _read_all(f"{base}/job_interview_stages?active=true&per_page=500")
    return [
        Choice(str(row["id"]), f"{names[str(row['job_id'])]}: {row.get('name') or row['id']}")
        for row in rows
        if str(row.get("job_id")) in names
    ]


def _read_all(url: str) -> Any:
    rows: list[Any] = []
    for _ in range(MAX_CHOICE_PAGES):
        response = yield ApiRequest("GET", url)
        if not response.is_success:
            break
        rows += response.json()
        following = next_url(response)
        if not following:
            break
        url = following
    return rows
