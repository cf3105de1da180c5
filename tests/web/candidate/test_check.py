"""The consent page of a check in a test client, and the copy by e-mail."""

import email
import email.policy
import hashlib
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.app import create_app
from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from tests import check_factories, factories
from tests.factories import ManualClock


def open_invitation(services: Services, client: FlaskClient, public_id: str) -> str:
    """Follow the invitation's link; return the text of the first page."""
    path = urlsplit(factories.invitation_url(services, public_id)).path
    response = client.get(path, follow_redirects=True)
    assert response.status_code == 200
    return unescape(response.text)


def give_consent(client: FlaskClient, public_id: str, token: str = "", **form: Any) -> TestResponse:
    path = f"/c/o/{public_id}/consent"
    token = token or factories.csrf_token(client.get(path).text)
    headers = {"User-Agent": "A phone/2.0", "X-Forwarded-For": form.pop("X-Forwarded-For", "")}
    fields = check_factories.FORM_VALUES | {"name": check_factories.SIGNED_NAME} | form
    return client.post(path, data={"csrf_token": token, **fields}, headers=headers)


def load_check(services: Services, public_id: str) -> Check:
    with services.db.reading() as session:
        check = Check.find(session, public_id)
        _ = check.consents, check.candidate_details, check.version
        return check


@pytest.fixture
def public_id(services: Services, client: FlaskClient) -> str:
    """A check whose candidate has a session."""
    placed = check_factories.place_check(services)
    open_invitation(services, client, placed)
    return placed


def test_landing_lists_screenings_and_requested_details(
    services: Services, client: FlaskClient
) -> None:
    page = open_invitation(services, client, check_factories.place_check(services))
    for text in ("Identity", "Employment history", "Criminal record", "Your rights"):
        assert text in page
    assert "You tell us: full legal name, date of birth" in page
    assert "Nothing is checked unless you agree" in page
    assert "Read and decide" in page
    assert "sample" not in page


def test_consent_form_shows_text_and_requested_fields_only(
    client: FlaskClient, public_id: str
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    assert "We may <strong>ask</strong> around." in page
    assert "Text jobs, version 3" in page
    for name, autocomplete in (("full_name", "name"), ("date_of_birth", "bday"), ("name", "name")):
        assert f'name="{name}"' in page
        assert f'autocomplete="{autocomplete}"' in page
    assert 'name="national_id"' not in page
    assert 'name="address"' not in page


def test_consent_form_without_details_asks_for_name_only(
    services: Services, client: FlaskClient
) -> None:
    placed = check_factories.place_check(services, factories.create_package(services))
    open_invitation(services, client, placed)
    page = client.get(f"/c/o/{placed}/consent").text
    assert "What we need to know" not in page
    assert give_consent(client, placed).status_code == 303
    assert load_check(services, placed).candidate_details == []


def test_give_consent_shows_next_steps_and_copy(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    response = give_consent(client, public_id)
    assert (response.status_code, response.location) == (303, f"/c/o/{public_id}/")
    page = unescape(client.get(response.location).text)
    assert "Thank you, Lakita" in page
    assert "What happens next" in page
    assert "We may <strong>ask</strong> around." in page
    assert check_factories.SIGNED_NAME in page
    assert factories.athens_time(services.now()) in page
    for secret in check_factories.SECRET_WORDS:
        assert secret not in page


def test_give_consent_records_address_and_user_agent(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    give_consent(client, public_id)
    check = load_check(services, public_id)
    (consent,) = check.consents
    assert (consent.ip_address, consent.user_agent) == ("127.0.0.1", "A phone/2.0")
    text = check.content.disclosure.text
    assert consent.disclosure_digest == hashlib.sha256(text.encode()).hexdigest()
    assert check.decrypt_details(services.secret_box) == check_factories.STORED_DETAILS


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("192.0.2.66, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("192.0.2.66, [2001:db8::7]:51234, 10.0.0.2:80", "2001:db8::7"),
    ],
)
def test_give_consent_behind_two_proxies_records_the_client(
    services: Services, forwarded: str, address: str
) -> None:
    settings = replace(services.settings, trusted_proxies=2, base_url="http://localhost")
    client = create_app(replace(services, settings=settings)).test_client()
    placed = check_factories.place_check(services)
    open_invitation(services, client, placed)
    response = give_consent(client, placed, **{"X-Forwarded-For": forwarded})
    assert response.status_code == 303, response.text
    (consent,) = load_check(services, placed).consents
    assert consent.ip_address == address


def test_give_consent_twice_records_one_consent(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    token = factories.csrf_token(client.get(f"/c/o/{public_id}/consent").text)
    give_consent(client, public_id, token)
    again = give_consent(client, public_id, token, name="Somebody else")
    assert (again.status_code, again.location) == (303, f"/c/o/{public_id}/")
    (consent,) = load_check(services, public_id).consents
    assert consent.disclosure_version == "jobs 3"
    assert client.get(f"/c/o/{public_id}/consent").status_code == 303


def test_give_consent_incomplete_form_lists_every_problem(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    response = give_consent(
        client, public_id, name="", full_name="", date_of_birth="tomorrow", employers="Typed <b>"
    )
    page = unescape(response.text)
    assert response.status_code == 400
    assert "Some things are still missing" in page
    for name, problem in (
        ("full_name", "Please fill in: Full legal name"),
        ("date_of_birth", "year-month-day"),
        ("name", "Please type your name to agree"),
    ):
        assert f'href="#field-{name}"' in page
        assert f'id="field-{name}-error"' in page
        assert page.count(problem) == 2
    assert page.count('aria-invalid="true"') == 3
    assert "Typed <b></textarea>" in page
    assert "Typed &lt;b&gt;" in response.text
    assert factories.order_status(services, public_id) == "pending"
    assert load_check(services, public_id).candidate_details == []


def test_give_consent_oversized_value_is_cut_when_shown_again(
    client: FlaskClient, public_id: str
) -> None:
    response = give_consent(client, public_id, employers="x" * 100_000)
    assert response.status_code == 400
    assert "at most 1000 characters" in response.text
    assert "x" * 2001 not in response.text


def test_give_consent_expired_form_keeps_typed_values(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    data = check_factories.FORM_VALUES | {"name": check_factories.SIGNED_NAME}
    response = client.post(f"/c/o/{public_id}/consent", data=data)
    assert response.status_code == 400
    assert "Please press the button again" in response.text
    assert "Zyxwv Bakery" in response.text
    assert factories.order_status(services, public_id) == "pending"


def test_consent_form_with_other_orders_cookie_returns_403(
    services: Services, client: FlaskClient
) -> None:
    product = check_factories.create_package(services)
    account_id, _ = factories.create_account(services)
    own, other = (
        factories.place_order(
            services,
            account_id,
            product,
            "check",
            callback_url=f"https://groove-tech.workable.com/checks/{number}",
        )
        for number in (1, 2)
    )
    open_invitation(services, client, own)
    assert client.get(f"/c/o/{other}/consent").status_code == 403
    token = factories.csrf_token(client.get(f"/c/o/{own}/consent").text)
    data = check_factories.FORM_VALUES | {"name": check_factories.SIGNED_NAME, "csrf_token": token}
    assert client.post(f"/c/o/{other}/consent", data=data).status_code == 403
    assert client.post(f"/c/o/{other}/consent", data={}).status_code == 403
    assert factories.order_status(services, other) == "pending"


def test_consent_form_of_a_test_returns_404(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    test = factories.place_order(services, account_id, factories.create_test(services))
    open_invitation(services, client, test)
    assert client.get(f"/c/o/{test}/consent").status_code == 404


def test_give_consent_after_deadline_expires_the_order(
    services: Services, client: FlaskClient, public_id: str, clock: ManualClock
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    clock.advance(timedelta(days=8))
    data = check_factories.FORM_VALUES | {
        "name": check_factories.SIGNED_NAME,
        "csrf_token": factories.csrf_token(page),
    }
    response = client.post(f"/c/o/{public_id}/consent", data=data)
    assert response.status_code == 409
    assert "This invitation is over" in response.text
    assert factories.order_status(services, public_id) == "expired"
    assert client.get(f"/c/o/{public_id}/consent").status_code == 303


def test_consent_that_was_sent_in_time_counts(
    services: Services, client: FlaskClient, public_id: str, clock: ManualClock
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    clock.advance(timedelta(days=7, seconds=5))
    data = check_factories.FORM_VALUES | {
        "name": check_factories.SIGNED_NAME,
        "csrf_token": factories.csrf_token(page),
    }
    response = client.post(
        f"/c/o/{public_id}/consent", data=data, environ_overrides={"provider.receive_seconds": 6}
    )
    assert response.status_code == 303
    assert factories.order_status(services, public_id) == "consented"


@pytest.mark.parametrize("end", ["cancelled", "declined"])
def test_give_consent_after_end_is_refused(
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


def test_consent_form_links_to_decline_without_reason(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    page = client.get(f"/c/o/{public_id}/consent").text
    assert f'href="/c/o/{public_id}/decline"' in page
    token = factories.csrf_token(client.get(f"/c/o/{public_id}/decline").text)
    client.post(f"/c/o/{public_id}/decline", data={"csrf_token": token, "reason": ""})
    assert factories.order_status(services, public_id) == "declined"
    assert "You have declined" in client.get(f"/c/o/{public_id}/").text


def test_consent_form_after_reopen_is_shown_empty(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    give_consent(client, public_id)
    check_factories.record_findings(services, public_id)
    check_factories.complete_check(services, public_id)
    assert "The check is done" in client.get(f"/c/o/{public_id}/").text
    with services.db.writing() as session:
        Order.find(session, public_id).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )
    assert "Read and decide" in open_invitation(services, client, public_id)
    page = client.get(f"/c/o/{public_id}/consent").text
    assert "Do you agree?" in page
    assert "Zyxwv" not in page


def test_sample_text_is_marked_on_pages_and_email(services: Services, client: FlaskClient) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    product = check_factories.create_package(services, disclosure=sample)
    account_id, _ = factories.create_account(services, sandbox=True)
    placed = factories.place_order(services, account_id, product, "check")
    notice = "This is a sample, not for real use"
    assert notice in open_invitation(services, client, placed)
    assert notice in client.get(f"/c/o/{placed}/consent").text
    give_consent(client, placed)
    assert notice in client.get(f"/c/o/{placed}/").text
    assert all(notice in body for body in email_texts(newest_email(services)))


# The copy by e-mail


def newest_email(services: Services) -> email.message.EmailMessage:
    """Send every e-mail; return the copy of the consent text, the newest e-mail."""
    Dispatcher(services).drain("1/email")
    files = sorted((services.settings.instance / "mail").glob("*.eml"), key=is_copy)
    return read_email(files[-1])


def read_email(path: Path) -> email.message.EmailMessage:
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def is_copy(path: Path) -> bool:
    return "your copy" in str(read_email(path)["Subject"])


def email_texts(message: email.message.EmailMessage) -> list[str]:
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    return [" ".join(unescape(part.get_content()).split()) for part in parts if part]


def test_consent_email_has_a_copy_of_the_text(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    give_consent(client, public_id, name="Lakita <i>J</i>")
    copy = newest_email(services)
    assert copy["Subject"] == "Groove Tech: your copy of what you agreed to"
    assert copy["To"] == "lakita_marrero@gmail.com"
    plain, html = email_texts(copy)
    for body in (plain, html):
        for text in (
            "Hello Lakita",
            "Groove Tech",
            "Operations Manager",
            "Full screening",
            "jobs 3",
            "Lakita <i>J</i>",
            factories.athens_time(services.now()),
            "http://provider.test/c/",
        ):
            assert text in body, text
        assert "sample" not in body
    assert "We may ask around." in plain
    assert "We may <strong>ask</strong> around." in html
    assert "Lakita &lt;i&gt;J&lt;/i&gt;" in copy.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for secret in check_factories.SECRET_WORDS:
        assert secret not in plain + html
