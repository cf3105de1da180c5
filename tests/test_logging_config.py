"""What is logged: one line an event, and never a token."""

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
from provider.storage import secrets as vault
from tests import factories
from tests.fake_ats import FakeAts
from tests.smtp_server import SmtpServer


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[], str]]:
    """What was logged since it was asked last; the process's logging is put back afterwards."""
    kept, before = structlog.get_config(), structlog.is_configured()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # or `force` would close pytest's own
    configure = structlog.configure
    # A module's logger must not remember this test's stderr.
    monkeypatch.setattr(
        structlog,
        "configure",
        lambda **told: configure(**told | {"cache_logger_on_first_use": False}),
    )
    yield lambda: capsys.readouterr().err
    configure(**kept)
    if not before:
        structlog.reset_defaults()  # or commands would take themselves for a server
    root.handlers = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_json(said: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    structlog.get_logger().info("delivery", order="abc", code=200)
    text = said()
    line = json.loads(text)
    assert line["event"] == "delivery"
    assert (line["order"], line["code"], line["level"]) == ("abc", 200, "info")
    assert line["timestamp"].endswith("Z")
    assert text.count("\n") == 1


def test_what_is_not_a_terminal_gets_json_and_a_terminal_gets_words(
    said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logging_config.configure()
    structlog.get_logger().warning("to a file")
    assert json.loads(said())["event"] == "to a file"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logging_config.configure()
    structlog.get_logger().warning("to a person")
    text = said()
    assert "to a person" in text
    assert not text.lstrip().startswith("{")


def test_what_is_said_for_debugging_only_is_left_out(said: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    structlog.get_logger().debug("chatter")
    logging.getLogger("somebody").info("chatter")
    assert said() == ""


def test_a_librarys_warning_is_a_line_like_ours(said: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    logging.getLogger("urllib3").warning("Connection pool is full, discarding: %s", "host")
    line = json.loads(said())
    assert line["event"] == "Connection pool is full, discarding: host"
    assert line["level"] == "warning"


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
def test_no_token_is_in_any_line(said: Callable[[], str], as_json: bool) -> None:
    logging_config.configure(json=as_json)
    link, inbound = vault.generate_token(), f"prv_{vault.generate_token()}"
    log = structlog.get_logger()
    log.info(f"GET /c/{link}", path=f"/r/{link}/report.pdf", token=inbound, bare=link)
    log.error("refused", header=f"Bearer {inbound}")
    logging.getLogger("app").error("Exception on /s/%s [GET]", link)
    try:
        int(f"cannot {link}")
    except ValueError:
        log.exception("it failed")
        logging.getLogger("app").exception("it failed")
    text = said()
    assert link not in text
    assert inbound not in text
    assert inbound.removeprefix("prv_") not in text
    assert text.count("[hidden]") == 8
    assert "ValueError" in text


def test_a_public_id_and_a_digest_stay_readable(said: Callable[[], str]) -> None:
    logging_config.configure(json=True)
    public_id, digest = vault.generate_public_id(), vault.sha256_digest("x").hex()
    structlog.get_logger().info("delivery", order=public_id, digest=digest)
    text = said()
    assert public_id in text
    assert digest in text


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
def test_a_traceback_shows_no_variables_and_warns_of_nothing(
    said: Callable[[], str], as_json: bool
) -> None:
    logging_config.configure(json=as_json)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fail_beside_a_secret()
    text = said()
    assert "ZeroDivisionError" in text
    assert "lakita_marrero" not in text


def _fail_beside_a_secret() -> None:
    candidate = "_".join(["lakita", "marrero"])
    try:
        print(1 / len(candidate.replace(candidate, "")))
    except ZeroDivisionError:
        structlog.get_logger().exception("it failed")


def test_an_error_of_the_database_names_no_values(
    services: Services, said: Callable[[], str]
) -> None:
    logging_config.configure(json=True)
    factories.create_account(services, "Groove Tech")
    brand = {"display_name": "Lakita Marrero"}
    try:
        factories.create_account(services, "Groove Tech", branding=brand)
    except Exception:
        structlog.get_logger().exception("it failed")
    text = said()
    assert "UNIQUE constraint failed" in text or "duplicate key value" in text
    assert "Lakita Marrero" not in text


def test_a_request_that_fails_logs_no_token(
    client: FlaskClient,
    services: Services,
    said: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, token = factories.create_account(services)
    url = factories.invitation_url(
        services, factories.place_order(services, account, factories.create_test(services))
    )
    link = url.rsplit("/", 1)[1]
    logging_config.configure(json=True)

    def broken(*_: object) -> None:
        raise RuntimeError(f"nobody expected {link} and {token}")

    monkeypatch.setattr(services.db, "_transaction_guard", broken)
    assert client.get(f"/c/{link}").status_code == 500
    assert client.get("/tests", headers={"Authorization": f"Bearer {token}"}).status_code == 500
    text = said()
    assert text.count("RuntimeError: nobody expected [hidden] and [hidden]") == 2
    assert link not in text
    assert token not in text


def test_an_object_that_is_logged_by_mistake_keeps_its_secrets(
    services: Services, said: Callable[[], str]
) -> None:
    factories.create_account(services, callback_token="the ATS's own")
    logging_config.configure(json=True)
    with services.db.reading() as session:
        account = Account.get_by_name(session, "Groove Tech")
        structlog.get_logger().info(
            "odd", services=services, account=account, vault=services.secret_box
        )
    text = said()
    assert '"event": "odd"' in text
    assert "the ATS's own" not in text
    assert "kkkkk" not in text


def test_an_order_is_followed_from_the_request_to_the_put_and_nobody_is_named(
    services: Services, ats: FakeAts, said: Callable[[], str]
) -> None:
    services = replace(services, settings=replace(services.settings, private_callbacks=True))
    client = create_app(services).test_client()
    _, token = factories.create_account(services, callback_token="the-callback-token")
    product = factories.create_test(services)
    logging_config.configure(json=True)
    path = "/the-path/of-callbacks"
    wish = {
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
    placed = client.post("/assessments", json=wish, headers=bearer)
    order = json.loads(placed.text)["assessment_id"]
    invitation = factories.invitation_url(services, order).removeprefix(services.settings.base_url)
    page = client.get(invitation, follow_redirects=True).request.path
    form = {
        "csrf_token": factories.csrf_token(client.get(f"{page}decline").text),
        "reason": "My own reason",
    }
    assert client.post(f"{page}decline", data=form).status_code == 303
    courier = Dispatcher(services)
    courier.drain(*factories.queue_names(services), *factories.queue_names(services, channel=EMAIL))
    courier.stop()
    ats.wait_for(1)
    text = said()
    lines = [json.loads(line) for line in text.splitlines()]
    steps = [line.get("word") or line["topic"] for line in lines if line["order"] == order]
    assert steps[:3] == ["placed", "opened", "declined"]
    assert sorted(steps[3:]) == ["invitation", "status"]
    assert len(steps) == len(lines)
    secrets = [
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
    assert [secret for secret in secrets if secret in text] == []


def test_what_was_not_kept_is_not_logged(services: Services, said: Callable[[], str]) -> None:
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
    assert said() == ""
    decline(fails=False)
    assert json.loads(said())["word"] == "declined"


def test_an_error_at_an_orders_page_names_the_order(
    client: FlaskClient,
    services: Services,
    said: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, token = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get(f"/assessments/{order}", headers=bearer).status_code == 200
    logging_config.configure(json=True)

    def broken(*_: object) -> None:
        raise RuntimeError("nobody expected it")

    monkeypatch.setattr(services.db, "_transaction_guard", broken)
    for path in (f"/assessments/{order}", f"/c/o/{order}/"):
        assert client.get(path, headers=bearer).status_code == 500
        assert json.loads(said())["order"] == order


def test_what_a_mail_server_says_of_a_candidate_is_not_logged(
    services: Services, said: Callable[[], str]
) -> None:
    with SmtpServer() as post:
        post.rcpt_replies.append("550 <lakita_marrero@gmail.com> no such mailbox")
        services = replace(services, settings=replace(services.settings, mail_url=post.url))
        order = factories.place_order(
            services, factories.create_account(services)[0], factories.create_test(services)
        )
        logging_config.configure(json=True)
        courier = Dispatcher(services)
        courier.drain(*factories.queue_names(services, channel=EMAIL))
        courier.stop()
    text = said()
    line = json.loads(text)
    assert (line["order"], line["outcome"], line["code"]) == (order, "rejected", 550)
    assert "lakita" not in text


def test_a_log_that_cannot_be_written_stops_nothing(
    said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
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
