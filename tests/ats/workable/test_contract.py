"""Workable's provider contract as it is meant: every documented example, for all three kinds."""

from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.ats import StatusUpdate
from provider.ats.workable import Workable
from provider.ats.workable.payload import build_payload, format_duration, format_score
from provider.core.accounts import Account, AccountProduct
from provider.core.kinds import KINDS
from provider.core.orders import SHARED, Link, Order, Result
from provider.core.orders.queries import ResultView
from provider.core.products import Product
from provider.errors import Invalid
from provider.services import Services
from tests import factories
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


def test_the_list_has_the_documented_shape_and_opaque_ids(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    said = groove.get(f"/{contract.products}").get_json()
    assert said == {contract.products_key: [{"id": product, "name": "Aptitude Test"}]}
    documented = contract.load_example("list")
    for entry in documented[contract.products_key]:
        entry["id"] = str(entry["id"])  # the contract's are integers here and there
    assert json_shape(said) == json_shape(documented)


def test_the_list_is_published_products_by_name(
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
        each["name"]
        for each in groove.get(f"/{contract.products}").get_json()[contract.products_key]
    ]
    assert names == ["Abstract", "Numbers", "Verbal"]


def test_each_list_holds_its_own_kind_alone(groove: WorkableClient, services: Services) -> None:
    made = {contract.products_key: contract.create_product(services) for contract in KIND_CONTRACTS}
    for contract in KIND_CONTRACTS:
        listed = groove.get(f"/{contract.products}").get_json()[contract.products_key]
        assert [each["id"] for each in listed] == [made[contract.products_key]]


def test_an_account_sees_and_orders_only_what_it_was_given(
    client: FlaskClient, services: Services, contract: KindContract
) -> None:
    given, kept = (
        contract.create_product(services, "Given", "given"),
        contract.create_product(services, "Kept", "kept"),
    )
    account, token = factories.create_account(services, all_products=False)
    with services.db.writing() as session:
        product = Product.find(session, given)
        session.add(AccountProduct(account_id=account, product_id=product.id))
    asker = WorkableClient(client, token)
    listed = asker.get(f"/{contract.products}").get_json()[contract.products_key]
    assert [each["id"] for each in listed] == [given]
    assert asker.post(f"/{contract.orders}", contract.order_body(kept)).status_code == 422
    assert asker.post(f"/{contract.orders}", contract.order_body(given)).status_code == 201


def test_every_endpoint_answers_at_the_root_and_under_workable_with_and_without_a_slash(
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
        answers = [groove.get(f"{front}/{path}{end}") for front, end in _ADDRESSES]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert len({answer.text for answer in answers}) == 1
    placed = [
        groove.post(f"{front}/{contract.orders}{end}", contract.order_body(product))
        for front, end in _ADDRESSES
    ]
    assert {(answer.status_code, answer.get_json()[contract.order_id]) for answer in placed} == {
        (201, order_id)
    }


_ADDRESSES = (("", ""), ("", "/"), ("/workable", ""), ("/workable", "/"))


def test_the_documented_order_is_accepted_and_kept_whole(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    answer = groove.post(f"/{contract.orders}", contract.order_body(product))
    assert answer.status_code == 201
    assert json_shape(answer.get_json()) == json_shape(contract.load_example("created"))
    documented = contract.load_example("order")
    with services.db.reading() as session:
        kept = KINDS[contract.kind].order_class.find(session, answer.get_json()[contract.order_id])
        lakita = kept.candidate
        assert documented["candidate"] == {
            "first_name": lakita.first_name,
            "last_name": lakita.last_name,
            "phone": lakita.phone,
            "email": lakita.email,
        }
        assert kept.product.public_id == product
        assert kept.job_title == documented["job_title"]
        job = documented.get("job_shortcode") or documented.get("job_id") or ""
        assert kept.job_reference == job
        assert kept.preferences == documented.get("preferences", {})
        assert kept.external_key == kept.reply_context["callback_url"] == documented["callback_url"]
        assert kept.expires_at == services.now() + timedelta(days=7)
        assert kept.status == "pending"
    assert count_invitations(services) == 1


def test_only_the_product_the_callback_and_the_email_must_be_there(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    wish: dict[str, Any] = {
        contract.product_id: contract.create_product(services),
        "callback_url": "https://groove-tech.workable.com/1",
        "candidate": {"email": "lakita_marrero@gmail.com"},
    }
    order_id = groove.place_order(contract, wish)
    nothing = dict.fromkeys(("job_title", "job_shortcode", "job_id", "preferences"))
    empty = dict.fromkeys(("first_name", "last_name", "phone"))
    same = wish | nothing | {"candidate": wish["candidate"] | empty}
    assert groove.place_order(contract, same) == order_id


def test_ids_may_come_as_integers(
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
        kept = Order.find(session, order_id)
        assert kept.job_reference == ("" if contract is CHECKS else "6789")


def test_an_order_holds_the_version_it_was_placed_on(
    groove: WorkableClient, services: Services
) -> None:
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
def test_unknown_fields_are_ignored_at_any_depth(
    groove: WorkableClient, services: Services, contract: KindContract, extra: dict[str, Any]
) -> None:
    wish = contract.order_body(contract.create_product(services))
    order_id = groove.place_order(contract, wish)
    more = wish | extra | {"candidate": wish["candidate"] | extra}
    assert groove.place_order(contract, more) == order_id, "they are no part of the content either"


def test_a_pending_order_says_so_and_nothing_else(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    assert groove.poll(contract, order_id) == {"status": "pending"}
    assert callback_bodies(services, order_id) == []


def test_a_completed_order_says_what_is_documented(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    said, documented = groove.poll(contract, order_id), contract.load_example("status")
    assert callback_bodies(services, order_id) == [said]
    assert json_shape(said) == json_shape(documented)
    assert said["results_url"].startswith("http://provider.test/r/")
    assert said["attachments"][0]["url"].endswith("/report.pdf")
    documented["results_url"] = said["results_url"]
    documented["attachments"][0]["url"] = said["attachments"][0]["url"]
    assert said == documented


def test_a_refusal_is_rejected_unless_the_account_is_switched(
    client: FlaskClient, services: Services, contract: KindContract
) -> None:
    words = []
    for name, switches in (("Plain", {}), ("Switched", {"declined": True})):
        asker = WorkableClient(
            client, factories.create_account(services, name, options=switches)[1]
        )
        order_id = asker.place_order(
            contract, contract.order_body(contract.create_product(services))
        )
        assert asker.poll(contract, order_id) == {"status": "pending"}
        with services.db.writing() as session:
            Order.find(session, order_id).decline(session, "no time", services.now())
        assert callback_bodies(services, order_id) == [asker.poll(contract, order_id)]
        words.append(asker.poll(contract, order_id))
    switched = "rejected" if contract is CHECKS else "declined"
    assert words == [{"status": "rejected"}, {"status": switched}]


def test_expired_and_cancelled_are_both_expired_on_the_wire(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    product = contract.create_product(services)
    for number, act in enumerate((_expire, _cancel)):
        wish = contract.order_body(
            product, callback_url=f"https://groove-tech.workable.com/{number}"
        )
        order_id = groove.place_order(contract, wish)
        act(services, order_id)
        assert groove.poll(contract, order_id) == {"status": "expired"}
        assert callback_bodies(services, order_id) == [{"status": "expired"}]


def _expire(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, order_id).expire(session, services.now())


def _cancel(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam", "a mistake", services.now())


def test_a_check_that_was_consented_to_says_so(groove: WorkableClient, services: Services) -> None:
    order_id = groove.place_order(CHECKS, CHECKS.order_body(CHECKS.create_product(services)))
    with services.db.writing() as session:
        Order.find(session, order_id).change_status(
            session, "consented", actor="candidate", now=services.now()
        )
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    assert callback_bodies(services, order_id) == [{"status": "consented"}]


def test_a_reopened_order_publishes_pending_and_then_its_second_result(
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
    assert second["results_url"] == first["results_url"], "one address for good"


@pytest.mark.parametrize("wanted", [ASSESSMENTS, INTERVIEWS], ids=lambda contract: contract.kind)
def test_the_grade_is_nested_and_a_switch_repeats_it_beside_the_result(
    client: FlaskClient, services: Services, wanted: KindContract
) -> None:
    asker = WorkableClient(
        client, factories.create_account(services, options={"top_level_grade": True})[1]
    )
    order_id = asker.place_order(wanted, wanted.order_body(wanted.create_product(services)))
    complete_order(services, wanted, order_id)
    said = asker.poll(wanted, order_id)
    assert said["grade"] == said[wanted.kind]["grade"] == "excelled"
    assert callback_bodies(services, order_id) == [said]


@pytest.mark.parametrize("switches", [{}, {"top_level_grade": True}])
def test_what_a_result_does_not_have_is_left_out(
    client: FlaskClient, services: Services, switches: dict[str, bool]
) -> None:
    asker = WorkableClient(client, factories.create_account(services, options=switches)[1])
    order_id = asker.place_order(
        INTERVIEWS, INTERVIEWS.order_body(INTERVIEWS.create_product(services))
    )
    complete_order(services, INTERVIEWS, order_id, Result(score=None, grade=None, duration=0))
    said = asker.poll(INTERVIEWS, order_id)
    assert said["interview"] == {"duration": "00:00:00"}
    assert "grade" not in said


def test_a_check_without_the_word_grade_stays_so_however_it_is_switched(
    client: FlaskClient, services: Services
) -> None:
    asker = WorkableClient(
        client, factories.create_account(services, options={"top_level_grade": True})[1]
    )
    order_id = asker.place_order(CHECKS, CHECKS.order_body(CHECKS.create_product(services)))
    complete_order(services, CHECKS, order_id)
    assert "grade" not in asker.poll(CHECKS, order_id)


def test_a_revoked_pdf_is_no_longer_attached(groove: WorkableClient, services: Services) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    complete_order(services, ASSESSMENTS, order_id)
    with services.db.writing() as session:
        for link in Order.find(session, order_id).links:
            link.revoked_at = services.now()
    said = groove.poll(ASSESSMENTS, order_id)
    assert "attachments" not in said
    assert "results_url" not in said


def test_a_test_that_was_really_taken_says_the_same_by_poll_and_callback(
    groove: WorkableClient, services: Services
) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(factories.create_test(services))
    )
    factories.finish_test(services, order_id)
    said = groove.poll(ASSESSMENTS, order_id)
    assert callback_bodies(services, order_id) == [said]
    assert said["assessment"]["score"] == "100"
    assert said["assessment"]["grade"] == "excelled"
    assert set(said["assessment"]["details"]) == {"Numbers", "Words"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "00:00:00"), (59, "00:00:59"), (3677, "01:01:17"), (359_999, "99:59:59")],
)
def test_a_duration_is_hours_minutes_and_seconds(seconds: int, said: str) -> None:
    assert format_duration(seconds) == said


def test_hours_go_on_past_ninety_nine() -> None:
    assert format_duration(360_000) == "100:00:00"


@pytest.mark.parametrize(
    ("score", "said"),
    [(0, "0"), (78, "78"), (100.0, "100"), (77.5, "77.5"), (66.666, "66.67"), (10, "10")],
)
def test_a_score_is_a_string_without_needless_zeros(score: float, said: str) -> None:
    assert format_score(score) == said


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
def test_details_that_the_wire_could_not_show_cannot_be_built(details: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="at most two levels"):
        Result(details=details)


def test_details_of_two_levels_can_be_built() -> None:
    details = {"Numbers": {"Score": 50, "Answered": "4 of 5"}, "Taken": "2026-11-23", "Sure": True}
    assert Result(details=details).details == details


def test_without_a_result_there_is_no_shared_link(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    answer = groove.get(f"/{contract.orders}/{order_id}/shared-link")
    assert answer.status_code == 409
    assert answer.get_json() == {"status": 409, "message": "There is no result to share yet"}


def test_a_shared_link_is_permanent_and_always_the_same(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    order_id = groove.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    said = [groove.get(f"/{contract.orders}/{order_id}/shared-link").get_json() for _ in range(2)]
    assert said[0] == said[1]
    assert list(said[0]) == ["url"]
    with services.db.reading() as session:
        link = _shared(session, said[0]["url"])
        assert link.is_valid(services.now() + timedelta(days=3650))


@pytest.mark.parametrize(
    ("ttl", "units", "lasts"),
    [(120, "minutes", timedelta(minutes=120)), (2, "days", timedelta(days=2))],
)
def test_a_shared_link_with_a_time_to_live_works_at_every_call(
    client: FlaskClient,
    services: Services,
    contract: KindContract,
    ttl: int,
    units: str,
    lasts: timedelta,
) -> None:
    asker = WorkableClient(
        client, factories.create_account(services, shared_ttl=ttl, shared_ttl_units=units)[1]
    )
    order_id = asker.place_order(contract, contract.order_body(contract.create_product(services)))
    complete_order(services, contract, order_id)
    for _ in range(2):
        said = asker.get(f"/{contract.orders}/{order_id}/shared-link").get_json()
        assert json_shape(said) == json_shape(contract.load_example("shared_link"))
        assert (said["ttl"], said["ttl_units"]) == (str(ttl), units)
        with services.db.reading() as session:
            link = _shared(session, said["url"])
            assert link.is_valid(services.now() + lasts - timedelta(seconds=1))
            assert not link.is_valid(services.now() + lasts)
        services.clock.advance(timedelta(days=30))  # type: ignore[attr-defined]


def test_a_shared_link_may_count_views(client: FlaskClient, services: Services) -> None:
    asker = WorkableClient(
        client, factories.create_account(services, shared_ttl=3, shared_ttl_units="views")[1]
    )
    order_id = asker.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    complete_order(services, ASSESSMENTS, order_id)
    said = asker.get(f"/assessments/{order_id}/shared-link").get_json()
    assert (said["ttl"], said["ttl_units"]) == ("3", "views")
    with services.db.writing() as session:
        link = _shared(session, said["url"])
        assert [link.consume_view(session, services.now()) for _ in range(4)] == [True] * 3 + [
            False
        ]


def _shared(session: Any, url: str) -> Link:
    link = Link.find(session, url.rpartition("/s/")[2], SHARED)
    assert link
    return link


def test_the_switches_are_read_when_the_news_is_written(
    groove: WorkableClient, services: Services
) -> None:
    order_id = groove.place_order(
        ASSESSMENTS, ASSESSMENTS.order_body(ASSESSMENTS.create_product(services))
    )
    with services.db.writing() as session:
        Order.find(session, order_id).decline(session, "", services.now())
        session.scalars(select(Account)).one().options = {"declined": True}
    assert groove.poll(ASSESSMENTS, order_id) == {"status": "declined"}


def test_a_callback_is_a_put_of_json_to_the_callback_url_with_the_token() -> None:
    request = Workable().build_request({"callback_url": "https://a.workable.com/1"}, "secret")
    assert (request.method, request.url) == ("PUT", "https://a.workable.com/1")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Content-Type"] == "application/json"
    assert (
        "Authorization" not in Workable().build_request({"callback_url": "https://a"}, None).headers
    )


def test_text_in_any_script_goes_out_as_it_is() -> None:
    result = ResultView(summary="Überzeugend — 優れた")
    news = StatusUpdate("assessment", "completed", {}, {}, result, "https://r", "https://r.pdf")
    assert "Überzeugend — 優れた" in Workable().render(news).decode()
    assert build_payload(news)["assessment"] == {"summary": "Überzeugend — 優れた"}


def test_the_letter_of_an_order_is_written_once_however_often_it_is_placed(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    wish = contract.order_body(contract.create_product(services))
    assert len({groove.place_order(contract, wish) for _ in range(3)}) == 1
    assert count_invitations(services) == 1


@pytest.mark.parametrize("contract", KIND_CONTRACTS, ids=lambda contract: contract.kind)
def test_what_an_order_leaves_out_is_empty(
    groove: WorkableClient, services: Services, contract: KindContract
) -> None:
    wish = {
        contract.product_id: contract.create_product(services),
        "callback_url": "https://groove-tech.workable.com/1",
        "candidate": {"email": "lakita@example.com"},
    }
    order_id = groove.place_order(contract, wish)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        candidate = order.candidate
        assert [candidate.first_name, candidate.last_name, candidate.phone] == ["", "", ""]
        assert (order.job_title, order.job_reference, order.preferences) == ("", "", {})
