"""A strict Workable: its REST API with OAuth, and the events that it sends to webhooks.

`FakeWorkableApi` stands on three parts: credentials (`workable_oauth`), what the API reads
(`workable_records`), and events (`workable_webhooks`). Here are the routes and the writes.
"""

import base64
import re
from collections.abc import Callable
from typing import Any

from tests.factories import ManualClock
from tests.fakes.vendor import Reply
from tests.fakes.workable_oauth import API_PATH, Call, Refusal
from tests.fakes.workable_records import (
    Record,
    Row,
    body_of,
    query_of,
    require,
    time_filter,
    with_texts,
)
from tests.fakes.workable_webhooks import WorkableWebhooks

ROLES = ("admin", "simple", "reviewer", "recruiter")
JOB_STATES = ("draft", "published", "closed", "archived")
HIDDEN_JOB_FIELDS = {"subdomain", "stages", "updated_at"}
COMMENT_FIELDS = {"body", "policy", "attachment"}
POLICIES = ("simple", "recruiter", "reviewer")
SCORES = ("negative", "positive", "definite")  # their grades in `thumbs` are 0, 1, 2
GRADE_COUNTS = {"thumbs": 3, "stars": 5, "numbers": 10}
NOTE_LIMIT = 256  # characters
TEXT = {"Content-Type": "text/plain"}


class FakeWorkableApi(WorkableWebhooks):
    """Workable's API, on one host for all accounts and for `www`.

    An address without an account means the first account of the token.
    """

    sends_role_list = False  # a member has `roles` instead of `role`
    rating_methods: tuple[str, ...] = ("PUT", "POST")
    knows_grades = True  # False: an old account, whose ratings have only a score

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.api_url = f"{self.url}{API_PATH}"
        self.writes: list[tuple[str, str, Record]] = []  # candidate, last part of the path, body
        self.ratings: dict[str, list[Record]] = {}  # by candidate
        candidate = "/candidates/([^/]+)"
        self._routes: list[tuple[str, str, str, Callable[..., Reply]]] = [
            ("GET", "/accounts/?", "r_jobs", self._list_accounts),
            ("GET", "/accounts/([^/]+)", "r_jobs", self._show_account),
            ("GET", "/members", "r_jobs", self._list_members),
            ("GET", "/stages", "r_jobs", self._list_stages),
            ("GET", "/jobs", "r_jobs", self._list_jobs),
            ("GET", "/jobs/([^/]+)", "r_jobs", self._show_job),
            ("GET", "/jobs/([^/]+)/stages", "r_jobs", self._list_stages),
            ("GET", "/candidates", "r_candidates", self.list_candidates),
            ("GET", candidate, "r_candidates", self._show_candidate),
            ("GET", f"{candidate}/activities", "r_candidates", self._list_activities),
            ("POST", f"{candidate}/comments", "w_candidates w_comments", self._comment),
            ("PUT", f"{candidate}/ratings", "w_candidates", self._rate),
            ("POST", f"{candidate}/ratings", "w_candidates", self._rate),
            ("PUT", f"{candidate}/tags", "w_candidates", self._tag),
            ("POST", f"{candidate}/move", "w_candidates", self._move),
            ("POST", f"{candidate}/disqualify", "w_candidates", self._disqualify),
            ("GET", "/subscriptions", "r_candidates", self.list_subscriptions),
            ("POST", "/subscriptions", "r_candidates", self.subscribe),
            ("DELETE", "/subscriptions/([^/]+)", "r_candidates", self.unsubscribe),
        ]

    def written(self, candidate_id: str, action: str) -> list[Record]:
        """Return the accepted bodies, for example of `comments`, in their order."""
        wanted = candidate_id, action
        return [body for written_id, name, body in self.writes if (written_id, name) == wanted]

    def answer_call(self, call: Call) -> Reply:
        for method, pattern, scopes, act in self._routes:
            match = re.fullmatch(pattern, call.path)
            if match and method == call.request.method:
                self.require_scope(call, scopes)
                return act(call, *match.groups())
        raise Refusal(404, "Not found")

    def _list_accounts(self, call: Call) -> Reply:
        query_of(call)
        accounts = [self._account(subdomain) for subdomain in call.credential.subdomains]
        return Reply(200, {"accounts": accounts})

    def _show_account(self, call: Call, subdomain: str) -> Reply:
        query_of(call)
        if subdomain not in call.credential.subdomains:
            raise Refusal(404, "Not found")
        return Reply(200, self._account(subdomain))

    def _account(self, subdomain: str) -> Record:
        account_id = f"{0x20FF5C50 + list(self.accounts).index(subdomain):x}"
        shown = {"id": account_id, "name": self.accounts[subdomain], "subdomain": subdomain}
        url = f"https://{subdomain}.example.org"
        return shown | {"description": None, "summary": None, "website_url": url}

    def _list_members(self, call: Call) -> Reply:
        if call.credential.kind == "partner":
            raise Refusal(401, "Not authorized")
        query = query_of(call, "limit", "since_id", "max_id", "role")
        role = query.get("role")
        require(role in (None, *ROLES), "role", "is not known")
        rows: list[Row] = []
        for member_id, member in self.members.items():
            shown = dict(member)
            if self.sends_role_list:
                shown["roles"] = [shown.pop("role")]
            rows.append((member_id, shown if role in (None, member["role"]) else None))
        return self.page(call, "members", query, rows)

    def _list_stages(self, call: Call, shortcode: str = "") -> Reply:
        query_of(call)
        stages = self.found_job(call, shortcode)["stages"] if shortcode else self.stages
        return Reply(200, {"stages": stages})

    def _show_job(self, call: Call, shortcode: str) -> Reply:
        query_of(call)
        return Reply(200, _shown_job(self.found_job(call, shortcode)))

    def _list_jobs(self, call: Call) -> Reply:
        names = ("state", "limit", "since_id", "max_id", "created_after", "updated_after")
        query = query_of(call, *names)
        require(query.get("state", "draft") in JOB_STATES, "state", "is not known")
        is_new = time_filter(query)
        state = query.get("state")
        rows: list[Row] = []
        for job in self.jobs.values():
            is_shown = job["subdomain"] == call.subdomain and state in (None, job["state"])
            rows.append((job["id"], _shown_job(job) if is_shown and is_new(job) else None))
        return self.page(call, "jobs", query, rows)

    def _show_candidate(self, call: Call, candidate_id: str) -> Reply:
        query_of(call)
        return Reply(200, {"candidate": self.shown(self.found(call, candidate_id))})

    def _list_activities(self, call: Call, candidate_id: str) -> Reply:
        query = query_of(call, "limit", "since_id", "max_id")
        self.found(call, candidate_id)
        activities = map(with_texts, self.activities.get(candidate_id, []))
        rows = ((f"{index:08x}", activity) for index, activity in enumerate(activities))
        return self.page(call, "activities", query, rows)

    def _comment(self, call: Call, candidate_id: str) -> Reply:
        self.found(call, candidate_id)
        body = body_of(call, "member_id", "comment")
        self._require_member(body)
        comment: Any = body.get("comment")
        is_right = isinstance(comment, dict) and comment.keys() <= COMMENT_FIELDS
        require(is_right, "comment", "is not an object with the known fields")
        require(_is_text(comment.get("body")), "body", "can't be blank")
        policy = comment.get("policy", [])
        is_list = isinstance(policy, list) and all(role in POLICIES for role in policy)
        require(is_list, "policy", "is not a list of roles")
        if "attachment" in comment:
            require(_is_file(comment["attachment"]), "attachment", "is not one file in base64")
        self.writes.append((candidate_id, "comments", body))
        self.note(candidate_id, "comment", body["member_id"], body=comment["body"])
        return Reply(201, None, dict(TEXT))

    def _rate(self, call: Call, candidate_id: str) -> Reply:
        is_put = call.request.method == "PUT"
        if call.request.method not in self.rating_methods:
            raise Refusal(404, "Not found")
        record = self.found(call, candidate_id)
        new_fields = ("scale", "grade", "stage_id") if self.knows_grades else ()
        body = body_of(call, "member_id", "comment", "score", *new_fields)
        self._require_member(body)
        comment = body.get("comment")
        is_left_out = "comment" not in body and not is_put
        require(is_left_out or _is_text(comment), "comment", "can't be blank")
        scale, grade = self._grade(body)
        slug = body.get("stage_id", record["stage"])
        require(slug in self.slugs(call.subdomain, record["job"]), "stage_id", "is not known")
        key = {"member_id": body["member_id"], "stage": slug}
        ratings = self.ratings.setdefault(candidate_id, [])
        earlier = [rating for rating in ratings if is_put and key.items() <= rating.items()]
        for rating in earlier:
            ratings.remove(rating)
        ratings.append(key | {"scale": scale, "grade": grade, "comment": comment})
        if not earlier:
            self.note(candidate_id, "rating", body["member_id"], body=comment)
        self.writes.append((candidate_id, "ratings", body))
        return Reply(200 if is_put else 201, None, dict(TEXT))

    def _grade(self, body: Record) -> tuple[str, int]:
        """Return the scale and the grade of a rating; a score wins over both."""
        if "score" in body or not self.knows_grades:
            score = body.get("score")
            require(score in SCORES, "score", "is not known")
            return "thumbs", SCORES.index(str(score))
        scale, grade = body.get("scale"), body.get("grade")
        count = GRADE_COUNTS.get(scale, 0) if isinstance(scale, str) else 0
        require(count > 0, "scale", "is not known")
        is_grade = isinstance(grade, int) and not isinstance(grade, bool) and 0 <= grade < count
        require(is_grade, "grade", "is not in the scale")
        return str(scale), int(grade or 0)

    def _tag(self, call: Call, candidate_id: str) -> Reply:
        self.found(call, candidate_id)
        body = body_of(call, "tags")
        tags = body.get("tags")
        is_right = isinstance(tags, list) and all(map(_is_text, tags))
        require(is_right, "tags", "is not a list of texts")
        self.change(candidate_id, tags=tags)
        self.writes.append((candidate_id, "tags", body))
        return Reply(202, {"tags": tags})

    def _move(self, call: Call, candidate_id: str) -> Reply:
        record = self.found(call, candidate_id)
        body = body_of(call, "member_id", "target_stage")
        self._require_member(body)
        slug = body.get("target_stage")
        slugs = self.slugs(call.subdomain, record["job"])
        require(slug in slugs, "target_stage", "is not a stage of the job")
        self.set_stage(candidate_id, str(slug), body["member_id"])
        self.writes.append((candidate_id, "move", body))
        self.queue_event("candidate_moved", candidate_id)
        return Reply(202, None, dict(TEXT))

    def _disqualify(self, call: Call, candidate_id: str) -> Reply:
        self.found(call, candidate_id)
        new_fields = ("withdrew", "disqualify_reason_id", "disqualify_note")
        body = body_of(call, "member_id", "disqualification_reason", *new_fields)
        self._require_member(body)
        is_old = "disqualification_reason" in body
        is_mixed = is_old and not body.keys().isdisjoint(new_fields)
        require(not is_mixed, "disqualification_reason", "does not go with the new fields")
        require(isinstance(body.get("withdrew", True), bool), "withdrew", "is not a boolean")
        reason_id = body.get("disqualify_reason_id", "")
        require(isinstance(reason_id, str), "disqualify_reason_id", "is not a text")
        name = "disqualification_reason" if is_old else "disqualify_note"
        reason = body.get(name)
        is_short = is_old or len(str(reason)) <= NOTE_LIMIT
        is_right = name not in body or (_is_text(reason) and is_short)
        require(is_right, name, f"is no text, or has more than {NOTE_LIMIT} characters")
        self.set_disqualified(candidate_id, reason, body["member_id"])
        self.writes.append((candidate_id, "disqualify", body))
        self.queue_event("candidate_moved", candidate_id)
        return Reply(200, None, dict(TEXT))

    def _require_member(self, body: Record) -> None:
        member_id = body.get("member_id")
        require(_is_text(member_id), "member_id", "can't be blank")
        member = self.members.get(str(member_id), {"active": False})
        require(member["active"], "member_id", "is not an active member")


def _shown_job(job: Record) -> Record:
    shown = {name: value for name, value in job.items() if name not in HIDDEN_JOB_FIELDS}
    url = f"https://{job['subdomain']}.workable.com/jobs/{int(job['id'], 16)}"
    return with_texts(shown | {"full_title": job["title"], "url": url})


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_file(value: Any) -> bool:
    """Return whether it is one attachment: a name, and content in base64."""
    if not isinstance(value, dict) or value.keys() != {"name", "data"}:
        return False
    if not _is_text(value["name"]) or not _is_text(value["data"]):
        return False
    try:
        return bool(base64.b64decode(value["data"], validate=True))
    except ValueError:
        return False
