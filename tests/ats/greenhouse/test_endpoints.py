"""Greenhouse's Assessment Partner API, against a strict Greenhouse."""

from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from sqlalchemy import func, select

from provider.app import create_app
from provider.ats.account_settings import change_setting
from provider.core.accounts import Account
from provider.core.orders import Candidate, Order, OrderEvent
from provider.outbox import SUPERSEDED, Attempt, Message
from tests import check_factories, factories, kind_factories
from tests.conftest import LiveServer
from tests.fake_greenhouse import CANDIDATE, FakeGreenhouse
from tests.wait_for import wait_for


@pytest.fixture
def key(live_server: LiveServer) -> str:
    """The key of a Greenhouse account, as `provider account create` makes it."""
    _, key = factories.create_account(
        live_server.services,
        "Acme",
        ats="greenhouse",
        hosts=["*.greenhouse.io", "127.0.0.1"],
        callback_token=None,
    )
    return key


@pytest.fixture
def greenhouse(live_server: LiveServer, key: str) -> Iterator[FakeGreenhouse]:
    with FakeGreenhouse(live_server.url, key) as greenhouse:
        yield greenhouse
    assert greenhouse.problems == []


@pytest.fixture
def test_id(live_server: LiveServer) -> str:
    return factories.create_test(live_server.services)


def change(live_server: LiveServer, **settings: str) -> None:
    services = live_server.services
    with services.db.writing() as session:
        account = session.scalars(select(Account).where(Account.name == "Acme")).one()
        for name, value in settings.items():
            change_setting(services.secret_box, account, name, value)


def count(live_server: LiveServer, model: type) -> int:
    with live_server.services.db.reading() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def attempt_error(live_server: LiveServer, outcome: str) -> str | None:
    """Return the error of the callback's attempt with this outcome, once there is one."""
    with live_server.services.db.reading() as session:
        query = select(Attempt.error).join(Message).where(Message.topic == "status")
        return session.scalar(query.where(Attempt.outcome == outcome))


def decline(live_server: LiveServer, order_id: str) -> None:
    services = live_server.services
    with services.db.writing() as session:
        Order.find(session, order_id).decline(session, "No time", services.now())


@pytest.mark.both
def test_completed_test_is_patched_once_and_its_score_is_readable(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    assert greenhouse.list_tests() == [
        {"partner_test_id": test_id, "partner_test_name": "Reasoning"}
    ]
    order_id = greenhouse.send_test(test_id, 12345)
    status = greenhouse.test_status(order_id)
    assert (status["partner_status"], status["partner_score"]) == ("pending", None)
    factories.finish_test(live_server.services, order_id)
    (patch,) = greenhouse.wait_for_patches(1)
    assert (patch.length, patch.body, patch.has_right_key) == ("0", b"", True)
    assert patch.status
    assert patch.status == greenhouse.test_status(order_id)
    assert patch.status["partner_status"] == "complete"
    assert patch.status["partner_score"] == 100
    assert patch.status["metadata"]["Grade"] == "excelled"
    assert requests.get(patch.status["partner_profile_url"], timeout=10).status_code == 200
    wait_for(lambda: attempt_error(live_server, "delivered") == "")


@pytest.mark.both
def test_repeated_send_with_a_corrected_name_is_the_same_order(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    order_id = greenhouse.send_test(test_id, 1)
    again = greenhouse.send_test(test_id, 1, last_name="Márrero", resume_url="https://s3/2")
    assert again == order_id
    assert count(live_server, Order) == 1
    assert greenhouse.send_test(test_id, 2) != order_id  # a deliberate second sending


def test_same_url_for_another_test_is_a_conflict(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    greenhouse.send_test(test_id, 1)
    other = factories.create_product(
        live_server.services, "assessment", factories.TEST_CONTENT, "other", "Other"
    )
    with pytest.raises(requests.HTTPError, match="409"):
        greenhouse.send_test(other, 1)


@pytest.mark.both
def test_bulk_of_sends_makes_one_order_each(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    with ThreadPoolExecutor(8) as executor:
        sent = list(executor.map(lambda n: greenhouse.send_test(test_id, n % 20), range(40)))
    assert len(set(sent)) == count(live_server, Order) == 20


def test_preferred_name_greets_and_unknown_fields_are_ignored(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    greenhouse.send_test(test_id, 1, preferred_name="Kit", pronouns="they")
    with live_server.services.db.reading() as session:
        candidate = session.scalars(select(Candidate)).one()
        assert (candidate.first_name, candidate.last_name) == ("Kit", "Marrero")
        order = session.scalars(select(Order)).one()
        assert order.reply_context["application_id"] == "26"


@pytest.mark.both
@pytest.mark.parametrize(("option", "kind"), [("interviews", "interview"), ("checks", "check")])
def test_other_kinds_are_listed_and_sent_by_a_switch(
    live_server: LiveServer, greenhouse: FakeGreenhouse, option: str, kind: str
) -> None:
    content = {"interview": factories.INTERVIEW_CONTENT, "check": factories.PACKAGE_CONTENT}[kind]
    product = factories.create_product(live_server.services, kind, content, kind, "A product")
    assert greenhouse.list_tests() == []
    with pytest.raises(requests.HTTPError, match="404"):
        greenhouse.send_test(product, 1)
    change(live_server, **{option: "yes"})
    assert [test["partner_test_id"] for test in greenhouse.list_tests()] == [product]
    order_id = greenhouse.send_test(product, 1)
    with live_server.services.db.reading() as session:
        assert Order.find(session, order_id).kind == kind


def test_completed_check_has_findings_and_no_score(
    live_server: LiveServer, greenhouse: FakeGreenhouse
) -> None:
    change(live_server, checks="yes")
    package = check_factories.create_package(live_server.services)
    order_id = greenhouse.send_test(package, 1)
    kind_factories.complete_check(live_server.services, order_id)
    (patch,) = greenhouse.wait_for_patches(1)
    assert patch.status
    assert patch.status["partner_score"] is None
    assert patch.status["metadata"]["Outcome"] in ("clear", "consider")


def test_declined_order_is_not_told_unless_the_account_wants_it(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    first, second, third = (greenhouse.send_test(test_id, number) for number in (1, 2, 3))
    decline(live_server, first)
    assert greenhouse.test_status(first)["partner_status"] == "declined"
    change(live_server, every_end="yes")
    decline(live_server, second)
    (patch,) = greenhouse.wait_for_patches(1)
    assert patch.path.endswith("/2")
    assert patch.status
    assert patch.status["partner_status"] == "declined"
    change(live_server, every_end="no", close_unfinished="yes")
    decline(live_server, third)
    patch = greenhouse.wait_for_patches(2)[1]
    assert patch.status
    assert patch.status["partner_status"] == "complete"
    assert patch.status["metadata"] == {"Outcome": "declined"}
    assert requests.get(patch.status["partner_profile_url"], timeout=10).status_code == 200


def test_patch_of_a_hired_candidate_is_final_and_no_alarm(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    order_id = greenhouse.send_test(test_id, 7)
    greenhouse.hired.add("/integrations/testing_partners/take_home_tests/7")
    factories.finish_test(live_server.services, order_id)
    greenhouse.wait_for_patches(1)

    assert "hired" in wait_for(lambda: attempt_error(live_server, "not_needed"))
    with live_server.services.db.reading() as session:
        callbacks = select(Message.state).where(Message.topic == "status")
        assert session.scalars(callbacks).all() == [SUPERSEDED]


@pytest.mark.parametrize("auth", [None, ("", ""), ("nobody", ""), ("prv_wrong", "x")])
@pytest.mark.parametrize("endpoint", ["list_tests", "test_status"])
def test_wrong_key_is_unauthorized_and_asks_for_basic(
    live_server: LiveServer, auth: tuple[str, str] | None, endpoint: str
) -> None:
    response = requests.get(f"{live_server.url}/greenhouse/{endpoint}", auth=auth, timeout=10)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic")


def test_key_opens_only_its_own_adapter(
    live_server: LiveServer, greenhouse: FakeGreenhouse
) -> None:
    bearer = {"Authorization": f"Bearer {greenhouse.key}"}
    assert requests.get(f"{live_server.url}/tests", headers=bearer, timeout=10).status_code == 401
    _, workable = factories.create_account(live_server.services, "Other")
    url = f"{live_server.url}/greenhouse/list_tests"
    assert requests.get(url, auth=(workable, ""), timeout=10).status_code == 401


def test_order_of_another_account_is_not_found(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    order_id = greenhouse.send_test(test_id, 1)
    _, other = factories.create_account(live_server.services, "Other", ats="greenhouse")
    for known in (order_id, "nobody", "", "\x00", "x" * 5000):
        response = requests.get(
            f"{live_server.url}/greenhouse/test_status",
            params={"partner_interview_id": known},
            auth=(other, ""),
            timeout=10,
        )
        assert response.status_code == 404


@pytest.mark.parametrize(
    ("change_body", "code"),
    [
        ({"partner_test_id": "unknown"}, 404),
        ({"partner_test_id": None}, 422),
        ({"url": None}, 422),
        ({"url": "https://evil.example.org/1"}, 400),
        ({"url": "ftp://app.greenhouse.io/1"}, 400),
        ({"candidate": CANDIDATE | {"email": None}}, 422),
        ({"candidate": CANDIDATE | {"email": "no address"}}, 400),
        ({"candidate": "Lakita"}, 400),
    ],
)
def test_unusable_send_is_refused_and_nothing_is_kept(
    live_server: LiveServer,
    greenhouse: FakeGreenhouse,
    test_id: str,
    change_body: dict[str, object],
    code: int,
) -> None:
    url = greenhouse.take_home_url(1)
    body = {"partner_test_id": test_id, "candidate": CANDIDATE, "url": url} | change_body
    response = requests.post(
        f"{live_server.url}/greenhouse/send_test", json=body, auth=(greenhouse.key, ""), timeout=10
    )
    assert (response.status_code, response.json()["status"]) == (code, code)
    assert count(live_server, Order) == 0


def test_new_key_is_sent_back_once_greenhouse_uses_it(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    services = live_server.services
    order_id = greenhouse.send_test(test_id, 1)
    with services.db.writing() as session:
        account = session.scalars(select(Account).where(Account.name == "Acme")).one()
        old, new = greenhouse.key, account.issue_token(services.now())
        assert account.has_callback_token(services.secret_box, old)
    greenhouse.key = new
    greenhouse.list_tests()
    factories.finish_test(services, order_id)
    (patch,) = greenhouse.wait_for_patches(1)
    assert patch.has_right_key
    with services.db.writing() as session:
        account = session.scalars(select(Account).where(Account.name == "Acme")).one()
        account.revoke_token(old, services.now(), services.secret_box)
        assert account.callback_token
        account.revoke_token(new, services.now(), services.secret_box)
        assert account.callback_token is None


def test_key_that_is_just_revoked_is_not_remembered(
    live_server: LiveServer, greenhouse: FakeGreenhouse
) -> None:
    services = live_server.services
    other = factories.build_services(services.settings, services.clock)  # another server's cache
    client = create_app(other).test_client()
    credentials = b64encode(f"{greenhouse.key}:".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"}
    for _ in range(2):  # the first call remembers the key, which clears the cache
        assert client.get("/greenhouse/list_tests", headers=headers).status_code == 200
    with services.db.writing() as session:
        account = session.scalars(select(Account).where(Account.name == "Acme")).one()
        account.revoke_token(greenhouse.key, services.now(), services.secret_box)
    assert client.get("/greenhouse/list_tests", headers=headers).status_code == 200
    with services.db.reading() as session:
        assert session.scalar(select(Account.callback_token)) is None
    other.db.close()


@pytest.mark.parametrize("url", ["http://[x", "https://℀/?application_id=26", "", "no url"])
def test_unreadable_profile_address_refuses_no_order(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str, url: str
) -> None:
    assert greenhouse.send_test(test_id, 1, greenhouse_profile_url=url)


def test_reported_error_is_on_the_order(
    live_server: LiveServer, greenhouse: FakeGreenhouse, test_id: str
) -> None:
    order_id = greenhouse.send_test(test_id, 1)
    response = greenhouse.report_error(
        api_call="test_status", errors=["no score"], partner_interview_id=order_id
    )
    assert response.json() == {"status": 200}
    for body in ({}, {"errors": "text"}, {"errors": [{"a": 1}], "partner_interview_id": "none"}):
        assert greenhouse.report_error(**body).status_code == 200
    odd = "a\x00b\ud800c\nd"
    response = greenhouse.report_error(errors=[odd, {odd: 1}], partner_interview_id=order_id)
    assert response.status_code == 200
    with live_server.services.db.reading() as session:
        query = select(OrderEvent).where(OrderEvent.type == "ats error").order_by(OrderEvent.id)
        first, second = session.scalars(query)
        assert first.note == "test_status: no score"
        assert "\x00" not in second.note
        assert "\n" not in second.note
