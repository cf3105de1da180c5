"""Workable's provider contract, with every documented example, for all three kinds."""

import io
import json
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import select

from provider.ats import StatusUpdate
from provider.ats.base import format_duration
from provider.ats.workable import Workable
from provider.ats.workable.payload import build_payload, format_score
from provider.core.accounts import Account, AccountProduct
from provider.core.kinds import KINDS
from provider.core.orders import PDF, REPORT, SHARED, Link, Order, Result
from provider.core.orders.queries import ResultView
from provider.core.products import Product
from provider.delivery.dispatcher import Dispatcher
from provider.errors import Invalid
from provider.services import Services
from tests import check_factories, factories
from tests.ats.workable_client import (
    ASSESSMENTS,
    CHECKS,
    INTERVIEWS,
    KIND_CONTRACTS,
    KindContract,
    WorkableClient,
    callback_bodies,
    complete_order,
    count_invitations,
    json_shape,
)
from tests.conftest import LiveServer
from tests.fake_ats import FakeAts


def test_product_list_has_documented_shape(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    answer = groove.get(f"/{contract.products}").get_json()
    assert answer == {contract.products_key: [{"id": product, "name": "Aptitude Test"}]}
    documented = contract.load_example("list")
    for entry in documented[contract.products_key]:
        entry["id"] = str(entry["id"])  # some of the contract's ids are integers
    assert json_shape(answer) == json_shape(documented)


def test_product_list_is_published_products_by_name(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    for name in ("Verbal", "Abstract", "Numbers"):
        contract.create_product(services, name, name.lower())
    hidden = contract.create_product(services, "Archived", "archived")
    content = {
        "assessment": factories.TEST_CONTENT,
        "interview": factories.INTERVIEW_CONTENT,
        "check": factories.PACKAGE_CONTENT,
    }
    factories.create_product(
        services, contract.kind, content[contract.kind], "draft", "Draft", publish=False
    )
    with services.db.writing() as session:
        Product.find(session, hidden).archive(services.now())
    names = [
        product["name"]
        for product in groove.get(f"/{contract.products}").get_json()[contract.products_key]
    ]
    assert names == ["Abstract", "Numbers", "Verbal"]


def test_product_list_contains_only_its_kind(groove: WorkableClient, services: Services) -> None:
    product_ids = {
        contract.products_key: contract.create_product(services) for contract in KIND_CONTRACTS
    }
    for contract in KIND_CONTRACTS:
        listed = groove.get(f"/{contract.products}").get_json()[contract.products_key]
        assert [product["id"] for product in listed] == [product_ids[contract.products_key]]


def test_restricted_account_sees_and_orders_only_its_products(
    client: FlaskClient, services: Services, contract: KindContract
) -> None:
    visible = contract.create_product(services, "Visible", "visible")
    hidden = contract.create_product(services, "Hidden", "hidden")
    account, token = factories.create_account(services, all_products=False)
    with services.db.writing() as session:
        product = Product.find(session, visible)
        session.add(AccountProduct(account_id=account, product_id=product.id))
    workable = WorkableClient(client, token)
    listed = workable.get(f"/{contract.products}").get_json()[contract.products_key]
    assert [product["id"] for product in listed] == [visible]
    assert workable.post(f"/{contract.orders}", contract.order_body(hidden)).status_code == 422
    assert workable.post(f"/{contract.orders}", contract.order_body(visible)).status_code == 201


def test_endpoints_answer_under_both_prefixes_and_with_slash(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    order_id = groove.place_order(contract, contract.order_body(product))
    complete_order(services, contract, order_id)
    for path in (
        contract.products,
        f"{contract.orders}/{order_id}",
        f"{contract.orders}/{order_id}/shared-link",
    ):
        answers = [
            groove.get(f"{prefix}/{path}{suffix}") for prefix, suffix in _PREFIXES_AND_SUFFIXES
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert len({answer.text for answer in answers}) == 1
    placed = [
        groove.post(f"{prefix}/{contract.orders}{suffix}", contract.order_body(product))
        for prefix, suffix in _PREFIXES_AND_SUFFIXES
    ]
    assert {(answer.status_code, answer.get_json()[contract.order_id]) for answer in placed} == {
        (201, order_id)
    }


_PREFIXES_AND_SUFFIXES = (("", ""), ("", "/"), ("/workable", ""), ("/workable", "/"))


def test_documented_order_is_accepted_and_stored(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    answer = groove.post(f"/{contract.orders}", contract.order_body(product))
    assert answer.status_code == 201
    assert json_shape(answer.get_json()) == json_shape(contract.load_example("created"))
    documented = contract.load_example("order")
    with services.db.reading() as session:
        order = KINDS[contract.kind].order_class.find(session, answer.get_json()[contract.order_id])
        lakita = order.candidate
        assert documented["candidate"] == {
            "first_name": lakita.first_name,
            "last_name": lakita.last_name,
            "phone": lakita.phone,
            "email": lakita.email,
        }
        assert order.product.public_id == product
        assert order.job_title == documented["job_title"]
        job = documented.get("job_shortcode") or documented.get("job_id") or ""
        assert order.job_reference == job
        assert order.preferences == documented.get("preferences", {})
        assert (
            order.external_key == order.reply_context["callback_url"] == documented["callback_url"]
        )
        assert order.expires_at == services.now() + timedelta(days=7)
        assert order.status == "pending"
    assert count_invitations(services) == 1


def test_order_needs_only_product_callback_url_and_email(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_body: dict[str, Any] = {
        contract.product_id: contract.create_product(services),
        "callback_url": "https://groove-tech.workable.com/1",
        "candidate": {"email": "lakita_marrero@gmail.com"},
    }
    order_id = groove.place_order(contract, order_body)
    null_fields = dict.fromkeys(("job_title", "job_shortcode", "job_id", "preferences"))
    null_candidate_fields = dict.fromkeys(("first_name", "last_name", "phone"))
    same = order_body | null_fields | {"candidate": order_body["candidate"] | null_candidate_fields}
    assert groove.place_order(contract, same) == order_id


def test_integer_ids_are_accepted(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    answer = groove.post(f"/{contract.orders}", contract.order_body(12345))
    assert answer.status_code == 422
    assert answer.get_json()["message"].startswith("Unknown ")
    assert answer.get_json()["message"].endswith(": 12345")
    jobs = {"job_shortcode": 6789, "job_id": 6789}
    order_id = groove.place_order(
        contract, contract.order_body(contract.create_product(services), **jobs)
    )
    assert groove.place_order(
        contract,
        contract.order_body(contract.create_product(services), job_shortcode="6789", job_id="6789"),
    )
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.job_reference == ("" if contract is CHECKS else "6789")


def test_order_keeps_its_product_version(groove: WorkableClient, services: Services) -> None:
    product = ASSESSMENTS.create_product(services)
    order_id = groove.place_order(ASSESSMENTS, ASSESSMENTS.order_body(product))
    with services.db.reading() as session:
        before = Order.find(session, order_id).version_id
    factories.create_test(services, "Aptitude Test", "aptitude", time_limit=45)
    later = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(product, callback_url="https://a.workable.com/2")
    )
    with services.db.reading() as session:
        assert Order.find(session, order_id).version_id == before
        assert Order.find(session, later).version_id != before


@pytest.mark.parametrize(
    "extra",
    [
        {"stage": "phone screen", "sourcing": {"deep": [{"er": None}]}},
        {"id": 3, "account": ["x"], "status": {"status": "completed"}, "Test_Id": 3},
    ],
)
def test_unknown_fields_are_ignored(
    groove: WorkableClient, services: Services, contract: KindContract, extra: dict[str, Any]
) -> None:
    order_body = contract.order_body(contract.create_product(services))
    order_id = groove.place_order(contract, order_body)
    extended = order_body | extra | {"candidate": order_body["candidate"] | extra}
    assert groove.place_order(contract, extended) == order_id, "the same order"


def test_pending_order_has_only_status(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    assert groove.poll(contract, order_id) == {"status": "pending"}
    assert callback_bodies(services, order_id) == []


def test_completed_order_equals_documented_example(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    answer, documented = groove.poll(contract, order_id), contract.load_example("status")
    assert callback_bodies(services, order_id) == [answer]
    assert json_shape(answer) == json_shape(documented)
    assert answer["results_url"].startswith("http://provider.test/r/")
    assert answer["attachments"][0]["url"].endswith("/report.pdf")
    documented["results_url"] = answer["results_url"]
    documented["attachments"][0]["url"] = answer["attachments"][0]["url"]
    assert answer == documented


def test_declined_order_is_rejected_or_declined_by_option(
    client: FlaskClient, services: Services, contract: KindContract
) -> None:
    polled = []
    for name, switches in (("Plain", {}), ("Switched", {"declined": True})):
        workable = WorkableClient(
            client, factories.create_account(services, name, options=switches)[1]
        )
        order_id = workable.place_order(
            contract, contract.order_body(contract.create_product(services))
        )
        assert workable.poll(contract, order_id) == {"status": "pending"}
        with services.db.writing() as session:
            Order.find(session, order_id).decline(session, "no time", services.now())
        assert callback_bodies(services, order_id) == [workable.poll(contract, order_id)]
        polled.append(workable.poll(contract, order_id))
    switched = "rejected" if contract is CHECKS else "declined"
    assert polled == [{"status": "rejected"}, {"status": switched}]


def test_expired_and_cancelled_orders_are_reported_as_expired(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    for number, act in enumerate((_expire, _cancel)):
        order_body = contract.order_body(
            product, callback_url=f"https://groove-tech.workable.com/{number}"
        )
        order_id = groove.place_order(contract, order_body)
        act(services, order_id)
        assert groove.poll(contract, order_id) == {"status": "expired"}
        assert callback_bodies(services, order_id) == [{"status": "expired"}]


def _expire(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, order_id).expire(session, services.now())


def _cancel(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam", "a mistake", services.now())


def test_consented_check_is_reported_as_consented(
    groove: WorkableClient, services: Services
) -> None:
    order_id = groove.place_order(CHECKS, CHECKS.order_body(CHECKS.create_product(services)))
    with services.db.writing() as session:
        Order.find(session, order_id).change_status(
            session, "consented", actor="candidate", now=services.now()
        )
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    assert callback_bodies(services, order_id) == [{"status": "consented"}]


def test_reopened_order_sends_pending_and_second_result(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    first = groove.poll(contract, order_id)
    with services.db.writing() as session:
        Order.find(session, order_id).reopen(
            session, services.secret_box, "sam", "a broken camera", services.now()
        )
    assert groove.poll(contract, order_id) == {"status": "pending"}
    again = contract.expected_result()
    if contract is CHECKS:
        again.figures = again.figures | {"overall_status": "clear"}
    else:
        again.score = 81.5
    complete_order(services, contract, order_id, again)
    second = groove.poll(contract, order_id)
    assert callback_bodies(services, order_id) == [first, {"status": "pending"}, second]
    assert second[contract.kind] != first[contract.kind]
    assert second["results_url"] == first["results_url"], "the URL is permanent"


@pytest.mark.parametrize("wanted", [ASSESSMENTS, INTERVIEWS], ids=lambda contract: contract.kind)
def test_top_level_grade_option_repeats_grade(
    client: FlaskClient, services: Services, wanted: KindContract
) -> None:
    workable = WorkableClient(
        client, factories.create_account(services, options={"top_level_grade": True})[1]
    )
    order_id = workable.place_order(wanted, wanted.order_body(wanted.create_product(services)))
    complete_order(services, wanted, order_id)
    answer = workable.poll(wanted, order_id)
    assert answer["grade"] == answer[wanted.kind]["grade"] == "excelled"
    assert callback_bodies(services, order_id) == [answer]


@pytest.mark.parametrize("switches", [{}, {"top_level_grade": True}])
def test_missing_result_fields_are_left_out(
    client: FlaskClient, services: Services, switches: dict[str, bool]
) -> None:
    workable = WorkableClient(client, factories.create_account(services, options=switches)[1])
    order_id = workable.place_order(
        INTERVIEWS, INTERVIEWS.order_body(INTERVIEWS.create_product(services))
    )
    complete_order(services, INTERVIEWS, order_id, Result(score=None, grade=None, duration=0))
    answer = workable.poll(INTERVIEWS, order_id)
    assert answer["interview"] == {"duration": "00:00:00"}
    assert "grade" not in answer


def test_top_level_grade_option_does_not_affect_check(
    client: FlaskClient, services: Services
) -> None:
    workable = WorkableClient(
        client, factories.create_account(services, options={"top_level_grade": True})[1]
    )
    order_id = workable.place_order(CHECKS, CHECKS.order_body(CHECKS.create_product(services)))
    complete_order(services, CHECKS, order_id)
    assert "grade" not in workable.poll(CHECKS, order_id)


def test_revoked_links_are_not_in_status(groove: WorkableClient, services: Services) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    complete_order(services, ASSESSMENTS, order_id)
    with services.db.writing() as session:
        for link in Order.find(session, order_id).links:
            link.revoked_at = services.now()
    answer = groove.poll(ASSESSMENTS, order_id)
    assert "attachments" not in answer
    assert "results_url" not in answer


def test_taken_test_has_equal_poll_and_callback(groove: WorkableClient, services: Services) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(factories.create_test(services))
    )
    factories.finish_test(services, order_id)
    answer = groove.poll(ASSESSMENTS, order_id)
    assert callback_bodies(services, order_id) == [answer]
    assert answer["assessment"]["score"] == "100"
    assert answer["assessment"]["grade"] == "excelled"
    assert set(answer["assessment"]["details"]) == {"Numbers", "Words"}


def test_status_never_has_questions_or_answers_of_a_test(
    groove: WorkableClient, services: Services
) -> None:
    everywhere = {"answers": ["report", "pdf", "shared"]}
    product = factories.create_test(services, report=everywhere)
    order_id = groove.place_order(ASSESSMENTS, ASSESSMENTS.order_body(product))
    factories.finish_test(services, order_id, {"opposite": {"answer": "quassia"}})
    for body in (groove.poll(ASSESSMENTS, order_id), *callback_bodies(services, order_id)):
        assert body["status"] == "completed"
        for part in ("17 + 25", "quassia", "Wrong"):
            assert part not in json.dumps(body)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (59, "00:00:59"), (3677, "01:01:17"), (359_999, "99:59:59")],
)
def test_format_duration_has_hours_minutes_and_seconds(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


def test_format_duration_above_99_hours_has_three_digits() -> None:
    assert format_duration(360_000) == "100:00:00"


@pytest.mark.parametrize(
    ("score", "text"),
    [(0, "0"), (78, "78"), (100.0, "100"), (77.5, "77.5"), (66.666, "66.67"), (10, "10")],
)
def test_format_score_has_no_trailing_zeros(score: float, text: str) -> None:
    assert format_score(score) == text


@pytest.mark.parametrize(
    "details",
    [
        {"a": {"b": {"c": 1}}},
        {"a": [1]},
        {"a": {"b": [1]}},
        {"a": {"b": (1,)}},
        {"a": date(2026, 11, 23)},
    ],
)
def test_result_rejects_details_deeper_than_two_levels(details: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="at most two levels"):
        Result(details=details)


def test_result_accepts_details_of_two_levels() -> None:
    details = {"Numbers": {"Score": 50, "Answered": "4 of 5"}, "Taken": "2026-11-23", "Sure": True}
    assert Result(details=details).details == details


def test_shared_link_without_result_is_conflict(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    answer = groove.get(f"/{contract.orders}/{order_id}/shared-link")
    assert answer.status_code == 409
    assert answer.get_json() == {"status": 409, "message": "There is no result to share yet"}


def test_shared_link_without_ttl_is_permanent(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    links = [groove.get(f"/{contract.orders}/{order_id}/shared-link").get_json() for _ in range(2)]
    assert links[0] == links[1]
    assert list(links[0]) == ["url"]
    with services.db.reading() as session:
        link = _shared(session, links[0]["url"])
        assert link.is_valid(services.now() + timedelta(days=3650))


@pytest.mark.parametrize(
    ("ttl", "units", "lifetime"),
    [(120, "minutes", timedelta(minutes=120)), (2, "days", timedelta(days=2))],
)
def test_shared_link_with_ttl_is_renewed_by_each_call(
    client: FlaskClient,
    services: Services,
    contract: KindContract,
    ttl: int,
    units: str,
    lifetime: timedelta,
) -> None:
    workable = WorkableClient(
        client, factories.create_account(services, shared_ttl=ttl, shared_ttl_units=units)[1]
    )
    order_id = workable.place_order(
        contract, contract.order_body(contract.create_product(services))
    )
    complete_order(services, contract, order_id)
    for _ in range(2):
        answer = workable.get(f"/{contract.orders}/{order_id}/shared-link").get_json()
        assert json_shape(answer) == json_shape(contract.load_example("shared_link"))
        assert (answer["ttl"], answer["ttl_units"]) == (str(ttl), units)
        with services.db.reading() as session:
            link = _shared(session, answer["url"])
            assert link.is_valid(services.now() + lifetime - timedelta(seconds=1))
            assert not link.is_valid(services.now() + lifetime)
        services.clock.advance(timedelta(days=30))  # type: ignore[attr-defined]


def test_shared_link_with_view_limit_counts_views(client: FlaskClient, services: Services) -> None:
    workable = WorkableClient(
        client, factories.create_account(services, shared_ttl=3, shared_ttl_units="views")[1]
    )
    order_id = workable.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    complete_order(services, ASSESSMENTS, order_id)
    answer = workable.get(f"/assessments/{order_id}/shared-link").get_json()
    assert (answer["ttl"], answer["ttl_units"]) == ("3", "views")
    with services.db.writing() as session:
        link = _shared(session, answer["url"])
        assert [link.consume_view(session, services.now()) for _ in range(4)] == [True] * 3 + [
            False
        ]


def _shared(session: Any, url: str) -> Link:
    link = Link.find(session, url.rpartition("/s/")[2], SHARED)
    assert link
    return link


def test_poll_uses_current_account_options(groove: WorkableClient, services: Services) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    with services.db.writing() as session:
        Order.find(session, order_id).decline(session, "", services.now())
        session.scalars(select(Account)).one().options = {"declined": True}
    assert groove.poll(ASSESSMENTS, order_id) == {"status": "declined"}


def test_callback_request_is_put_with_token() -> None:
    request = Workable().build_request({"callback_url": "https://a.workable.com/1"}, "secret")
    assert (request.method, request.url) == ("PUT", "https://a.workable.com/1")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Content-Type"] == "application/json"
    assert (
        "Authorization" not in Workable().build_request({"callback_url": "https://a"}, None).headers
    )


def test_non_ascii_text_is_sent_unescaped() -> None:
    result = ResultView(summary="Überzeugend — 優れた")
    update = StatusUpdate("assessment", "completed", {}, {}, result, "https://r", "https://r.pdf")
    assert "Überzeugend — 優れた" in Workable().render(update).decode()
    assert build_payload(update)["assessment"] == {"summary": "Überzeugend — 優れた"}


def test_repeated_order_sends_one_invitation(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_body = contract.order_body(contract.create_product(services))
    assert len({groove.place_order(contract, order_body) for _ in range(3)}) == 1
    assert count_invitations(services) == 1


@pytest.mark.parametrize("contract", KIND_CONTRACTS, ids=lambda contract: contract.kind)
def test_missing_order_fields_are_stored_as_empty(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_body = {
        contract.product_id: contract.create_product(services),
        "callback_url": "https://groove-tech.workable.com/1",
        "candidate": {"email": "lakita@example.com"},
    }
    order_id = groove.place_order(contract, order_body)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        candidate = order.candidate
        assert [candidate.first_name, candidate.last_name, candidate.phone] == ["", "", ""]
        assert (order.job_title, order.job_reference, order.preferences) == ("", "", {})


# Checks: statuses in order, and no personal data or findings


RESULT = {
    "overall_status": "consider",
    "result": [
        {"name": "Identity", "status": "clear"},
        {"name": "Employment history", "status": "consider"},
        {"name": "Criminal record", "status": "clear"},
    ],
}


@pytest.fixture
def order_id(services: Services, groove: WorkableClient) -> str:
    return groove.place_order(CHECKS, CHECKS.order_body(check_factories.create_package(services)))


def token(services: Services, order_id: str, purpose: str) -> str:
    with services.db.reading() as session:
        link = Link.find_permanent(session, Order.find(session, order_id), purpose)
        assert link
        return link.get_token(services.secret_box)


def finish(services: Services, order_id: str) -> None:
    check_factories.give_consent(services, order_id)
    check_factories.record_findings(services, order_id)
    check_factories.complete_check(services, order_id)


def has_no_secret(data: bytes | str) -> bool:
    raw = data.encode() if isinstance(data, str) else data
    return not any(
        secret.encode() in raw
        for secret in (*check_factories.SECRET_WORDS, check_factories.SIGNED_NAME)
    )


def test_poll_shows_each_status_of_check(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    assert groove.poll(CHECKS, order_id) == {"status": "pending"}
    check_factories.give_consent(services, order_id)
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    check_factories.record_findings(services, order_id)
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    check_factories.complete_check(services, order_id)
    body = groove.poll(CHECKS, order_id)
    assert (body["status"], body["check"]) == ("completed", RESULT)
    assert callback_bodies(services, order_id) == [{"status": "consented"}, body]


def test_cancelled_check_is_reported_as_expired(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    check_factories.give_consent(services, order_id)
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam", "Withdrawn", services.now())
    assert groove.poll(CHECKS, order_id) == {"status": "expired"}


def test_reopened_check_is_pending_until_new_consent(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    finish(services, order_id)
    with services.db.writing() as session:
        Order.find(session, order_id).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )
    assert groove.poll(CHECKS, order_id) == {"status": "pending"}
    finish(services, order_id)
    statuses = [body["status"] for body in callback_bodies(services, order_id)]
    assert statuses == ["consented", "completed", "pending", "consented", "completed"]


def test_sample_package_can_only_be_ordered_by_sandbox(
    services: Services, groove: WorkableClient, client: FlaskClient
) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    product = check_factories.create_package(services, disclosure=sample)
    assert groove.get("/packages").get_json() == {"packages": []}
    answer = groove.post("/checks", CHECKS.order_body(product))
    assert answer.status_code == 422
    assert "Unknown package" in answer.text
    sandbox = WorkableClient(client, factories.create_account(services, "Trial", sandbox=True)[1])
    (listed,) = sandbox.get("/packages").get_json()["packages"]
    assert listed == {"id": product, "name": "Full screening"}
    assert sandbox.place_order(CHECKS, CHECKS.order_body(product))


def test_no_response_contains_findings_or_personal_data(
    services: Services, groove: WorkableClient, client: FlaskClient, order_id: str
) -> None:
    finish(services, order_id)
    polled = groove.get(f"/checks/{order_id}")
    shared = groove.get(f"/checks/{order_id}/shared-link").get_json()["url"]
    page = client.get(f"/r/{token(services, order_id, REPORT)}")
    shared_page = client.get(shared.removeprefix("http://provider.test"))
    pdf = client.get(f"/r/{token(services, order_id, PDF)}/report.pdf")
    text = "\n".join(pdf_page.extract_text() for pdf_page in PdfReader(io.BytesIO(pdf.data)).pages)
    for answer in (polled, page, shared_page, pdf):
        assert answer.status_code == 200
        assert has_no_secret(answer.data)
    assert has_no_secret(text)
    for visible_text in (page.text, shared_page.text, text):
        for name in ("Identity", "Employment history", "Criminal record", "To consider", "Clear"):
            assert name in visible_text
        assert "1 of 3 screenings to consider." in visible_text
        assert " ".join(check_factories.REPORT_TEXT.split()) in " ".join(visible_text.split())
    assert check_factories.REPORT_TEXT.split(":")[0] not in polled.text
    assert all(has_no_secret(str(body)) for body in callback_bodies(services, order_id))


def test_callbacks_contain_only_status_and_outcomes(live_server: LiveServer, ats: FakeAts) -> None:
    account_id, _ = factories.create_account(live_server.services)
    public_id = factories.place_order(
        live_server.services,
        account_id,
        check_factories.create_package(live_server.services),
        "check",
        callback_url=f"{ats.url}/checks/1",
    )
    check_factories.give_consent(live_server.services, public_id)
    Dispatcher(live_server.services).drain(*factories.queue_names(live_server.services))
    ats.wait_for(1)
    check_factories.record_findings(live_server.services, public_id)
    check_factories.complete_check(live_server.services, public_id)
    Dispatcher(live_server.services).drain(*factories.queue_names(live_server.services))
    first, last = ats.wait_for(2)
    assert first.json == {"status": "consented"}
    body: dict[str, Any] = last.json
    assert set(body) == {"status", "check", "results_url", "attachments"}
    assert (body["status"], body["check"]) == ("completed", RESULT)
    for put in (first, last):
        assert has_no_secret(put.body)
        assert b"One employer" not in put.body
        assert has_no_secret(str(put.headers))


def test_emails_contain_no_findings_or_personal_data(
    services: Services, groove: WorkableClient, order_id: str
) -> None:
    finish(services, order_id)
    Dispatcher(services).drain("1/email")
    emails = [path.read_bytes() for path in (services.settings.instance / "mail").glob("*.eml")]
    assert len(emails) == 3
    for secret in check_factories.SECRET_WORDS:
        assert not any(secret.encode() in email for email in emails)
