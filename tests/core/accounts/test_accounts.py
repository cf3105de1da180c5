"""Authentication: accounts by their tokens, staff by their passwords."""

import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import func, select, update

from provider.core.accounts import Account, AccountToken, TokenAuthenticator
from provider.core.staff import (
    SignInAttempt,
    Staff,
    StaffSession,
    complete_sign_in,
    passwords,
    register_sign_in_attempt,
    verify_password,
)
from provider.core.staff.sign_in import ATTEMPT_WINDOW
from provider.errors import Conflict, Invalid, NotFound, Unauthorized, Unavailable
from provider.services import Services
from provider.storage.database import Database
from provider.storage.secrets import SecretBox, sha256_digest
from tests import factories
from tests.factories import ManualClock

EMAIL, PASSWORD, IP_ADDRESS = "sam@provider.test", "correct horse battery", "198.51.100.7"


HASHER = passwords._hasher()


# Accounts and their tokens


def token_row(services: Services) -> AccountToken:
    with services.db.reading() as session:
        return session.scalars(select(AccountToken)).one()


def revoke(services: Services, token: str) -> None:
    with services.db.writing() as session:
        Account.get_by_name(session, "Groove Tech").revoke_token(token, services.now())


def test_authenticate_returns_the_caller_of_a_token(services: Services) -> None:
    account_id, token = factories.create_account(
        services,
        options={"declined": True},
        shared_ttl=3,
        shared_ttl_units="views",
        expire_after_seconds=60,
    )
    caller = services.authenticator.authenticate(token, "workable", services.now())
    assert (caller.account_id, caller.ats, caller.name) == (account_id, "workable", "Groove Tech")
    assert caller.callback_hosts == ("*.workable.com", "127.0.0.1")
    assert caller.expire_after == timedelta(minutes=1)
    assert (caller.options, caller.all_products) == ({"declined": True}, True)
    assert (caller.shared_ttl, caller.shared_ttl_units) == (3, "views")
    assert hash(caller)


@pytest.mark.sqlite
def test_token_is_stored_as_digest_and_prefix(services: Services) -> None:
    _, token = factories.create_account(services)
    row = token_row(services)
    assert row.token_hash == sha256_digest(token)
    assert row.prefix == token[:12]
    assert token.startswith("prv_")
    services.db.close()
    data = database_bytes(services)
    assert token[:12].encode() in data
    assert token.encode() not in data
    assert token[12:].encode() not in data


def database_bytes(services: Services) -> bytes:
    """Return the content of all files of the SQLite database."""
    database_path = Path(str(services.db.url.database))
    files = database_path.parent.glob(f"{database_path.name}*")
    return b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "token", ["", "x", "prv_", "prv_" + "x" * 43, "\x00", "prv_\x00", "é" * 47, "x" * 100_000]
)
def test_authenticate_unknown_token_is_refused(services: Services, token: str) -> None:
    factories.create_account(services)
    with pytest.raises(Unauthorized, match="Invalid Token"):
        services.authenticator.authenticate(token, "workable", services.now())


def test_authenticate_token_with_known_prefix_is_refused(services: Services) -> None:
    _, token = factories.create_account(services)
    for wrong in (token[:-1], token + "x", token[:12] + "x" * 35, token.swapcase(), f" {token}"):
        with pytest.raises(Unauthorized):
            services.authenticator.authenticate(wrong, "workable", services.now())


def test_authenticate_token_of_another_adapter_is_refused(services: Services) -> None:
    _, token = factories.create_account(services)
    for _ in range(2):  # cached or not
        with pytest.raises(Unauthorized, match="Invalid Token"):
            services.authenticator.authenticate(token, "greenhouse", services.now())
        assert services.authenticator.authenticate(token, "workable", services.now())


def test_account_with_two_tokens_can_revoke_one(services: Services, clock: ManualClock) -> None:
    _, first = factories.create_account(services)
    with services.db.writing() as session:
        account = Account.get_by_name(session, "Groove Tech")
        second = account.issue_token(services.now())
    assert first != second
    for token in (first, second):
        assert (
            services.authenticator.authenticate(token, "workable", services.now()).name
            == "Groove Tech"
        )
    revoke(services, first[:8])
    clock.advance(timedelta(seconds=5))
    with pytest.raises(Unauthorized):
        services.authenticator.authenticate(first, "workable", services.now())
    assert services.authenticator.authenticate(second, "workable", services.now())


def test_authenticate_distinguishes_tokens_with_equal_prefix(services: Services) -> None:
    _, token = factories.create_account(services, "Groove Tech")
    _, other = factories.create_account(services, "Acme")
    with services.db.writing() as session:
        session.execute(update(AccountToken).values(prefix=token[:12]))
    assert (
        services.authenticator.authenticate(token, "workable", services.now()).name == "Groove Tech"
    )
    with pytest.raises(Unauthorized):  # its row has another prefix now
        services.authenticator.authenticate(other, "workable", services.now())


def test_authenticate_compares_digests_in_constant_time(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    services.authenticator.authenticate(token, "workable", services.now())
    compare.assert_called_once_with(sha256_digest(token), sha256_digest(token))


def test_revoke_token_needs_a_unique_prefix(services: Services) -> None:
    _, token = factories.create_account(services)
    with pytest.raises(NotFound, match="no open token that begins with prv_zzz"):
        revoke(services, "prv_zzz")
    with pytest.raises(NotFound):
        revoke(services, "")
    with services.db.writing() as session:
        Account.get_by_name(session, "Groove Tech").issue_token(services.now())
    with pytest.raises(Conflict, match="2 tokens begin with prv_: give more characters"):
        revoke(services, "prv_")
    revoke(services, token[:12])
    with pytest.raises(NotFound):  # it is already revoked
        revoke(services, token[:12])


def test_revoke_token_error_does_not_show_a_whole_token(services: Services) -> None:
    _, token = factories.create_account(services)
    revoke(services, token)
    with pytest.raises(NotFound) as caught:
        revoke(services, token)
    assert token[12:] not in str(caught.value)
    assert token[:12] in str(caught.value)


def test_get_by_name_unknown_account_names_the_command(services: Services) -> None:
    factories.create_account(services)
    with services.db.reading() as session:
        assert Account.get_by_name(session, "Groove Tech").name == "Groove Tech"
        with pytest.raises(NotFound, match="“Nobody”: see `provider account list`"):
            Account.get_by_name(session, "Nobody")


def test_display_name_is_the_brand_or_the_account_name(services: Services) -> None:
    factories.create_account(services, "Plain")
    factories.create_account(
        services, "Groove Tech (EU, staging)", branding={"display_name": "Groove Tech"}
    )
    with services.db.reading() as session:
        names = [account.display_name for account in session.scalars(select(Account))]
    assert names == ["Plain", "Groove Tech"]


# The last use


def last_used_at(services: Services) -> datetime | None:
    return token_row(services).last_used_at


def test_last_used_at_is_written_at_most_every_five_minutes(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    assert last_used_at(services) is None
    start = services.now()
    writing = Mock(wraps=services.db.writing)
    monkeypatch.setattr(services.db, "writing", writing)
    for _ in range(30):  # five minutes
        services.authenticator.authenticate(token, "workable", services.now())
        clock.advance(timedelta(seconds=10))
    assert last_used_at(services) == start
    assert writing.call_count == 1
    services.authenticator.authenticate(token, "workable", services.now())
    assert last_used_at(services) == start + timedelta(minutes=5)
    assert writing.call_count == 2


def test_last_used_at_is_shared_between_processes(services: Services, clock: ManualClock) -> None:
    _, token = factories.create_account(services)
    services.authenticator.authenticate(token, "workable", services.now())
    used_at = services.now()
    clock.advance(timedelta(minutes=4))
    TokenAuthenticator(services.db).authenticate(token, "workable", services.now())
    assert last_used_at(services) == used_at


@pytest.mark.sqlite
def test_authenticate_succeeds_when_last_used_at_cannot_be_written(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    monkeypatch.setattr("provider.storage.sqlite.BUSY_TIMEOUT_MS", 50)
    db = Database(str(services.db.url))
    with services.db.writing() as session:
        session.execute(update(Account).values(sandbox=True))  # keeps the write lock
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(
                TokenAuthenticator(db).authenticate, token, "workable", services.now()
            )
            assert future.result(10).name == "Groove Tech"
    db.close()
    assert last_used_at(services) is None


# The cache


def test_token_cache_expires_after_five_seconds(services: Services, clock: ManualClock) -> None:
    _, token = factories.create_account(services)

    def authenticated_name() -> str:
        return services.authenticator.authenticate(token, "workable", services.now()).name

    assert authenticated_name() == "Groove Tech"
    with services.db.writing() as session:
        session.execute(update(Account).values(name="Renamed"))
    clock.advance(timedelta(seconds=4, milliseconds=999))
    assert authenticated_name() == "Groove Tech"
    clock.advance(timedelta(milliseconds=1))
    assert authenticated_name() == "Renamed"


def test_token_cache_hit_makes_no_query(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    first = services.authenticator.authenticate(token, "workable", services.now())
    monkeypatch.setattr(services.db, "reading", Mock(side_effect=AssertionError))
    assert services.authenticator.authenticate(token, "workable", services.now()) is first


def test_token_cache_is_cleared_by_own_write(services: Services) -> None:
    _, token = factories.create_account(services)
    services.authenticator.authenticate(token, "workable", services.now())
    revoke(services, token[:12])
    with pytest.raises(Unauthorized):
        services.authenticator.authenticate(token, "workable", services.now())


def test_token_cache_ignores_entries_from_the_future(
    services: Services, clock: ManualClock
) -> None:
    _, token = factories.create_account(services)
    services.authenticator.authenticate(token, "workable", services.now())
    revoke(services, token[:12])
    clock.advance(-timedelta(hours=1))
    with pytest.raises(Unauthorized):
        services.authenticator.authenticate(token, "workable", services.now())


def test_token_cache_has_a_maximum_size(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.core.accounts.account.MAX_CACHE_ENTRIES", 1)
    authenticator = TokenAuthenticator(services.db)
    tokens = [factories.create_account(services, f"Account {number}")[1] for number in range(3)]
    for token in tokens:
        authenticator.authenticate(token, "workable", services.now())
        assert len(authenticator._cache) == 1


def test_token_cache_does_not_store_unknown_tokens(services: Services) -> None:
    authenticator = TokenAuthenticator(services.db)
    for number in range(5):
        with pytest.raises(Unauthorized):
            authenticator.authenticate(f"prv_{number}", "workable", services.now())
    assert authenticator._cache == {}


def test_authenticate_from_many_threads(services: Services) -> None:
    account_id, token = factories.create_account(services)
    authenticator = TokenAuthenticator(services.db)
    with ThreadPoolExecutor(20) as pool:
        callers = pool.map(
            lambda _: authenticator.authenticate(token, "workable", services.now()), range(40)
        )
    assert {caller.account_id for caller in callers} == {account_id}


# The token for callbacks


def test_callback_token_is_encrypted_on_disk(services: Services) -> None:
    factories.create_account(services, callback_token="the-ats-s-own-token")
    with services.db.reading() as session:
        account = Account.get_by_name(session, "Groove Tech")
        assert account.get_callback_token(services.secret_box) == "the-ats-s-own-token"
    services.db.close()
    assert b"the-ats-s-own-token" not in database_bytes(services)


def test_callback_token_of_another_account_is_refused(services: Services) -> None:
    factories.create_account(services, "Groove Tech", callback_token="groove's")
    factories.create_account(services, "Acme", callback_token="acme's")
    with services.db.writing() as session:
        groove, acme = (Account.get_by_name(session, name) for name in ("Groove Tech", "Acme"))
        acme.callback_token = groove.callback_token
    with (
        services.db.reading() as session,
        pytest.raises(Unavailable, match="does not belong to its row"),
    ):
        Account.get_by_name(session, "Acme").get_callback_token(services.secret_box)


def test_callback_token_survives_a_new_key_and_can_be_removed(services: Services) -> None:
    factories.create_account(services, callback_token="cb")
    secret_box = SecretBox([b"n" * 32, *services.settings.secret_keys])
    with services.db.writing() as session:
        account = Account.get_by_name(session, "Groove Tech")
        assert account.get_callback_token(secret_box) == "cb"
        account.set_callback_token(services.secret_box, None)
        assert account.get_callback_token(services.secret_box) is None


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
        with pytest.raises(Invalid, match="one of admin, operator, viewer"):
            Staff.create(session, "new@provider.test", PASSWORD, "boss", services.now())
        with pytest.raises(Conflict, match=r"sam@provider\.test is on the staff already"):
            Staff.create(session, EMAIL.upper(), PASSWORD, "admin", services.now())


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
    password = "x" * 1000
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


# The limit on sign-in attempts


def test_sign_in_attempts_are_limited_to_five_per_email(
    services: Services, clock: ManualClock
) -> None:
    factories.create_staff(services, password=PASSWORD)
    for number in range(5):
        assert sign_in(services, "wrong", ip_address=f"198.51.100.{number}") is None
        clock.advance(timedelta(minutes=1))
    with pytest.raises(Unauthorized, match="Wait a quarter of an hour"):
        sign_in(services, PASSWORD, ip_address="203.0.113.1")
    clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    with pytest.raises(Unauthorized):
        sign_in(services, PASSWORD)
    # The first attempt leaves the window. Refused attempts are not counted.
    clock.advance(timedelta(seconds=1))
    assert sign_in(services, PASSWORD)


def test_sign_in_attempts_of_unknown_email_are_limited(services: Services) -> None:
    for _ in range(5):
        assert sign_in(services, "wrong", "nobody@provider.test") is None
    with pytest.raises(Unauthorized, match="Wait a quarter"):
        sign_in(services, "wrong", " NOBODY@provider.test")
    assert sign_in(services, "wrong", "somebody@provider.test") is None


def test_sign_in_attempts_are_limited_to_thirty_per_ip_address(
    services: Services, clock: ManualClock
) -> None:
    for number in range(30):
        sign_in(services, "wrong", f"{number}@provider.test")
    with pytest.raises(Unauthorized):
        sign_in(services, "wrong", "another@provider.test")
    assert sign_in(services, "wrong", "another@provider.test", "203.0.113.1") is None
    clock.advance(timedelta(minutes=15))
    assert sign_in(services, "wrong", "another@provider.test") is None


def test_sign_in_deletes_the_attempts_of_the_email(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    for _ in range(3):
        for _ in range(4):
            sign_in(services, "wrong")
        assert sign_in(services, PASSWORD)


def test_sign_in_keeps_other_attempts_of_the_ip_address(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    for number in range(29):
        sign_in(services, "wrong", f"{number}@provider.test")
        assert sign_in(services, PASSWORD)  # this attempt is not counted
    sign_in(services, "wrong", "30@provider.test")
    with pytest.raises(Unauthorized):
        sign_in(services, "wrong", "31@provider.test")


def test_sign_in_deletes_attempts_outside_the_window(
    services: Services, clock: ManualClock
) -> None:
    factories.create_staff(services, password=PASSWORD)
    for number in range(20):
        sign_in(services, "wrong", f"{number}@provider.test")
    clock.advance(timedelta(minutes=15, seconds=1))
    assert sign_in(services, PASSWORD)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(SignInAttempt)) == 0


def test_sign_in_simultaneous_attempts_of_email_are_limited(services: Services) -> None:
    factories.create_staff(services)
    barrier = threading.Barrier(20)

    def attempt(number: int) -> bool:
        barrier.wait(10)
        try:
            with services.db.writing() as session:
                return bool(
                    register_sign_in_attempt(session, EMAIL, f"198.51.100.{number}", services.now())
                )
        except Unauthorized:
            return False

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 5


def test_sign_in_simultaneous_attempts_of_ip_address_are_limited(services: Services) -> None:
    barrier = threading.Barrier(20)

    def attempt_twice(number: int) -> int:
        barrier.wait(10)
        allowed_attempts = 0
        for email in (f"a{number}@provider.test", f"b{number}@provider.test"):
            try:
                with services.db.writing() as session:
                    register_sign_in_attempt(session, email, IP_ADDRESS, services.now())
                allowed_attempts += 1
            except Unauthorized:
                pass
        return allowed_attempts

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt_twice, range(20))) == 30
