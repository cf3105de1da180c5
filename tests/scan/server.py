"""The scanned server: an instance with orders in several states, and sessions of its people."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import requests

from provider.config import load_settings
from provider.services import Services
from tests import check_factories, factories, interview_factories

PORT = 8765
URL = f"http://127.0.0.1:{PORT}"
STARTED = "started test"
START_TIMEOUT_SECONDS = 60.0
PROGRAM = [sys.executable, "-m", "provider.cli"]


@dataclass(frozen=True)
class ScannedPage:
    """A candidate's page; `cookie` is the header that opens it, if it is no link with a token."""

    name: str
    url: str
    cookie: str = ""


@dataclass(frozen=True)
class ScannedServer:
    """A running server. `staff_cookie` is the header of an owner's session."""

    url: str
    candidate_pages: list[ScannedPage]
    staff_cookie: str


@contextmanager
def scanned_server(work: Path) -> Iterator[ScannedServer]:
    """Serve a new instance with one account, products of each kind and their orders."""
    environ = os.environ | {
        "PROVIDER_INSTANCE": str(work / "instance"),
        "PROVIDER_BASE_URL": URL,
    }
    subprocess.run([*PROGRAM, "init"], env=environ, check=True, stdout=subprocess.DEVNULL)
    services = factories.build_services(load_settings(environ))
    links = _place_orders(services)
    email = "owner@provider.test"
    password = factories.create_staff(services, email, "owner")
    services.db.close()
    log = work / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", str(PORT)], env=environ, stdout=output, stderr=output
        )
    try:
        _wait_until_ready(process, log)
        yield ScannedServer(URL, _open_pages(links), _sign_in(email, password))
    finally:
        process.terminate()
        process.wait()


def _place_orders(services: Services) -> dict[str, str]:
    """Return the links of the invitations, by what the candidate has to do."""
    # No callback leaves the machine: the hosts of the orders are not allowed.
    account, _ = factories.create_account(services, hosts=["ats.invalid"])
    test = factories.create_test(services)
    package = check_factories.create_package(services)
    interview = factories.create_interview(services)

    def place(name: str, product: str, kind: str) -> str:
        callback_url = f"https://groove-tech.workable.com/{name.replace(' ', '-')}"
        return factories.place_order(services, account, product, kind, callback_url=callback_url)

    orders = {name: place(name, test, "assessment") for name in ("test", STARTED, "submitted test")}
    orders |= {name: place(name, package, "check") for name in ("check", "consented check")}
    orders["interview"] = place("interview", interview, "interview")
    factories.finish_test(services, orders["submitted test"])
    check_factories.give_consent(services, orders["consented check"])
    submitted, _ = interview_factories.submitted_interview(services, account=account)
    orders["submitted interview"] = submitted
    return {name: factories.invitation_url(services, order) for name, order in orders.items()}


def _open_pages(links: dict[str, str]) -> list[ScannedPage]:
    pages = [ScannedPage(f"{name}, first page", link) for name, link in links.items()]
    candidate = requests.Session()
    page = candidate.get(links[STARTED])
    start = page.url.rstrip("/") + "/start"
    question = candidate.post(start, data={"csrf_token": factories.csrf_token(page.text)})
    question.raise_for_status()
    cookie = _cookie_header(candidate)
    pages.append(ScannedPage("question of a test", question.url, cookie))
    pages.append(ScannedPage("overview of a test", page.url, cookie))
    return pages


def is_signed_in(server: ScannedServer) -> bool:
    """Return whether the session of the owner goes on."""
    headers = {"Cookie": server.staff_cookie}
    page = requests.get(f"{server.url}/console/", headers=headers, allow_redirects=False)
    return page.ok and not page.is_redirect


def _sign_in(email: str, password: str) -> str:
    staff = requests.Session()
    page = staff.get(f"{URL}/console/sign-in")
    form = {"csrf_token": factories.csrf_token(page.text), "email": email, "password": password}
    answer = staff.post(f"{URL}/console/sign-in", data=form)
    assert "Overview" in answer.text, "the owner cannot sign in"
    return _cookie_header(staff)


def _cookie_header(session: requests.Session) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and monotonic() < deadline:
        try:
            if requests.get(f"{URL}/health", timeout=1).ok:
                return
        except OSError:
            sleep(0.1)
    raise RuntimeError(f"the server does not start: {log.read_text('utf-8', 'replace')}")
