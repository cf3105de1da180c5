"""Who may come in: accounts by their tokens, staff by their passwords."""

import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import func, select, update

from provider.accounts import (
    Account,
    AccountToken,
    Doorkeeper,
    Staff,
    StaffSession,
    enter,
    knock,
    matches,
    staff,
)
from provider.accounts.staff import SignInTry
from provider.db import Database
from provider.errors import Conflict, Denied, Invalid, NotFound, Unready
from provider.house import House
from provider.vault import Vault, digest
from tests import cast
from tests.cast import HandClock

EMAIL, PASSWORD, ADDRESS = "sam@provider.test", "correct horse battery", "198.51.100.7"


HASHER = staff._hasher()


# Accounts and their tokens


def token_row(house: House) -> AccountToken:
    with house.db.reading() as session:
        return session.scalars(select(AccountToken)).one()


def revoke(house: House, token: str) -> None:
    with house.db.writing() as session:
        Account.named(session, "Groove Tech").revoke_token(token, house.now())


def test_a_token_lets_its_account_in(house: House) -> None:
    account, token = cast.account(
        house, switches={"declined": True}, shared_ttl=3, shared_ttl_units="views", expire_after=60
    )
    caller = house.doorkeeper.admit(token, "workable", house.now())
    assert (caller.account_id, caller.ats, caller.name) == (account, "workable", "Groove Tech")
    assert caller.callback_hosts == ("*.workable.com", "127.0.0.1")
    assert caller.expire_after == timedelta(minutes=1)
    assert (caller.switches, caller.sees_all) == ({"declined": True}, True)
    assert (caller.shared_ttl, caller.shared_ttl_units) == (3, "views")
    assert hash(caller)


@pytest.mark.sqlite
def test_a_token_is_kept_as_a_digest_and_a_readable_beginning(house: House) -> None:
    _, token = cast.account(house)
    kept = token_row(house)
    assert kept.digest == digest(token)
    assert kept.prefix == token[:12]
    assert token.startswith("prv_")
    house.db.close()
    everything = files(house)
    assert token[:12].encode() in everything
    assert token.encode() not in everything
    assert token[12:].encode() not in everything


def files(house: House) -> bytes:
    """Return every byte that the database has on disk."""
    path = Path(str(house.db.url.database))
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize(
    "wrong", ["", "x", "prv_", "prv_" + "x" * 43, "\x00", "prv_\x00", "é" * 47, "x" * 100_000]
)
def test_nobodys_token_is_denied(house: House, wrong: str) -> None:
    cast.account(house)
    with pytest.raises(Denied, match="Invalid Token"):
        house.doorkeeper.admit(wrong, "workable", house.now())


def test_a_token_that_only_begins_like_one_is_denied(house: House) -> None:
    _, token = cast.account(house)
    for wrong in (token[:-1], token + "x", token[:12] + "x" * 35, token.swapcase(), f" {token}"):
        with pytest.raises(Denied):
            house.doorkeeper.admit(wrong, "workable", house.now())


def test_a_token_opens_only_its_own_dialect(house: House) -> None:
    _, token = cast.account(house)
    for _ in range(2):  # cached or not
        with pytest.raises(Denied, match="Invalid Token"):
            house.doorkeeper.admit(token, "greenhouse", house.now())
        assert house.doorkeeper.admit(token, "workable", house.now())


def test_an_account_has_several_tokens_at_once_and_each_can_be_revoked(
    house: House, clock: HandClock
) -> None:
    _, first = cast.account(house)
    with house.db.writing() as session:
        account = Account.named(session, "Groove Tech")
        second = account.issue_token(house.now())
    assert first != second
    for token in (first, second):
        assert house.doorkeeper.admit(token, "workable", house.now()).name == "Groove Tech"
    revoke(house, first[:8])
    clock.pass_(timedelta(seconds=5))
    with pytest.raises(Denied):
        house.doorkeeper.admit(first, "workable", house.now())
    assert house.doorkeeper.admit(second, "workable", house.now())


def test_two_tokens_that_begin_alike_are_told_apart(house: House) -> None:
    _, token = cast.account(house, "Groove Tech")
    _, other = cast.account(house, "Acme")
    with house.db.writing() as session:
        session.execute(update(AccountToken).values(prefix=token[:12]))
    assert house.doorkeeper.admit(token, "workable", house.now()).name == "Groove Tech"
    with pytest.raises(Denied):  # its row has another beginning now
        house.doorkeeper.admit(other, "workable", house.now())


def test_digests_are_compared_in_constant_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = cast.account(house)
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    house.doorkeeper.admit(token, "workable", house.now())
    compare.assert_called_once_with(digest(token), digest(token))


def test_revoking_wants_the_beginning_of_exactly_one_open_token(house: House) -> None:
    _, token = cast.account(house)
    with pytest.raises(NotFound, match="no open token that begins with prv_zzz"):
        revoke(house, "prv_zzz")
    with pytest.raises(NotFound):
        revoke(house, "")
    with house.db.writing() as session:
        Account.named(session, "Groove Tech").issue_token(house.now())
    with pytest.raises(Conflict, match="2 tokens begin with prv_: give more characters"):
        revoke(house, "prv_")
    revoke(house, token[:12])
    with pytest.raises(NotFound):  # it is closed already
        revoke(house, token[:12])


def test_whoever_revokes_by_a_whole_token_does_not_read_it_in_an_error(house: House) -> None:
    _, token = cast.account(house)
    revoke(house, token)
    with pytest.raises(NotFound) as caught:
        revoke(house, token)
    assert token[12:] not in str(caught.value)
    assert token[:12] in str(caught.value)


def test_an_account_is_found_by_name_or_the_command_is_named(house: House) -> None:
    cast.account(house)
    with house.db.reading() as session:
        assert Account.named(session, "Groove Tech").name == "Groove Tech"
        with pytest.raises(NotFound, match="“Nobody”: see `provider account list`"):
            Account.named(session, "Nobody")


def test_candidates_read_the_brands_name_or_the_accounts(house: House) -> None:
    cast.account(house, "Plain")
    cast.account(house, "Groove Tech (EU, staging)", brand={"display_name": "Groove Tech"})
    with house.db.reading() as session:
        names = [each.display_name for each in session.scalars(select(Account))]
    assert names == ["Plain", "Groove Tech"]


# The last use


def last_use(house: House) -> datetime | None:
    return token_row(house).last_used_at


def test_the_last_use_is_noted_but_not_at_every_request(
    house: House, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = cast.account(house)
    assert last_use(house) is None
    began = house.now()
    writing = Mock(wraps=house.db.writing)
    monkeypatch.setattr(house.db, "writing", writing)
    for _ in range(30):  # five minutes
        house.doorkeeper.admit(token, "workable", house.now())
        clock.pass_(timedelta(seconds=10))
    assert last_use(house) == began
    assert writing.call_count == 1
    house.doorkeeper.admit(token, "workable", house.now())
    assert last_use(house) == began + timedelta(minutes=5)
    assert writing.call_count == 2


def test_another_server_knows_the_last_use_too(house: House, clock: HandClock) -> None:
    _, token = cast.account(house)
    house.doorkeeper.admit(token, "workable", house.now())
    noted = house.now()
    clock.pass_(timedelta(minutes=4))
    Doorkeeper(house.db).admit(token, "workable", house.now())
    assert last_use(house) == noted


@pytest.mark.sqlite
def test_a_token_lets_in_although_its_use_cannot_be_noted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = cast.account(house)
    monkeypatch.setattr("provider.sqlite.BUSY_TIMEOUT", 50)
    db = Database(str(house.db.url))
    with house.db.writing() as session:
        session.execute(update(Account).values(sandbox=True))  # somebody else writes, for long
        with ThreadPoolExecutor(1) as pool:
            admitted = pool.submit(Doorkeeper(db).admit, token, "workable", house.now())
            assert admitted.result(10).name == "Groove Tech"
    db.close()
    assert last_use(house) is None


# The cache


def test_a_caller_is_remembered_for_less_than_five_seconds(house: House, clock: HandClock) -> None:
    _, token = cast.account(house)

    def admit() -> str:
        return house.doorkeeper.admit(token, "workable", house.now()).name

    assert admit() == "Groove Tech"
    with house.db.writing() as session:
        session.execute(update(Account).values(name="Renamed"))
    clock.pass_(timedelta(seconds=4, milliseconds=999))
    assert admit() == "Groove Tech"
    clock.pass_(timedelta(milliseconds=1))
    assert admit() == "Renamed"


def test_what_is_remembered_costs_no_query(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, token = cast.account(house)
    first = house.doorkeeper.admit(token, "workable", house.now())
    monkeypatch.setattr(house.db, "reading", Mock(side_effect=AssertionError))
    assert house.doorkeeper.admit(token, "workable", house.now()) is first


def test_a_write_of_this_process_is_seen_at_once(house: House) -> None:
    _, token = cast.account(house)
    house.doorkeeper.admit(token, "workable", house.now())
    revoke(house, token[:12])
    with pytest.raises(Denied):
        house.doorkeeper.admit(token, "workable", house.now())


def test_a_clock_that_was_put_back_keeps_nothing_for_longer(house: House, clock: HandClock) -> None:
    _, token = cast.account(house)
    house.doorkeeper.admit(token, "workable", house.now())
    revoke(house, token[:12])
    clock.pass_(-timedelta(hours=1))
    with pytest.raises(Denied):
        house.doorkeeper.admit(token, "workable", house.now())


def test_what_is_remembered_does_not_grow_for_ever(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider.accounts.account.MOST_KNOWN", 1)
    keeper = Doorkeeper(house.db)
    tokens = [cast.account(house, f"Account {number}")[1] for number in range(3)]
    for token in tokens:
        keeper.admit(token, "workable", house.now())
        assert len(keeper._known) == 1


def test_a_wrong_token_is_never_remembered(house: House) -> None:
    keeper = Doorkeeper(house.db)
    for number in range(5):
        with pytest.raises(Denied):
            keeper.admit(f"prv_{number}", "workable", house.now())
    assert keeper._known == {}


def test_a_token_is_admitted_by_many_threads_at_once(house: House) -> None:
    account, token = cast.account(house)
    keeper = Doorkeeper(house.db)
    with ThreadPoolExecutor(20) as pool:
        callers = pool.map(lambda _: keeper.admit(token, "workable", house.now()), range(40))
    assert {caller.account_id for caller in callers} == {account}


# The token for callbacks


def test_the_callback_token_is_encrypted_on_disk(house: House) -> None:
    cast.account(house, callback_token="the-ats-s-own-token")
    with house.db.reading() as session:
        account = Account.named(session, "Groove Tech")
        assert account.open_callback_token(house.vault) == "the-ats-s-own-token"
    house.db.close()
    assert b"the-ats-s-own-token" not in files(house)


def test_the_callback_token_is_bound_to_its_account(house: House) -> None:
    cast.account(house, "Groove Tech", callback_token="groove's")
    cast.account(house, "Acme", callback_token="acme's")
    with house.db.writing() as session:
        groove, acme = (Account.named(session, name) for name in ("Groove Tech", "Acme"))
        acme.callback_token = groove.callback_token
    with house.db.reading() as session, pytest.raises(Unready, match="does not belong to its row"):
        Account.named(session, "Acme").open_callback_token(house.vault)


def test_the_callback_token_survives_a_new_key_and_can_be_taken_away(house: House) -> None:
    cast.account(house, callback_token="cb")
    both = Vault([b"n" * 32, *house.settings.secret_keys])
    with house.db.writing() as session:
        account = Account.named(session, "Groove Tech")
        assert account.open_callback_token(both) == "cb"
        account.set_callback_token(house.vault, None)
        assert account.open_callback_token(house.vault) is None


# Staff


def test_a_member_of_staff_has_an_email_a_role_and_a_hash(house: House) -> None:
    with house.db.writing() as session:
        Staff.create(session, "  Sam@Provider.TEST ", PASSWORD, "viewer", house.now())
    with house.db.reading() as session:
        sam = session.scalars(select(Staff)).one()
        assert (sam.email, sam.role, sam.may_change) == (EMAIL, "viewer", False)
        assert sam.password.startswith("$argon2id$")
    assert Staff(role="admin").may_change
    assert Staff(role="operator").may_change


@pytest.mark.parametrize(
    "email",
    ["", "@", "sam", "sam@", "@provider.test", "a@b@c", "sam @provider.test", "s\x00am@b", "a@\nb",
     "s\udc80@b", "x" * 250 + "@b.example"],
)  # fmt: skip
def test_what_is_no_email_address_is_refused(house: House, email: str) -> None:
    with house.db.writing() as session, pytest.raises(Invalid, match="is not an e-mail address"):
        Staff.create(session, email, PASSWORD, "admin", house.now())


@pytest.mark.parametrize(
    "password", ["", "ninechars", "x" * 1001, "ten\x00characters", "\udc80" * 10]
)
def test_a_password_that_cannot_be_is_refused(house: House, password: str) -> None:
    with (
        house.db.writing() as session,
        pytest.raises(Invalid, match="has 10 to 1000 plain characters"),
    ):
        Staff.create(session, EMAIL, password, "admin", house.now())


def test_an_unknown_role_and_a_known_email_are_refused(house: House) -> None:
    cast.staff(house)
    with house.db.writing() as session:
        with pytest.raises(Invalid, match="one of admin, operator, viewer"):
            Staff.create(session, "new@provider.test", PASSWORD, "boss", house.now())
        with pytest.raises(Conflict, match=r"sam@provider\.test is on the staff already"):
            Staff.create(session, EMAIL.upper(), PASSWORD, "admin", house.now())


# Signing in


def try_once(house: House, password: str, email: str = EMAIL, address: str = ADDRESS) -> str | None:
    """Try to sign in, as the console does; return the session's token."""
    with house.db.writing() as session:
        hashed = knock(session, email, address, house.now())
    if not matches(hashed, password):
        return None
    with house.db.writing() as session:
        return enter(session, email, address, house.now())


def signed_in(house: House, token: str) -> str | None:
    with house.db.reading() as session:
        found = StaffSession.find(session, token, house.now())
        return found.staff.email if found else None


def test_the_right_password_signs_in(house: House) -> None:
    cast.staff(house, EMAIL, password=PASSWORD)
    token = try_once(house, PASSWORD, email=" SAM@provider.test ")
    assert token
    assert signed_in(house, token) == EMAIL
    house.db.close()
    assert token.encode() not in files(house)


def test_a_wrong_password_does_not(house: House) -> None:
    cast.staff(house, password=PASSWORD)
    for wrong in ("", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper(), "\x00", "\udc80"):
        clock_is_fresh(house)
        assert try_once(house, wrong) is None


def clock_is_fresh(house: House) -> None:
    assert isinstance(house.clock, HandClock)
    house.clock.pass_(staff.WINDOW)


def test_a_very_long_password_is_right_only_as_a_whole(house: House) -> None:
    long = "x" * 1000
    cast.staff(house, password=long)
    assert try_once(house, long + "x") is None
    assert try_once(house, "x" * 1_000_000) is None
    assert try_once(house, long)


def test_an_unknown_email_costs_a_hash_too(house: House) -> None:
    cast.staff(house)
    with house.db.writing() as session:
        known = knock(session, EMAIL, ADDRESS, house.now())
        unknown = knock(session, "nobody@provider.test", ADDRESS, house.now())
        odd = knock(session, "\udc80\x00" * 400, ADDRESS, house.now())
    # The same kind of hash with the same cost, so that both take equally long.
    assert known.rsplit("$", 2)[0] == unknown.rsplit("$", 2)[0] == odd.rsplit("$", 2)[0]
    assert not matches(unknown, PASSWORD)


def test_a_password_is_hashed_as_the_rfc_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hashed = HASHER.hash(PASSWORD)
    # RFC 9106, the second recommended option: 64 MiB, three passes, four lanes.
    assert hashed.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert staff._nobody().startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert matches(hashed, PASSWORD)
    assert not matches(staff._nobody(), PASSWORD)


def test_a_hash_that_is_none_matches_nothing() -> None:
    assert not matches("", "")
    assert not matches("no hash", "no hash")


def test_a_disabled_member_of_staff_gets_in_no_more(house: House) -> None:
    cast.staff(house, password=PASSWORD)
    token = try_once(house, PASSWORD)
    assert token
    with house.db.writing() as session:
        session.execute(update(Staff).values(disabled_at=house.now()))
    assert signed_in(house, token) is None
    assert try_once(house, PASSWORD) is None


def test_a_session_ends_after_twelve_hours(house: House, clock: HandClock) -> None:
    cast.staff(house, password=PASSWORD)
    token = try_once(house, PASSWORD)
    assert token
    clock.pass_(timedelta(hours=12) - timedelta(seconds=1))
    assert signed_in(house, token) == EMAIL
    clock.pass_(timedelta(seconds=1))
    assert signed_in(house, token) is None
    clock.pass_(timedelta(seconds=1))
    another = try_once(house, PASSWORD)  # which tidies up
    with house.db.reading() as session:
        kept = session.scalars(select(StaffSession.digest)).all()
    assert another
    assert kept == [digest(another)]


@pytest.mark.parametrize("token", ["", "x", "\x00", "\udc80", "x" * 43])
def test_nobodys_session_is_none(house: House, token: str) -> None:
    cast.staff(house, password=PASSWORD)
    try_once(house, PASSWORD)
    assert signed_in(house, token) is None


# Too many tries


def test_an_email_has_five_tries_in_a_quarter_of_an_hour(house: House, clock: HandClock) -> None:
    cast.staff(house, password=PASSWORD)
    for number in range(5):
        assert try_once(house, "wrong", address=f"198.51.100.{number}") is None
        clock.pass_(timedelta(minutes=1))
    with pytest.raises(Denied, match="Wait a quarter of an hour"):
        try_once(house, PASSWORD, address="203.0.113.1")
    clock.pass_(timedelta(minutes=10) - timedelta(seconds=1))
    with pytest.raises(Denied):
        try_once(house, PASSWORD)
    clock.pass_(
        timedelta(seconds=1)
    )  # the first try is out of the window; refused ones never count
    assert try_once(house, PASSWORD)


def test_an_unknown_email_is_throttled_like_any_other(house: House) -> None:
    for _ in range(5):
        assert try_once(house, "wrong", "nobody@provider.test") is None
    with pytest.raises(Denied, match="Wait a quarter"):
        try_once(house, "wrong", " NOBODY@provider.test")
    assert try_once(house, "wrong", "somebody@provider.test") is None


def test_an_address_has_thirty_tries_in_a_quarter_of_an_hour(
    house: House, clock: HandClock
) -> None:
    for number in range(30):
        try_once(house, "wrong", f"{number}@provider.test")
    with pytest.raises(Denied):
        try_once(house, "wrong", "another@provider.test")
    assert try_once(house, "wrong", "another@provider.test", "203.0.113.1") is None
    clock.pass_(timedelta(minutes=15))
    assert try_once(house, "wrong", "another@provider.test") is None


def test_signing_in_forgets_the_emails_tries(house: House) -> None:
    cast.staff(house, password=PASSWORD)
    for _ in range(3):
        for _ in range(4):
            try_once(house, "wrong")
        assert try_once(house, PASSWORD)


def test_signing_in_does_not_buy_new_tries_at_others(house: House) -> None:
    cast.staff(house, password=PASSWORD)
    for number in range(29):
        try_once(house, "wrong", f"{number}@provider.test")
        assert try_once(house, PASSWORD)  # which is itself not counted
    try_once(house, "wrong", "30@provider.test")
    with pytest.raises(Denied):
        try_once(house, "wrong", "31@provider.test")


def test_tries_are_kept_only_as_long_as_they_count(house: House, clock: HandClock) -> None:
    cast.staff(house, password=PASSWORD)
    for number in range(20):
        try_once(house, "wrong", f"{number}@provider.test")
    clock.pass_(timedelta(minutes=15, seconds=1))
    assert try_once(house, PASSWORD)
    with house.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(SignInTry)) == 0


def test_many_who_knock_at_once_never_get_more_tries(house: House) -> None:
    cast.staff(house)
    together = threading.Barrier(20)

    def once(number: int) -> bool:
        together.wait(10)
        try:
            with house.db.writing() as session:
                return bool(knock(session, EMAIL, f"198.51.100.{number}", house.now()))
        except Denied:
            return False

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(once, range(20))) == 5


def test_many_who_knock_from_one_address_never_get_more_tries(house: House) -> None:
    together = threading.Barrier(20)

    def twice(number: int) -> int:
        together.wait(10)
        let_in = 0
        for letter in "ab":
            try:
                with house.db.writing() as session:
                    knock(session, f"{letter}{number}@provider.test", ADDRESS, house.now())
                let_in += 1
            except Denied:
                pass
        return let_in

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(twice, range(20))) == 30
