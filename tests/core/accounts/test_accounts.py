"""Who may come in: accounts by their tokens, staff by their passwords."""

import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import func, select, update

from provider.core import staff
from provider.core.accounts import Account, AccountToken, TokenAuthenticator
from provider.core.staff import (
    SignInAttempt,
    Staff,
    StaffSession,
    complete_sign_in,
    register_sign_in_attempt,
    verify_password,
)
from provider.errors import Conflict, Invalid, NotFound, Unauthorized, Unavailable
from provider.services import Services
from provider.storage.database import Database
from provider.storage.secrets import SecretBox, sha256_digest
from tests import factories
from tests.factories import ManualClock

EMAIL, PASSWORD, ADDRESS = "sam@provider.test", "correct horse battery", "198.51.100.7"


HASHER = staff._hasher()


# Accounts and their tokens


def token_row(services: Services) -> AccountToken:
    with services.db.reading() as session:
        return session.scalars(select(AccountToken)).one()


def revoke(services: Services, token: str) -> None:
    with services.db.writing() as session:
        Account.get_by_name(session, "Groove Tech").revoke_token(token, services.now())


def test_a_token_lets_its_account_in(services: Services) -> None:
    account, token = factories.create_account(
        services,
        options={"declined": True},
        shared_ttl=3,
        shared_ttl_units="views",
        expire_after_seconds=60,
    )
    caller = services.authenticator.authenticate(token, "workable", services.now())
    assert (caller.account_id, caller.ats, caller.name) == (account, "workable", "Groove Tech")
    assert caller.callback_hosts == ("*.workable.com", "127.0.0.1")
    assert caller.expire_after == timedelta(minutes=1)
    assert (caller.options, caller.all_products) == ({"declined": True}, True)
    assert (caller.shared_ttl, caller.shared_ttl_units) == (3, "views")
    assert hash(caller)


@pytest.mark.sqlite
def test_a_token_is_kept_as_a_digest_and_a_readable_beginning(services: Services) -> None:
    _, token = factories.create_account(services)
    kept = token_row(services)
    assert kept.token_hash == sha256_digest(token)
    assert kept.prefix == token[:12]
    assert token.startswith("prv_")
    services.db.close()
    everything = files(services)
    assert token[:12].encode() in everything
    assert token.encode() not in everything
    assert token[12:].encode() not in everything


def files(services: Services) -> bytes:
    """Return every byte that the database has on disk."""
    path = Path(str(services.db.url.database))
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize(
    "wrong", ["", "x", "prv_", "prv_" + "x" * 43, "\x00", "prv_\x00", "é" * 47, "x" * 100_000]
)
def test_nobodys_token_is_denied(services: Services, wrong: str) -> None:
    factories.create_account(services)
    with pytest.raises(Unauthorized, match="Invalid Token"):
        services.authenticator.authenticate(wrong, "workable", services.now())


def test_a_token_that_only_begins_like_one_is_denied(services: Services) -> None:
    _, token = factories.create_account(services)
    for wrong in (token[:-1], token + "x", token[:12] + "x" * 35, token.swapcase(), f" {token}"):
        with pytest.raises(Unauthorized):
            services.authenticator.authenticate(wrong, "workable", services.now())


def test_a_token_opens_only_its_own_dialect(services: Services) -> None:
    _, token = factories.create_account(services)
    for _ in range(2):  # cached or not
        with pytest.raises(Unauthorized, match="Invalid Token"):
            services.authenticator.authenticate(token, "greenhouse", services.now())
        assert services.authenticator.authenticate(token, "workable", services.now())


def test_an_account_has_several_tokens_at_once_and_each_can_be_revoked(
    services: Services, clock: ManualClock
) -> None:
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


def test_two_tokens_that_begin_alike_are_told_apart(services: Services) -> None:
    _, token = factories.create_account(services, "Groove Tech")
    _, other = factories.create_account(services, "Acme")
    with services.db.writing() as session:
        session.execute(update(AccountToken).values(prefix=token[:12]))
    assert (
        services.authenticator.authenticate(token, "workable", services.now()).name == "Groove Tech"
    )
    with pytest.raises(Unauthorized):  # its row has another beginning now
        services.authenticator.authenticate(other, "workable", services.now())


def test_digests_are_compared_in_constant_time(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    services.authenticator.authenticate(token, "workable", services.now())
    compare.assert_called_once_with(sha256_digest(token), sha256_digest(token))


def test_revoking_wants_the_beginning_of_exactly_one_open_token(services: Services) -> None:
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
    with pytest.raises(NotFound):  # it is closed already
        revoke(services, token[:12])


def test_whoever_revokes_by_a_whole_token_does_not_read_it_in_an_error(services: Services) -> None:
    _, token = factories.create_account(services)
    revoke(services, token)
    with pytest.raises(NotFound) as caught:
        revoke(services, token)
    assert token[12:] not in str(caught.value)
    assert token[:12] in str(caught.value)


def test_an_account_is_found_by_name_or_the_command_is_named(services: Services) -> None:
    factories.create_account(services)
    with services.db.reading() as session:
        assert Account.get_by_name(session, "Groove Tech").name == "Groove Tech"
        with pytest.raises(NotFound, match="“Nobody”: see `provider account list`"):
            Account.get_by_name(session, "Nobody")


def test_candidates_read_the_brands_name_or_the_accounts(services: Services) -> None:
    factories.create_account(services, "Plain")
    factories.create_account(
        services, "Groove Tech (EU, staging)", branding={"display_name": "Groove Tech"}
    )
    with services.db.reading() as session:
        names = [each.display_name for each in session.scalars(select(Account))]
    assert names == ["Plain", "Groove Tech"]


# The last use


def last_use(services: Services) -> datetime | None:
    return token_row(services).last_used_at


def test_the_last_use_is_noted_but_not_at_every_request(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    assert last_use(services) is None
    began = services.now()
    writing = Mock(wraps=services.db.writing)
    monkeypatch.setattr(services.db, "writing", writing)
    for _ in range(30):  # five minutes
        services.authenticator.authenticate(token, "workable", services.now())
        clock.advance(timedelta(seconds=10))
    assert last_use(services) == began
    assert writing.call_count == 1
    services.authenticator.authenticate(token, "workable", services.now())
    assert last_use(services) == began + timedelta(minutes=5)
    assert writing.call_count == 2


def test_another_server_knows_the_last_use_too(services: Services, clock: ManualClock) -> None:
    _, token = factories.create_account(services)
    services.authenticator.authenticate(token, "workable", services.now())
    noted = services.now()
    clock.advance(timedelta(minutes=4))
    TokenAuthenticator(services.db).authenticate(token, "workable", services.now())
    assert last_use(services) == noted


@pytest.mark.sqlite
def test_a_token_lets_in_although_its_use_cannot_be_noted(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    monkeypatch.setattr("provider.storage.sqlite.BUSY_TIMEOUT_MS", 50)
    db = Database(str(services.db.url))
    with services.db.writing() as session:
        session.execute(update(Account).values(sandbox=True))  # somebody else writes, for long
        with ThreadPoolExecutor(1) as pool:
            admitted = pool.submit(
                TokenAuthenticator(db).authenticate, token, "workable", services.now()
            )
            assert admitted.result(10).name == "Groove Tech"
    db.close()
    assert last_use(services) is None


# The cache


def test_a_caller_is_remembered_for_less_than_five_seconds(
    services: Services, clock: ManualClock
) -> None:
    _, token = factories.create_account(services)

    def admit() -> str:
        return services.authenticator.authenticate(token, "workable", services.now()).name

    assert admit() == "Groove Tech"
    with services.db.writing() as session:
        session.execute(update(Account).values(name="Renamed"))
    clock.advance(timedelta(seconds=4, milliseconds=999))
    assert admit() == "Groove Tech"
    clock.advance(timedelta(milliseconds=1))
    assert admit() == "Renamed"


def test_what_is_remembered_costs_no_query(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = factories.create_account(services)
    first = services.authenticator.authenticate(token, "workable", services.now())
    monkeypatch.setattr(services.db, "reading", Mock(side_effect=AssertionError))
    assert services.authenticator.authenticate(token, "workable", services.now()) is first


def test_a_write_of_this_process_is_seen_at_once(services: Services) -> None:
    _, token = factories.create_account(services)
    services.authenticator.authenticate(token, "workable", services.now())
    revoke(services, token[:12])
    with pytest.raises(Unauthorized):
        services.authenticator.authenticate(token, "workable", services.now())


def test_a_clock_that_was_put_back_keeps_nothing_for_longer(
    services: Services, clock: ManualClock
) -> None:
    _, token = factories.create_account(services)
    services.authenticator.authenticate(token, "workable", services.now())
    revoke(services, token[:12])
    clock.advance(-timedelta(hours=1))
    with pytest.raises(Unauthorized):
        services.authenticator.authenticate(token, "workable", services.now())


def test_what_is_remembered_does_not_grow_for_ever(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.core.accounts.account.MAX_CACHE_ENTRIES", 1)
    secret_box = TokenAuthenticator(services.db)
    tokens = [factories.create_account(services, f"Account {number}")[1] for number in range(3)]
    for token in tokens:
        secret_box.authenticate(token, "workable", services.now())
        assert len(secret_box._cache) == 1


def test_a_wrong_token_is_never_remembered(services: Services) -> None:
    secret_box = TokenAuthenticator(services.db)
    for number in range(5):
        with pytest.raises(Unauthorized):
            secret_box.authenticate(f"prv_{number}", "workable", services.now())
    assert secret_box._cache == {}


def test_a_token_is_admitted_by_many_threads_at_once(services: Services) -> None:
    account, token = factories.create_account(services)
    secret_box = TokenAuthenticator(services.db)
    with ThreadPoolExecutor(20) as pool:
        callers = pool.map(
            lambda _: secret_box.authenticate(token, "workable", services.now()), range(40)
        )
    assert {caller.account_id for caller in callers} == {account}


# The token for callbacks


def test_the_callback_token_is_encrypted_on_disk(services: Services) -> None:
    factories.create_account(services, callback_token="the-ats-s-own-token")
    with services.db.reading() as session:
        account = Account.get_by_name(session, "Groove Tech")
        assert account.get_callback_token(services.secret_box) == "the-ats-s-own-token"
    services.db.close()
    assert b"the-ats-s-own-token" not in files(services)


def test_the_callback_token_is_bound_to_its_account(services: Services) -> None:
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


def test_the_callback_token_survives_a_new_key_and_can_be_taken_away(services: Services) -> None:
    factories.create_account(services, callback_token="cb")
    both = SecretBox([b"n" * 32, *services.settings.secret_keys])
    with services.db.writing() as session:
        account = Account.get_by_name(session, "Groove Tech")
        assert account.get_callback_token(both) == "cb"
        account.set_callback_token(services.secret_box, None)
        assert account.get_callback_token(services.secret_box) is None


# Staff


def test_a_member_of_staff_has_an_email_a_role_and_a_hash(services: Services) -> None:
    with services.db.writing() as session:
        Staff.create(session, "  Sam@Provider.TEST ", PASSWORD, "viewer", services.now())
    with services.db.reading() as session:
        sam = session.scalars(select(Staff)).one()
        assert (sam.email, sam.role, sam.can_edit) == (EMAIL, "viewer", False)
        assert sam.password_hash.startswith("$argon2id$")
    assert Staff(role="admin").can_edit
    assert Staff(role="operator").can_edit


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
def test_what_is_no_email_address_is_refused(services: Services, email: str) -> None:
    with services.db.writing() as session, pytest.raises(Invalid, match="is not an e-mail address"):
        Staff.create(session, email, PASSWORD, "admin", services.now())


@pytest.mark.parametrize(
    "password", ["", "ninechars", "x" * 1001, "ten\x00characters", "\udc80" * 10]
)
def test_a_password_that_cannot_be_is_refused(services: Services, password: str) -> None:
    with (
        services.db.writing() as session,
        pytest.raises(Invalid, match="has 10 to 1000 plain characters"),
    ):
        Staff.create(session, EMAIL, password, "admin", services.now())


def test_an_unknown_role_and_a_known_email_are_refused(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        with pytest.raises(Invalid, match="one of admin, operator, viewer"):
            Staff.create(session, "new@provider.test", PASSWORD, "boss", services.now())
        with pytest.raises(Conflict, match=r"sam@provider\.test is on the staff already"):
            Staff.create(session, EMAIL.upper(), PASSWORD, "admin", services.now())


# Signing in


def try_once(
    services: Services, password: str, email: str = EMAIL, address: str = ADDRESS
) -> str | None:
    """Try to sign in, as the console does; return the session's token."""
    with services.db.writing() as session:
        hashed = register_sign_in_attempt(session, email, address, services.now())
    if not verify_password(hashed, password):
        return None
    with services.db.writing() as session:
        return complete_sign_in(session, email, address, services.now())


def signed_in(services: Services, token: str) -> str | None:
    with services.db.reading() as session:
        found = StaffSession.find(session, token, services.now())
        return found.staff.email if found else None


def test_the_right_password_signs_in(services: Services) -> None:
    factories.create_staff(services, EMAIL, password=PASSWORD)
    token = try_once(services, PASSWORD, email=" SAM@provider.test ")
    assert token
    assert signed_in(services, token) == EMAIL
    services.db.close()
    assert token.encode() not in files(services)


def test_a_wrong_password_does_not(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    for wrong in ("", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), "\x00", "\udc80"):
        clock_is_fresh(services)
        assert try_once(services, wrong) is None


def clock_is_fresh(services: Services) -> None:
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(staff.ATTEMPT_WINDOW)


def test_a_very_long_password_is_right_only_as_a_whole(services: Services) -> None:
    long = "x" * 1000
    factories.create_staff(services, password=long)
    assert try_once(services, long + "x") is None
    assert try_once(services, "x" * 1_000_000) is None
    assert try_once(services, long)


def test_an_unknown_email_costs_a_hash_too(services: Services) -> None:
    factories.create_staff(services)
    with services.db.writing() as session:
        known = register_sign_in_attempt(session, EMAIL, ADDRESS, services.now())
        unknown = register_sign_in_attempt(session, "nobody@provider.test", ADDRESS, services.now())
        odd = register_sign_in_attempt(session, "\udc80\x00" * 400, ADDRESS, services.now())
    # The same kind of hash with the same cost, so that both take equally long.
    assert known.rsplit("$", 2)[0] == unknown.rsplit("$", 2)[0] == odd.rsplit("$", 2)[0]
    assert not verify_password(unknown, PASSWORD)


def test_a_password_is_hashed_as_the_rfc_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hashed = HASHER.hash(PASSWORD)
    # RFC 9106, the second recommended option: 64 MiB, three passes, four lanes.
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert staff._dummy_hash().startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert verify_password(hashed, PASSWORD)
    assert not verify_password(staff._dummy_hash(), PASSWORD)


def test_a_hash_that_is_none_matches_nothing() -> None:
    assert not verify_password("", "")
    assert not verify_password("no hash", "no hash")


def test_a_disabled_member_of_staff_gets_in_no_more(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    token = try_once(services, PASSWORD)
    assert token
    with services.db.writing() as session:
        session.execute(update(Staff).values(disabled_at=services.now()))
    assert signed_in(services, token) is None
    assert try_once(services, PASSWORD) is None


def test_a_session_ends_after_twelve_hours(services: Services, clock: ManualClock) -> None:
    factories.create_staff(services, password=PASSWORD)
    token = try_once(services, PASSWORD)
    assert token
    clock.advance(timedelta(hours=12) - timedelta(seconds=1))
    assert signed_in(services, token) == EMAIL
    clock.advance(timedelta(seconds=1))
    assert signed_in(services, token) is None
    clock.advance(timedelta(seconds=1))
    another = try_once(services, PASSWORD)  # which tidies up
    with services.db.reading() as session:
        kept = session.scalars(select(StaffSession.token_hash)).all()
    assert another
    assert kept == [sha256_digest(another)]


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udc80", "x" * 43])
def test_nobodys_session_is_none(services: Services, token: str) -> None:
    factories.create_staff(services, password=PASSWORD)
    try_once(services, PASSWORD)
    assert signed_in(services, token) is None


# Too many tries


def test_an_email_has_five_tries_in_a_quarter_of_an_hour(
    services: Services, clock: ManualClock
) -> None:
    factories.create_staff(services, password=PASSWORD)
    for number in range(5):
        assert try_once(services, "wrong", address=f"198.51.100.{number}") is None
        clock.advance(timedelta(minutes=1))
    with pytest.raises(Unauthorized, match="Wait a quarter of an hour"):
        try_once(services, PASSWORD, address="203.0.113.1")
    clock.advance(timedelta(minutes=10) - timedelta(seconds=1))
    with pytest.raises(Unauthorized):
        try_once(services, PASSWORD)
    clock.advance(
        timedelta(seconds=1)
    )  # the first try is out of the window; refused ones never count
    assert try_once(services, PASSWORD)


def test_an_unknown_email_is_throttled_like_any_other(services: Services) -> None:
    for _ in range(5):
        assert try_once(services, "wrong", "nobody@provider.test") is None
    with pytest.raises(Unauthorized, match="Wait a quarter"):
        try_once(services, "wrong", " NOBODY@provider.test")
    assert try_once(services, "wrong", "somebody@provider.test") is None


def test_an_address_has_thirty_tries_in_a_quarter_of_an_hour(
    services: Services, clock: ManualClock
) -> None:
    for number in range(30):
        try_once(services, "wrong", f"{number}@provider.test")
    with pytest.raises(Unauthorized):
        try_once(services, "wrong", "another@provider.test")
    assert try_once(services, "wrong", "another@provider.test", "203.0.113.1") is None
    clock.advance(timedelta(minutes=15))
    assert try_once(services, "wrong", "another@provider.test") is None


def test_signing_in_forgets_the_emails_tries(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    for _ in range(3):
        for _ in range(4):
            try_once(services, "wrong")
        assert try_once(services, PASSWORD)


def test_signing_in_does_not_buy_new_tries_at_others(services: Services) -> None:
    factories.create_staff(services, password=PASSWORD)
    for number in range(29):
        try_once(services, "wrong", f"{number}@provider.test")
        assert try_once(services, PASSWORD)  # which is itself not counted
    try_once(services, "wrong", "30@provider.test")
    with pytest.raises(Unauthorized):
        try_once(services, "wrong", "31@provider.test")


def test_tries_are_kept_only_as_long_as_they_count(services: Services, clock: ManualClock) -> None:
    factories.create_staff(services, password=PASSWORD)
    for number in range(20):
        try_once(services, "wrong", f"{number}@provider.test")
    clock.advance(timedelta(minutes=15, seconds=1))
    assert try_once(services, PASSWORD)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(SignInAttempt)) == 0


def test_many_who_knock_at_once_never_get_more_tries(services: Services) -> None:
    factories.create_staff(services)
    together = threading.Barrier(20)

    def once(number: int) -> bool:
        together.wait(10)
        try:
            with services.db.writing() as session:
                return bool(
                    register_sign_in_attempt(session, EMAIL, f"198.51.100.{number}", services.now())
                )
        except Unauthorized:
            return False

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(once, range(20))) == 5


def test_many_who_knock_from_one_address_never_get_more_tries(services: Services) -> None:
    together = threading.Barrier(20)

    def twice(number: int) -> int:
        together.wait(10)
        let_in = 0
        for letter in "ab":
            try:
                with services.db.writing() as session:
                    register_sign_in_attempt(
                        session, f"{letter}{number}@provider.test", ADDRESS, services.now()
                    )
                let_in += 1
            except Unauthorized:
                pass
        return let_in

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(twice, range(20))) == 30
