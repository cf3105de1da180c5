"""The staff's pages: roles, invitations, and new passwords by e-mail."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.staff import ROLES, Staff, StaffLink
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.web.console_client import ConsoleClient

STAFF = "/console/staff/"
PASSWORD = "seven quiet lamps rowing"
NEW = "ana@provider.test"


@pytest.fixture
def admin(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "admin")


def send_emails(services: Services) -> list[str]:
    """Deliver the e-mails to the staff; return what was written, the newest last."""
    dispatcher = Dispatcher(services)
    dispatcher.drain("0/email")
    files = sorted(
        (services.settings.instance / "mail").glob("*.eml"), key=lambda f: f.stat().st_mtime
    )
    return [path.read_text("utf-8").replace("=\n", "") for path in files]


def link_in(email: str) -> str:
    """Return the path of the link in an e-mail."""
    match = re.search(r"http://provider\.test(/console/(?:join|password)/[\w-]{43})", email)
    assert match, email
    return match[1]


def invite(console: ConsoleClient, email: str = NEW, role: str = "reviewer") -> int:
    return console.submit(f"{STAFF}invite", page=STAFF, email=email, role=role).status_code


def find_staff(services: Services, email: str) -> Staff | None:
    with services.db.reading() as session:
        return session.scalar(select(Staff).where(Staff.email == email))


def new_browser(client: FlaskClient) -> ConsoleClient:
    return ConsoleClient(client.application.test_client())


def test_invited_colleague_chooses_a_password_and_signs_in(
    services: Services, client: FlaskClient, admin: ConsoleClient
) -> None:
    assert invite(admin, " Ana@Provider.test ") == 302
    (email,) = send_emails(services)
    assert f"To: {NEW}" in email
    assert "admin@provider.test invites you to the console, as reviewer" in email
    path, browser = link_in(email), new_browser(client)
    page = browser.get_text(path)
    assert (NEW in page, "reviewer" in page) == (True, True)
    form = {"password": PASSWORD, "repeated": PASSWORD}
    wrong = browser.submit(path, page=path, **form | {"repeated": "another"})
    assert (wrong.status_code, "The two passwords differ" in wrong.text) == (400, True)
    easy = browser.submit(path, page=path, password="ana provider", repeated="ana provider")
    assert (easy.status_code, "easy to guess" in easy.text) == (400, True)
    assert browser.submit(path, page=path, **form).location == "/console/sign-in"
    assert browser.sign_in(NEW, PASSWORD).status_code == 302
    staff = find_staff(services, NEW)
    assert staff
    assert staff.role == "reviewer"
    assert browser.client.get(path).status_code == 410  # the link works once


def test_invitation_ends_when_withdrawn_replaced_or_old(
    services: Services, client: FlaskClient, clock: ManualClock, admin: ConsoleClient
) -> None:
    invite(admin)
    invite(admin, role="viewer")
    first, second = map(link_in, send_emails(services))
    assert client.get(first).status_code == 410
    page = admin.get_text(STAFF)
    assert page.count(NEW) == 1
    with services.db.reading() as session:
        link_id = session.scalars(select(StaffLink.public_id).order_by(StaffLink.id.desc())).first()
    withdraw = f"{STAFF}invitations/{link_id}/withdraw"
    assert client.get(second).status_code == 200
    assert admin.submit(withdraw, page=STAFF).status_code == 302
    assert client.get(second).status_code == 410
    assert admin.submit(withdraw, page=STAFF).status_code == 404
    invite(admin)
    third = link_in(send_emails(services)[-1])
    clock.advance(timedelta(days=7))
    assert client.application.test_client().get(third).status_code == 410


@pytest.mark.parametrize(
    ("email", "role", "words"),
    [
        ("nobody", "viewer", "is not an e-mail address"),
        ("ana@b.test", "boss", "The role should be one of"),
        ("admin@provider.test", "viewer", "is on the staff already"),
    ],
)
def test_invitation_with_a_wrong_value_is_refused(
    services: Services, admin: ConsoleClient, email: str, role: str, words: str
) -> None:
    response = admin.submit(f"{STAFF}invite", page=STAFF, email=email, role=role)
    assert (response.status_code, words in response.text) == (400, True)
    with services.db.reading() as session:
        assert session.scalars(select(StaffLink)).all() == []


def test_only_owners_make_and_change_owners(
    services: Services, client: FlaskClient, admin: ConsoleClient
) -> None:
    owner = ConsoleClient.signed_in(services, client.application.test_client(), "owner")
    person = find_staff(services, "owner@provider.test")
    assert person
    assert invite(admin, role="owner") == 403
    assert admin.submit(f"{STAFF}{person.id}/role", page=STAFF, role="viewer").status_code == 403
    assert admin.submit(f"{STAFF}{person.id}/disable", page=STAFF).status_code == 403
    assert "owner" not in re.findall(r'<option value="(\w+)"', admin.get_text(STAFF))
    assert invite(owner, role="owner") == 302


def test_last_owner_cannot_be_taken_away(services: Services, client: FlaskClient) -> None:
    owner = ConsoleClient.signed_in(services, client, "owner")
    factories.create_staff(services, NEW, "owner")
    other, own = find_staff(services, NEW), find_staff(services, "owner@provider.test")
    assert other
    assert own
    # Nobody changes oneself, and the only other owner may be changed.
    assert owner.submit(f"{STAFF}{own.id}/disable", page=STAFF).status_code == 400
    assert owner.submit(f"{STAFF}{other.id}/disable", page=STAFF).status_code == 302
    assert owner.submit(f"{STAFF}{other.id}/enable", page=STAFF).status_code == 302
    with services.db.writing() as session:
        session.get_one(Staff, own.id).disabled_at = services.now()
    second = new_browser(client)
    second.sign_in(NEW, "correct horse battery")
    third = factories.create_staff(services, "eve@provider.test", "admin")
    assert third
    page = second.submit(f"{STAFF}{own.id}/role", page=STAFF, role="viewer")
    assert page.status_code == 302  # one owner is left: oneself


def test_changed_role_and_disabled_person_are_signed_out(
    services: Services, client: FlaskClient, admin: ConsoleClient
) -> None:
    factories.create_staff(services, NEW, "viewer", PASSWORD)
    person, browser = find_staff(services, NEW), new_browser(client)
    assert person
    path = f"{STAFF}{person.id}"
    for act, form in (("role", {"role": "support"}), ("end-sessions", {}), ("disable", {})):
        browser.sign_in(NEW, PASSWORD)
        assert browser.client.get("/console/orders/").status_code == 200
        assert admin.submit(f"{path}/{act}", page=STAFF, **form).status_code == 302
        assert browser.client.get("/console/orders/").status_code == 302
    assert browser.sign_in(NEW, PASSWORD).status_code == 403
    admin.submit(f"{path}/enable", page=STAFF)
    assert browser.sign_in(NEW, PASSWORD).status_code == 302
    assert admin.submit(f"{path}/remove-second-step", page=STAFF).status_code == 400


def test_forgotten_password_is_replaced_by_a_link(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    factories.create_staff(services, NEW, "viewer")
    browser = ConsoleClient(client)
    page = browser.submit("/console/password", page="/console/password", email=" ANA@provider.test")
    (email,) = send_emails(services)
    path = link_in(email)
    form = {"password": PASSWORD, "repeated": PASSWORD}
    assert browser.submit(path, page=path, **form).location == "/console/sign-in"
    assert browser.sign_in(NEW, "correct horse battery").status_code == 403
    assert browser.sign_in(NEW, PASSWORD).status_code == 302
    assert client.get(path).status_code == 410
    # The answer is the same for an unknown address, and nothing is sent.
    unknown = browser.submit("/console/password", page="/console/password", email="x@y.test")
    assert unknown.text == page.text
    assert len(send_emails(services)) == 1


def test_reset_links_are_limited_and_end_after_an_hour(
    services: Services, client: FlaskClient, clock: ManualClock
) -> None:
    factories.create_staff(services, NEW, "viewer")
    browser = ConsoleClient(client)
    for _ in range(5):
        browser.submit("/console/password", page="/console/password", email=NEW)
    emails = send_emails(services)
    assert len(emails) == 3
    clock.advance(timedelta(hours=1))
    assert {client.get(link_in(email)).status_code for email in emails} == {410}


def test_disabled_person_gets_no_reset_link(services: Services, client: FlaskClient) -> None:
    factories.create_staff(services, NEW, "viewer")
    with services.db.writing() as session:
        Staff.get_by_email(session, NEW).disabled_at = services.now()
    ConsoleClient(client).submit("/console/password", page="/console/password", email=NEW)
    assert send_emails(services) == []


def test_links_of_the_staff_are_hidden_from_the_staff(
    services: Services, client: FlaskClient, admin: ConsoleClient
) -> None:
    """A viewer who saw an administrator's link could take the account over."""
    invite(admin)
    (email,) = send_emails(services)
    with services.db.reading() as session:
        message_id = session.scalars(select(Message.public_id)).one()
    page = admin.get_text(f"/console/deliveries/{message_id}")
    assert "/console/join/…" in page
    assert link_in(email).rpartition("/")[2] not in page


@pytest.mark.parametrize("role", ROLES)
def test_home_of_each_role_is_a_page_that_it_may_see(
    services: Services, client: FlaskClient, role: str
) -> None:
    ConsoleClient.signed_in(services, client, role)
    assert client.get("/console/", follow_redirects=True).status_code == 200


def test_invitation_with_a_limit_makes_a_limited_colleague(
    services: Services, client: FlaskClient, admin: ConsoleClient
) -> None:
    own_id, _ = factories.create_account(services)
    factories.create_account(services, "Rival Corp")
    with services.db.reading() as session:
        account = session.get_one(Account, own_id).public_id
    form = {"email": NEW, "role": "viewer", "choice": "only"}
    nothing = admin.submit(f"{STAFF}invite", page=STAFF, **form)
    assert (nothing.status_code, "Choose at least one account" in nothing.text) == (400, True)
    admin.submit(f"{STAFF}invite", page=STAFF, **form, account=account)
    path, browser = link_in(send_emails(services)[-1]), new_browser(client)
    browser.submit(path, page=path, password=PASSWORD, repeated=PASSWORD)
    staff = find_staff(services, NEW)
    assert staff
    assert staff.account_ids == [own_id]
    assert "Groove Tech" in admin.get_text(f"{STAFF}{staff.id}")
    browser.sign_in(NEW, PASSWORD)
    text = browser.get_text("/console/accounts/")
    assert ("Groove Tech" in text, "Rival" in text) == (True, False)


def test_limit_is_changed_and_ended_on_the_page_of_a_person(
    services: Services, admin: ConsoleClient
) -> None:
    own_id, _ = factories.create_account(services)
    factories.create_staff(services, NEW, "viewer")
    with services.db.reading() as session:
        account = session.get_one(Account, own_id).public_id
        number = session.scalars(select(Staff.id).where(Staff.email == NEW)).one()
    path = f"{STAFF}{number}/accounts"
    for form, expected in (
        ({"choice": "only", "account": account}, [own_id]),
        ({"choice": "all"}, None),
    ):
        assert admin.submit(path, page=STAFF, **form).status_code == 302
        staff = find_staff(services, NEW)
        assert staff
        assert staff.account_ids == expected
    unknown = admin.submit(path, page=STAFF, choice="only", account="unknown")
    assert (unknown.status_code, "Choose at least one account" in unknown.text) == (400, True)


def test_limited_person_does_not_become_an_owner(services: Services, client: FlaskClient) -> None:
    owner = ConsoleClient.signed_in(services, client, "owner")
    factories.create_staff(services, NEW, "viewer")
    with services.db.writing() as session:
        staff = session.scalars(select(Staff).where(Staff.email == NEW)).one()
        staff.account_ids, number = [1], staff.id
    refused = owner.submit(f"{STAFF}{number}/role", page=STAFF, role="owner")
    assert (refused.status_code, "An owner sees all accounts" in refused.text) == (400, True)
