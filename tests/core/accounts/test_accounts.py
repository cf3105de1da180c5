"""Authentication of accounts by their tokens."""

import hmac
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import select, update

from provider.core.accounts import Account, AccountToken, TokenAuthenticator
from provider.core.staff import (
    passwords,
)
from provider.errors import Conflict, NotFound, Unauthorized, Unavailable
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
        Account.get_by_name(session, "Groove Tech").revoke_token(
            token, services.now(), services.secret_box
        )


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
