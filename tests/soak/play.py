"""Orders with their whole lives: an ATS, candidates and staff, all over HTTP.

A step whose answer never came, for the server died, is looked up by polling before it is done
again: so each status of a script is brought about once, and known to be.
"""

import threading
from dataclasses import dataclass, field, replace

from tests import cast
from tests.soak.actor import STAFF, Actor
from tests.soak.history import Promise
from tests.soak.server import Instance
from tests.soak.web import BROKEN, Browser, Machine, Page, Postbox

# What the ATS learns by each step.
LEARNS = {
    "decline": "rejected", "reopen": "pending", "cancel": "expired",
    "finish": "completed", "consent": "consented", "conclude": "completed",
}  # fmt: skip
SCRIPTS = (
    ("assessment", ("decline", "reopen", "decline", "reopen", "cancel")),
    ("check", ("consent", "conclude", "reopen", "consent", "conclude")),
    ("assessment", ("finish", "reopen", "decline", "reopen", "finish")),
)
WORDS = {"assessment": ("test_id", "assessment_id"),
         "check": ("package_id", "background_check_id")}  # fmt: skip
MOST_REFUSALS = 30  # of one step: more is no bad luck


class NotYet(Exception):
    """A step cannot be done now: a letter has not come, or the server says no."""


class Broken(Exception):
    """A play does not go on, and no server's death explains it."""


@dataclass
class Stage:
    """What all plays share: the server's address, the products, the way in of ATS and staff."""

    port: int
    receiver: str  # its address
    ats: Machine
    products: dict[str, str]
    password: str
    postbox: Postbox
    actor: Actor
    pages: int = 1  # every how many-th order goes by the pages, all else by the actor
    patience: int = MOST_REFUSALS
    _staff: Browser | None = None
    _csrf: str = ""
    _door: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def lay(cls, instance: Instance, receiver: str) -> "Stage":
        """Make an account, a test, a package and a member of staff."""
        with instance.house() as house:
            _, token = cast.account(house)
            products = {"assessment": cast.test(house), "check": cast.package(house)}
            password = cast.staff(house, STAFF)
        ats, postbox = Machine(instance.port, token), Postbox(instance.folder)
        actor = Actor(instance.environment)
        return cls(instance.port, receiver, ats, products, password, postbox, actor)

    def beside(self, port: int) -> "Stage":
        """Return the same stage at another server."""
        return replace(self, port=port, ats=self.ats.at(port), _staff=None, _door=threading.Lock())

    def staff(self) -> tuple[Browser, str]:
        """Return the console's browser, signed in once for all, and its form token."""
        with self._door:
            if self._staff is None:
                browser = Browser(self.port)
                form = browser.get("/console/sign-in").field("csrf_token")
                browser.post(
                    "/console/sign-in", csrf_token=form, email=STAFF, password=self.password
                )
                self._csrf = expect(browser.get("/console/orders/"), 200).field("csrf_token")
                self._staff = browser
            return self._staff, self._csrf


@dataclass
class Play:
    """One order and what becomes of it, step by step."""

    stage: Stage
    number: int
    kind: str
    script: tuple[str, ...]
    id: str = ""
    done: int = 0
    unsure: bool = False
    refusals: int = 0
    _browser: Browser | None = None
    _csrf: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.id) and self.done == len(self.script)

    @property
    def path(self) -> str:
        """The callback's path, which names the order to the receiver."""
        return f"/callbacks/{self.number}"

    @property
    def promised(self) -> list[Promise]:
        """The statuses that were acknowledged so far."""
        words = [LEARNS[step] for step in self.script[: self.done]]
        return [Promise(self.path, number, word) for number, word in enumerate(words, 1)]

    def act(self) -> bool:
        """Do the next step; False when it has to be tried again. Broken when that goes on."""
        try:
            self._step()
        except BROKEN:
            self.unsure = True
        except NotYet as reason:
            self.unsure = True
            self.refusals += 1
            if self.refusals > self.stage.patience:
                raise Broken(f"{self.path} {self.next}: {reason}") from reason
        else:
            self.unsure, self.refusals = False, 0
            return True
        return False

    @property
    def next(self) -> str:
        """The step that is due."""
        return self.script[self.done] if self.id else "place"

    def place(self) -> str:
        """Order as the ATS does, and return the id; the same again is the same order."""
        product, noun = WORDS[self.kind]
        wish = {
            product: self.stage.products[self.kind],
            "callback_url": self.stage.receiver + self.path,
            "candidate": {"email": self._address, "first_name": "Lakita", "last_name": "Marrero"},
        }
        return str(expect(self.stage.ats.post(f"/{self.kind}s", wish), 201).json[noun])

    def standing(self) -> Page:
        """Poll as the ATS does."""
        return self.stage.ats.get(f"/{self.kind}s/{self.id}")

    def _step(self) -> None:
        if not self.id:
            self.id = self.place()
            return
        step = self.script[self.done]
        if not (self.unsure and self._stands(LEARNS[step])):
            self._do(step)
        self.done += 1

    def _stands(self, status: str) -> bool:
        return bool(expect(self.standing(), 200).json["status"] == status)

    def _do(self, step: str) -> None:
        if self.number % self.stage.pages == 0:
            getattr(self, f"_{step}")()
        elif refused := self.stage.actor.do(self.id, step):
            raise NotYet(refused)

    def _decline(self) -> None:
        self._candidate("decline", reason="No time")

    def _consent(self) -> None:
        self._candidate("consent", name="Lakita Marrero")

    def _finish(self) -> None:
        browser, csrf = self._inside()
        browser.post(f"{self._landing}start", csrf_token=csrf)  # a second start is refused
        done = browser.post(f"{self._landing}submit", csrf_token=csrf, blank="99")
        if not done.location.endswith(self._landing):
            raise NotYet(f"{done.code} to {done.location or done.text}")

    def _candidate(self, act: str, **fields: str) -> None:
        browser, csrf = self._inside()
        expect(browser.post(f"{self._landing}{act}", csrf_token=csrf, **fields), 302, 303)

    def _inside(self) -> tuple[Browser, str]:
        """Come in by the letter's link, once."""
        if self._browser is None:
            link = self.stage.postbox.link(self._address)
            if link is None:
                raise BrokenPipeError  # not here yet: a letter takes as long as it takes
            browser = Browser(self.stage.port)
            expect(browser.get(link), 303)
            form = "consent" if self.kind == "check" else "decline"
            self._csrf = expect(browser.get(f"{self._landing}{form}"), 200).field("csrf_token")
            self._browser = browser
        return self._browser, self._csrf

    def _cancel(self) -> None:
        self._staff("cancel")

    def _reopen(self) -> None:
        self._staff("reopen")

    def _staff(self, act: str) -> None:
        staff, csrf = self.stage.staff()
        path = f"/console/orders/{self.id}/{act}"
        revision = expect(staff.get(path), 200).field("revision")
        expect(staff.post(path, csrf_token=csrf, revision=revision, reason="Asked for"), 302)

    def _conclude(self) -> None:
        staff, csrf = self.stage.staff()
        path = f"/console/checks/{self.id}/"
        stand = expect(staff.get(path), 200).field("stand")
        if stand:  # not there any more once it is completed
            found = {"status-criminal": "clear", "stand": stand, "csrf_token": csrf}
            expect(staff.post(f"{path}outcomes", **found, go="complete"), 302)
        stand = expect(staff.get(f"{path}complete"), 200).field("stand")
        expect(staff.post(f"{path}complete", csrf_token=csrf, stand=stand), 302)

    @property
    def _landing(self) -> str:
        return f"/c/o/{self.id}/"

    @property
    def _address(self) -> str:
        return f"candidate-{self.number}@provider.test"


def expect(page: Page, *codes: int) -> Page:
    """Return a page that has one of the codes; NotYet otherwise."""
    if page.code not in codes:
        raise NotYet(f"{page.code} {page.location} {page.text[-300:]}")
    return page


def plays(stage: Stage, count: int, statuses: int) -> list[Play]:
    """Return plays of every script, with so many statuses each."""
    return [
        Play(stage, number, kind, steps[:statuses])
        for number in range(count)
        for kind, steps in [SCRIPTS[number % len(SCRIPTS)]]
    ]
