"""Orders with their whole lives: an ATS, candidates and staff, all over HTTP.

A step whose answer never came, for the server died, is looked up by polling before it is done
again: so each status of a script is brought about once, and known to be.
"""

import threading
from dataclasses import dataclass, field, replace

from tests import factories
from tests.endurance.actors import STAFF_EMAIL, ActorProcess
from tests.endurance.server import Instance
from tests.endurance.verdict import ExpectedStatus
from tests.endurance.web import CONNECTION_ERRORS, AtsClient, Browser, EmailFolder, HttpResponse

# What the ATS learns by each step.
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
MAX_REFUSALS = 30  # of one step: more is no bad luck


class StepNotPossible(Exception):
    """A step cannot be done now: a letter has not come, or the server says no."""


class ScriptFailed(Exception):
    """A play does not go on, and no server's death explains it."""


@dataclass
class ScriptContext:
    """What all plays share: the server's address, the products, the way in of ATS and staff."""

    port: int
    receiver_url: str  # its address
    ats: AtsClient
    products: dict[str, str]
    password: str
    email_folder: EmailFolder
    actor: ActorProcess
    page_interval: int = 1  # every how many-th order goes by the pages, all else by the actor
    max_refusals: int = MAX_REFUSALS
    _staff_browser: Browser | None = None
    _csrf_token: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def create(cls, instance: Instance, receiver_url: str) -> "ScriptContext":
        """Make an account, a test, a package and a member of staff."""
        with instance.open_services() as services:
            _, token = factories.create_account(services)
            products = {
                "assessment": factories.create_test(services),
                "check": factories.create_package(services),
            }
            password = factories.create_staff(services, STAFF_EMAIL)
        ats, postbox = AtsClient(instance.port, token), EmailFolder(instance.folder)
        actor = ActorProcess(instance.environment)
        return cls(instance.port, receiver_url, ats, products, password, postbox, actor)

    def for_server(self, port: int) -> "ScriptContext":
        """Return the same stage at another server."""
        return replace(
            self,
            port=port,
            ats=self.ats.for_port(port),
            _staff_browser=None,
            _lock=threading.Lock(),
        )

    def staff_session(self) -> tuple[Browser, str]:
        """Return the console's browser, signed in once for all, and its form token."""
        with self._lock:
            if self._staff_browser is None:
                browser = Browser(self.port)
                form = browser.get("/console/sign-in").form_field("csrf_token")
                browser.post(
                    "/console/sign-in", csrf_token=form, email=STAFF_EMAIL, password=self.password
                )
                self._csrf_token = expect_status(browser.get("/console/orders/"), 200).form_field(
                    "csrf_token"
                )
                self._staff_browser = browser
            return self._staff_browser, self._csrf_token


@dataclass
class OrderScript:
    """One order and what becomes of it, step by step."""

    context: ScriptContext
    number: int
    kind: str
    steps: tuple[str, ...]
    id: str = ""
    completed_steps: int = 0
    is_uncertain: bool = False
    refusals: int = 0
    _browser: Browser | None = None
    _csrf_token: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.id) and self.completed_steps == len(self.steps)

    @property
    def callback_path(self) -> str:
        """The callback's path, which names the order to the receiver."""
        return f"/callbacks/{self.number}"

    @property
    def expected_statuses(self) -> list[ExpectedStatus]:
        """The statuses that were acknowledged so far."""
        words = [STEP_STATUSES[step] for step in self.steps[: self.completed_steps]]
        return [
            ExpectedStatus(self.callback_path, number, word) for number, word in enumerate(words, 1)
        ]

    def perform_next(self) -> bool:
        """Do the next step; False when it has to be tried again. Broken when that goes on."""
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
        """The step that is due."""
        return self.steps[self.completed_steps] if self.id else "place"

    def place_order(self) -> str:
        """Order as the ATS does, and return the id; the same again is the same order."""
        product, noun = CONTRACT_NAMES[self.kind]
        wish = {
            product: self.context.products[self.kind],
            "callback_url": self.context.receiver_url + self.callback_path,
            "candidate": {"email": self._email, "first_name": "Lakita", "last_name": "Marrero"},
        }
        return str(expect_status(self.context.ats.post(f"/{self.kind}s", wish), 201).json[noun])

    def poll(self) -> HttpResponse:
        """Poll as the ATS does."""
        return self.context.ats.get(f"/{self.kind}s/{self.id}")

    def _place_or_perform(self) -> None:
        if not self.id:
            self.id = self.place_order()
            return
        step = self.steps[self.completed_steps]
        if not (self.is_uncertain and self._has_status(STEP_STATUSES[step])):
            self._perform(step)
        self.completed_steps += 1

    def _has_status(self, status: str) -> bool:
        return bool(expect_status(self.poll(), 200).json["status"] == status)

    def _perform(self, step: str) -> None:
        if self.number % self.context.page_interval == 0:
            getattr(self, f"_{step}")()
        elif refused := self.context.actor.perform(self.id, step):
            raise StepNotPossible(refused)

    def _decline(self) -> None:
        self._submit_candidate_form("decline", reason="No time")

    def _consent(self) -> None:
        self._submit_candidate_form("consent", name="Lakita Marrero")

    def _finish(self) -> None:
        browser, csrf = self._open_invitation()
        browser.post(f"{self._candidate_path}start", csrf_token=csrf)  # a second start is refused
        done = browser.post(f"{self._candidate_path}submit", csrf_token=csrf, blank="99")
        if not done.location.endswith(self._candidate_path):
            raise StepNotPossible(f"{done.status_code} to {done.location or done.text}")

    def _submit_candidate_form(self, action: str, **fields: str) -> None:
        browser, csrf = self._open_invitation()
        expect_status(
            browser.post(f"{self._candidate_path}{action}", csrf_token=csrf, **fields), 302, 303
        )

    def _open_invitation(self) -> tuple[Browser, str]:
        """Come in by the letter's link, once."""
        if self._browser is None:
            link = self.context.email_folder.invitation_path(self._email)
            if link is None:
                raise BrokenPipeError  # not here yet: a letter takes as long as it takes
            browser = Browser(self.context.port)
            expect_status(browser.get(link), 303)
            form = "consent" if self.kind == "check" else "decline"
            self._csrf_token = expect_status(
                browser.get(f"{self._candidate_path}{form}"), 200
            ).form_field("csrf_token")
            self._browser = browser
        return self._browser, self._csrf_token

    def _cancel(self) -> None:
        self._submit_staff_form("cancel")

    def _reopen(self) -> None:
        self._submit_staff_form("reopen")

    def _submit_staff_form(self, action: str) -> None:
        staff, csrf = self.context.staff_session()
        path = f"/console/orders/{self.id}/{action}"
        revision = expect_status(staff.get(path), 200).form_field("revision")
        expect_status(staff.post(path, csrf_token=csrf, revision=revision, reason="Asked for"), 302)

    def _conclude(self) -> None:
        staff, csrf = self.context.staff_session()
        path = f"/console/checks/{self.id}/"
        stand = expect_status(staff.get(path), 200).form_field("stand")
        if stand:  # not there any more once it is completed
            found = {"status-criminal": "clear", "stand": stand, "csrf_token": csrf}
            expect_status(staff.post(f"{path}outcomes", **found, go="complete"), 302)
        stand = expect_status(staff.get(f"{path}complete"), 200).form_field("stand")
        expect_status(staff.post(f"{path}complete", csrf_token=csrf, stand=stand), 302)

    @property
    def _candidate_path(self) -> str:
        return f"/c/o/{self.id}/"

    @property
    def _email(self) -> str:
        return f"candidate-{self.number}@provider.test"


def expect_status(page: HttpResponse, *status_codes: int) -> HttpResponse:
    """Return a page that has one of the codes; NotYet otherwise."""
    if page.status_code not in status_codes:
        raise StepNotPossible(f"{page.status_code} {page.location} {page.text[-300:]}")
    return page


def create_scripts(context: ScriptContext, count: int, statuses: int) -> list[OrderScript]:
    """Return plays of every script, with so many statuses each."""
    return [
        OrderScript(context, number, kind, steps[:statuses])
        for number in range(count)
        for kind, steps in [SCRIPTS[number % len(SCRIPTS)]]
    ]
