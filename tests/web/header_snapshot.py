"""The status, headers and cookies of every route, as one table.

`python -m tests.web.header_snapshot` writes the table to `snapshots/headers.txt`. Review the
difference: a lost header or a cookie without `Secure` is a security fault.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from provider.app import ContractFlask, create_app
from provider.core.accounts import Account
from provider.core.connections.connect_state import create_state
from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.uploads import open_upload
from provider.core.orders import PDF, REPORT, SHARED, Link, Order, TimedOrder
from provider.core.orders.bulk_run import BulkRun
from provider.core.staff import complete_sign_in
from provider.maintenance import schema_version
from provider.outbox import Message
from provider.services import Services
from provider.storage.database import Database
from tests import (
    check_factories,
    check_outside_factories,
    factories,
    interview_factories,
)
from tests.pictures import data_uri, make_png

SNAPSHOT = Path(__file__).parent / "snapshots" / "headers.txt"
BASE_URL = "https://provider.test"
METRICS_TOKEN = "metrics-token-of-the-snapshot"
# Headers whose value differs from response to response.
VARIABLE_HEADERS = {
    *("Content-Length", "Date", "ETag", "Last-Modified", "Set-Cookie", "Location"),
    "Upload-Expires",
}
STRANGER, VISITOR = "stranger", "visitor"  # a visitor has every session, token and link
NO_VALUE = "nothing"  # of every parameter in a stranger's path
# Paths beside the routes: an unknown one and a wrong method of each app, and redirects.
OTHER_REQUESTS = (
    ("GET", "/unknown"),
    ("GET", "/console/unknown"),
    ("GET", "/c/o/unknown/unknown"),
    ("GET", "/static/unknown"),
    ("DELETE", "/tests"),
    ("DELETE", "/console/orders/"),
    ("DELETE", "/c/o/unknown/"),
    ("GET", "/console"),
    ("GET", "/console/orders"),
    ("GET", "/docs"),
)


@dataclass(frozen=True)
class Visitor:
    """A client with every session, and the values of its paths."""

    client: FlaskClient
    token: str  # of an account of Workable
    greenhouse_key: str
    orders: dict[str, str]  # the public id by kind
    values: dict[str, str]  # of the other parameters
    open_interview: str  # the public id; the candidate's pages of a finished one are closed
    placed_interview: str  # the public id; the candidate can still try the camera
    queries: dict[str, str]  # by endpoint

    def authorization(self, rule: Rule) -> str:
        """Return the header of a call to the rule's ATS endpoint."""
        if rule.rule.startswith("/greenhouse/"):
            return f"Basic {b64encode(f'{self.greenhouse_key}:'.encode()).decode()}"
        if rule.rule == "/metrics":
            return f"Bearer {METRICS_TOKEN}"
        return f"Bearer {self.token}"

    def path(self, rule: Rule) -> str:
        """Return a path of the rule that exists."""
        kind = next((kind for kind in self.orders if kind in rule.endpoint), "assessment")
        values = self.values | {"order_id": self.orders[kind], "public_id": self.orders[kind]}
        if rule.endpoint == "candidate.interview.camera":
            values["public_id"] = self.placed_interview
        elif rule.endpoint.startswith("candidate.interview."):
            values["public_id"] = self.open_interview
        values["token"] = self.values.get(rule.endpoint, self.values["report"])
        if rule.endpoint.endswith("static"):
            is_bootstrap = rule.endpoint.startswith("bootstrap")
            values["filename"] = "css/bootstrap.min.css" if is_bootstrap else "theme.css"
        path = fill_path(rule, lambda name: values.get(name, NO_VALUE))
        return path + self.queries.get(rule.endpoint, "")


def fill_path(rule: Rule, value_of: Callable[[str], str]) -> str:
    """Return a path of a rule. A converter `any` gets its first value, a number 1.

    Raises ValueError for a parameter that it cannot read.
    """

    def replace(match: re.Match[str]) -> str:
        converter, name = match[1] or "", match[2]
        if converter.startswith("any"):
            return converter[4:-1].split(",")[0].strip(" '\"")
        return "1" if converter == "int" else value_of(name)

    path = re.sub(r"<(?:([\w(), '\"-]+):)?(\w+)>", replace, rule.rule)
    if "<" in path:
        raise ValueError(f"{path} has a parameter that fill_path cannot read")
    return path


def collect(services: Services) -> str:
    """Return the table. `services` have an empty database, BASE_URL and METRICS_TOKEN."""
    app = create_app(services)
    visitor = _create_visitor(services, app)
    header_sets: dict[str, str] = {}
    rows = []
    for method, rule in _routes(app):
        path = fill_path(rule, lambda _: NO_VALUE)
        response = _open(app.test_client(), method, path)
        rows.append((rule.rule, method, STRANGER, response))
        if method == "GET":
            headers = {"Authorization": visitor.authorization(rule)}
            response = _open(visitor.client, method, visitor.path(rule), headers)
            rows.append((rule.rule, method, VISITOR, response))
    for method, path in OTHER_REQUESTS:
        rows.append((path, method, STRANGER, _open(app.test_client(), method, path)))
    invitation = f"/c/{visitor.values['candidate.open_invitation']}"
    rows.append(("/c/<token>", "GET", "invited", _open(app.test_client(), "GET", invitation)))
    rows.append(("/console/sign-in", "POST", VISITOR, _sign_in(app)))
    shared = f"/s/{visitor.values['report.confirm_view']}"
    token = factories.csrf_token(_open(visitor.client, "GET", shared).text)
    response = _post(visitor.client, shared, csrf_token=token)
    rows.append(("/s/<token>", "POST", VISITOR, response))
    # Last, because they end the visitor's sessions.
    decline = f"/c/o/{visitor.orders['check']}/decline"
    for where, page, action in (
        ("/c/o/<public_id>/decline", decline, decline),
        ("/console/sign-out", "/console/orders/", "/console/sign-out"),
    ):
        token = factories.csrf_token(_open(visitor.client, "GET", page).text)
        response = _post(visitor.client, action, csrf_token=token)
        rows.append((where, "POST", VISITOR, response))
    texts = [(where, method, who, *_describe(response)) for where, method, who, response in rows]
    for headers_text in sorted({text for *_, text, _ in texts}):
        header_sets[headers_text] = f"H{len(header_sets) + 1}"
    lines = ["# The headers of every route. Written by `python -m tests.web.header_snapshot`.", ""]
    for text, name in header_sets.items():
        lines += [f"{name}:", *(f"    {line}" for line in text.splitlines()), ""]
    lines += [
        f"{where} {method} {who}: {status} {header_sets[text]}{cookies}"
        for where, method, who, status, text, cookies in sorted(texts)
    ]
    return "\n".join(lines) + "\n"


def _routes(app: ContractFlask) -> Iterator[tuple[str, Rule]]:
    for flask_app in (app, app.pages):
        for rule in flask_app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule


def _open(
    client: FlaskClient, method: str, path: str, headers: dict[str, str] | None = None
) -> TestResponse:
    return client.open(path, method=method, base_url=BASE_URL, headers=headers or {}, buffered=True)


def _post(client: FlaskClient, path: str, **form: str) -> TestResponse:
    # A browser names the page of a form, and the CSRF check asks for it over https.
    return client.post(path, base_url=BASE_URL, data=form, headers={"Referer": BASE_URL + "/"})


def _describe(response: TestResponse) -> tuple[int, str, str]:
    """Return status, headers and cookies, without what differs between responses."""
    headers = sorted(
        f"{name}: {_normalise(name, value)}"
        for name, value in response.headers
        if name not in VARIABLE_HEADERS
    )
    cookies = [_describe_cookie(value) for value in response.headers.getlist("Set-Cookie")]
    # A redirect shows its target without tokens: only whether it stays on this site.
    target = urlsplit(response.location or "").netloc
    suffix = f" to {target}" if target and target != "provider.test" else ""
    return response.status_code, "\n".join(headers), suffix + "".join(sorted(cookies))


def _normalise(name: str, value: str) -> str:
    if name == "Allow":
        return ", ".join(sorted(value.split(", ")))
    return re.sub(r"filename=\S+", "filename=NAME", value)


def _describe_cookie(header: str) -> str:
    cookie, *attributes = header.split("; ")
    name = re.sub(r"\b(c|view)-.*", r"\1-ID", cookie.partition("=")[0])
    kept = sorted(text for text in attributes if not text.startswith("Expires="))
    return f"\n    cookie {name}; {'; '.join(kept)}"


def _sign_in(app: Flask) -> TestResponse:
    client = app.test_client()
    token = factories.csrf_token(_open(client, "GET", "/console/sign-in").text)
    return _post(
        client,
        "/console/sign-in",
        csrf_token=token,
        email="sam@provider.test",
        password="correct horse battery",
    )


def _create_visitor(services: Services, app: Flask) -> Visitor:
    account_id, token = factories.create_account(services)
    greenhouse_id, greenhouse_key = factories.create_account(services, "Acme", ats="greenhouse")
    picture = make_png()
    sections = deepcopy(factories.TEST_CONTENT["sections"])
    stimulus = [{"picture": data_uri(picture), "alt": "A chart"}]
    sections[0]["items"][0]["stimulus"] = stimulus
    product = factories.create_test(services, sections=sections)
    assessment = factories.place_order(services, account_id, product)
    interview, (_, recording, *_) = interview_factories.completed_interview(
        services, account=account_id
    )
    package = check_factories.create_package(services)
    check = factories.place_order(
        services,
        account_id,
        package,
        "check",
        callback_url="https://groove-tech.workable.com/checks/1",
    )
    greenhouse_order = factories.place_order(
        services, greenhouse_id, product, callback_url="https://app.greenhouse.io/tests/1"
    )
    open_interview = interview_factories.place_interview(services, 2, account=account_id)
    take = interview_factories.record_answer(services, open_interview, "why")
    client = app.test_client()
    placed_interview = factories.place_order(
        services,
        account_id,
        factories.create_interview(services),
        "interview",
        callback_url="https://groove-tech.workable.com/interviews/3",
    )
    for order in (assessment, interview, open_interview, placed_interview, check):
        path = urlsplit(factories.invitation_url(services, order)).path
        _open(client, "GET", path)
    factories.create_staff(services)
    connector = check_outside_factories.create_connector(services, account_id)
    referee_token = _ask_referee(services, account_id)
    with services.db.writing() as session:
        test = Order.find(session, assessment)
        assert isinstance(test, TimedOrder)
        test.start(session, services.now())
        staff_token = complete_sign_in(session, "sam@provider.test", "127.0.0.1", services.now())
        completed = Order.find(session, interview)
        Link.get_or_create_shared(
            session, services.secret_box, completed, None, None, services.now()
        )
        limited_link = Link.get_or_create_shared(
            session, services.secret_box, completed, 1, "views", services.now()
        )
        upload = open_upload(
            session,
            Interview.find(session, open_interview),
            "proud",
            "first-take",
            interview_factories.WEBM_MIME_TYPE,
            services.now(),
        )
        bulk_run = BulkRun.create(session, "cancel", {}, [], "sam@provider.test", services.now())
        state = create_state(session, greenhouse_id, staff_token, services.now())
        session.flush()
        tokens = {}
        for purpose in (REPORT, PDF, SHARED):
            link = Link.find_permanent(session, completed, purpose)
            assert link
            tokens[purpose] = link.get_token(services.secret_box)
        account = session.get_one(Account, account_id).public_id
        message = session.query(Message.public_id).first()
        assert message
    client.set_cookie("__Host-staff", staff_token, domain="provider.test", secure=True)
    values = {
        "report": tokens[REPORT],
        "report.pdf": tokens[PDF],
        "report.shared_report": tokens[SHARED],
        "report.shared_pdf": tokens[SHARED],
        "report.confirm_view": limited_link.get_token(services.secret_box),
        "media_files.shared_media": tokens[SHARED],
        "group": "names",
        "recording_id": recording,
        "take_id": take,
        "upload_id": upload.public_id,
        "product_id": product,
        "name": f"{sha256(picture).hexdigest()[:16]}.png",
        "account_id": account,
        "run_id": bulk_run.public_id,
        "connector_id": connector,
        "referee.show_questions": referee_token,
        "referee.confirm_decline": referee_token,
        "message_id": message[0],
        "colour": "1a2b3c",
        "candidate.open_invitation": path.rpartition("/")[2],
    }
    orders = {"interview": interview, "check": check, "assessment": assessment}
    queries = {
        "console.connections.finish_consent": f"?state={state}",
        "greenhouse.greenhouse_test_status": f"?partner_interview_id={greenhouse_order}",
    }
    return Visitor(
        client,
        token,
        greenhouse_key,
        orders | {"media": interview},
        values,
        open_interview,
        placed_interview,
        queries,
    )


def _ask_referee(services: Services, account_id: int) -> str:
    """Return the token of a referee's link."""
    package = check_factories.create_package(
        services, "refereed", screenings=[check_outside_factories.REFEREE_SCREENING]
    )
    check = factories.place_order(
        services,
        account_id,
        package,
        "check",
        callback_url="https://groove-tech.workable.com/checks/2",
    )
    check_factories.give_consent(services, check, referees=check_outside_factories.REFEREE_LINES)
    request = check_outside_factories.read_requests(services, check)[0]
    return request.get_token(services.secret_box)


def main() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder)
        settings = factories.make_settings(
            path,
            PROVIDER_DATABASE_URL=f"sqlite:///{path / 'provider.db'}",
            PROVIDER_BASE_URL=BASE_URL,
            PROVIDER_METRICS_TOKEN=METRICS_TOKEN,
        )
        db = Database(settings.database_url)
        schema_version.upgrade(db)
        db.close()
        services = factories.build_services(settings)
        SNAPSHOT.write_text(collect(services))
        services.db.close()


if __name__ == "__main__":
    main()
