"""Staff accounts, their passwords, and signing in."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from provider.core import staff as core_staff
from provider.core.staff import (
    Staff,
    StaffSession,
    complete_sign_in,
    passwords,
    register_sign_in_attempt,
    remember_sign_in,
    sign_in_slot,
    verify_password,
)
from provider.core.staff.sign_in import MAX_CONCURRENT_SIGN_INS
from provider.core.staff.throttle import ATTEMPT_WINDOW, KnownOrigin
from provider.errors import Conflict, Invalid, NotFound, Unauthorized, Unavailable
from provider.services import Services
from provider.storage.secrets import sha256_digest
from tests import factories
from tests.factories import ManualClock

EMAIL, PASSWORD, IP_ADDRESS = "sam@provider.test", "correct horse battery", "198.51.100.7"
HASHER = passwords._hasher()


def database_bytes(services: Services) -> bytes:
    """Return the content of all files of the SQLite database."""
    database_path = Path(str(services.db.url.database))
    files = database_path.parent.glob(f"{database_path.name}*")
    return b"".join(path.read_bytes() for path in files)


# Staff


def test_create_staff_normalises_email_and_hashes_password(services: Services) -> None:
    with services.db.writing() as session:
        Staff.create(session, "  Sam@Provider.TEST ", PASSWORD, "viewer", services.now())
    with services.db.reading() as session:
        sam = session.scalars(select(Staff)).one()
        assert (sam.email, sam.role) == (EMAIL, "viewer")
        assert sam.password_hash.startswith("$argon2id$")


@pytest.mark.parametrize(
    "email",
    [
        "",
        "@",
        "sam",
        "sam@",
        "@provider.test",
        "a@b@c",
        "sam @provider.test",
        "s\x00am@b",
        "a@\nb",
        "s\udc80@b",
        "x" * 250 + "@b.example",
    ],
)
def test_create_staff_invalid_email_is_refused(services: Services, email: str) -> None:
    with services.db.writing() as session, pytest.raises(Invalid, match="is not an e-mail address"):
        Staff.create(session, email, PASSWORD, "admin", services.now())


@pytest.mark.parametrize(
    "password", ["", "ninechars", "x" * 1001, "ten\x00characters", "\udc80" * 10]
)
def test_create_staff_invalid_password_is_refused(services: Services, password: str) -> None:
    with (
        services.db.writing() as session,
        pytest.raises(Invalid, match="has 10 to 1000 plain characters"),
    ):
        Staff.create(session, EMAIL, password, "admin", services.now())


def test_create_staff_unknown_role_or_used_email_is_refused(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        with pytest.raises(Invalid, match="one of owner, admin, operator, "):
            Staff.create(session, "new@provider.test", PASSWORD, "boss", services.now())
        with pytest.raises(Conflict, match=r"sam@provider\.test is on the staff already"):
            Staff.create(session, EMAIL.upper(), PASSWORD, "admin", services.now())


@pytest.mark.parametrize(
    "password",
    [
        "password123",
        "letmeinletmein",
        "xxxxxxxxxxxxxxx",
        "1234567890abc",
        "sam.provider.test1",
        "Sam-Provider-2026",
        "sam@provider.test",
        "providerprovider",
        "qwertyuiop[]",
        "x" * 1000,
    ],
)
def test_create_staff_easy_password_is_refused(services: Services, password: str) -> None:
    with (
        services.db.writing() as session,
        pytest.raises(Invalid, match="easy to guess: take four words"),
    ):
        Staff.create(session, EMAIL, password, "admin", services.now())


@pytest.mark.parametrize("password", [PASSWORD, "Wq7#kd!x2LpZ", "drei graue Esel tanzen" * 40])
def test_create_staff_hard_password_is_accepted(services: Services, password: str) -> None:
    with services.db.writing() as session:
        Staff.create(session, EMAIL, password, "admin", services.now())


# Signing in


def sign_in(
    services: Services, password: str, email: str = EMAIL, ip_address: str = IP_ADDRESS
) -> str | None:
    """Sign in, as the console does. Returns the token of the session."""
    with services.db.writing() as session:
        password_hash = register_sign_in_attempt(session, email, ip_address, services.now())
    if not verify_password(password_hash, password):
        return None
    with services.db.writing() as session:
        return complete_sign_in(session, email, ip_address, services.now())


def signed_in_email(services: Services, token: str) -> str | None:
    with services.db.reading() as session:
        staff_session = StaffSession.find(session, token, services.now())
        return staff_session.staff.email if staff_session else None


def test_sign_in_right_password_creates_a_session(services: Services) -> None:
    factories.create_staff(services, EMAIL, password=PASSWORD)
    token = sign_in(services, PASSWORD, email=" SAM@provider.test ")
    assert token
    assert signed_in_email(services, token) == EMAIL
    services.db.close()
    assert token.encode() not in database_bytes(services)


def test_sign_in_wrong_password_is_refused(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    for password in ("", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), "\x00", "\udc80"):
        skip_attempt_window(services)
        assert sign_in(services, password) is None


def skip_attempt_window(services: Services) -> None:
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(ATTEMPT_WINDOW)


def test_sign_in_long_password_is_compared_as_a_whole(services: Services) -> None:
    password = "krumpel 7 vast " + "x" * 985
    factories.create_staff(services, password=password)
    assert sign_in(services, password + "x") is None
    assert sign_in(services, "x" * 1_000_000) is None
    assert sign_in(services, password)


def test_sign_in_unknown_email_gets_a_dummy_hash(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        known = register_sign_in_attempt(session, EMAIL, IP_ADDRESS, services.now())
        unknown = register_sign_in_attempt(
            session, "nobody@provider.test", IP_ADDRESS, services.now()
        )
        invalid = register_sign_in_attempt(session, "\udc80\x00" * 400, IP_ADDRESS, services.now())
    # The hashes have the same parameters, so both verifications take equally long.
    assert known.rsplit("$", 2)[0] == unknown.rsplit("$", 2)[0] == invalid.rsplit("$", 2)[0]
    assert not verify_password(unknown, PASSWORD)


def test_password_hash_has_the_parameters_of_rfc_9106(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    password_hash = HASHER.hash(PASSWORD)
    # The second recommended option of RFC 9106: 64 MiB, three passes, parallelism four.
    assert password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.dummy_hash().startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password(password_hash, PASSWORD)
    assert not verify_password(passwords.dummy_hash(), PASSWORD)


def test_verify_password_invalid_hash_matches_nothing() -> None:
    assert not verify_password("", "")
    assert not verify_password("no hash", "no hash")


def test_disabled_staff_cannot_sign_in(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    token = sign_in(services, PASSWORD)
    assert token
    with services.db.writing() as session:
        session.execute(update(Staff).values(disabled_at=services.now()))
    assert signed_in_email(services, token) is None
    assert sign_in(services, PASSWORD) is None


def test_staff_session_ends_after_twelve_hours(services: Services, clock: ManualClock) -> None:
    factories.create_staff(services, password=PASSWORD)
    token = sign_in(services, PASSWORD)
    assert token
    clock.advance(timedelta(hours=12) - timedelta(seconds=1))
    assert signed_in_email(services, token) == EMAIL
    clock.advance(timedelta(seconds=1))
    assert signed_in_email(services, token) is None
    clock.advance(timedelta(seconds=1))
    new_token = sign_in(services, PASSWORD)  # deletes expired sessions
    with services.db.reading() as session:
        token_hashes = session.scalars(select(StaffSession.token_hash)).all()
    assert new_token
    assert token_hashes == [sha256_digest(new_token)]


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udc80", "x" * 43])
def test_staff_session_unknown_token_is_none(services: Services, token: str) -> None:
    factories.create_staff(services, password=PASSWORD)
    sign_in(services, PASSWORD)
    assert signed_in_email(services, token) is None


# Changes


def change(services: Services, name: str) -> None:
    """Make one of the changes of a member of staff."""
    with services.db.writing() as session:
        person = Staff.get_by_email(session, f" {EMAIL.upper()} ")
        if name == "password":
            core_staff.change_password(session, person, "nine purple unicorns")
        elif name == "role":
            core_staff.change_role(session, person, "viewer")
        elif name == "disable":
            core_staff.disable(session, person, services.now())
        else:
            person.disabled_at = services.now()
            core_staff.enable(session, person)


@pytest.mark.parametrize("name", ["password", "role", "disable", "enable"])
def test_change_of_staff_ends_the_sessions_of_that_person(services: Services, name: str) -> None:
    factories.create_staff(services)
    factories.create_staff(services, "bob@provider.test")
    assert sign_in(services, PASSWORD)
    bobs_token = sign_in(services, PASSWORD, "bob@provider.test")
    assert bobs_token
    change(services, name)
    with services.db.reading() as session:
        remaining = session.scalars(select(StaffSession.token_hash)).all()
    assert remaining == [sha256_digest(bobs_token)]


def test_changed_password_replaces_the_old_and_forgets_browsers(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        remember_sign_in(session, EMAIL, IP_ADDRESS, services.now(), "")
    change(services, "password")
    with services.db.reading() as session:
        assert session.scalars(select(KnownOrigin)).all() == []
    assert sign_in(services, PASSWORD) is None
    assert sign_in(services, "nine purple unicorns")


def test_changed_password_that_is_easy_is_refused(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        person = Staff.get_by_email(session, EMAIL)
        with pytest.raises(Invalid, match="easy to guess"):
            core_staff.change_password(session, person, "sam provider 1")


def test_change_without_effect_or_person_is_refused(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        person = Staff.get_by_email(session, EMAIL)
        with pytest.raises(Conflict, match="is admin already"):
            core_staff.change_role(session, person, "admin")
        with pytest.raises(Invalid, match="one of owner, admin, operator, "):
            core_staff.change_role(session, person, "boss")
        with pytest.raises(Conflict, match="is not disabled"):
            core_staff.enable(session, person)
        with pytest.raises(NotFound, match="provider staff list"):
            Staff.get_by_email(session, "bob@provider.test")


@pytest.mark.parametrize("name", ["password", "disable"])
def test_complete_sign_in_after_a_change_is_refused(services: Services, name: str) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        verified_hash = register_sign_in_attempt(session, EMAIL, IP_ADDRESS, services.now())
    change(services, name)
    with services.db.writing() as session, pytest.raises(Unauthorized, match="changed just now"):
        complete_sign_in(session, EMAIL, IP_ADDRESS, services.now(), verified_hash=verified_hash)


def test_sign_in_slot_beyond_four_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provider.core.staff.sign_in.SLOT_WAIT_SECONDS", 0.01)
    with ExitStack() as stack:
        for _ in range(MAX_CONCURRENT_SIGN_INS):
            stack.enter_context(sign_in_slot())
        with pytest.raises(Unavailable, match="Try again in a few seconds"), sign_in_slot():
            pass
    with sign_in_slot():
        pass
