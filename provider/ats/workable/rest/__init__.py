"""Workable's REST API, version 3: rules by job and stage, evaluations, comments and tags."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from provider.ats.api import (
    ApiRequest,
    ApiResponse,
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Choice,
    ChooserSteps,
    Connection,
)
from provider.ats.settings import Address, Duration, Number, Setting, Text, YesNo
from provider.ats.settings import Choice as ChoiceSetting
from provider.ats.workable.rest.address import api_base
from provider.ats.workable.rest.source import ChangedCandidates, StageSweep
from provider.ats.workable.rest.stages import stages_request
from provider.ats.workable.rest.tokens import WorkableTokens
from provider.ats.workable.rest.webhook import CandidateEvents, WorkableSubscriptions
from provider.ats.workable.rest.writers import POLICIES, Comment, Rating, Tag
from provider.core.connections import Budget

WINDOW = timedelta(seconds=10)
ACCOUNT_LIMIT, CLIENT_LIMIT = 10, 50  # requests in a window, by the kind of credential
MAX_CHOICE_PAGES = 5
MAX_SHOWN_MEMBERS = 20  # in the sentence of a check
SUBDOMAIN = re.compile(r"[a-z0-9-]{1,63}")
SETTINGS: tuple[Setting, ...] = (
    Text("subdomain", "the account's name in its address at workable.com"),
    ChoiceSetting(
        "auth",
        "the credential of the API",
        "access_token",
        ("access_token", "partner_token", "oauth"),
    ),
    Text("client_id_header", "the partner's id, for a partner token"),
    ChoiceSetting(
        "budget_scope",
        "whether the limit of requests is the client's or each account's",
        "client",
        ("client", "account"),
    ),
    ChoiceSetting(
        "poll", "how new candidates are found", "updated_after", ("updated_after", "sweep")
    ),
    Duration("poll_every", "how often they are looked for", 300),
    YesNo("webhooks", "subscribe to Workable's events about candidates"),
    Text("member_id", "the id of the member who comments and evaluates"),
    YesNo("comments", "write the result as a comment", default=True),
    YesNo("attach_pdf", "attach the report to the comment", default=True),
    ChoiceSetting("comment_policy", "who sees comments", "recruiters", tuple(POLICIES)),
    YesNo("ratings", "write the result as an evaluation", default=True),
    ChoiceSetting(
        "rating_api", "the form of evaluations", "put", ("put", "post_grade", "post_score")
    ),
    Number("definite_from", "the score from which an evaluation is “definite”", maximum=100),
    YesNo("tags", "write the result as a tag; a tag added at the same moment can be lost"),
    Address("api_base", "the address of the API; none makes it from subdomain"),
    Address("accounts_base", "the address of the accounts", "https://www.workable.com/spi/v3"),
    Address("authorize_url", "the consent page", "https://www.workable.com/oauth/authorize"),
    Address("token_url", "the address for tokens", "https://www.workable.com/oauth/token"),
    Address("revoke_url", "the address to end a consent", "https://www.workable.com/oauth/revoke"),
)


@dataclass(frozen=True)
class Listing:
    """The entries of a list; without `is_complete` there are more."""

    entries: Sequence[Mapping[str, Any]]
    is_complete: bool


class WorkableApi(AtsApi):
    """Workable's API. The provider contract is apart from it and needs none of this."""

    secrets = {  # noqa: RUF012
        "api_token": "the access token or the partner token",
        "oauth_client_id": "the client id of the OAuth application",
        "oauth_client_secret": "the client secret of the OAuth application",
        "webhook_secret": "the key that signs events, if it is not the token",
    }
    rule_facts = {  # noqa: RUF012
        "job": "the shortcode or the title of a job",
        "stage": "the name, the slug or the kind of a stage",
    }
    required_facts = ("stage",)
    sources = (ChangedCandidates(), StageSweep())
    writers = (Rating(), Comment(), Tag())
    token_flow = WorkableTokens()
    webhook = CandidateEvents()
    subscriptions = WorkableSubscriptions()

    def base_url(self, settings: Mapping[str, Any]) -> str:
        return api_base(settings)

    def missing(self, connection: Connection) -> list[str]:
        """Return what the chosen kind of credential lacks."""
        settings = connection.settings
        names = {
            "access_token": ("api_token",),
            "partner_token": ("api_token",),
            "oauth": ("oauth_client_id", "oauth_client_secret"),
        }[settings["auth"]]
        lacking = [name for name in names if not connection.secret(name)]
        if not SUBDOMAIN.fullmatch(settings["subdomain"] or ""):
            lacking.insert(0, "subdomain")
        if settings["auth"] == "partner_token" and not settings["client_id_header"]:
            lacking.append("client_id_header")
        return lacking

    def allowed_hosts(self, connection: Connection) -> frozenset[str]:
        """Return the hosts of the account and of the accounts: lists go on at the latter."""
        accounts_host = ApiRequest("GET", connection.settings["accounts_base"]).host
        return super().allowed_hosts(connection) | {accounts_host}

    def sign(self, request: ApiRequest, connection: Connection, now: datetime) -> ApiRequest:
        """Add the token, and the partner's id where there is one."""
        token = connection.access_token or connection.secret("api_token")
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if client_id := connection.settings["client_id_header"]:
            headers["X-WORKABLE-CLIENT-ID"] = client_id
        return request.with_headers(headers)

    def budget(self, connection: Connection) -> Budget:
        """Return the budget of the account's token, or the one that a client's accounts share."""
        settings = connection.settings
        if settings["auth"] == "access_token":
            client = connection.client_digest("workable", connection.secret("api_token"))
            return Budget(client, ACCOUNT_LIMIT, WINDOW)
        is_oauth = settings["auth"] == "oauth"
        name = connection.secret("oauth_client_id") if is_oauth else settings["client_id_header"]
        account = settings["subdomain"] if settings["budget_scope"] == "account" else ""
        client = connection.client_digest("workable", str(name), str(account))
        return Budget(client, CLIENT_LIMIT, WINDOW)

    def check(self, connection: Connection) -> CheckSteps:
        """Ask for jobs and candidates, and for the member in whose name results appear."""
        lines = []
        for resource, scope in (("jobs", "r_jobs"), ("candidates", "r_candidates")):
            url = f"{api_base(connection.settings)}/{resource}?limit=1"
            response = yield connection, ApiRequest("GET", url)
            lines.append(_resource_line(resource, scope, response.status_code))
        members = None
        if _shows_members(connection.settings):
            steps = _list(connection, "members", "limit=100")
            members = yield from _with_connection(connection, steps)
        return CheckReport([*lines, *_member_lines(connection.settings["member_id"], members)])

    def learn(self, connection: Connection) -> CheckSteps:
        """After a consent: find the account's subdomain."""
        url = f"{connection.settings['accounts_base']}/accounts"
        response = yield connection, ApiRequest("GET", url)
        if not response.is_success:
            text = f"Workable does not tell its accounts: it answers {response.status_code}"
            return CheckReport([CheckLine(False, text)])
        names = [str(account["subdomain"]) for account in response.json()["accounts"]]
        names = [name for name in names if SUBDOMAIN.fullmatch(name)]
        subdomain = connection.settings["subdomain"]
        if subdomain in names:
            return CheckReport([CheckLine(True, "The account is connected")])
        if subdomain:
            text = (
                f"The consent is for {' or '.join(names) or 'no account'}, not for {subdomain}: "
                "sign in to Workable as a user of that account, and connect again"
            )
            return CheckReport([CheckLine(False, text)], is_other_account=True)
        if len(names) == 1:
            line = CheckLine(True, f"The account {names[0]} is connected")
            return CheckReport([line], {"subdomain": names[0]})
        text = f"Choose one of the accounts: set subdomain to {' or '.join(names)}"
        return CheckReport([CheckLine(False, text)])

    def choosers(self) -> Mapping[str, Callable[[Connection], ChooserSteps]]:
        """Return the generators that list published jobs and the stages."""
        return {"job": _choose_job, "stage": _choose_stage}

    def setting_choosers(
        self, settings: Mapping[str, Any]
    ) -> Mapping[str, Callable[[Connection], ChooserSteps]]:
        """Return the generator that lists the members, where the token may."""
        return {"member_id": _choose_member} if _shows_members(settings) else {}


def _resource_line(resource: str, scope: str, code: int) -> CheckLine:
    if code == 200:
        return CheckLine(True, f"Workable shows {resource}")
    if code == 403:
        return CheckLine(False, f"Workable refuses {resource}: the token lacks the scope {scope}")
    if code == 401:
        return CheckLine(False, "Workable refuses the token: it may have ended, or be another's")
    return CheckLine(False, f"Workable answers {code} for {resource}: check subdomain")


def _shows_members(settings: Mapping[str, Any]) -> bool:
    """Return whether the kind of the token may list the account's members."""
    return bool(settings["auth"] != "partner_token")


def _member_lines(member_id: str | None, members: Listing | None) -> list[CheckLine]:
    """Say whether comments and evaluations have a member; `members` is None if none is shown."""
    if not member_id:
        active = [entry for entry in members.entries if _is_active(entry)] if members else []
        names = [f"{entry['id']} is {entry['name']}" for entry in active[:MAX_SHOWN_MEMBERS]]
        names += ["and others"] if len(active) > MAX_SHOWN_MEMBERS else []
        hint = f": {', '.join(names)}" if names else ", from Workable's API or its support"
        return [CheckLine(False, f"Comments and evaluations need member_id{hint}")]
    if members is None:
        return []
    for entry in members.entries:
        if str(entry["id"]) == member_id:
            return [_known_member_line(entry)]
    if not members.is_complete:
        return []
    text = f"member_id {member_id} is no member of the Workable account: choose another"
    return [CheckLine(False, text)]


def _known_member_line(member: Mapping[str, Any]) -> CheckLine:
    if _is_active(member):
        return CheckLine(True, f"Comments and evaluations appear as {member['name']}'s")
    text = f"member_id {member['id']} ({member['name']}) is not active: choose another"
    return CheckLine(False, text)


def _is_active(member: Mapping[str, Any]) -> bool:
    return member.get("active") is not False


def _choose_member(connection: Connection) -> ChooserSteps:
    members = yield from _list(connection, "members", "limit=100")
    entries = filter(_is_active, members.entries) if members else ()
    return [Choice(str(entry["id"]), str(entry["name"])) for entry in entries]


def _choose_job(connection: Connection) -> ChooserSteps:
    jobs = yield from _list(connection, "jobs", "state=published&limit=100")
    entries = jobs.entries if jobs else ()
    return [Choice(str(job["shortcode"]), str(job.get("title"))) for job in entries]


def _choose_stage(connection: Connection) -> ChooserSteps:
    response = yield stages_request(connection)
    stages = response.json()["stages"] if response.is_success else []
    return [Choice(stage["slug"], stage["name"]) for stage in stages]


def _list(
    connection: Connection, resource: str, query: str
) -> Generator[ApiRequest, ApiResponse, Listing | None]:
    """Yield the requests of a list's pages; return None where the first page is refused.

    Pages overlap by an entry, so entries are compared by their ids.
    """
    url: str | None = f"{api_base(connection.settings)}/{resource}?{query}"
    entries: dict[str, Mapping[str, Any]] = {}
    for _ in range(MAX_CHOICE_PAGES):
        response = yield ApiRequest("GET", str(url))
        if not response.is_success:
            return Listing(list(entries.values()), is_complete=False) if entries else None
        document = response.json()
        entries |= {str(entry["id"]): entry for entry in document[resource]}
        url = (document.get("paging") or {}).get("next")
        if not url:
            break
    return Listing(list(entries.values()), is_complete=not url)


def _with_connection(
    connection: Connection, steps: Generator[ApiRequest, ApiResponse, Listing | None]
) -> Generator[tuple[Connection, ApiRequest], ApiResponse, Listing | None]:
    """Yield the requests as the steps of a check do."""
    request = next(steps)
    while True:
        response = yield connection, request
        try:
            request = steps.send(response)
        except StopIteration as end:
            result: Listing | None = end.value
            return result
