"""Logging: one line for each event, and no token or personal data in any line."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import structlog
from flask.testing import FlaskClient

from provider import logging_config
from provider.app import create_app
from provider.core.accounts import Account
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.outbox import EMAIL
from provider.services import Services
from provider.storage.secrets import generate_public_id, generate_token, sha256_digest
from tests import factories
from tests.fake_ats import FakeAts
from tests.smtp_server import SmtpServer


@pytest.fixture
def read_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], str]]:
    """Return a function that returns what was logged since its last call.

    The process's logging configuration is restored afterwards.
    """
    previous, was_configured = structlog.get_config(), structlog.is_configured()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # or `force` would close pytest's handlers
    configure = structlog.configure
    # A module's logger must not cache this test's stderr.
    monkeypatch.setattr(
        structlog,
        "configure",
        lambda **options: configure(**options | {"cache_logger_on_first_use": False}),
    )
    yield lambda: capsys.readouterr().err
    configure(**previous)
    if not was_configured:
        structlog.reset_defaults()  # or commands would log like a server
    root.handlers = handlers
    root.setLevel(level)


def test_event_is_one_line_of_json(read_log: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    structlog.get_logger().info("delivery", order="abc", code=200)
    text = read_log()
    line = json.loads(text)
    assert line["event"] == "delivery"
    assert (line["order"], line["code"], line["level"]) == ("abc", 200, "info")
    assert line["timestamp"].endswith("Z")
    assert text.count("\n") == 1


def test_configure_logs_text_on_terminal_and_json_elsewhere(
    read_log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logging_config.configure()
    structlog.get_logger().warning("to a file")
    assert json.loads(read_log())["event"] == "to a file"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logging_config.configure()
    structlog.get_logger().warning("to a person")
    text = read_log()
    assert "to a person" in text
    assert not text.lstrip().startswith("{")


def test_debug_events_are_not_logged(read_log: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    structlog.get_logger().debug("detail")
    logging.getLogger("library").info("detail")
    assert read_log() == ""


def test_library_warning_is_a_json_line(read_log: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    logging.getLogger("urllib3").warning("Connection pool is full, discarding: %s", "host")
    line = json.loads(read_log())
    assert line["event"] == "Connection pool is full, discarding: host"
    assert line["level"] == "warning"


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
def test_tokens_are_hidden_in_every_line(read_log: Callable[[], str], as_json: bool) -> None:
    logging_config.configure(json=as_json)
    link, inbound = generate_token(), f"prv_{generate_token()}"
    log = structlog.get_logger()
    log.info(f"GET /c/{link}", path=f"/r/{link}/report.pdf", token=inbound, bare=link)
    log.error("refused", header=f"Bearer {inbound}")
    logging.getLogger("app").error("Exception on /s/%s [GET]", link)
    try:
        int(f"cannot {link}")
    except ValueError:
        log.exception("it failed")
        logging.getLogger("app").exception("it failed")
    text = read_log()
    assert link not in text
    assert inbound not in text
    assert inbound.removeprefix("prv_") not in text
    assert text.count("[hidden]") == 8
    assert "ValueError" in text


def test_public_id_and_digest_are_not_hidden(read_log: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    public_id, digest = generate_public_id(), sha256_digest("x").hex()
    structlog.get_logger().info("delivery", order=public_id, digest=digest)
    text = read_log()
    assert public_id in text
    assert digest in text


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
def test_traceback_shows_no_local_variables(read_log: Callable[[], str], as_json: bool) -> None:
    logging_config.configure(json=as_json)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fail_beside_a_secret()
    text = read_log()
    assert "ZeroDivisionError" in text
    assert "lakita_marrero" not in text


def _fail_beside_a_secret() -> None:
    candidate = "_".join(["lakita", "marrero"])
    try:
        print(1 / len(candidate.replace(candidate, "")))
    except ZeroDivisionError:
        structlog.get_logger().exception("it failed")


def test_database_error_shows_no_values(services: Services, read_log: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    factories.create_account(services, "Groove Tech")
    brand = {"display_name": "Lakita Marrero"}
    try:
        factories.create_account(services, "Groove Tech", branding=brand)
    except Exception:
        structlog.get_logger().exception("it failed")
    text = read_log()
    assert "UNIQUE constraint failed" in text or "duplicate key value" in text
    assert "Lakita Marrero" not in text


def test_failed_request_logs_no_token(
    client: FlaskClient,
    services: Services,
    read_log: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, token = factories.create_account(services)
    url = factories.invitation_url(
        services, factories.place_order(services, account, factories.create_test(services))
    )
    link = url.rsplit("/", 1)[1]
    logging_config.configure(json=True)

    def broken(*_: object) -> None:
        raise RuntimeError(f"unexpected {link} and {token}")

    monkeypatch.setattr(services.db, "_transaction_guard", broken)
    assert client.get(f"/c/{link}").status_code == 500
    assert client.get("/tests", headers={"Authorization": f"Bearer {token}"}).status_code == 500
    text = read_log()
    assert text.count("RuntimeError: unexpected [hidden] and [hidden]") == 2
    assert link not in text
    assert token not in text


def test_logged_object_shows_no_secrets(services: Services, read_log: Callable[[], str]) -> None:
    factories.create_account(services, callback_token="the ATS's own")
    logging_config.configure(json=True)
    with services.db.reading() as session:
        account = Account.get_by_name(session, "Groove Tech")
        structlog.get_logger().info(
            "odd", services=services, account=account, secret_box=services.secret_box
        )
    text = read_log()
    assert '"event": "odd"' in text
    assert "the ATS's own" not in text
    assert "kkkkk" not in text


def test_order_is_logged_from_request_to_delivery_without_names(
    services: Services, ats: FakeAts, read_log: Callable[[], str]
) -> None:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    client = create_app(services).test_client()
    _, token = factories.create_account(services, callback_token="the-callback-token")
    product = factories.create_test(services)
    logging_config.configure(json=True)
    path = "/the-path/of-callbacks"
    body = {
        "test_id": product,
        "callback_url": ats.url + path,
        "job_title": "The job of jobs",
        "job_shortcode": "JOBS",
        "candidate": {
            "first_name": "Lakita",
            "last_name": "Marrero",
            "email": "lakita_marrero@gmail.com",
            "phone": "555-0199",
        },
    }
    bearer = {"Authorization": f"Bearer {token}"}
    response = client.post("/assessments", json=body, headers=bearer)
    order = json.loads(response.text)["assessment_id"]
    invitation = factories.invitation_url(services, order).removeprefix(services.settings.base_url)
    page = client.get(invitation, follow_redirects=True).request.path
    form = {
        "csrf_token": factories.csrf_token(client.get(f"{page}decline").text),
        "reason": "My own reason",
    }
    assert client.post(f"{page}decline", data=form).status_code == 303
    dispatcher = Dispatcher(services)
    dispatcher.drain(
        *factories.queue_names(services), *factories.queue_names(services, channel=EMAIL)
    )
    dispatcher.stop()
    ats.wait_for(1)
    text = read_log()
    lines = [json.loads(line) for line in text.splitlines()]
    steps = [line.get("type") or line["topic"] for line in lines if line["order"] == order]
    assert steps[:3] == ["placed", "opened", "declined"]
    assert sorted(steps[3:]) == ["decline", "invitation", "status"]
    assert len(steps) == len(lines)
    private_values = [
        token,
        "the-callback-token",
        invitation.rsplit("/", 1)[1],
        path,
        ats.url,
        "My own reason",
        "Lakita",
        "Marrero",
        "lakita_marrero",
        "555-0199",
        "The job of jobs",
    ]
    assert [value for value in private_values if value in text] == []


def test_rolled_back_event_is_not_logged(services: Services, read_log: Callable[[], str]) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    logging_config.configure(json=True)

    def decline(*, fails: bool) -> None:
        with services.db.writing() as session:
            Order.find(session, order).decline(session, "", services.now())
            session.flush()
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        decline(fails=True)
    assert read_log() == ""
    decline(fails=False)
    assert json.loads(read_log())["type"] == "declined"


def test_failed_request_logs_order_id(
    client: FlaskClient,
    services: Services,
    read_log: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, token = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get(f"/assessments/{order}", headers=bearer).status_code == 200
    logging_config.configure(json=True)

    def broken(*_: object) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(services.db, "_transaction_guard", broken)
    for path in (f"/assessments/{order}", f"/c/o/{order}/"):
        assert client.get(path, headers=bearer).status_code == 500
        assert json.loads(read_log())["order"] == order


def test_mail_server_reply_about_candidate_is_not_logged(
    services: Services, read_log: Callable[[], str]
) -> None:
    with SmtpServer() as smtp:
        smtp.rcpt_replies.append("550 <lakita_marrero@gmail.com> no such mailbox")
        services = replace(services, settings=replace(services.settings, mail_url=smtp.url))
        order = factories.place_order(
            services, factories.create_account(services)[0], factories.create_test(services)
        )
        logging_config.configure(json=True)
        dispatcher = Dispatcher(services)
        dispatcher.drain(*factories.queue_names(services, channel=EMAIL))
        dispatcher.stop()
    text = read_log()
    (line,) = (line for line in map(json.loads, text.splitlines()) if "outcome" in line)
    assert (line["order"], line["outcome"], line["code"]) == (order, "rejected", 550)
    assert "lakita" not in text


def test_full_log_disk_raises_no_error(
    read_log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123  (a device)
        with pytest.raises(OSError, match="No space"):
            full.write("line\n")
        with suppress(OSError):
            full.flush()
        monkeypatch.setattr(sys, "stderr", full)
        logging_config.configure(json=True)
        structlog.get_logger().info("delivery")
        with suppress(OSError):
            full.close()
