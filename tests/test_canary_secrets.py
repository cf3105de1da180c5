"""Secrets of recognisable bytes pass through a started server, and are searched where it writes.

Every form in which a secret could be written is searched: as it is, in JSON, in a URL, in base64.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
from sqlalchemy import select

from provider.outbox import Attempt
from provider.services import Services
from tests import check_factories, factories
from tests.canary_search import find_leaks, message_contents
from tests.cli.test_serve import Server, serving
from tests.fake_ats import FakeAts
from tests.smtp_server import (
    SMTP_PASSWORD,
    SMTP_USER,
    SmtpServer,
    authenticate,
    create_certificate,
)

pytestmark = pytest.mark.machine_time  # the server process uses the machine's clock

STAFF_PASSWORD = "canary Passwört 7719"
SIGNED_NAME = "Canary Ωmega Signature"
TYPED_NAME = "Canary Fullname-5521"
REPORT_TEXT = "canary reason “5503”"
NOTE = "canary note “4402”"
CALLBACK_TOKEN = "canary-callback-token-8834-aAbBcC"
WRONG_TOKEN = "canary-wrong-token-2210-xXyYzZ"
WRONG_PASSWORD = "canary wrong password 3127"
METRICS_TOKEN = "canary-metrics-token-6641"
# The candidate must get the invitation, and the evidence of the consent.
EMAILED = {("invitation", "e-mails"), ("name of the consent", "e-mails")}
ALLOWED = EMAILED | {(name, "messages") for name, _ in EMAILED}  # of which e-mails are made


def written_files(services: Services) -> Iterator[tuple[str, bytes]]:
    """Yield the database, its side files and every other file of the instance."""
    for path in sorted(Path(services.settings.instance).rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()


def sent_emails(smtp: SmtpServer) -> bytes:
    """Return the e-mails as they were sent, and their texts."""
    raw = [envelope.original_content or b"" for envelope in smtp.envelopes]
    texts = [
        str(part.get_content()).encode()
        for email in smtp.emails
        for part in email.walk()
        if part.get_content_maintype() == "text"
    ]
    return b"\n".join((*raw, *texts))


def process_list() -> bytes:
    """Return the command lines of all processes, as `ps` shows them."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:  # the process has ended
            continue
    return b"\n".join(lines)


def repeat_credentials(handler: BaseHTTPRequestHandler) -> None:
    """Answer 500 with the credentials of the request: an excerpt of the answer is stored."""
    body = f"refused: {handler.headers['Authorization']}".encode()
    assert CALLBACK_TOKEN.encode() in body
    handler.send_response(500)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def redirect_path(response: requests.Response) -> str:
    return urlsplit(response.headers["Location"]).path


def has_failed_callback(services: Services) -> bool:
    """Return whether the excerpt of the failed callback's answer is stored."""
    with services.db.reading() as session:
        texts = session.scalars(select(Attempt.response_excerpt)).all()
        return any("refused" in text for text in texts)


def consent_as_candidate(server: Server, invitation: str) -> tuple[str, str]:
    """Consent to a check in a browser's session; return its cookie and the form's token."""
    with requests.Session() as browser:
        opened = browser.get(server.url + urlsplit(invitation).path, allow_redirects=False)
        details = check_factories.FORM_VALUES | {"full_name": {"family": TYPED_NAME}}
        values = check_factories.form_fields(details, name=SIGNED_NAME)
        page = browser.get(f"{server.url}{redirect_path(opened)}consent")
        while "/consent/" in page.url:
            csrf = factories.csrf_token(page.text)
            page = browser.post(page.url, data=values | {"csrf_token": csrf})
            assert page.status_code == 200, page.text
        (cookie,) = [value for name, value in browser.cookies.items() if name.startswith("c-")]
        return cookie, csrf


def work_as_staff(server: Server, check_id: str) -> str:
    """Sign in, and enter an outcome with both texts; return the session's cookie."""
    with requests.Session() as browser:
        page = f"{server.url}/console/sign-in"
        form = {"csrf_token": factories.csrf_token(browser.get(page).text)}
        form["email"] = "sam@provider.test"
        assert browser.post(page, data=form | {"password": WRONG_PASSWORD}).status_code >= 400
        browser.post(page, data=form | {"password": STAFF_PASSWORD})
        check = f"{server.url}/console/checks/{check_id}/"
        html = browser.get(check).text
        fields = dict(re.findall(r'name="(csrf_token|revision|seen-\w+)"[^>]*value="(\S+)"', html))
        outcomes = {f"status-{key}": value for key, value in check_factories.OUTCOMES.items()}
        texts = {"note-jobs": NOTE, "text-jobs": REPORT_TEXT}
        answer = browser.post(f"{check}outcomes", data=fields | outcomes | texts)
        assert "The outcomes are saved" in answer.text
        return str(browser.cookies["staff"])


@pytest.mark.sqlite
def test_secrets_are_in_no_file_log_message_or_process_list(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context, authority = create_certificate(tmp_path_factory.mktemp("tls"))
    options = {"tls_context": context, "require_starttls": True, "authenticator": authenticate}
    _, token = factories.create_account(services, callback_token=CALLBACK_TOKEN)
    factories.create_staff(services, password=STAFF_PASSWORD)
    package = check_factories.create_package(services)
    credentials = f"{quote(SMTP_USER, safe='')}:{quote(SMTP_PASSWORD, safe='')}"
    with SmtpServer(**options, auth_required=True) as smtp, FakeAts() as ats:
        variables = {
            "PROVIDER_MAIL_URL": f"smtp+tls://{credentials}@127.0.0.1:{smtp.port}",
            "SSL_CERT_FILE": str(authority),
            "PROVIDER_METRICS_TOKEN": METRICS_TOKEN,
        }
        ats.responses.append(repeat_credentials)
        with serving(services, **variables) as server:
            headers = {"Authorization": f"Bearer {token}"}
            order = {
                "package_id": package,
                "callback_url": f"{ats.url}/checks/1",
                "candidate": {"email": "lakita@example.com", "first_name": "Lakita"},
            }
            wrong = {"Authorization": f"Bearer {WRONG_TOKEN}"}
            assert requests.get(f"{server.url}/packages", headers=wrong).status_code == 401
            assert requests.get(f"{server.url}/s/{WRONG_TOKEN}").status_code == 404
            answer = requests.post(f"{server.url}/checks", json=order, headers=headers)
            assert answer.status_code == 201, answer.text
            check_id = str(answer.json()["background_check_id"])
            invitation = factories.invitation_url(services, check_id)
            assert smtp.wait_for(1), "the invitation is sent with the SMTP password"
            cookie, form_token = consent_as_candidate(server, invitation)
            staff_cookie = work_as_staff(server, check_id)
            ats.wait_for(1)
            monitor = {"Authorization": f"Bearer {METRICS_TOKEN}"}
            assert requests.get(f"{server.url}/metrics", headers=monitor).status_code == 200
            process_lines = process_list()
            files_of_running_server = dict(written_files(services))
            exit_code, output = server.stop()
    assert exit_code == 0, output
    assert has_failed_callback(services)  # the server has settled its attempts
    secrets = {
        "token of an account": token,
        "callback token": CALLBACK_TOKEN,
        "wrong token": WRONG_TOKEN,
        "staff password": STAFF_PASSWORD,
        "wrong password": WRONG_PASSWORD,
        "staff session": staff_cookie,
        "invitation": invitation.rpartition("/")[2],
        "candidate session": cookie,
        "form token": form_token,
        "name of the consent": SIGNED_NAME,
        "typed details": TYPED_NAME,
        "private note": NOTE,
        "text in the report": REPORT_TEXT,
        "SMTP password": SMTP_PASSWORD,
        "metrics token": METRICS_TOKEN,
        "encryption key": "k" * 32,  # of `factories.make_settings`
    }
    assert str(process_lines).count("serve") >= 1
    places = dict(written_files(services)) | {
        "output": (output + "".join(server.startup_lines)).encode(),
        "process list": process_lines,
        "callbacks": b"\n".join(request.body for request in ats.received),
        "e-mails": sent_emails(smtp),
        "messages": message_contents(services),
    }
    for name, content in files_of_running_server.items():
        places[f"running {name}"] = content
    assert b"lakita@example.com" in places["running provider.db-wal"]
    assert b"Lakita" in places["e-mails"]
    assert EMAILED <= set(find_leaks(secrets, places)) <= ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        "a canary “4402” in text",
        '{"note": "canary \\u201c4402\\u201d"}',
        "/path?q=canary+%E2%80%9C4402%E2%80%9D",
        b64encode("user:canary “4402”!".encode()).decode(),
        "canary “4402”".encode().hex(),
    ],
)
def test_find_leaks_finds_every_encoding(text: str) -> None:
    secret = {"note": "canary “4402”"}
    assert find_leaks(secret, {"log": text.encode()}) == [("note", "log")]
    assert find_leaks(secret, {"log": b"nothing"}) == []
