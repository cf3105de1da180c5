"""Secrets: bound to their row, readable after a key was replaced, never a traceback."""

import hmac
import secrets
from unittest.mock import Mock

import pytest

from provider.errors import Unavailable
from provider.storage import secrets as vault
from provider.storage.secrets import SecretBox

OLD, NEW = b"o" * 32, b"n" * 32
ROW = "accounts/abc/callback_token"


@pytest.fixture
def secret_box() -> SecretBox:
    return SecretBox([OLD])


def test_a_token_is_32_random_bytes_and_an_id_128_bits() -> None:
    assert {len(vault.generate_token()) for _ in range(50)} == {43}
    assert {len(vault.generate_public_id()) for _ in range(50)} == {22}
    assert (
        len(
            {vault.generate_token() for _ in range(50)}
            | {vault.generate_public_id() for _ in range(50)}
        )
        == 100
    )


def test_an_id_can_be_given_to_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["-would-be-an-option-22", "--", "_and-this-is-an-id-022"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: next(drawn))
    assert vault.generate_public_id() == "_and-this-is-an-id-022"


def test_a_digest_is_the_same_for_the_same_and_takes_any_text() -> None:
    assert vault.sha256_digest("a") == vault.sha256_digest("a") != vault.sha256_digest("b")
    for odd in ("", "\x00", "\udc80", "😀" * 1000):
        assert len(vault.sha256_digest(odd)) == 32


# Encryption


@pytest.mark.parametrize("text", ["", "secret", "Ωmega 😀", "x" * 100_000])
def test_what_is_sealed_opens_for_its_row(secret_box: SecretBox, text: str) -> None:
    assert secret_box.decrypt(secret_box.encrypt(text, ROW), ROW) == text


def test_a_ciphertext_holds_nothing_of_the_text_and_is_never_the_same(
    secret_box: SecretBox,
) -> None:
    sealed = secret_box.encrypt("a secret", ROW)
    assert b"secret" not in sealed
    assert sealed != secret_box.encrypt("a secret", ROW)


def test_another_rows_ciphertext_does_not_open(secret_box: SecretBox) -> None:
    sealed = secret_box.encrypt("secret", "accounts/abc/callback_token")
    for row in ("accounts/abd/callback_token", "accounts/abc/other", ""):
        with pytest.raises(Unavailable, match="does not belong to its row"):
            secret_box.decrypt(sealed, row)


def test_a_change_of_any_byte_is_noticed(secret_box: SecretBox) -> None:
    sealed = secret_box.encrypt("secret", ROW)
    for place in range(len(sealed)):
        forged = bytearray(sealed)
        forged[place] ^= 1
        with pytest.raises(Unavailable):
            secret_box.decrypt(bytes(forged), ROW)


def test_a_ciphertext_that_is_cut_short_is_told(secret_box: SecretBox) -> None:
    sealed = secret_box.encrypt("secret", ROW)
    for length in range(len(sealed)):
        with pytest.raises(Unavailable, match=r"cut short|does not belong"):
            secret_box.decrypt(sealed[:length], ROW)


def test_what_is_no_ciphertext_is_told(secret_box: SecretBox) -> None:
    for nonsense in (b"", b"\x00", b"x" * 31, b"x" * 32, b"x" * 200):
        with pytest.raises(Unavailable):
            secret_box.decrypt(nonsense, ROW)


# Keys are replaced


def test_after_a_new_key_came_first_the_old_one_still_opens_and_the_new_one_encrypts() -> None:
    sealed = SecretBox([OLD]).encrypt("secret", ROW)
    both = SecretBox([NEW, OLD])
    assert both.decrypt(sealed, ROW) == "secret"
    again = both.encrypt("secret", ROW)
    assert SecretBox([NEW]).decrypt(again, ROW) == "secret"
    with pytest.raises(Unavailable):
        SecretBox([OLD]).decrypt(again, ROW)


def test_a_missing_key_says_which_setting_to_mend() -> None:
    old = SecretBox([OLD])
    with pytest.raises(Unavailable, match="PROVIDER_SECRET_KEY lacks: add the old key at its end"):
        SecretBox([NEW]).decrypt(old.encrypt("secret", ROW), ROW)
    with pytest.raises(Unavailable, match="PROVIDER_SECRET_KEY lacks"):
        SecretBox([NEW]).is_valid_mac(old.compute_mac(b"content", "order"), b"content", "order")


def test_a_key_given_twice_is_one(secret_box: SecretBox) -> None:
    twice = SecretBox([OLD, OLD])
    assert twice.decrypt(secret_box.encrypt("secret", ROW), ROW) == "secret"
    assert len(twice.derive_keys("cookies")) == 1


# Fingerprints


def test_a_fingerprint_knows_its_content_and_purpose(secret_box: SecretBox) -> None:
    mac = secret_box.compute_mac(b"content", "order")
    assert secret_box.is_valid_mac(mac, b"content", "order")
    assert not secret_box.is_valid_mac(mac, b"Content", "order")
    assert not secret_box.is_valid_mac(mac, b"content", "another")
    assert len(mac) <= 100  # the column


def test_purpose_and_content_cannot_be_shifted_into_each_other(secret_box: SecretBox) -> None:
    assert not secret_box.is_valid_mac(secret_box.compute_mac(b"bc", "a"), b"c", "ab")


def test_a_fingerprint_survives_a_new_key() -> None:
    mac = SecretBox([OLD]).compute_mac(b"content", "order")
    both = SecretBox([NEW, OLD])
    assert both.is_valid_mac(mac, b"content", "order")
    assert not both.is_valid_mac(mac, b"other", "order")
    assert both.compute_mac(b"content", "order") != mac


def test_a_damaged_fingerprint_is_told(secret_box: SecretBox) -> None:
    mac = secret_box.compute_mac(b"content", "order")
    key_id, _, rest = mac.partition(".")
    for damaged in (
        "",
        ".",
        "x",
        "zz.zz",
        key_id,
        f"{key_id}.",
        f"{key_id}.{rest[:-1]}",
        f".{rest}",
        mac + "0",
        mac.upper(),
        mac + "\n",
        f"{key_id}.{'é' * 64}",
        f"{key_id}.{'g' * 64}",
    ):
        with pytest.raises(Unavailable, match="fingerprint is damaged"):
            secret_box.is_valid_mac(damaged, b"content", "order")


def test_fingerprints_are_compared_in_constant_time(
    secret_box: SecretBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    mac = secret_box.compute_mac(b"content", "order")
    assert secret_box.is_valid_mac(mac, b"content", "order")
    compare.assert_called_once_with(mac, mac)


# Digests to find a value again


def test_an_index_does_not_mind_capitals(secret_box: SecretBox) -> None:
    one = secret_box.blind_index("Lakita_Marrero@GMAIL.com", "candidate e-mail")
    assert one == secret_box.blind_index("lakita_marrero@gmail.com", "candidate e-mail")
    assert one != secret_box.blind_index("lakita.marrero@gmail.com", "candidate e-mail")
    assert one != secret_box.blind_index("lakita_marrero@gmail.com", "another purpose")
    assert len(one) == 32


def test_an_index_is_keyed_and_takes_any_text(secret_box: SecretBox) -> None:
    assert secret_box.blind_index("a@b.example", "e") != SecretBox([NEW]).blind_index(
        "a@b.example", "e"
    )
    for odd in ("", "\x00", "\udc80", "Straße"):
        assert len(secret_box.blind_index(odd, "e")) == 32


def test_after_a_new_key_came_first_old_digests_are_still_looked_for() -> None:
    old, new, both = SecretBox([OLD]), SecretBox([NEW]), SecretBox([NEW, OLD])
    text = "lakita_marrero@gmail.com"
    assert both.blind_indexes(text.upper(), "e") == [
        new.blind_index(text, "e"),
        old.blind_index(text, "e"),
    ]
    assert both.blind_index(text, "e") == new.blind_index(text, "e")


def test_keys_for_another_use_differ_by_purpose_and_key() -> None:
    both = SecretBox([NEW, OLD])
    assert both.derive_keys("cookies") == SecretBox([NEW]).derive_keys("cookies") + SecretBox(
        [OLD]
    ).derive_keys("cookies")
    assert len({*both.derive_keys("cookies"), *both.derive_keys("other"), OLD, NEW}) == 6
