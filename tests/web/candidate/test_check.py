"""The consent page of a check in a test client, and the copy by e-mail."""

import email
import email.policy
import hashlib
from dataclasses import replace
from datetime import timedelta
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from provider.app import create_app
from provider.core.kinds.check import Check
from provider.core.orders import Order
from provider.delivery.dispatcher import Dispatcher
from provider.services import Services
from tests import check_factories, factories
from tests.check_way import give_consent, open_invitation, send, shown_digests, walk, way
from tests.factories import ManualClock


def reopen(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        Order.find(session, public_id).reopen(
            session, services.secret_box, "sam", "Mix-up", services.now()
        )


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


def test_landing_says_why_by_whom_and_how_long_of_each_screening(
    services: Services, client: FlaskClient
) -> None:
    own_reason = "The bakery must know where you worked."
    screenings: list[dict[str, Any]] = [
        {"key": "identity", "name": "Passport", "type": "identity", "working_days": 1},
        {"key": "jobs", "name": "Jobs", "asks": ["employers"], "reason": own_reason},
        {"key": "references", "name": "Referees", "type": "references", "working_days": 9},
        {"key": "record", "name": "Record"},
    ]
    package = check_factories.create_package(services, screenings=screenings)
    page = open_invitation(services, client, check_factories.place_check(services, package))
    page = unescape(page).split("What is checked", 1)[1]
    start, *parts = (page.index(f">{row['name']}</dt>") for row in screenings)
    identity, jobs, references, record = (
        page[begin:end] for begin, end in pairwise([start, *parts, page.index("Your rights")])
    )
    assert "A document and your details show that you are the person who applied." in identity
    assert "People who check what you have told us" in identity
    assert "1 working day<" in identity
    assert own_reason in jobs
    assert "5 working days" in jobs
    assert "The people whom you name are asked about your work." in references
    assert "The people whom you have named" in references
    assert "9 working days" in references
    assert "The result of this check depends on it." not in record  # it needs nothing from her
    assert "5 working days" in record


def test_way_begins_with_the_disclosure_and_nothing_else(
    client: FlaskClient, public_id: str
) -> None:
    begin = client.get(way(public_id))
    assert (begin.status_code, begin.location) == (303, way(public_id, "disclosure"))
    page = client.get(begin.location).text
    assert "We may <strong>ask</strong> around." in page
    assert "Text jobs, version 3" in page
    assert f'href="/c/o/{public_id}/decline"' in page
    assert page.count("<h1") == 1
    for word in ('<input type="text', "Full screening</p>", "Why we ask", "candidate-footer"):
        assert word not in page


def test_details_show_requested_fields_with_reasons(client: FlaskClient, public_id: str) -> None:
    send(client, way(public_id, "disclosure"))
    page = unescape(client.get(way(public_id, "details/names")).text)
    for name, autocomplete in (("given", "given-name"), ("family", "family-name")):
        assert f'name="full_name.0.{name}"' in page
        assert f'autocomplete="{autocomplete}"' in page
    assert "former_names" not in page
    assert "Why we ask" in page
    assert page.count("The result of this check depends on it.") == 2
    page = client.get(way(public_id, "details/birth")).text
    assert 'autocomplete="bday"' in page
    assert client.get(way(public_id, "details/addresses")).status_code == 404


@pytest.mark.parametrize("page", ["details/names", "review"])
def test_page_before_the_disclosure_is_read_leads_to_it(
    client: FlaskClient, public_id: str, page: str
) -> None:
    assert client.get(way(public_id, page)).location == way(public_id, "disclosure")


def test_way_without_details_ends_in_the_signature(services: Services, client: FlaskClient) -> None:
    placed = check_factories.place_check(services, factories.create_package(services))
    open_invitation(services, client, placed)
    response = send(client, way(placed, "disclosure"))
    assert response.location == way(placed, "review")
    assert send(client, response.location, name="Lakita").status_code == 303
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
    path = walk(client, public_id)
    token = factories.csrf_token(client.get(path).text)
    for name in (check_factories.SIGNED_NAME, "Somebody else"):
        response = client.post(path, data={"csrf_token": token, "name": name})
        assert (response.status_code, response.location) == (303, f"/c/o/{public_id}/")
    (consent,) = load_check(services, public_id).consents
    assert consent.disclosure_version == "jobs 3"
    for page in ("", "disclosure", "details/names", "review"):
        assert client.get(way(public_id, page)).location == f"/c/o/{public_id}/"


def test_details_are_saved_incomplete_and_review_lists_what_is_missing(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    details = {
        "date_of_birth": {"date": "tomorrow"},
        "employers": [{"name": "Typed <b>", "from": "2019-05", "until": "2018-01"}],
    }
    review = walk(client, public_id, details)
    page = client.get(review).text
    assert "Something is still missing" in page
    for problem in ("Please fill in: Full legal name", "year-month-day", "The end is before"):
        assert problem in unescape(page)
    assert "Typed &lt;b&gt;" in page
    response = send(client, review, name="")
    assert response.status_code == 400
    assert "Please type your name to agree" in response.text
    link = way(public_id, "details/employers?check=1")
    assert f'href="{link}#detail-employers"' in page
    page = client.get(link).text
    assert 'value="Typed &lt;b&gt;"' in page
    assert 'id="field-employers-0-until-error"' in page
    assert factories.order_status(services, public_id) == "pending"


def test_details_of_another_browser_are_still_there(
    app: Flask, services: Services, client: FlaskClient, public_id: str
) -> None:
    walk(client, public_id, {"full_name": {"family": "Marrero"}})
    other = app.test_client()
    open_invitation(services, other, public_id)
    assert other.get(way(public_id)).location == way(public_id, "details/birth")
    assert 'value="Marrero"' in other.get(way(public_id, "details/names")).text


def test_rows_are_added_and_removed_without_scripts(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    walk(client, public_id)
    path = way(public_id, "details/employers")
    fields = check_factories.form_fields({"employers": check_factories.FORM_VALUES["employers"]})
    added = send(client, path, **fields, do="add:employers")
    assert added.location == f"{path}#detail-employers"
    page = client.get(path).text
    assert "Employer 3" in page
    removed = send(client, path, **fields, do="remove:employers:0")
    assert removed.status_code == 303
    page = client.get(path).text
    assert "Zyxwv" not in page
    assert 'name="employers.0.name"' in page
    assert "Xylofon" in page


def test_unchanged_page_in_another_tab_overwrites_nothing(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    send(client, way(public_id, "disclosure"))
    path = way(public_id, "details/names")
    old_page = client.get(path).text
    send(client, path, **{"full_name.0.family": "Marrero"})
    data = shown_digests(old_page) | {"csrf_token": factories.csrf_token(old_page)}
    assert client.post(path, data=data).status_code == 303
    assert 'value="Marrero"' in client.get(path).text
    response = client.post(path, data=data | {"full_name.0.family": "Quux"})
    assert response.status_code == 409
    assert "changed in another window" in response.text
    assert 'value="Quux"' in response.text
    data |= shown_digests(response.text) | {"full_name.0.family": "Quux"}
    assert client.post(path, data=data).status_code == 303
    assert 'value="Quux"' in client.get(path).text


def test_save_by_the_script_returns_what_is_stored(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    send(client, way(public_id, "disclosure"))
    path = way(public_id, "details/names")
    page = client.get(path).text
    data = shown_digests(page) | {"do": "save", "full_name.0.family": "Marrero"}
    headers = {"Accept": "application/json", "X-CSRFToken": factories.csrf_token(page)}
    reply = client.post(path, data=data, headers=headers)
    assert reply.status_code == 200
    assert shown_digests(client.get(path).text) == {
        f"shown.{name}": digest for name, digest in reply.get_json()["shown"].items()
    }
    conflict = client.post(path, data=data | {"full_name.0.family": "Quux"}, headers=headers)
    assert (conflict.status_code, list(conflict.get_json())) == (409, ["error"])


def test_oversized_value_is_cut_and_refused_at_the_review(
    client: FlaskClient, public_id: str
) -> None:
    details = check_factories.FORM_VALUES | {"full_name": {"family": "x" * 100_000}}
    page = client.get(walk(client, public_id, details)).text
    assert "at most 200 characters" in page
    assert "x" * 2001 not in page


@pytest.mark.parametrize("page", ["details/employers", "review"])
def test_expired_form_keeps_typed_values(
    services: Services, client: FlaskClient, public_id: str, page: str
) -> None:
    walk(client, public_id, {})
    fields = check_factories.form_fields(check_factories.FORM_VALUES, name="Zyxwv Bakery")
    response = client.post(way(public_id, page), data=fields)
    assert response.status_code == 400
    assert "Please press the button again" in response.text
    assert "Zyxwv Bakery" in response.text
    assert factories.order_status(services, public_id) == "pending"


def test_expired_form_of_a_text_is_shown_again(client: FlaskClient, public_id: str) -> None:
    response = client.post(way(public_id, "disclosure"))
    assert response.status_code == 400
    assert "Please press the button again" in response.text


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
    token = factories.csrf_token(client.get(way(own, "disclosure")).text)
    assert client.get(way(other)).status_code == 403
    for page in ("disclosure", "details/names", "review", "details/corrections/names"):
        for data in ({"name": "A", "csrf_token": token}, {}):
            assert client.post(way(other, page), data=data).status_code in (403, 404, 405)
        assert client.get(way(other, page)).status_code in (403, 404)
    assert factories.order_status(services, other) == "pending"


def test_consent_form_of_a_test_returns_404(services: Services, client: FlaskClient) -> None:
    account_id, _ = factories.create_account(services)
    test = factories.place_order(services, account_id, factories.create_test(services))
    open_invitation(services, client, test)
    assert client.get(f"/c/o/{test}/consent").status_code == 404


def test_give_consent_after_deadline_expires_the_order(
    services: Services, client: FlaskClient, public_id: str, clock: ManualClock
) -> None:
    path = walk(client, public_id)
    data = {"name": "Lakita", "csrf_token": factories.csrf_token(client.get(path).text)}
    clock.advance(timedelta(days=8))
    response = client.post(path, data=data)
    assert response.status_code == 409
    assert "This invitation is over" in response.text
    assert factories.order_status(services, public_id) == "expired"
    assert client.get(way(public_id)).status_code == 303
    saved = client.post(way(public_id, "details/names"), data=data | {"full_name.0.family": "X"})
    assert saved.status_code == 409


def test_details_typed_before_the_deadline_stay_after_reopening(
    services: Services, client: FlaskClient, public_id: str, clock: ManualClock
) -> None:
    walk(client, public_id)
    clock.advance(timedelta(days=8))
    assert client.get(f"/c/o/{public_id}/").status_code == 200
    reopen(services, public_id)
    open_invitation(services, client, public_id)
    assert client.get(way(public_id)).location == way(public_id, "review")
    assert "Zyxwv Bakery" in client.get(way(public_id, "review")).text


def test_consent_that_was_sent_in_time_counts(
    services: Services, client: FlaskClient, public_id: str, clock: ManualClock
) -> None:
    path = walk(client, public_id)
    data = {"name": "Lakita", "csrf_token": factories.csrf_token(client.get(path).text)}
    clock.advance(timedelta(days=7, seconds=5))
    response = client.post(path, data=data, environ_overrides={"provider.receive_seconds": 6})
    assert response.status_code == 303
    assert factories.order_status(services, public_id) == "consented"


@pytest.mark.parametrize("end", ["cancelled", "declined"])
def test_give_consent_after_end_is_refused(
    services: Services, client: FlaskClient, public_id: str, end: str
) -> None:
    path = walk(client, public_id)
    data = {"name": "Lakita", "csrf_token": factories.csrf_token(client.get(path).text)}
    with services.db.writing() as session:
        order = Order.find(session, public_id)
        order.change_status(session, end, actor="sam", now=services.now())
    assert client.post(path, data=data).status_code == 409
    assert factories.order_status(services, public_id) == end


def test_decline_with_a_reason_is_reachable_from_every_page(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    walk(client, public_id)
    for page in ("disclosure", "details/names", "details/employers", "review"):
        assert f'href="/c/o/{public_id}/decline"' in client.get(way(public_id, page)).text
    send(client, f"/c/o/{public_id}/decline", reason="I have found another job")
    assert factories.order_status(services, public_id) == "declined"
    with services.db.reading() as session:
        (event,) = [e for e in Order.find(session, public_id).events if e.type == "declined"]
        assert event.note == "I have found another job"


def test_consent_form_links_to_decline_without_reason(
    services: Services, client: FlaskClient, public_id: str
) -> None:
    page = client.get(way(public_id, "disclosure")).text
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
    reopen(services, public_id)
    assert "Read and decide" in open_invitation(services, client, public_id)
    assert client.get(way(public_id)).location == way(public_id, "disclosure")
    send(client, way(public_id, "disclosure"))
    page = client.get(way(public_id, "details/employers")).text
    assert "Where you have worked" in page
    assert "Zyxwv" not in page


def test_sample_text_is_marked_on_pages_and_email(services: Services, client: FlaskClient) -> None:
    sample = check_factories.PACKAGE_CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    product = check_factories.create_package(services, disclosure=sample)
    account_id, _ = factories.create_account(services, sandbox=True)
    placed = factories.place_order(services, account_id, product, "check")
    notice = "This is a sample, not for real use"
    assert notice in open_invitation(services, client, placed)
    assert notice in client.get(way(placed, "disclosure")).text
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
