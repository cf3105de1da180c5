"""Agreeing to a check in a test client: the text, the form, what is said and kept."""

import email
import email.policy
import hashlib
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from tests import check_factories, factories
from tests.factories import ManualClock


def arrive(services: Services, client: FlaskClient, public_id: str) -> str:
    """Come in by the invitation; return what the first page says."""
    path = urlsplit(factories.invitation_url(services, public_id)).path
    answer = client.get(path, follow_redirects=True)
    assert answer.status_code == 200
    return unescape(answer.text)


def agree(client: FlaskClient, public_id: str, token: str = "", **form: Any) -> TestResponse:
    path = f"/c/o/{public_id}/consent"
    token = token or factories.csrf_token(client.get(path).text)
    filled = check_factories.FORM_VALUES | {"name": check_factories.SIGNED_NAME} | form
    return client.post(
        path, data={"csrf_token": token, **filled}, headers={"User-Agent": "A phone/2.0"}
    )


def check_of(services: Services, public_id: str) -> Check:
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        _ = check.consents, check.candidate_details, check.version
        return check


@pytest.fixture
def public_id(services: Services, client: FlaskClient) -> str:
    """A check whose candidate has come in."""
    placed = check_factories.place_check(services)
    arrive(services, client, placed)
    return placed


def test_the_first_page_says_what_is_looked_into_and_what_is_asked(
    services: Services, client: FlaskClient
) -> None:
    page = arrive(services, client, check_factories.place_check(services))
    for said in ("Identity", "Employment history", "Criminal record", "Your rights"):
        assert said in page
    assert "You tell us: full legal name, date of birth" in page
    assert "Nothing is looked into unless you agree" in page
    assert "Read and decide" in page
    assert "sample" not in page


def test_the_form_shows_the_text_and_asks_only_what_is_needed(
    client: FlaskClient, public_id: str
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    assert "We may <strong>ask</strong> around." in page
    assert "Text jobs, version 3" in page
    for name, complete in (("full_name", "name"), ("date_of_birth", "bday"), ("name", "name")):
        assert f'name="{name}"' in page
        assert f'autocomplete="{complete}"' in page
    assert 'name="national_id"' not in page
    assert 'name="address"' not in page


def test_a_package_that_asks_for_nothing_wants_the_name_alone(
    services: Services, client: FlaskClient
) -> None:
    placed = check_factories.place_check(services, factories.create_package(services))
    arrive(services, client, placed)
    page = client.get(f"/c/o/{placed}/consent").text
    assert "What we need to know" not in page
    assert agree(client, placed).status_code == 303
    assert check_of(services, placed).candidate_details == []


def test_agreeing_leads_to_a_page_that_says_what_happens_next_and_what_was_agreed_to(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    answer = agree(client, public_id)
    assert (answer.status_code, answer.location) == (303, f"/c/o/{public_id}/")
    page = unescape(client.get(answer.location).text)
    assert "Thank you, Lakita" in page
    assert "What happens next" in page
    assert "We may <strong>ask</strong> around." in page
    assert check_factories.SIGNED_NAME in page
    assert factories.athens_time(services.now()) in page
    for secret in check_factories.SECRET_WORDS:
        assert secret not in page


def test_the_proof_is_the_request_s_own(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    agree(client, public_id)
    check = check_of(services, public_id)
    (consent,) = check.consents
    assert (consent.ip_address, consent.user_agent) == ("127.0.0.1", "A phone/2.0")
    text = check.content.disclosure.text
    assert consent.disclosure_digest == hashlib.sha256(text.encode()).hexdigest()
    assert check.decrypt_details(services.secret_box) == check_factories.STORED_DETAILS


def test_agreeing_twice_is_one_consent(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    token = factories.csrf_token(client.get(f"/c/o/{public_id}/consent").text)
    agree(client, public_id, token)
    again = agree(client, public_id, token, name="Somebody else")
    assert (again.status_code, again.location) == (303, f"/c/o/{public_id}/")
    (consent,) = check_of(services, public_id).consents
    assert consent.disclosure_version == "jobs 3"
    assert client.get(f"/c/o/{public_id}/consent").status_code == 303


def test_all_problems_are_listed_at_once_beside_their_fields(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    answer = agree(
        client, public_id, name="", full_name="", date_of_birth="tomorrow", employers="Kept <b>"
    )
    page = unescape(answer.text)
    assert answer.status_code == 400
    assert "Some things are still missing" in page
    for name, said in (
        ("full_name", "Please fill in: Full legal name"),
        ("date_of_birth", "year-month-day"),
        ("name", "Please type your name to agree"),
    ):
        assert f'href="#field-{name}"' in page
        assert f'id="field-{name}-error"' in page
        assert page.count(said) == 2
    assert page.count('aria-invalid="true"') == 3
    assert "Kept <b></textarea>" in page
    assert "Kept &lt;b&gt;" in answer.text
    assert factories.order_status(services, public_id) == "pending"
    assert check_of(services, public_id).candidate_details == []


def test_a_flood_of_text_is_given_back_in_part_alone(client: FlaskClient, public_id: str) -> None:
    answer = agree(client, public_id, employers="x" * 100_000)
    assert answer.status_code == 400
    assert "at most 1000 characters" in answer.text
    assert "x" * 2001 not in answer.text


def test_a_lost_form_cookie_costs_nothing_that_was_typed(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    data = check_factories.FORM_VALUES | {"name": check_factories.SIGNED_NAME}
    answer = client.post(f"/c/o/{public_id}/consent", data=data)
    assert answer.status_code == 400
    assert "Please press the button again" in answer.text
    assert "Zyxwv Bakery" in answer.text
    assert factories.order_status(services, public_id) == "pending"


def test_a_stranger_s_cookie_opens_nothing(services: Services, client: FlaskClient) -> None:
    product = check_factories.create_package(services)
    account_id, _ = factories.create_account(services)
    mine, theirs = (
        factories.place_order(
            services,
            account_id,
            product,
            "check",
            callback_url=f"https://groove-tech.workable.com/checks/{number}",
        )
        for number in (1, 2)
    )
    arrive(services, client, mine)
    assert client.get(f"/c/o/{theirs}/consent").status_code == 403
    token = factories.csrf_token(client.get(f"/c/o/{mine}/consent").text)
    data = check_factories.FORM_VALUES | {"name": check_factories.SIGNED_NAME, "csrf_token": token}
    assert client.post(f"/c/o/{theirs}/consent", data=data).status_code == 403
    assert client.post(f"/c/o/{theirs}/consent", data={}).status_code == 403
    assert factories.order_status(services, theirs) == "pending"


def test_a_test_has_no_consent_page(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    test = factories.place_order(services, account_id, factories.create_test(services))
    arrive(services, client, test)
    assert client.get(f"/c/o/{test}/consent").status_code == 404


def test_what_is_overdue_is_closed(
    services: Services, client: FlaskClient, public_id: str, clock: ManualClock
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    clock.advance(timedelta(days=8))
    data = check_factories.FORM_VALUES | {
        "name": check_factories.SIGNED_NAME,
        "csrf_token": factories.csrf_token(page),
    }
    answer = client.post(f"/c/o/{public_id}/consent", data=data)
    assert answer.status_code == 409
    assert "This invitation is over" in answer.text
    assert factories.order_status(services, public_id) == "expired"
    assert client.get(f"/c/o/{public_id}/consent").status_code == 303


@pytest.mark.parametrize("end", ["cancelled", "declined"])
def test_what_has_ended_takes_no_consent(
    services: Services, client: FlaskClient, public_id: str, end: str
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.change_status(session, end, actor="sam", now=services.now())
    data = check_factories.FORM_VALUES | {
        "name": check_factories.SIGNED_NAME,
        "csrf_token": factories.csrf_token(page),
    }
    assert client.post(f"/c/o/{public_id}/consent", data=data).status_code == 409
    assert factories.order_status(services, public_id) == end


def test_refusing_is_one_click_from_the_form_with_a_reason_or_without(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    assert f'href="/c/o/{public_id}/decline"' in page
    token = factories.csrf_token(client.get(f"/c/o/{public_id}/decline").text)
    client.post(f"/c/o/{public_id}/decline", data={"csrf_token": token, "reason": ""})
    assert factories.order_status(services, public_id) == "declined"
    assert "You have declined" in client.get(f"/c/o/{public_id}/").text


def test_a_reopened_check_shows_the_form_again(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    agree(client, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    assert "The check is done" in client.get(f"/c/o/{public_id}/").text
    with services.db.writing() as session:
        Order.find(session, public_id).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )
    assert "Read and decide" in client.get(f"/c/o/{public_id}/").text
    page = client.get(f"/c/o/{public_id}/consent").text
    assert "Do you agree?" in page
    assert "Zyxwv" not in page


def test_a_sample_says_so_wherever_it_is_shown(services: Services, client: FlaskClient) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    product = check_factories.create_package(services, disclosure=sample)
    account_id, _ = factories.create_account(services, sandbox=True)
    placed = factories.place_order(services, account_id, product, "check")
    said = "This is a sample, not for real use"
    assert said in arrive(services, client, placed)
    assert said in client.get(f"/c/o/{placed}/consent").text
    agree(client, placed)
    assert said in client.get(f"/c/o/{placed}/").text
    assert all(said in body for body in bodies(letter(services)))


# The copy by e-mail


def letter(services: Services) -> email.message.EmailMessage:
    """Return the newest letter, once all are written."""
    Dispatcher(services).drain("1/email")
    found = sorted((services.settings.instance / "mail").glob("*.eml"), key=sent)
    return read(found[-1])


def read(path: Path) -> email.message.EmailMessage:
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def sent(path: Path) -> bool:
    return "your copy" in str(read(path)["Subject"])


def bodies(message: email.message.EmailMessage) -> list[str]:
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    return [" ".join(unescape(part.get_content()).split()) for part in parts if part]


def test_the_candidate_gets_a_copy_of_what_they_agreed_to(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    agree(client, public_id, name="Lakita <i>J</i>")
    copy = letter(services)
    assert copy["Subject"] == "Groove Tech: your copy of what you agreed to"
    assert copy["To"] == "lakita_marrero@gmail.com"
    plain, rich = bodies(copy)
    for body in (plain, rich):
        for said in (
            "Hello Lakita",
            "Groove Tech",
            "Operations Manager",
            "Full screening",
            "jobs 3",
            "Lakita <i>J</i>",
            factories.athens_time(services.now()),
            "http://provider.test/c/",
        ):
            assert said in body, said
        assert "sample" not in body
    assert "We may ask around." in plain
    assert "We may <strong>ask</strong> around." in rich
    assert "Lakita &lt;i&gt;J&lt;/i&gt;" in copy.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for secret in check_factories.SECRET_WORDS:
        assert secret not in plain + rich
