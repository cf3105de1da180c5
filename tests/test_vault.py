"""Secrets: bound to their row, readable after a key was replaced, never a traceback."""

import hmac
import secrets
from unittest.mock import Mock

import pytest

from provider import vault
from provider.errors import Unready
from provider.vault import Vault

OLD, NEW = b"o" * 32, b"n" * 32
ROW = "accounts/abc/callback_token"


@pytest.fixture
def keeper() -> Vault:
    return Vault([OLD])


def test_a_token_is_32_random_bytes_and_an_id_128_bits() -> None:
    assert {len(vault.token()) for _ in range(50)} == {43}
    assert {len(vault.public_id()) for _ in range(50)} == {22}
    assert len({vault.token() for _ in range(50)} | {vault.public_id() for _ in range(50)}) == 100


def test_an_id_can_be_given_to_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["-would-be-an-option-22", "--", "_and-this-is-an-id-022"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: next(drawn))
    assert vault.public_id() == "_and-this-is-an-id-022"


def test_a_digest_is_the_same_for_the_same_and_takes_any_text() -> None:
    assert vault.digest("a") == vault.digest("a") != vault.digest("b")
    for odd in ("", "\x00", "\udc80", "😀" * 1000):
        assert len(vault.digest(odd)) == 32


# Encryption


@pytest.mark.parametrize("text", ["", "secret", "Ωmega 😀", "x" * 100_000])
def test_what_is_sealed_opens_for_its_row(keeper: Vault, text: str) -> None:
    assert keeper.open(keeper.seal(text, ROW), ROW) == text


def test_a_ciphertext_holds_nothing_of_the_text_and_is_never_the_same(keeper: Vault) -> None:
    sealed = keeper.seal("a secret", ROW)
    assert b"secret" not in sealed
    assert sealed != keeper.seal("a secret", ROW)


def test_another_rows_ciphertext_does_not_open(keeper: Vault) -> None:
    sealed = keeper.seal("secret", "accounts/abc/callback_token")
    for row in ("accounts/abd/callback_token", "accounts/abc/other", ""):
        with pytest.raises(Unready, match="does not belong to its row"):
            keeper.open(sealed, row)


def test_a_change_of_any_byte_is_noticed(keeper: Vault) -> None:
    sealed = keeper.seal("secret", ROW)
    for place in range(len(sealed)):
        forged = bytearray(sealed)
        forged[place] ^= 1
        with pytest.raises(Unready):
            keeper.open(bytes(forged), ROW)


def test_a_ciphertext_that_is_cut_short_is_told(keeper: Vault) -> None:
    sealed = keeper.seal("secret", ROW)
    for length in range(len(sealed)):
        with pytest.raises(Unready, match=r"cut short|does not belong"):
            keeper.open(sealed[:length], ROW)


def test_what_is_no_ciphertext_is_told(keeper: Vault) -> None:
    for nonsense in (b"", b"\x00", b"x" * 31, b"x" * 32, b"x" * 200):
        with pytest.raises(Unready):
            keeper.open(nonsense, ROW)


# Keys are replaced


def test_after_a_new_key_came_first_the_old_one_still_opens_and_the_new_one_encrypts() -> None:
    sealed = Vault([OLD]).seal("secret", ROW)
    both = Vault([NEW, OLD])
    assert both.open(sealed, ROW) == "secret"
    again = both.seal("secret", ROW)
    assert Vault([NEW]).open(again, ROW) == "secret"
    with pytest.raises(Unready):
        Vault([OLD]).open(again, ROW)


def test_a_missing_key_says_which_setting_to_mend() -> None:
    old = Vault([OLD])
    with pytest.raises(Unready, match="PROVIDER_SECRET_KEY lacks: add the old key at its end"):
        Vault([NEW]).open(old.seal("secret", ROW), ROW)
    with pytest.raises(Unready, match="PROVIDER_SECRET_KEY lacks"):
        Vault([NEW]).same(old.mac(b"content", "order"), b"content", "order")


def test_a_key_given_twice_is_one(keeper: Vault) -> None:
    twice = Vault([OLD, OLD])
    assert twice.open(keeper.seal("secret", ROW), ROW) == "secret"
    assert len(twice.derive("cookies")) == 1


# Fingerprints


def test_a_fingerprint_knows_its_content_and_purpose(keeper: Vault) -> None:
    mac = keeper.mac(b"content", "order")
    assert keeper.same(mac, b"content", "order")
    assert not keeper.same(mac, b"Content", "order")
    assert not keeper.same(mac, b"content", "another")
    assert len(mac) <= 100  # the column


def test_purpose_and_content_cannot_be_shifted_into_each_other(keeper: Vault) -> None:
    assert not keeper.same(keeper.mac(b"bc", "a"), b"c", "ab")


def test_a_fingerprint_survives_a_new_key() -> None:
    mac = Vault([OLD]).mac(b"content", "order")
    both = Vault([NEW, OLD])
    assert both.same(mac, b"content", "order")
    assert not both.same(mac, b"other", "order")
    assert both.mac(b"content", "order") != mac


def test_a_damaged_fingerprint_is_told(keeper: Vault) -> None:
    mac = keeper.mac(b"content", "order")
    key_id, _, rest = mac.partition(".")
    for damaged in (
        "", ".", "x", "zz.zz", key_id, f"{key_id}.", f"{key_id}.{rest[:-1]}", f".{rest}",
        mac + "0", mac.upper(), mac + "\n", f"{key_id}.{'é' * 64}", f"{key_id}.{'g' * 64}",
    ):  # fmt: skip
        with pytest.raises(Unready, match="fingerprint is damaged"):
            keeper.same(damaged, b"content", "order")


def test_fingerprints_are_compared_in_constant_time(
    keeper: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    mac = keeper.mac(b"content", "order")
    assert keeper.same(mac, b"content", "order")
    compare.assert_called_once_with(mac, mac)


# Digests to find a value again


def test_an_index_does_not_mind_capitals(keeper: Vault) -> None:
    one = keeper.index("Lakita_Marrero@GMAIL.com", "candidate e-mail")
    assert one == keeper.index("lakita_marrero@gmail.com", "candidate e-mail")
    assert one != keeper.index("lakita.marrero@gmail.com", "candidate e-mail")
    assert one != keeper.index("lakita_marrero@gmail.com", "another purpose")
    assert len(one) == 32


def test_an_index_is_keyed_and_takes_any_text(keeper: Vault) -> None:
    assert keeper.index("a@b.example", "e") != Vault([NEW]).index("a@b.example", "e")
    for odd in ("", "\x00", "\udc80", "Straße"):
        assert len(keeper.index(odd, "e")) == 32


def test_after_a_new_key_came_first_old_digests_are_still_looked_for() -> None:
    old, new, both = Vault([OLD]), Vault([NEW]), Vault([NEW, OLD])
    text = "lakita_marrero@gmail.com"
    assert both.indexes(text.upper(), "e") == [new.index(text, "e"), old.index(text, "e")]
    assert both.index(text, "e") == new.index(text, "e")


def test_keys_for_another_use_differ_by_purpose_and_key() -> None:
    both = Vault([NEW, OLD])
    assert both.derive("cookies") == Vault([NEW]).derive("cookies") + Vault([OLD]).derive("cookies")
    assert len({*both.derive("cookies"), *both.derive("other"), OLD, NEW}) == 6
