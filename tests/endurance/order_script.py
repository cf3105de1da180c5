"""Orders from their placing to their end: an ATS, candidates and staff, over HTTP.

A step is polled before it is repeated when its response was lost with the server.
So each status of a script is reached exactly once.
"""

import threading
from dataclasses import dataclass, field, replace

from tests import factories
from tests.endurance.actors import STAFF_EMAIL, ActorProcess
from tests.endurance.server import Instance
from tests.endurance.verdict import ExpectedStatus
from tests.endurance.web import CONNECTION_ERRORS, AtsClient, Browser, EmailFolder, HttpResponse

# The status that the ATS learns from each step.
STEP_STATUSES = {
    "decline": "rejected",
    "reopen": "pending",
    "cancel": "expired",
    "finish": "completed",
    "consent": "consented",
    "conclude": "completed",
}
SCRIPTS = (
    ("assessment", ("decline", "reopen", "decline", "reopen", "cancel")),
    ("check", ("consent", "conclude", "reopen", "consent", "conclude")),
    ("assessment", ("finish", "reopen", "decline", "reopen", "finish")),
)
CONTRACT_NAMES = {
    "assessment": ("test_id", "assessment_id"),
    "check": ("package_id", "background_check_id"),
}
MAX_REFUSALS = 30  # of one step, before its script fails


class StepNotPossible(Exception):
    """The step cannot be performed yet: the e-mail is missing, or the server refuses."""


class ScriptFailed(Exception):
    """The script cannot continue, and no server's death explains it."""


@dataclass
class ScriptContext:
    """The parts that all scripts share: server, products, and sessions of ATS and staff."""

    port: int
    receiver_url: str
    ats: AtsClient
    products: dict[str, str]
    password: str
    email_folder: EmailFolder
    actor: ActorProcess
    page_interval: int = 1  # every n-th order uses the pages, the others use the actor
    max_refusals: int = MAX_REFUSALS
    _staff_browser: Browser | None = None
    _csrf_token: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def create(cls, instance: Instance, receiver_url: str) -> "ScriptContext":
        """Create an account, a test, a package and a staff account."""
        with instance.open_services() as services:
            _, token = factories.create_account(services)
            products = {
                "assessment": factories.create_test(services),
                "check": factories.create_package(services),
            }
            password = factories.create_staff(services, STAFF_EMAIL)
        ats, email_folder = AtsClient(instance.port, token), EmailFolder(instance.folder)
        actor = ActorProcess(instance.environment)
        return cls(instance.port, receiver_url, ats, products, password, email_folder, actor)

    def for_server(self, port: int) -> "ScriptContext":
        """Return the same context for another server."""
        return replace(
            self,
            port=port,
            ats=self.ats.for_port(port),
            _staff_browser=None,
            _lock=threading.Lock(),
        )

    def staff_session(self) -> tuple[Browser, str]:
        """Return the console's browser, signed in once for all scripts, and its CSRF token."""
        with self._lock:
            if self._staff_browser is None:
                browser = Browser(self.port)
                csrf_token = browser.get("/console/sign-in").form_field("csrf_token")
                browser.post(
                    "/console/sign-in",
                    csrf_token=csrf_token,
                    email=STAFF_EMAIL,
                    password=self.password,
                )
                self._csrf_token = expect_status(browser.get("/console/orders/"), 200).form_field(
                    "csrf_token"
                )
                self._staff_browser = browser
            return self._staff_browser, self._csrf_token


@dataclass
class OrderScript:
    """One order and its steps."""

    context: ScriptContext
    number: int
    kind: str
    steps: tuple[str, ...]
    id: str = ""
    completed_steps: int = 0
    is_uncertain: bool = False
    refusals: int = 0
    _browser: Browser | None = None
    _opened_links: frozenset[str] = frozenset()
    _csrf_token: str = ""

    @property
    def is_finished(self) -> bool:
        """True when the order is placed and no step is left."""
        return bool(self.id) and self.completed_steps == len(self.steps)

    @property
    def callback_path(self) -> str:
        """The path of the callback URL, by which the receiver identifies the order."""
        return f"/callbacks/{self.number}"

    @property
    def expected_statuses(self) -> list[ExpectedStatus]:
        """The statuses acknowledged so far."""
        statuses = [STEP_STATUSES[step] for step in self.steps[: self.completed_steps]]
        return [
            ExpectedStatus(self.callback_path, sequence, status)
            for sequence, status in enumerate(statuses, 1)
        ]

    def perform_next(self) -> bool:
        """Perform the next step. Return False when it must be tried again."""
        try:
            self._place_or_perform()
        except CONNECTION_ERRORS:
            self.is_uncertain = True
        except StepNotPossible as reason:
            self.is_uncertain = True
            self.refusals += 1
            if self.refusals > self.context.max_refusals:
                raise ScriptFailed(f"{self.callback_path} {self.next_step}: {reason}") from reason
        else:
            self.is_uncertain, self.refusals = False, 0
            return True
        return False

    @property
    def next_step(self) -> str:
        return self.steps[self.completed_steps] if self.id else "place"

    def place_order(self) -> str:
        """Place the order and return its id. A repeat returns the same id."""
        product_field, id_field = CONTRACT_NAMES[self.kind]
        body = {
            product_field: self.context.products[self.kind],
            "callback_url": self.context.receiver_url + self.callback_path,
            "candidate": {"email": self._email, "first_name": "Lakita", "last_name": "Marrero"},
        }
        return str(expect_status(self.context.ats.post(f"/{self.kind}s", body), 201).json[id_field])

    def poll(self) -> HttpResponse:
        return self.context.ats.get(f"/{self.kind}s/{self.id}")

    def _place_or_perform(self) -> None:
        if not self.id:
            self.id = self.place_order()
            return
        step = self.steps[self.completed_steps]
        if not (self.is_uncertain and self._has_status(STEP_STATUSES[step])):
            self._perform(step)
        if step == "reopen":
            self._browser = None  # the old session is over, and a new invitation is sent
        self.completed_steps += 1

    def _has_status(self, status: str) -> bool:
        return bool(expect_status(self.poll(), 200).json["status"] == status)

    def _perform(self, step: str) -> None:
        if self.number % self.context.page_interval == 0:
            getattr(self, f"_{step}")()
        elif refusal := self.context.actor.perform(self.id, step):
            raise StepNotPossible(refusal)

    def _decline(self) -> None:
        self._submit_candidate_form("decline", reason="No time")

    def _consent(self) -> None:
        self._submit_candidate_form("consent", name="Lakita Marrero")

    def _finish(self) -> None:
        browser, csrf = self._open_invitation()
        # The server refuses a second start, after a lost response.
        browser.post(f"{self._candidate_path}start", csrf_token=csrf)
        response = browser.post(f"{self._candidate_path}submit", csrf_token=csrf, blank="99")
        if not response.location.endswith(self._candidate_path):
            raise StepNotPossible(f"{response.status_code} to {response.location or response.text}")

    def _submit_candidate_form(self, action: str, **fields: str) -> None:
        browser, csrf = self._open_invitation()
        expect_status(
            browser.post(f"{self._candidate_path}{action}", csrf_token=csrf, **fields), 302, 303
        )

    def _open_invitation(self) -> tuple[Browser, str]:
        """Open each invitation once; return the candidate's browser and CSRF token."""
        if self._browser is None:
            opened = self._opened_links
            link = self.context.email_folder.invitation_path(self._email, opened)
            if link is None:
                raise BrokenPipeError  # the e-mail has not arrived yet; the step is tried again
            browser = Browser(self.context.port)
            expect_status(browser.get(link), 303)
            form = "consent" if self.kind == "check" else "decline"
            self._csrf_token = expect_status(
                browser.get(f"{self._candidate_path}{form}"), 200
            ).form_field("csrf_token")
            self._browser = browser
            self._opened_links = opened | {link}
        return self._browser, self._csrf_token

    def _cancel(self) -> None:
        self._submit_staff_form("cancel")

    def _reopen(self) -> None:
        self._submit_staff_form("reopen")

    def _submit_staff_form(self, action: str) -> None:
        staff, csrf = self.context.staff_session()
        path = f"/console/orders/{self.id}/{action}"
        fields = expect_status(staff.get(path), 200).hidden_fields() | {"csrf_token": csrf}
        expect_status(staff.post(path, **(fields | {"reason": "Asked for"})), 302)

    def _conclude(self) -> None:
        staff, csrf = self.context.staff_session()
        path = f"/console/checks/{self.id}/"
        page = expect_status(staff.get(path), 200)
        if "status-criminal" in page.text:  # absent when the check is completed
            outcomes = page.hidden_fields() | {"status-criminal": "clear", "go": "complete"}
            expect_status(staff.post(f"{path}outcomes", **(outcomes | {"csrf_token": csrf})), 302)
        page = expect_status(staff.get(f"{path}complete"), 200)
        fields = page.hidden_fields() | {"csrf_token": csrf}
        expect_status(staff.post(f"{path}complete", **fields), 302)

    @property
    def _candidate_path(self) -> str:
        return f"/c/o/{self.id}/"

    @property
    def _email(self) -> str:
        return f"candidate-{self.number}@provider.test"


def expect_status(response: HttpResponse, *status_codes: int) -> HttpResponse:
    """Return the response when it has one of the codes; otherwise raise StepNotPossible."""
    if response.status_code not in status_codes:
        raise StepNotPossible(f"{response.status_code} {response.location} {response.text[-300:]}")
    return response


def create_scripts(context: ScriptContext, count: int, statuses: int) -> list[OrderScript]:
    """Return scripts of every sort, with at most `statuses` steps each."""
    return [
        OrderScript(context, number, kind, steps[:statuses])
        for number in range(count)
        for kind, steps in [SCRIPTS[number % len(SCRIPTS)]]
    ]
